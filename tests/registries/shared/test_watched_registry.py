"""The list of one service's nodes, updated record by record, and what its snapshots say."""

from __future__ import annotations

import itertools
import logging

import pytest

from bee_core.terms.node import Node
from bee_plugins.registries.shared.node_record import encode_record
from bee_plugins.registries.shared.watched_registry import NodeList, WarnOnce

log = logging.getLogger("test.nodes")


def node(id_, port=9000):
    return Node(id_, f"tcp://10.0.0.1:{port}")


@pytest.fixture
def nodes():
    return NodeList(lambda name: f"/calc/{name}", itertools.count(1), WarnOnce(log))


def test_a_snapshot_says_what_changed_since_the_one_before(nodes):
    for id_ in ("a", "b"):
        nodes.put(id_, encode_record(node(id_)))
    first = nodes.snapshot()
    assert (set(first.nodes), first.changes) == ({node("a"), node("b")}, None)
    nodes.put("b", encode_record(node("b", 9001)))
    nodes.put("c", encode_record(node("c")))
    nodes.remove("a")
    second = nodes.snapshot()
    assert second.changes.since == first.revision
    assert (set(second.changes.put), second.changes.gone) == ({node("b", 9001), node("c")}, {"a"})
    assert set(second.nodes) == {node("b", 9001), node("c")}
    assert nodes.snapshot() is None


def test_what_came_and_went_between_two_snapshots_is_not_put(nodes):
    nodes.snapshot()
    nodes.put("a", encode_record(node("a")))
    nodes.remove("a")
    assert nodes.snapshot().changes.put == ()


@pytest.mark.parametrize("how", ["removed", "replaced", "spoilt"])
def test_of_two_records_of_one_id_the_second_counts_once_the_first_has_gone(nodes, how, caplog):
    first, second = encode_record(node("a b")), encode_record(node("a b", 9001))
    nodes.put("a%20b", first)
    nodes.put("a b", second)  # written by hand: the same id, not encoded
    assert nodes.snapshot().nodes == (node("a b"),)
    assert "has the id of another record" in caplog.text
    if how == "removed":
        nodes.remove("a%20b")
    elif how == "replaced":
        nodes.replace({"a b": (second, 0)})
    else:
        nodes.put("a%20b", b"junk")
    told = nodes.snapshot()
    assert told.nodes == (node("a b", 9001),)
    assert (told.changes.put, told.changes.gone) == ((node("a b", 9001),), frozenset())


def listed(nodes):
    return [one.id for one in nodes.snapshot().nodes]


def test_of_nodes_with_one_url_the_one_that_was_made_last_comes_last(nodes):
    for id_, born in (("b", 7), ("d", 9), ("c", 5)):
        nodes.put(id_, encode_record(node(id_)), born)
    nodes.put("a", encode_record(node("a", 9001)), 8)
    assert [id_ for id_ in listed(nodes) if id_ != "a"] == ["c", "b", "d"]
    nodes.put("a", encode_record(node("a")), 8)
    assert listed(nodes) == ["c", "b", "a", "d"]
    nodes.put("c", encode_record(node("c")), 12)
    changed = nodes.snapshot()
    assert [one.id for one in changed.nodes] == ["b", "a", "d", "c"], "it was made anew"
    assert [one.id for one in changed.changes.put] == ["c"]
    nodes.remove("d")
    nodes.put("b", encode_record(node("b", 9002)), 7)
    assert [id_ for id_ in listed(nodes) if id_ != "b"] == ["a", "c"]
