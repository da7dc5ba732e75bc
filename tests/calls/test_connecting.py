"""How long an attempt may take to connect while another node could still be asked."""

from __future__ import annotations

import pytest

from bee_core.calls.connecting import bounded
from bee_core.calls.options import CallOptions
from bee_core.calls.plan import make_plan
from bee_core.interfaces import Node
from bee_plugins.fault_tolerance.failfast import FailFast
from bee_plugins.fault_tolerance.failover import FailOver
from bee_plugins.fault_tolerance.failtry import BackoffOptions, FailTry
from support.call_harness import Harness

FAILOVER = FailOver(BackoffOptions())
FAILTRY = FailTry(BackoffOptions())
A = Node("a", "tcp://a:1")


class Broken:
    """A fault tolerance with a bug."""

    def next(self, history, rng):
        raise RuntimeError("a bug")


def seconds(
    left=2.0, *, attempts=1, nodes="abc", fail=FAILOVER, connect_timeout=5.0, retries=2, cut_off=""
):
    gates = {name: {} for name in nodes}
    harness = Harness(nodes, fail=fail, retries=retries, gates=gates)
    for name in cut_off:
        harness.gates[name].state = "open"
    options = CallOptions(connect_timeout=connect_timeout)
    plan = make_plan(harness.service, "add", options=options)
    return bounded(plan, A, attempts, left)


def test_half_of_what_is_left_bounds_it_where_another_node_can_be_tried():
    assert seconds(2.0) == 1.0
    assert seconds(1.0, attempts=2) == 0.5


def test_a_connect_timeout_that_leaves_time_stands():
    assert seconds(2.0, connect_timeout=0.2) == 0.2
    assert seconds(30.0) == 5.0


def test_it_is_never_so_short_that_nothing_can_be_said_of_the_node():
    assert seconds(0.15) == 0.1


@pytest.mark.parametrize(
    "last",
    [
        {"attempts": 3},
        {"retries": 0},
        {"nodes": "a"},
        {"nodes": "ab", "attempts": 2},
        {"nodes": "ab", "cut_off": "b"},
        {"fail": FailFast()},
        {"fail": FAILTRY},
        {"fail": Broken()},
    ],
    ids=[
        "attempts",
        "retries",
        "one node",
        "both tried",
        "cut off",
        "failfast",
        "failtry",
        "broken",
    ],
)
def test_where_no_other_node_would_follow_all_of_the_time_is_there(last):
    assert seconds(2.0, **last) == 5.0


def test_a_call_knows_its_node_and_its_attempts():
    harness = Harness("ab", fail=FAILOVER, timeout=2.0, connect_timeout=5.0)
    call = harness.begin()
    assert call.may_connect(harness.clock()) == 5.0, "it has no node yet"
    call.node, call.attempts = A, 1
    assert call.may_connect(harness.clock()) == 1.0
    harness.clock.advance(1.0)
    assert call.may_connect(harness.clock()) == 0.5
