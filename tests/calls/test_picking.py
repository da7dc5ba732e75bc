"""Which node an attempt goes to, case by case."""

from __future__ import annotations

import pytest

from bee_core.calls.picking import elsewhere, pick, same
from bee_core.errors import PluginFault
from bee_core.interfaces import Node, Success
from bee_core.nodes.contained_breakers import is_plain
from support.call_harness import Harness, failure

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
    assert named(pick(harness.begin(), tried, 0.0)) == chosen
    # What was picked and not used is settled at once, and says nothing of the node.
    assert harness.balancer.settled == [(node_id, "no verdict") for node_id in passed_over]


def test_pick_passes_over_a_node_that_has_left_the_list():
    harness = Harness("ab")
    relist(harness, "b")
    assert named(pick(harness.begin(), (), 0.0)) == ("b", False, True)
    assert harness.balancer.settled == [("a", "no verdict")]


def test_pick_asks_a_balancer_without_settle_for_nothing_more():
    harness = Harness("ab", gates={"a": FULL, "b": FREE})
    harness.balancer.settle = None
    assert named(pick(harness.begin(), (), 0.0)) == ("b", True, True)
    assert harness.balancer.settled == []


def test_pick_makes_the_breaker_of_a_node_at_its_first_call():
    harness = Harness("a", gates={})
    chosen, permit, _ = pick(harness.begin(), (), 0.0)
    assert chosen.attempt is not None
    assert permit is not None
    assert chosen.breaker is harness.nodes.breakers.plugin.made["a"]


def test_no_permit_is_asked_of_a_node_that_the_call_has_tried():
    harness = Harness("ab", gates={"a": FREE, "b": FREE})
    pick(harness.begin(), ("a",), 0.0)
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
    assert named(elsewhere(harness.begin(), state, ("a",), 0.0)) == chosen
    assert harness.balancer.settled == [(node_id, "no verdict") for node_id in passed_over]


def test_elsewhere_asks_no_node_that_has_left_the_list():
    harness = Harness("ab")
    state = harness.nodes.states["a"]
    relist(harness, "")
    assert named(elsewhere(harness.begin(), state, ("a",), 0.0)) == (None, False, False)
    assert harness.balancer.settled == [("b", "no verdict")]


# ── a balancer that breaks its contract ──


class Stuck:
    """A balancer that always picks the same thing, whatever it is told."""

    settle = None

    def __init__(self, answer):
        self.answer = answer
        self.picks = 0

    def pick(self, key, tried, now, rng):
        self.picks += 1
        assert self.picks < 100, "it spins"
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer() if callable(self.answer) else self.answer


def pick_by(balancer, harness, tried=()):
    harness.service.balancer = balancer
    with pytest.raises(PluginFault, match="Stuck") as caught:
        pick(harness.begin(), tried, 0.0)
    return caught.value


@pytest.mark.parametrize("gates", [None, {"a": FULL, "b": FULL}], ids=["plain", "no permits"])
def test_a_balancer_that_picks_what_it_must_leave_out_ends_the_call(gates):
    harness = Harness("ab", gates=gates)
    node = harness.nodes.states["a"].node
    fault = pick_by(Stuck(node), harness, () if gates else ("a",))
    assert "returned the node a, which it was told to leave out" in str(fault)
    assert fault.executed == "no"


def test_a_balancer_that_picks_a_node_that_is_not_in_the_list_again_ends_the_call():
    fault = pick_by(Stuck(Node("gone", "tcp://gone:1")), Harness("ab"))
    assert "returned the node gone, which is not in the list" in str(fault)


def test_a_balancer_that_makes_up_ever_new_nodes_ends_the_call():
    made_up = (Node(str(number), "tcp://gone:1") for number in range(100))
    fault = pick_by(Stuck(lambda: next(made_up)), Harness("ab"))
    assert "which is not in the list" in str(fault)


@pytest.mark.parametrize("answer", ["a", 3, [], Node([], "tcp://a:1")], ids=repr)
def test_what_is_no_node_ends_the_call(answer):
    fault = pick_by(Stuck(answer), Harness("ab"))
    assert "pick returned a" in str(fault)


def test_a_balancer_that_raises_ends_the_call_and_is_said_once():
    harness = Harness("ab")
    bug = KeyError("a bug")
    assert pick_by(Stuck(bug), harness).__cause__ is bug
    pick_by(Stuck(bug), harness)
    (line, _) = harness.complaints
    assert "pick raised KeyError" in line
    assert "test_picking.py:" in line


def test_a_breaker_that_raises_ends_the_call_and_the_pick_is_given_back():
    harness = Harness("a", gates={"a": FREE})
    harness.gates["a"].admit = lambda now: 1 / 0
    with pytest.raises(PluginFault) as caught:
        pick(harness.begin(), (), 0.0)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert harness.balancer.settled == [("a", "no verdict")]


class Standing:
    """A breaker whose permit stands; what it is told and asked is kept."""

    state = "closed"

    def __init__(self, standing):
        self._standing = standing
        self.asked = 0
        self.told = []

    @property
    def standing(self):
        if isinstance(self._standing, Exception):
            raise self._standing
        return self._standing

    def admit(self, now):
        self.asked += 1
        return "a permit"

    def settle(self, permit, outcome, seconds, now):
        self.told.append((permit, outcome.ok))


def under(standing):
    """A breaker, and its harness after a call that was a success."""
    harness = Harness("a", gates={"a": FREE})
    state = harness.service.nodes.states["a"]
    harness.service.connect(state)
    state.breaker = breaker = Standing(standing)
    nodes = harness.service.nodes
    nodes.plain = nodes.shows_news = is_plain(breaker)  # as it is when a node set makes one
    assert harness.drive(harness.begin(), Success(b"3")).value == 3
    return breaker, harness


def test_a_success_under_a_standing_permit_asks_and_tells_nothing():
    breaker, _ = under("it stands")
    assert (breaker.asked, breaker.told) == (0, [])


def test_a_failure_under_a_standing_permit_is_told():
    breaker, harness = under("it stands")
    harness.drive(harness.begin(retries=0), failure())
    assert (breaker.asked, breaker.told) == (0, [("it stands", False)])


def test_a_permit_that_does_not_stand_is_asked_for_and_settled():
    breaker, _ = under(None)
    assert (breaker.asked, breaker.told) == (1, [("a permit", True)])


def test_a_breaker_whose_standing_permit_is_broken_is_asked_and_told():
    breaker, harness = under(KeyError("a bug"))
    assert (breaker.asked, breaker.told) == (1, [("a permit", True)])
    assert any("standing raised KeyError" in line for line in harness.complaints)


def test_the_search_for_a_permit_ends_with_the_deadline():
    harness = Harness("abc", gates={name: {"permits": 0} for name in "abc"})
    call = harness.begin()
    picks = harness.balancer.pick

    def slow(*given):
        harness.clock.advance(6.0)
        return picks(*given)

    harness.balancer.pick = slow
    error = harness.drive(call).error
    assert error.kind == "deadline_exceeded"
    assert harness.balancer.picks == 2
