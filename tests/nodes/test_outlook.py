"""What a message adds where a list of nodes is in doubt."""

from __future__ import annotations

from bee_core.nodes.directory import Directory, explain_none
from bee_core.nodes.outlook import Doubt, Outlook, remark
from bee_core.terms.node import Node, Snapshot

REASON = "the registry does not list it, and it answers pings"
SILENT = Outlook("etcd3 at h:1", "silent", 42.0, 40.0, "ConnectionError: connection refused")


def test_nothing_is_added_where_all_is_well():
    assert remark(None, ["a"]) == ""
    assert remark(Outlook("etcd3 at h:1", "answering", 1.0), ["a"]) == ""


def test_a_registry_out_of_reach_is_named_with_its_trouble():
    assert remark(SILENT, ["a"]) == (
        "; the registry etcd3 at h:1 has been out of reach for 40 s "
        "(ConnectionError: connection refused), so this is what it listed before"
    )


def test_a_registry_that_refuses_is_said_to_refuse():
    outlook = Outlook("etcd3 at h:1", "refusing", None, 3.0, "permission denied")
    assert "the registry etcd3 at h:1 has refused to answer for 3 s" in remark(outlook, [])


def test_only_the_nodes_that_the_message_is_about_count():
    doubts = (Doubt("a", REASON, 1.0), Doubt("b", REASON, 1.0))
    outlook = Outlook("etcd3 at h:1", "lying", 1.0, doubts=doubts)
    assert remark(outlook, ["a"]) == f"; it is in doubt: {REASON}"
    assert remark(outlook, ["a", "b", "c"]) == f"; 2 of them are in doubt: {REASON}"
    assert remark(outlook, ["c"]) == ""


def test_that_the_registry_listed_none_is_told_from_that_it_lists_none():
    selection = Directory().select(Snapshot(1, "registry"))
    now = explain_none(selection, "calc", Outlook("etcd3 at h:1", "answering", 1.0))
    before = explain_none(selection, "calc", SILENT)
    assert "the registry lists none" in now
    assert "out of reach" not in now
    assert "has been out of reach for 40 s" in before
    assert "so this is what it listed before" in before


def test_nodes_that_do_not_fit_and_are_in_doubt_are_said_to_be():
    nodes = (Node("a", "tcp://a:1", "2.0.0"),)
    selection = Directory(zone="west").select(Snapshot(1, "registry", nodes))
    outlook = Outlook("etcd3 at h:1", "lying", 1.0, doubts=(Doubt("a", REASON, 1.0),))
    assert explain_none(selection, "calc", outlook).endswith(f"; it is in doubt: {REASON}")
