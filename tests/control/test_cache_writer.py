"""A list is written when it changed, and once an hour while the registry says the same."""

from __future__ import annotations

import asyncio
import time

import pytest

from bee_core.control.cache_writer import CacheWriter
from bee_core.control.node_states import Suspect
from bee_core.control.snapshot_cache import KEEP_UNLISTED, SnapshotCache
from bee_core.terms.node import Node

NODES = (Node("a", "tcp://10.0.0.1:9000"), Node("b", "tcp://10.0.0.2:9000"))


@pytest.fixture
def cache(tmp_path):
    return SnapshotCache("local /somewhere", tmp_path / "cache")


@pytest.fixture
def written_before(cache, monkeypatch):
    """Keep a list as if so many seconds ago."""

    def written(seconds):
        then = time.time() - seconds
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda: then)
            cache.save("calc", NODES)

    return written


def written_again(cache, nodes):
    """Whether a writer that found a list writes these nodes, once the registry has named them."""

    async def scenario():
        writer = CacheWriter(cache, "calc", lambda: (nodes, ()))
        await writer.recall()
        writer.keep()
        await writer.finish()
        await asyncio.get_running_loop().shutdown_default_executor()

    before = cache.path("calc").stat().st_ino
    asyncio.run(scenario())
    return cache.path("calc").stat().st_ino != before


@pytest.mark.parametrize(
    ("age", "nodes", "again"),
    [(60.0, NODES, False), (60.0, NODES[:1], True), (7200.0, NODES, True)],
)
def test_a_list_is_written_when_it_changed_or_was_not_confirmed_for_an_hour(
    cache, written_before, age, nodes, again
):
    written_before(age)
    assert written_again(cache, nodes) == again
    kept = cache.load("calc")
    assert kept.nodes == nodes
    assert kept.age < 60 if again else kept.age > 59


def test_a_list_that_was_recalled_says_how_old_it_is_now(cache, written_before):
    async def ages():
        writer = CacheWriter(cache, "calc", lambda: ((), ()))
        before, nodes = writer.age, await writer.recall()
        return before, nodes, writer.age

    assert asyncio.run(ages()) == (None, (), None)
    written_before(7200)
    assert asyncio.run(ages()) == (None, NODES, pytest.approx(7200, abs=60))


def kept_after(cache, listed, suspects=()):
    """The file, once a client that began with it has kept this and closed."""

    async def scenario():
        writer = CacheWriter(cache, "calc", lambda: (listed, suspects))
        await writer.recall()
        writer.keep()
        await writer.finish()
        await asyncio.get_running_loop().shutdown_default_executor()

    asyncio.run(scenario())
    return cache.load("calc")


def in_question(node, status="cached"):
    return Suspect(node, status, 0.0, 0.0)


def test_nothing_is_no_list(cache):
    assert kept_after(cache, ()).nodes == ()
    assert not cache.path("calc").exists()


def test_a_node_in_question_stays_in_the_file_with_the_time_at_which_it_was_listed(
    cache, written_before
):
    written_before(7200)
    for status in ("cached", "doubted"):  # one short-lived client after the other
        kept = kept_after(cache, NODES[:1], [in_question(NODES[1], status)])
        assert kept.nodes == NODES
        assert kept.unlisted == {"b": pytest.approx(time.time() - 7200, abs=60)}
    assert kept_after(cache, NODES).unlisted == {}, "it is listed again"
    kept = kept_after(cache, (), [in_question(NODES[1])])
    assert kept.nodes == NODES[1:], "what was let go leaves"
    assert kept.unlisted == {"b": pytest.approx(time.time(), abs=60)}


def test_a_node_that_no_client_decides_on_leaves_the_file_after_a_day(cache):
    now = time.time()
    cache.save("calc", NODES, {"b": now - KEEP_UNLISTED + 60})
    assert cache.load("calc").nodes == NODES
    cache.save("calc", NODES, {"b": now - KEEP_UNLISTED - 60})
    assert cache.load("calc").nodes == NODES[:1]
    assert cache.load("calc").unlisted == {}
