"""The list of nodes on disk.

What was saved comes back whole. Whatever else lies there is one warning and no nodes.
"""

from __future__ import annotations

import hashlib
import json
import logging
import multiprocessing
import os
import stat
import time
from pathlib import Path

import pytest

from bee_core.control import snapshot_cache
from bee_core.control.snapshot_cache import FORMAT, SnapshotCache, default_folder
from bee_core.terms.node import Node

NODES = (
    Node("a", "tcp://10.0.0.1:9000", "1.2.0", 2.5, "west", frozenset({"gpu", "größe"}), 4),
    Node("b", "unix:///run/calc.sock"),
)

DAY = 86400.0


@pytest.fixture
def cache(tmp_path):
    return SnapshotCache("local /somewhere", tmp_path / "cache")


@pytest.fixture
def warnings(caplog):
    caplog.set_level(logging.WARNING, "bee.client")
    return lambda: [record.getMessage() for record in caplog.records]


def test_every_field_of_a_node_comes_back(cache, tmp_path, warnings):
    assert cache.save("calc", NODES)
    assert SnapshotCache("local /somewhere", tmp_path / "cache").load("calc").nodes == NODES
    assert warnings() == []


def test_a_service_that_was_never_saved_has_no_nodes_and_no_warning(cache, warnings):
    assert cache.load("calc").nodes == ()
    assert warnings() == []


def test_services_and_registries_have_files_of_their_own(cache, tmp_path):
    cache.save("calc", NODES)
    assert cache.load("other").nodes == ()
    assert SnapshotCache("local /elsewhere", tmp_path / "cache").load("calc").nodes == ()


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a/b", "a\0b", "x" * 5000, ".", "größe", "", "a\nb"]
)
def test_any_name_of_a_service_is_one_file_in_the_folder(cache, name):
    assert cache.save(name, NODES)
    assert cache.load(name).nodes == NODES
    assert [path.parent for path in cache.folder.rglob("*.json")] == [cache.folder]


def test_only_the_user_may_read_the_folder_and_its_files(cache):
    cache.save("calc", NODES)
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(cache.path("calc").stat().st_mode) == 0o600


def test_nothing_is_left_beside_the_file(cache):
    for _ in range(3):
        cache.save("calc", NODES)
    assert list(cache.folder.iterdir()) == [cache.path("calc")]


def resealed(content, **fields):
    document = {
        "format": FORMAT,
        "sha256": hashlib.sha256(json.dumps(content).encode()).hexdigest(),
        "content": content,
    } | fields
    return json.dumps(document)


def changed(change):
    def damage(raw):
        document = json.loads(raw)
        change(document)
        return json.dumps(document)

    return damage


def with_node(**fields):
    def damage(raw):
        content = json.loads(raw)["content"]
        content["nodes"][0] |= fields
        return resealed(content)

    return damage


