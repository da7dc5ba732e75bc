"""Lists that nobody has used for long are removed, and nothing else."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from bee_core.control import cache_tidying
from bee_core.control.cache_tidying import UNUSED_AFTER, tidy
from bee_core.control.cache_writer import CacheWriter
from bee_core.control.snapshot_cache import SnapshotCache
from bee_core.terms.node import Node

NODES = (Node("a", "tcp://10.0.0.1:9000"),)
OLD = UNUSED_AFTER + 60
NAME = "calc-0123456789abcdef01234567.json"


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def aged(path, seconds, text='{"format":1,"sha256":"","content":{}}'):
    path.write_text(text)
    then = time.time() - seconds
    os.utime(path, (then, then))
    return path


def left(folder):
    tidy(folder, time.time())
    return sorted(path.name for path in folder.iterdir())


def test_an_old_list_goes_whatever_its_format(folder):
    aged(folder / NAME, OLD)
    aged(folder / NAME.replace("calc", "sum"), OLD, '{"format":"x"')
    assert left(folder) == []


def test_a_list_that_was_used_lately_stays(folder):
    aged(folder / NAME, UNUSED_AFTER - 60)
    assert left(folder) == [NAME]


@pytest.mark.parametrize(
    "name",
    [
        "notes.json",
        "calc-0123456789abcdef0123456.json",
        "calc-0123456789abcdef01234567.json.bak",
        "ca.lc-0123456789abcdef01234567.json",
        "x" * 41 + "-0123456789abcdef01234567.json",
        ".calc-0123456789abcdef01234567.json.lock",
    ],
)
def test_a_file_with_another_name_stays(folder, name):
    aged(folder / name, OLD)
    assert left(folder) == [name]


def test_a_file_of_another_program_with_such_a_name_stays(folder):
    aged(folder / NAME, OLD, "{}")
    assert left(folder) == [NAME]


def test_folders_and_links_stay(folder):
    target = aged(folder / "target", OLD)
    (folder / NAME).symlink_to(target)
    os.utime(folder / NAME, (1, 1), follow_symlinks=False)
    (folder / NAME.replace("calc", "sum")).mkdir()
    os.utime(folder / NAME.replace("calc", "sum"), (1, 1))
    assert left(folder) == [NAME, NAME.replace("calc", "sum"), "target"]


@pytest.mark.parametrize(("age", "stays"), [(60, True), (2 * 86400, False)])
def test_what_a_killed_writer_left_goes_after_a_day(folder, age, stays):
    unfinished = aged(folder / f".{NAME}.a1b2c3_d", age, "")
    assert left(folder) == ([unfinished.name] if stays else [])


def test_the_work_is_bounded(folder, monkeypatch):
    monkeypatch.setattr(cache_tidying, "_MOST_REMOVED", 3)
    for number in range(5):
        aged(folder / NAME.replace("calc", f"calc{number}"), OLD)
    assert tidy(folder, time.time()) == 3
    monkeypatch.setattr(cache_tidying, "_MOST_SEEN", 1)
    assert tidy(folder, time.time()) == 1


def test_a_file_that_cannot_be_removed_does_not_save_the_others(folder, monkeypatch):
    names = [NAME, NAME.replace("calc", "sum")]
    for name in names:
        aged(folder / name, OLD)
    unlink = os.unlink

    def refuse_one(path):
        if path.endswith(NAME):
            raise PermissionError
        unlink(path)

    monkeypatch.setattr(os, "unlink", refuse_one)
    assert left(folder) == [NAME]


async def heard(cache):
    writer = CacheWriter(cache, "calc", lambda: (NODES, ()))
    writer.keep()
    await writer.finish()
    await asyncio.get_running_loop().shutdown_default_executor()


def test_a_process_tidies_once_when_it_has_heard_of_the_registry(folder):
    cache = SnapshotCache("memory", folder)
    old = aged(folder / NAME, OLD)
    asyncio.run(heard(cache))
    assert (old.exists(), cache.load("calc").nodes) == (False, NODES)
    aged(old, OLD)
    asyncio.run(heard(SnapshotCache("memory", folder)))
    assert old.exists(), "the next process tidies again"


def test_a_folder_that_is_not_there_is_no_failure(folder):
    SnapshotCache("memory", folder / "none").tidy()
