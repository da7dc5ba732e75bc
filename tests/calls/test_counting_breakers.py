"""Breakers in the call flow: what a success costs, and when a bad node is cut off.

Time is virtual, and so are the nodes. Everything else is real: flow, balancer, node set, breakers.
"""

from __future__ import annotations

import itertools
import random

import pytest

from bee_core.calls.flow import flow
from bee_core.contracts.effects import Attempt
from bee_core.interfaces import Success
from bee_core.terms.causes import cancelled, lost, read_timed_out, reported
from bee_core.terms.node import Node
from bee_plugins.balancers.weighted_random import WeightedRandom
from bee_plugins.breakers.consecutive import Consecutive, ConsecutiveOptions
from bee_plugins.breakers.outlier import Outlier, OutlierOptions
from bee_plugins.breakers.success_rate import SuccessRate, SuccessRateOptions
from support.call_harness import SUCCESS, Harness

LOST = lost("end of file")
RAISED = reported("remote_error", "division by zero", error_type="ValueError")


class Counting:
    """Breakers that count what the core tells them."""

    counting = True

    def __init__(self):
        self.made = {}

    def node(self, node):
        self.made[node.id] = Counter()
        return self.made[node.id]

    def sweep(self, now):
        return (), None


class Counter:
    state = "closed"

    def __init__(self):
        self.standing = object()
        self.told = []

    def succeeded(self):
        self.told.append("succeeded")

    def admit(self, now):
        self.told.append("admit")
        return object()

    def settle(self, permit, outcome, seconds, now):
        self.told.append("settle" if outcome is None else f"settle {outcome.ok}")

    def probed(self, ok, now):
        return None


def counting(**options):
    breakers = Counting()
    harness = Harness("a", breakers=breakers, **options)
    harness.run(SUCCESS)  # the first call makes the breaker, so it asks for a permit
    breakers.made["a"].told.clear()
    return harness, breakers.made["a"]


def test_a_success_under_the_permit_that_stands_is_one_call_of_the_counter():
    harness, told = counting()
    assert harness.run(SUCCESS).value == 3
    assert told.told == ["succeeded"]


def test_a_failure_is_settled_and_not_counted():
    harness, told = counting()
    harness.run(LOST)
    assert told.told == ["settle False"]


def test_a_success_that_the_permit_does_not_cover_any_more_is_settled():
    harness, told = counting()

    def falls(_):
        told.standing = None
        return SUCCESS

    harness.run(falls)
    assert told.told == ["settle True"]


def test_a_oneway_call_that_was_sent_is_no_success():
    harness, told = counting()
    harness.run(SUCCESS, oneway=True)
    assert told.told == []


def test_a_counter_that_raises_costs_the_call_nothing():
    harness, told = counting()
    told.succeeded = lambda: 1 / 0
    assert harness.run(SUCCESS).value == 3
    assert "succeeded" in harness.complaints[0]


def test_a_success_is_counted_once_also_where_others_hear_of_it():
    harness, told = counting()
    assert harness.service.told, "the harness has a balancer that wants to hear of each attempt"
    harness.run(SUCCESS)
    harness.service.told = False
    harness.run(SUCCESS)
    assert told.told == ["succeeded", "succeeded"]


# ── in virtual time ──


class World:
    """Nodes that answer at once, ``rate`` calls a second, sweeps and pings when they are due."""

    def __init__(self, breakers, nodes=10, rate=200, seed=5):
        self.rng = random.Random(f"nodes {seed}")
        self.harness = Harness(
            [Node(f"n{index}", f"tcp://n{index}:9000") for index in range(nodes)],
            breakers=breakers,
            balancer=WeightedRandom(),
            retries=0,
        )
        self.clock, self.nodes = self.harness.clock, self.harness.nodes
        self.began = self.clock()
        self.step = 1 / rate
        self.failing = {}
        self.changes, self.to, self.failed, self.most_cut_off = [], {}, 0, 0
        self.nodes.on_breaker_change = self.changed
        self.due = self.nodes.sweep(self.clock())
        self.ping_at = self.clock() + 1.0

    @property
    def now(self):
        return self.clock() - self.began

    def changed(self, node, before, after):
        self.changes.append((round(self.now, 3), node.id, after))
        states = self.nodes.states.values()
        cut_off = sum(self.nodes.state_of(one.breaker) != "closed" for one in states)
        self.most_cut_off = max(self.most_cut_off, cut_off)

    def call(self):
        call = self.harness.begin()
        steps, answer = flow(call), None
        try:
            while True:
                effect = steps.send(answer)
                assert isinstance(effect, Attempt)
                self.to[effect.channel] = self.to.get(effect.channel, 0) + 1
                ill = self.rng.random() < self.failing.get(effect.channel, 0.0)
                answer = LOST if ill else Success(b"3")
        except StopIteration as stop:
            self.failed += stop.value is not None

    def run(self, seconds, until=lambda world: False):
        end = self.now + seconds
        while self.now < end and not until(self):
            self.call()
            self.clock.advance(self.step)
            if self.due is not None and self.due <= self.clock():
                self.due = self.nodes.sweep(self.clock())
            if self.ping_at <= self.clock():
                self.ping_at += 1.0
                for state in self.nodes.cut_off():
                    self.nodes.probed(state.node.id, state.breaker, True, self.clock())

    def first(self, node_id, after="open"):
        """When a node's breaker first went to a state."""
        return next(at for at, one, state in self.changes if (one, state) == (node_id, after))


