"""Nodes that fit a client's range and tags, and the others, each with its reason."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bee_core.nodes import directory
from bee_core.nodes.directory import Directory, explain_none
from bee_core.terms.node import Node, Snapshot
from bee_core.terms.versions import Range, parse_version


def node(number, version=None, *tags):
    return Node(f"n{number}", f"tcp://10.0.0.{number}:9000", version=version, tags=frozenset(tags))


def snapshot(*nodes, source="registry"):
    return Snapshot(1, source, nodes)


def wants(text=None, *tags):
    return Directory(None if text is None else Range.parse(text), frozenset(tags))


def test_without_wishes_every_node_fits_whatever_it_states():
    nodes = (node(1), node(2, "abc"), node(3, "1.0", "gpu"))
    selection = Directory().select(snapshot(*nodes))
    assert selection.fitting == nodes
    assert selection.rejected == ()


def test_versions_in_the_range_fit_and_the_others_have_a_reason():
    good, bad = node(1, "1.4.2"), node(2, "2.0.0")
    selection = wants(">=1.0, <2").select(snapshot(bad, good))
    assert selection.fitting == (good,)
    assert [(rejected.node, rejected.reason) for rejected in selection.rejected] == [
        (bad, "version 2.0.0 is not in >=1.0, <2")
    ]


def test_a_loose_version_of_a_node_is_understood():
    assert wants("^2.0.0").select(snapshot(node(1, "2.0"), node(2, "v2.1.0"))).rejected == ()


def test_a_version_that_cannot_be_read_is_a_reason_and_no_error():
    (rejected,) = wants("*").select(snapshot(node(1, "abc"))).rejected
    assert rejected.reason.startswith("version 'abc' cannot be read: write numbers and dots")


@pytest.mark.parametrize("source", ["registry", "cache"])
def test_a_registered_node_without_a_version_is_in_no_range(source):
    (rejected,) = wants("*").select(snapshot(node(1), source=source)).rejected
    assert rejected.reason == "has no version, and the client asks for *"


def test_a_configured_address_without_a_version_is_not_filtered_by_version():
    selection = wants(">=1.0, <2").select(snapshot(node(1), node(2, "2.0"), source="address"))
    assert selection.fitting == (node(1),)
    assert [rejected.reason for rejected in selection.rejected] == [
        "version 2.0 is not in >=1.0, <2"
    ]


def test_a_configured_address_is_held_to_the_tags_that_it_states():
    selection = wants(None, "gpu").select(
        snapshot(node(1), node(2, None, "cpu"), node(3, None, "gpu", "eu"), source="address")
    )
    assert [fitting.id for fitting in selection.fitting] == ["n1", "n3"]


def test_a_node_must_have_every_tag_that_is_asked_for():
    selection = wants(None, "gpu", "eu").select(
        snapshot(node(1, None, "gpu"), node(2), node(3, None, "gpu", "eu", "new"))
    )
    assert [fitting.id for fitting in selection.fitting] == ["n3"]
    assert [rejected.reason for rejected in selection.rejected] == [
        "lacks tag eu",
        "lacks tags eu, gpu",
    ]


def test_only_nodes_of_the_zone_fit_and_the_others_say_where_they_are():
    nodes = (
        Node("a", "tcp://10.0.0.1:9000", zone="eu"),
        Node("b", "tcp://10.0.0.2:9000", zone="us"),
        Node("c", "tcp://10.0.0.3:9000"),
    )
    selection = Directory(zone="eu").select(Snapshot(1, "registry", nodes))
    assert [node.id for node in selection.fitting] == ["a"]
    assert [rejected.reason for rejected in selection.rejected] == [
        "is in zone us, not eu",
        "states no zone, and the client asks for eu",
    ]
    lenient = Directory(zone="eu").select(Snapshot(1, "address", nodes))
    assert [node.id for node in lenient.fitting] == ["a", "c"]


def test_the_message_names_the_zones_when_none_fits():
    nodes = (Node("a", "tcp://10.0.0.1:9000", zone="eu"), Node("b", "tcp://10.0.0.2:9000"))
    message = explain_none(Directory(zone="us").select(Snapshot(1, "registry", nodes)), "calc")
    assert "no node of calc fits zone us" in message
    assert "zones there are: eu (1 node)" in message


def test_version_and_tags_are_both_named_when_both_are_wrong():
    (rejected,) = wants("1.x", "gpu").select(snapshot(node(1, "2.0.0"))).rejected
    assert rejected.reason == "version 2.0.0 is not in 1.x; lacks tag gpu"


nodes_of_all_kinds = st.builds(
    Node,
    id=st.uuids().map(str),
    url=st.just("tcp://10.0.0.1:1"),
    version=st.sampled_from([None, "1.0", "1.5.0", "2.0.0", "2.0.0-rc.1", "abc", ""]),
    tags=st.frozensets(st.sampled_from(["gpu", "eu"])),
)


@given(
    st.lists(nodes_of_all_kinds, max_size=8).map(tuple),
    st.sampled_from(["registry", "cache", "address"]),
    st.sampled_from([None, "*", ">=1.0, <2", "2.0.0-rc.1"]),
    st.frozensets(st.sampled_from(["gpu", "eu"])),
)
def test_every_node_is_in_one_part_in_the_order_of_the_snapshot(nodes, source, text, tags):
    selection = wants(text, *tags).select(Snapshot(1, source, nodes))
    rejected = [each.node for each in selection.rejected]
    assert list(selection.fitting) == [each for each in nodes if each not in rejected]
    assert rejected == [each for each in nodes if each not in selection.fitting]
    assert all(each.reason for each in selection.rejected)
    if source != "address":
        assert all(tags <= each.tags for each in selection.fitting)
        assert text is None or all(
            Range.parse(text).matches(parse_version(each.version)) for each in selection.fitting
        )


# ── the message when nothing fits ──


def test_the_message_lists_the_versions_that_there_are_in_order_each_once_with_its_count():
    nodes = [
        node(1, "10.0.0"),
        node(2, "2.0"),
        node(3, "2.0.0"),
        node(4, "2.0.0-rc.1"),
        node(5, "abc"),
        node(6),
        node(7),
    ]
    message = explain_none(wants(">=1.0, <2").select(snapshot(*nodes)), "calc")
    assert message == (
        "no node of calc fits version >=1.0, <2: 7 nodes are known; "
        "versions there are: 2.0.0-rc.1 (1 node), 2.0.0 (2 nodes), 10.0.0 (1 node), 'abc' (1 node), "
        "none stated (2 nodes). Start a server that fits, or change what bee.rpc.client.calc asks for"
    )


def test_the_message_names_the_tags_when_tags_are_lacking():
    message = explain_none(
        wants("1.x", "gpu").select(snapshot(node(1, "1.2.0", "eu"), node(2, "1.2.0", "eu", "cpu"))),
        "calc",
    )
    assert "fits version 1.x and tag gpu" in message
    assert "versions there are: 1.2.0 (2 nodes)" in message
    assert "tags there are: cpu (1 node), eu (2 nodes)" in message


def test_the_message_says_that_no_tags_are_stated_at_all():
    assert "tags there are: none" in explain_none(
        wants(None, "gpu").select(snapshot(node(1))), "calc"
    )


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("registry", "the registry lists none"),
        ("cache", "its last list, kept on disk, is empty"),
        ("address", "set bee.rpc.client.calc.address"),
    ],
)
def test_without_any_node_the_message_says_who_knows_none_and_what_to_do(source, says):
    message = explain_none(wants("1.x").select(snapshot(source=source)), "calc")
    assert message.startswith("no node of calc is known: ")
    assert says in message


def test_the_message_is_bounded_however_many_and_long_the_versions_are():
    many = [node(number, f"2.{number}.0") for number in range(500)]
    hostile = [
        node(number, f"{number}" + "\n!" * 500, "x" * 900, str(number)) for number in range(500)
    ]
    message = explain_none(wants("1.x", "gpu").select(snapshot(*many, *hostile)), "calc")
    assert "2.0.0 (1 node), 2.1.0 (1 node)" in message
    assert "988 more" in message
    assert len(message) < 2500
    assert "\n" not in message


def test_each_version_is_judged_once_however_many_nodes_have_it(monkeypatch):
    nodes = tuple(
        node(number, f"{number % 3}.{number % 50}.{number}", "gpu") for number in range(5000)
    )
    nodes = tuple(attrs.evolve(each, version=f"{int(each.version[0])}.0.0") for each in nodes)
    judged = []
    monkeypatch.setattr(
        directory,
        "parse_version",
        lambda version: judged.append(version) or parse_version(version),
    )
    selection = wants(">=1.0, <2", "gpu").select(snapshot(*nodes))
    assert sorted(judged) == ["0.0.0", "1.0.0", "2.0.0"]
    assert len(selection.fitting) == 1667


def test_a_node_fits_that_is_asked_for_and_takes_calls():
    directory = Directory(Range.parse(">=1.0, <2"))
    assert directory.fits(Node("a", "tcp://a:1", "1.2.0"))
    assert not directory.fits(Node("a", "tcp://a:1", "2.0.0"))
    assert not directory.fits(Node("a", "tcp://a:1"))
    assert not directory.fits(Node("a", "tcp://a:1", "1.2.0", weight=0))