DAMAGES = {
    "empty": lambda raw: "",
    "truncated": lambda raw: raw[: len(raw) // 2],
    "not JSON": lambda raw: "\x00\xff garbage",
    "a list": lambda raw: "[]",
    "nested beyond all measure": lambda raw: "[" * 200_000,
    "one digit changed": lambda raw: raw.replace("9000", "9001"),
    "a newer format": changed(lambda document: document.update(format=FORMAT + 1)),
    "no checksum": changed(lambda document: document.pop("sha256")),
    "an older format": changed(lambda document: document.update(format=FORMAT - 1)),
    "another registry's": lambda raw: resealed(json.loads(raw)["content"] | {"identity": "other"}),
    "another service's": lambda raw: resealed(json.loads(raw)["content"] | {"service": "other"}),
    "a url that is a number": with_node(url=7),
    "tags that are a number": with_node(tags=7),
    "no weight": with_node(weight=None),
    "a negative weight": with_node(weight=-1),
    "an endless weight": with_node(weight=float("inf")),
    "no workers": with_node(workers=0),
    "nodes that are texts": lambda raw: resealed(
        json.loads(raw)["content"] | {"nodes": ["tcp://a:1"]}
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_cannot_be_used_is_one_warning_and_is_replaced(cache, warnings, damage):
    cache.save("calc", NODES)
    path = cache.path("calc")
    path.write_text(DAMAGES[damage](path.read_text()), encoding="latin-1")
    assert cache.load("calc").nodes == ()
    assert cache.load("calc").nodes == ()
    assert len(warnings()) == 1
    assert str(path) in warnings()[0]
    assert cache.save("calc", NODES)
    assert cache.load("calc").nodes == NODES


def test_the_warning_about_a_newer_format_says_so(cache, warnings):
    cache.save("calc", NODES)
    path = cache.path("calc")
    path.write_text(DAMAGES["a newer format"](path.read_text()))
    cache.load("calc")
    assert f"format {FORMAT + 1}, and this bee reads format {FORMAT}" in warnings()[0]


def test_a_huge_file_is_not_read(cache, warnings, monkeypatch):
    monkeypatch.setattr(snapshot_cache, "MAX_BYTES", 100)
    cache.save("calc", NODES)
    assert cache.load("calc").nodes == ()
    assert "larger than 100 bytes" in warnings()[0]


def test_a_folder_in_the_place_of_the_file_is_a_warning(cache, warnings):
    cache.path("calc").mkdir(parents=True)
    assert cache.load("calc").nodes == ()
    assert not cache.save("calc", NODES)
    assert len(warnings()) == 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_or_a_device_in_the_place_of_the_file_is_not_opened(cache, warnings):
    path = cache.path("calc")
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)
    assert cache.load("calc").nodes == ()
    path.unlink()
    path.symlink_to("/dev/zero")
    assert cache.load("calc").nodes == ()
    assert "it is no file" in warnings()[0]


def test_a_folder_that_cannot_be_made_is_one_warning_that_says_what_to_do(tmp_path, warnings):
    (tmp_path / "file").write_text("in the way")
    cache = SnapshotCache("local", tmp_path / "file" / "cache")
    assert not cache.save("calc", NODES)
    assert not cache.save("calc", NODES)
    assert len(warnings()) == 1
    assert "BEE_CACHE_DIR" in warnings()[0]


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_one_warning(tmp_path, warnings):
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o500)
    assert not SnapshotCache("local", folder).save("calc", NODES)
    assert len(warnings()) == 1


def test_a_disk_that_fails_leaves_the_old_list_and_no_rest(cache, monkeypatch, warnings):
    cache.save("calc", NODES)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert not cache.save("calc", NODES[:1])
    assert "No space left on device" in warnings()[0]
    assert cache.load("calc").nodes == NODES
    assert list(cache.folder.iterdir()) == [cache.path("calc")]


def _save_for_ever(folder, nodes):
    cache = SnapshotCache("local", folder)
    while True:
        cache.save("calc", nodes)


def test_a_writer_that_is_killed_at_any_moment_leaves_a_whole_file(tmp_path, warnings):
    cache = SnapshotCache("local", tmp_path)
    few, many = (
        NODES,
        tuple(Node(f"n{number}", f"tcp://10.0.0.1:{number + 1}") for number in range(500)),
    )
    cache.save("calc", few)
    context = multiprocessing.get_context("fork")
    for _ in range(5):
        writers = [
            context.Process(target=_save_for_ever, args=(tmp_path, nodes)) for nodes in (few, many)
        ]
        for writer in writers:
            writer.start()
        seen = {len(cache.load("calc").nodes) for _ in range(30)}
        for writer in writers:
            writer.kill()
            writer.join()
        assert seen <= {len(few), len(many)}
    assert cache.load("calc").nodes in {few, many}
    assert warnings() == []


def test_the_folder_is_bees_own_variable_then_the_desktops_then_the_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    assert default_folder({"BEE_CACHE_DIR": "/x", "XDG_CACHE_HOME": "/y"}) == Path("/x")
    assert default_folder({"XDG_CACHE_HOME": "/y"}) == Path("/y/bee")
    assert default_folder({}) == Path("/home/ada/.cache/bee")
    assert default_folder({"BEE_CACHE_DIR": "", "XDG_CACHE_HOME": ""}) == Path(
        "/home/ada/.cache/bee"
    )


# ── how old a list is ──


def written_before(cache, seconds):
    """Make the list look as if it was written so long ago, and its file as unused since then."""
    path = cache.path("calc")
    content = json.loads(path.read_bytes())["content"]
    content["written"] -= seconds
    path.write_text(resealed(content))
    then = time.time() - seconds
    os.utime(path, (then, then))


def unused(cache):
    """Seconds since the file counted as used."""
    return time.time() - cache.path("calc").stat().st_mtime


def test_a_list_says_how_old_it_is(cache):
    assert cache.load("calc").age is None
    cache.save("calc", NODES)
    written_before(cache, 7200)
    assert cache.load("calc").age == pytest.approx(7200, abs=60)


def test_a_list_from_the_future_is_new(cache):
    cache.save("calc", NODES)
    written_before(cache, -7200)
    assert cache.load("calc").age == 0


def test_a_file_that_is_read_counts_as_used(cache):
    cache.save("calc", NODES)
    written_before(cache, 29 * DAY)
    cache.load("calc")
    assert unused(cache) < 60
    assert cache.load("calc").age == pytest.approx(29 * DAY, abs=60), "its list is as old as before"
