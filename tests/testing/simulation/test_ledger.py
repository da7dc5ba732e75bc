"""Calls that must run once do so in every scenario; the nodes keep a ledger."""

from __future__ import annotations

import pytest

from bee_core.interfaces import Failure
from bee_core.testing.simulation import SCENARIOS, CallKind, Scenario, Trouble
from support.simulations import run, settings

WRITES = (CallKind(method="write"),)


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("fail", ["failover", "failtry"])
def test_no_write_runs_twice_and_what_is_said_of_it_is_true(name, fail):
    found = run(name, settings(fail=fail, retries=5), nodes=8, calls=WRITES)
    assert found["ran_twice"] == 0
    assert found["untrue"] == 0
    assert not found["kinds"][0]["idempotent"]


@pytest.mark.parametrize("failure", ["reset", "hang", "unavailable", "overloaded", "error"])
def test_no_write_runs_twice_whatever_calls_end_in(failure):
    scenario = Scenario(
        seconds=20,
        rate=200,
        calls=WRITES,
        troubles=(Trouble(kind="fail", at=2, failure=failure, rate=0.5),),
    )
    found = run(scenario, settings(retries=5, read_timeout=0.2))
    assert found["ran_twice"] == 0
    assert found["untrue"] == 0


def test_writes_that_a_handler_does_not_end_for_are_not_repeated_either():
    found = run("overload", settings(retries=5), nodes=8, calls=WRITES, cancels=False)
    assert found["ran_twice"] == 0
    assert found["untrue"] == 0


def test_a_broadcast_runs_once_on_each_node_and_that_is_not_twice():
    found = run("flapping", settings(fail="broadcast", retries=5), nodes=4, rate=50, calls=WRITES)
    assert found["attempts"] > 3 * found["calls"]
    assert found["ran_twice"] == 0
    assert found["untrue"] == 0


@pytest.mark.parametrize("fail", ["failover", "broadcast"])
def test_the_ledger_notices_a_write_that_runs_twice(monkeypatch, fail):
    # A node that says of a reset that nothing ran, although the handler ended.
    from bee_core.testing.simulation.exchange import FATES

    lie = Failure("unavailable", "a lie", "no", "same", "node")
    monkeypatch.setitem(FATES, "reset", lambda: lie)
    scenario = Scenario(
        seconds=5,
        nodes=5,
        rate=50,
        calls=WRITES,
        troubles=(Trouble(kind="fail", failure="reset", rate=0.5),),
    )
    found = run(scenario, settings(breaker="none", fail=fail))
    assert found["ran_twice"] > 0
    assert found["untrue"] > 0
