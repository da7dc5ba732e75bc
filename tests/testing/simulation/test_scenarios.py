"""What bee's own scenarios show with the plugins that have always been there."""

from __future__ import annotations

import pytest

from bee_core.testing.simulation import SCENARIOS, CallKind, Latency, Scenario, Trouble
from support.simulations import run, settings

READS = (CallKind(method="read", idempotent=True),)
BALANCERS = ["random", "round-robin"]


@pytest.mark.parametrize("balancer", BALANCERS)
def test_without_trouble_every_call_is_answered_at_the_first_attempt(balancer):
    found = run(Scenario(seconds=10, workers=4), settings(balancer=balancer))
    assert found["success"] == 1.0
    assert found["extra_attempts"] == 0.0
    assert found["bad_nodes"] is None
    # A lognormal of 20 ms and a sigma of 0.3 has its p99 at 40.2 ms; the network adds 0.5 ms.
    assert found["latency"]["p50"] == pytest.approx(0.0205, rel=0.03)
    assert found["latency"]["p99"] == pytest.approx(0.0407, rel=0.05)


@pytest.mark.parametrize("balancer", BALANCERS)
def test_slow_node_keeps_its_share_with_these_balancers_and_ruins_p99(balancer):
    # Without a bound on an attempt below the slow node's time it is never cut off.
    slow = settings(balancer=balancer, timeout=30, read_timeout=20)
    found = run("slow-node", slow, load=0.05, seconds=40, workers=8)
    assert found["bad_nodes"]["share"] == pytest.approx(0.05, rel=0.2)
    assert found["bad_nodes"]["detected_after"] is None
    before, during = (found["phases"][name]["latency"] for name in ("before", "during"))
    assert during["p99"] > 10 * before["p99"]
    assert during["p50"] < 1.1 * before["p50"]


def test_slow_node_is_cut_off_where_its_calls_time_out():
    found = run("slow-node", settings(read_timeout=0.3))
    bad = found["bad_nodes"]
    assert bad["cut_off_after"] < 3
    assert bad["detected_after"] < 3
    assert bad["share"] < 0.2 * bad["fair_share"]
    assert found["kinds"][0]["success"] > 0.999  # reads are idempotent, so they go elsewhere


def test_dead_nodes_are_cut_off_and_no_idempotent_call_is_lost():
    found = run("dead-nodes", calls=READS)
    assert found["success"] >= 0.9999
    assert found["bad_nodes"]["share_after_5_s"] < 0.01
    assert found["bad_nodes"]["cut_off_after"] < 1
    # Ten refused connections for each of the two nodes, and a few calls that were in flight.
    assert 20 <= found["attempts"] - found["calls"] < 40


def test_dead_nodes_without_a_breaker_are_asked_until_their_lease_ends():
    found = run("dead-nodes", settings(breaker="none"), calls=READS)
    assert found["success"] >= 0.9999
    # The heartbeat is 5 s, so they are listed for 15 of the 50 seconds.
    assert found["bad_nodes"]["detected_after"] == pytest.approx(15.25, abs=0.5)
    assert found["bad_nodes"]["cut_off_after"] is None
    assert found["bad_nodes"]["share"] > 0.02


def test_dead_nodes_cost_calls_where_nothing_is_retried():
    found = run("dead-nodes", settings(breaker="none", fail="failfast"), calls=READS)
    assert found["success"] < 0.98
    assert found["extra_attempts"] == 0.0
    assert set(found["failures"]) == {"unavailable"}


def test_rolling_deploy_loses_no_call_where_servers_drain():
    found = run("rolling-deploy", settings(read_timeout=2.9), calls=READS)
    assert found["success"] == 1.0
    # Lists are late by 0.2 s, so nobody meets a server that leaves: its notice is longer.
    assert found["attempts"] == found["calls"]


def test_rolling_deploy_with_a_list_that_never_changes_meets_servers_that_are_gone():
    fixed = settings(read_timeout=2.9)
    fixed["bee"]["rpc"]["registry"] = {"protocol": "direct"}
    found = run("rolling-deploy", fixed, calls=READS)
    assert found["success"] == 1.0
    assert found["attempts"] > found["calls"]


