"""What a client says of its nodes, and when it calls that doubtful."""

from __future__ import annotations

import pytest

from bee_core.nodes.directory import Directory
from bee_core.nodes.outlook import Doubt, Outlook
from bee_core.nodes.report import report_nodes
from bee_core.terms.node import Node, Snapshot
from bee_core.terms.versions import Range

A = Node("a", "tcp://10.0.0.1:1", "1.0.0")
B = Node("b", "tcp://10.0.0.2:1", "1.1.0")
C = Node("c", "tcp://10.0.0.3:1", "2.0.0")
WHY = "the registry does not list it, and it answers pings"


def report(*nodes, source="registry", outlook=None, unknown="", revision=3):
    snapshot = Snapshot(revision, source, nodes)
    selection = Directory(Range.parse("^1")).select(snapshot)
    return report_nodes("calc", snapshot, selection, outlook, unknown)


def answering(**fields):
    return Outlook("etcd3 at h:1", **{"state": "answering", "heard": 0.25} | fields)


def test_a_node_in_doubt_says_why_and_for_how_long_whether_it_fits_or_not():
    told = report(C, B, A, outlook=answering(doubts=(Doubt("b", WHY, 1.5), Doubt("c", WHY, 2.0))))
    assert [(one.node.id, one.fitting, one.doubt, one.doubted_for) for one in told.nodes] == [
        ("a", True, "", None),
        ("b", True, WHY, 1.5),
        ("c", False, WHY, 2.0),
    ]
    assert [one.node.id for one in told.in_doubt] == ["b", "c"]
    assert [node.id for node in told.fitting] == ["a", "b"]


def test_a_doubt_of_a_node_that_is_not_in_the_list_is_left_out():
    assert report(A, outlook=answering(doubts=(Doubt("b", WHY, 1.0),))).in_doubt == ()


def test_the_state_of_the_registry_is_told():
    silent = answering(state="silent", heard=12.0, silent=12.0, trouble="connection refused")
    told = report(A, outlook=silent)
    assert (told.registry, told.state, told.silent_for, told.trouble) == (
        "etcd3 at h:1",
        "silent",
        12.0,
        "connection refused",
    )


@pytest.mark.parametrize(
    ("source", "age"), [("registry", 0.25), ("cache", 7200.0), ("address", None)]
)
def test_the_age_is_that_of_the_list_in_use(source, age):
    assert report(A, source=source, outlook=answering(written=7200.0)).age == age


@pytest.mark.parametrize(
    ("source", "fields", "doubtful"),
    [
        ("registry", {}, False),
        ("cache", {}, True),
        ("address", {"state": "unheard"}, True),
        ("registry", {"state": "silent"}, True),
        ("registry", {"state": "refusing"}, True),
        ("registry", {"state": "lying"}, True),
        ("registry", {"doubts": (Doubt("a", WHY, 1.0),)}, True),
    ],
)
def test_what_may_be_out_of_date_is_doubtful(source, fields, doubtful):
    assert report(A, source=source, outlook=answering(**fields)).doubtful is doubtful


def test_without_a_registry_nothing_is_doubtful():
    told = report(A, source="address")
    assert (told.registry, told.state, told.age, told.silent_for) == ("", None, None, None)
    assert not told.doubtful


def test_why_no_node_is_known_is_told_where_none_is():
    assert report(unknown="the registry lists none").unknown == "the registry lists none"
    assert report(A, unknown="the registry lists none").unknown == ""
    assert report(revision=-1).source is None