def is_cut_off(world):
    return any(after == "open" for _, _, after in world.changes)


def test_a_node_that_fails_half_of_its_calls_is_cut_off_by_outlier_within_ten_seconds():
    world = World(Outlier(OutlierOptions()))
    world.run(25)
    assert world.changes == []
    world.failing["n7"] = 0.5
    world.run(60)
    assert world.first("n7") - 25 <= 10.0
    assert {node for _, node, _ in world.changes} == {"n7"}
    assert world.most_cut_off == 1


def test_consecutive_takes_far_longer_for_the_same_node():
    """Ten failures in a row need 2^11 - 2 calls on average, at 20 calls a second 102 seconds."""

    def seconds(breakers, seed):
        world = World(breakers, seed=seed)
        world.failing["n7"] = 0.5
        world.run(600, until=is_cut_off)
        return world.now

    row = [seconds(Consecutive(ConsecutiveOptions()), seed) for seed in range(3)]
    statistical = [seconds(Outlier(OutlierOptions()), seed) for seed in range(3)]
    quick = [seconds(SuccessRate(SuccessRateOptions()), seed) for seed in range(3)]
    figures = {"consecutive": row, "outlier": statistical, "success-rate": quick}
    print("seconds until the node is cut off:", figures)  # noqa: T201  # pytest -s shows it
    assert max(statistical) <= 10.01
    assert max(quick) <= 3.0
    assert sum(row) > 2 * sum(statistical)


def test_while_half_of_the_nodes_fail_no_more_than_the_share_is_cut_off():
    for breakers in (
        SuccessRate(SuccessRateOptions(max_ejected=0.2)),
        Outlier(OutlierOptions(max_ejected=0.2)),
    ):
        world = World(breakers)
        world.failing = {f"n{index}": 0.9 for index in range(5)}
        world.run(40)
        assert world.most_cut_off <= 2
        assert world.harness.complaints == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: SuccessRate(SuccessRateOptions(max_ejected=1.0)),
        lambda: Outlier(OutlierOptions(max_ejected=1.0)),
    ],
)
def test_a_single_node_is_never_cut_off_by_statistics(make):
    world = World(make(), nodes=1, rate=100)
    world.failing["n0"] = 1.0
    world.run(60)
    assert world.changes == []


def test_a_node_that_is_well_again_comes_back_after_its_ejection_time():
    world = World(Outlier(OutlierOptions()))
    world.failing["n7"] = 0.5
    world.run(12)
    world.failing.clear()
    world.run(40)
    assert [after for _, _, after in world.changes] == ["open", "half-open", "closed"]
    assert 30.0 <= world.first("n7", "half-open") - world.first("n7") <= 31.0
    assert len(world.nodes.cut_off()) == 0


def test_a_node_that_stays_bad_gets_ever_fewer_calls():
    world = World(Outlier(OutlierOptions()), nodes=5)
    world.failing["n2"] = 1.0
    world.run(300)
    opened = [at for at, _, after in world.changes if after == "open"]
    pauses = [round(later - at) for at, later in itertools.pairwise(opened)]
    assert pauses == sorted(pauses)
    assert pauses[0] >= 30
    assert pauses[-1] >= 90


@pytest.mark.parametrize(
    "outcome",
    [
        read_timed_out(0.1, full=False),
        cancelled("the caller gave up", sent=True),
        reported("overloaded", "too many requests"),
        RAISED,
    ],
    ids=["impatient", "given up", "overload", "the handler's own"],
)
def test_what_is_not_the_nodes_fault_cuts_no_node_off(outcome):
    for breakers in (SuccessRate(SuccessRateOptions()), Outlier(OutlierOptions())):
        harness = Harness("abcdef", breakers=breakers)
        for _ in range(300):
            harness.run(outcome)
            harness.run(SUCCESS)
        harness.clock.advance(11.0)
        harness.nodes.sweep(harness.clock())
        assert harness.nodes.cut_off() == []


def test_the_last_node_of_a_list_that_shrinks_is_ready_at_once():
    world = World(Outlier(OutlierOptions()), nodes=6)
    world.failing["n0"] = 1.0
    world.run(12)
    assert [state.node.id for state in world.nodes.cut_off()] == ["n0"]
    world.harness.list_nodes(["n0"])
    assert world.harness.balancer.pick(None, (), world.clock(), world.rng).id == "n0"
    assert world.changes[-1][1:] == ("n0", "closed")
