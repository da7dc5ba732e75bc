"""One service's list, kept up to date piece by piece: what a snapshot holds, and what it says has changed."""

from __future__ import annotations

import itertools
import logging

import pytest

from bee_core.terms.node import Node
from bee_plugins.registries.listing import Listing
from bee_plugins.registries.records import encode_record

log = logging.getLogger("test.listing")


def node(id_, port=9000):
    return Node(id_, f"tcp://10.0.0.1:{port}")


@pytest.fixture
def listing():
    return Listing(lambda name: f"/calc/{name}", itertools.count(1), log)


def test_a_snapshot_says_what_changed_since_the_one_before(listing):
    for id_ in ("a", "b"):
        listing.put(id_, encode_record(node(id_)))
    first = listing.snapshot()
    assert (set(first.nodes), first.changes) == ({node("a"), node("b")}, None)
    listing.put("b", encode_record(node("b", 9001)))
    listing.put("c", encode_record(node("c")))
    listing.remove("a")
    second = listing.snapshot()
    assert second.changes.since == first.revision
    assert (set(second.changes.put), second.changes.gone) == ({node("b", 9001), node("c")}, {"a"})
    assert set(second.nodes) == {node("b", 9001), node("c")}
    assert listing.snapshot() is None


def test_what_came_and_went_between_two_snapshots_is_not_put(listing):
    listing.snapshot()
    listing.put("a", encode_record(node("a")))
    listing.remove("a")
    assert listing.snapshot().changes.put == ()


@pytest.mark.parametrize("how", ["removed", "replaced", "spoilt"])
def test_of_two_records_of_one_id_the_second_counts_once_the_first_has_gone(listing, how, caplog):
    first, second = encode_record(node("a b")), encode_record(node("a b", 9001))
    listing.put("a%20b", first)
    listing.put("a b", second)  # written by hand: the same id, not encoded
    assert listing.snapshot().nodes == (node("a b"),)
    assert "has the id of another record" in caplog.text
    if how == "removed":
        listing.remove("a%20b")
    elif how == "replaced":
        listing.replace({"a b": second})
    else:
        listing.put("a%20b", b"junk")
    told = listing.snapshot()
    assert told.nodes == (node("a b", 9001),)
    assert (told.changes.put, told.changes.gone) == ((node("a b", 9001),), frozenset())