def test_flapping_nodes_come_back_after_each_turn():
    found = run("flapping", calls=READS)
    assert found["success"] >= 0.9999
    assert found["bad_nodes"]["share"] < 0.01
    assert found["phases"]["after"]["extra_attempts"] < 0.001


def test_zone_cut_is_noticed_by_timeouts_and_over_when_the_network_is_back():
    found = run("zone-cut", calls=READS)
    assert found["bad_nodes"]["fair_share"] == pytest.approx(1 / 3, abs=1e-5)
    assert 1 <= found["bad_nodes"]["cut_off_after"] <= 3  # a read_timeout is 1 s
    assert found["bad_nodes"]["share"] < 0.05
    assert found["success"] > 0.97
    assert found["phases"]["after"]["success"] == 1.0


def test_overload_costs_more_than_half_of_the_capacity_without_a_limiter():
    found = run("overload", nodes=8)
    capacity = 2 * found["rate"]
    assert found["phases"]["before"]["success"] == 1.0
    assert found["phases"]["during"]["goodput"] < 0.9 * capacity
    assert found["phases"]["during"]["latency"]["p50"] > 0.4
    assert found["phases"]["after"]["success"] > 0.9


def test_overload_with_a_fixed_limiter_at_the_servers_keeps_the_goodput():
    limited = settings(retries=0)
    limiter = {"name": "fixed", "options": {"max_in_flight": 1, "max_queue": 3}}
    limited["bee"]["rpc"]["server"] = {"name": "calc", "limiter": limiter}
    found = run("overload", limited, nodes=8)
    capacity = 2 * found["rate"]
    assert found["phases"]["during"]["goodput"] > 0.9 * capacity
    assert found["phases"]["during"]["latency"]["p99"] < 0.2
    assert set(found["failures"]) == {"overloaded"}


def test_cold_start_sends_fresh_nodes_a_full_share():
    found = run("cold-start", load=0.3)
    before, during = (found["phases"][name]["latency"] for name in ("before", "during"))
    assert during["p99"] > 2 * before["p99"]


def test_outlier_alone_sees_a_node_that_fails_more_than_the_others():
    shares = {}
    for breaker in ("consecutive", "success-rate", "outlier"):
        found = run("gray-node", settings(breaker=breaker), rate=500, seconds=60)
        shares[breaker] = found["bad_nodes"]["share_after_5_s"]
        assert found["fault"] == [10, 60], "that all nodes lose a few calls is no trouble"
    assert shares["consecutive"] > 0.04
    assert shares["success-rate"] > 0.04
    assert shares["outlier"] < 0.015


def lost_answers(server=None, nodes=20, **client):
    config = settings(**client)
    if server is not None:
        config["bee"]["rpc"]["server"] = {"name": "calc", **server}
    calls = (CallKind(method="write"),)
    return run("lost-answers", config, rate=200, seconds=30, calls=calls, nodes=nodes, workers=8)


def test_a_write_whose_answer_is_lost_is_repeated_only_where_the_server_remembers():
    for fail in ("failfast", "failtry"):
        found = lost_answers(fail=fail)
        assert found["phases"]["during"]["success"] == pytest.approx(0.95, abs=0.01)
        assert found["ran_again"] == 0
    found = lost_answers({"deduplicate": {}}, fail="failtry")
    assert found["phases"]["during"]["success"] > 0.99
    assert found["extra_attempts"] > 0.02
    assert (found["ran_again"], found["ran_twice"], found["untrue"]) == (0, 0, 0)
    # Who calls a write idempotent gets its second run.
    found = lost_answers(fail="failtry", idempotent=True)
    assert found["ran_again"] == found["attempts"] - found["calls"] > 100


def test_a_server_that_forgets_at_once_refuses_what_it_cannot_know():
    found = lost_answers({"deduplicate": {"count": 1}}, nodes=1, fail="failtry")
    assert found["ran_again"] == 0
    assert found["phases"]["during"]["success"] < 0.98


