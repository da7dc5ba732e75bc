"""Which node an attempt goes to, case by case."""

from __future__ import annotations

import pytest

from bee_core.calls.picking import elsewhere, pick, same
from bee_core.interfaces import Node
from support.call_harness import Harness

FREE = {}
FULL = {"permits": 0}


def named(choice):
    """A choice in short: the node's id or None, whether it has a permit, whether it was picked."""
    state, permit, picked = choice
    return None if state is None else state.node.id, permit is not None, picked


def relist(harness, nodes):
    """The list now has these nodes, and the balancer does not know it yet."""
    known = harness.balancer.ready
    harness.list_nodes(nodes)
    harness.balancer.update(known)


@pytest.mark.parametrize(
    ("tried", "gates", "chosen", "passed_over"),
    [
        ((), None, ("a", False, True), []),
        (("a",), None, ("b", False, True), []),
        (("a", "b"), None, (None, False, True), []),
        ((), {"a": FREE, "b": FREE}, ("a", True, True), []),
        ((), {"a": FULL, "b": FREE}, ("b", True, True), ["a"]),
        (("a",), {"a": FREE, "b": FULL}, (None, False, True), ["b"]),
        ((), {"a": FULL, "b": FULL}, (None, False, True), ["a", "b"]),
    ],
)
def test_pick(tried, gates, chosen, passed_over):
    harness = Harness("ab", gates=gates)
    assert named(pick(harness.begin(), tried)) == chosen
    # What was picked and not used is settled at once, and says nothing of the node.
    assert harness.balancer.settled == [(node_id, "no verdict") for node_id in passed_over]


def test_pick_passes_over_a_node_that_has_left_the_list():
    harness = Harness("ab")
    relist(harness, "b")
    assert named(pick(harness.begin(), ())) == ("b", False, True)
    assert harness.balancer.settled == [("a", "no verdict")]


def test_pick_asks_a_balancer_without_settle_for_nothing_more():
    harness = Harness("ab", gates={"a": FULL, "b": FREE})
    harness.balancer.settle = None
    assert named(pick(harness.begin(), ())) == ("b", True, True)
    assert harness.balancer.settled == []


def test_pick_makes_the_breaker_of_a_node_at_its_first_call():
    harness = Harness("a", gates={})
    chosen, permit, _ = pick(harness.begin(), ())
    assert chosen.attempt is not None
    assert (chosen.breaker, permit) == (None, None)  # what the harness made of it


def test_no_permit_is_asked_of_a_node_that_the_call_has_tried():
    harness = Harness("ab", gates={"a": FREE, "b": FREE})
    pick(harness.begin(), ("a",))
    assert (harness.gates["a"].held, harness.gates["b"].held) == (0, 1)


@pytest.mark.parametrize(
    ("gate", "chosen"),
    [
        (None, ("a", False, False)),
        ({"a": FREE}, ("a", True, False)),
        ({"a": FULL}, (None, False, False)),
    ],
)
def test_same(gate, chosen):
    harness = Harness("ab", gates=gate)
    assert named(same(harness.begin(), harness.nodes.states["a"])) == chosen
    # The balancer has picked nothing here, so it is told nothing.
    assert (harness.balancer.picks, harness.balancer.settled) == (0, [])


def test_same_asks_no_node_that_has_left_the_list():
    harness = Harness("ab")
    before = harness.nodes.states["a"]
    harness.list_nodes("b")
    assert named(same(harness.begin(), before)) == (None, False, False)


def test_same_goes_to_the_state_that_the_newest_list_gave_the_node():
    harness = Harness("ab")
    before = harness.nodes.states["a"]
    harness.list_nodes([Node("a", "tcp://elsewhere:9000"), "b"])
    chosen, _, _ = same(harness.begin(), before)
    assert chosen is harness.nodes.states["a"]
    assert chosen.node.url == "tcp://elsewhere:9000"


@pytest.mark.parametrize(
    ("nodes", "gates", "chosen", "passed_over"),
    [
        # Another node, if there is one.
        ("ab", None, ("b", False, True), []),
        # The same node, if there is no other, or no other has a permit.
        ("a", None, ("a", False, False), []),
        ("a", {"a": FREE}, ("a", True, False), []),
        ("ab", {"a": FREE, "b": FULL}, ("a", True, False), ["b"]),
        # None at all, if it has no permit either.
        ("ab", {"a": FULL, "b": FULL}, (None, False, False), ["b"]),
    ],
)
def test_elsewhere_after_a_hung_up_connection(nodes, gates, chosen, passed_over):
    harness = Harness(nodes, gates=gates)
    state = harness.nodes.states["a"]
    assert named(elsewhere(harness.begin(), state, ("a",))) == chosen
    assert harness.balancer.settled == [(node_id, "no verdict") for node_id in passed_over]


def test_elsewhere_asks_no_node_that_has_left_the_list():
    harness = Harness("ab")
    state = harness.nodes.states["a"]
    relist(harness, "")
    assert named(elsewhere(harness.begin(), state, ("a",))) == (None, False, False)
    assert harness.balancer.settled == [("b", "no verdict")]