def test_no_write_runs_twice_where_processes_that_remember_end():
    config = settings(fail="failtry", read_timeout=0.05)
    config["bee"]["rpc"]["server"] = {"name": "calc", "deduplicate": {}}
    for name in ("rolling-deploy", "flapping", "dead-nodes"):
        found = run(name, config, rate=200, seconds=40, calls=(CallKind(method="write"),))
        assert found["extra_attempts"] > 0
        assert (found["ran_twice"], found["untrue"]) == (0, 0)


def test_every_node_hears_a_broadcast_and_one_hears_any_other_call():
    shares = {}
    for fail, retries in (("failover", 2), ("broadcast", 0), ("broadcast", 2)):
        config = settings(fail=fail, retries=retries)
        found = run("invalidate", config, workers=8, seconds=30)
        shares[fail, retries] = found["kinds"][0]["heard"]
    assert shares["failover", 2] == 0.05
    assert shares["broadcast", 0] == pytest.approx(1 - 0.2 * 0.3 * 2 / 3, abs=0.01)
    assert shares["broadcast", 2] > 0.99


def test_retry_storm_adds_no_more_than_the_budget():
    found = run("retry-storm", calls=READS, seconds=35)
    during = found["phases"]["during"]
    assert during["success"] < 0.5
    retries = found["attempts"] - found["calls"]
    # bee_core/calls/retry_budget.py: a fifth of the first attempts, and 10 a second.
    ratio, floor, window = 0.2, 10.0, 10.0
    first = during["calls"] + during["calls"] / during["seconds"] * window
    assert 0.15 * during["calls"] < retries <= ratio * first + floor * (10 + 1.1 * window)
    assert found["phases"]["after"]["success"] == 1.0


def test_every_scenario_lasts_as_long_as_it_says_and_names_what_it_shows():
    for name, scenario in SCENARIOS.items():
        assert scenario.name == name
        assert scenario.about
        fault = scenario.fault
        assert fault is not None
        assert 0 < fault[0] < fault[1] <= scenario.seconds


def test_a_client_limiter_bounds_what_is_in_flight_and_its_queue_waits_in_virtual_time():
    fixed = {"name": "fixed", "options": {"max_in_flight": 1, "max_queue": 1000}}
    scenario = Scenario(
        seconds=10,
        nodes=4,
        rate=45,
        network=0,
        latency=Latency(kind="fixed", median=0.02),
        calls=READS,
    )
    alone = run(scenario, settings(limiter=fixed))
    free = run(scenario)
    assert alone["success"] == free["success"] == 1.0
    assert free["latency"]["longest"] == pytest.approx(0.02)
    # One at a time at 90 % of what that can do: calls wait for each other.
    assert alone["latency"]["p50"] > 0.03


def test_calls_wait_no_longer_than_the_limiters_queue_timeout():
    options = {"max_in_flight": 1, "max_queue": 1000, "queue_timeout": 0.05}
    found = run(
        Scenario(seconds=10, nodes=4, rate=100, calls=READS, latency=Latency(kind="fixed")),
        settings(limiter={"name": "fixed", "options": options}),
    )
    assert found["failures"].keys() == {"overloaded"}
    assert found["latency"]["longest"] < 0.05 + 0.03
    assert found["attempts"] == found["answered"]  # what is turned away makes no attempt
    assert found["extra_attempts"] == 0.0


@pytest.mark.parametrize("failure", ["error", "reset", "unavailable", "overloaded", "hang"])
def test_each_failure_is_what_the_call_ends_in(failure):
    scenario = Scenario(
        seconds=5,
        rate=100,
        calls=READS,
        troubles=(Trouble(kind="fail", failure=failure, rate=1.0),),
    )
    found = run(scenario, settings(fail="failfast", breaker="none"))
    kinds = {
        "error": "remote_error",
        "reset": "unavailable",
        "hang": "deadline_exceeded",
    }
    assert found["failures"] == {kinds.get(failure, failure): found["calls"]}


def test_several_clients_share_the_calls_and_each_has_a_breaker_of_its_own():
    one = run("dead-nodes", calls=READS, seconds=30)
    four = run("dead-nodes", calls=READS, seconds=30, clients=4)
    assert four["calls"] == pytest.approx(one["calls"], rel=0.1)
    spent = one["attempts"] - one["calls"]
    assert 2.5 * spent < four["attempts"] - four["calls"] < 6 * spent
