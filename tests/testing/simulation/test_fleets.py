"""Caches, zones, connections, neighbours and methods: where each balancer wins, in small runs."""

from __future__ import annotations

import json

import attrs
import pytest

from bee_core.testing.simulation import Cache, CallKind, Latency, Scenario, Trouble, simulate
from bee_core.testing.simulation.arrivals import popularity
from bee_core.testing.simulation.caches import CacheCounts, NodeCache
from bee_core.testing.simulation.connections import Connections
from support.simulations import run, settings

READS = (CallKind(method="read", idempotent=True),)


# ── caches ──


def test_a_cache_keeps_the_keys_that_were_asked_for_last():
    counts = CacheCounts()
    cache = NodeCache(Cache(size=2, hit=0.1), counts)
    parts = [cache.part(key) for key in ("a", "b", "a", "c", "b", "a", None)]
    assert parts == [1.0, 1.0, 0.1, 1.0, 1.0, 1.0, 1.0]
    assert (counts.asked, counts.hits) == (6, 1)


def test_a_new_process_remembers_nothing():
    kinds = (CallKind(method="read", idempotent=True, keys=5),)
    scenario = Scenario(nodes=1, rate=50, seconds=10, cache=Cache(), calls=kinds)
    whole = run(scenario)
    restart = Trouble(kind="dead", at=5, until=5.001)
    restarted = run(scenario, troubles=(restart,))
    missed = [round((1 - one["hit_rate"]) * one["attempts"]) for one in (whole, restarted)]
    assert missed[0] == 5
    assert 9 <= missed[1] <= 10 + restarted["failed"]


def test_keys_are_asked_for_by_zipfs_law():
    totals = popularity(CallKind(keys=3, skew=1.0))
    assert totals == pytest.approx([6 / 11, 9 / 11])
    assert popularity(CallKind(keys=3)) is None


def test_affinity_wins_where_nodes_have_caches():
    size = {"workers": 2, "nodes": 10, "seconds": 25}
    found = {
        name: run("caches", settings(balancer=name), **size)
        for name in ("random", "p2c", "consistent-hash")
    }
    hashed, chance, better = (found[name] for name in ("consistent-hash", "random", "p2c"))
    assert hashed["hit_rate"] > 1.5 * max(chance["hit_rate"], better["hit_rate"])
    p50s = [one["phases"]["during"]["latency"]["p50"] for one in (hashed, chance, better)]
    assert p50s[0] < 0.3 * min(p50s[1:])
    assert hashed["phases"]["during"]["success"] > 0.9999


# ── zones ──


def of_zone(within: str = "random") -> dict[str, object]:
    return {"name": "zone", "options": {"zone": "${ZONE}", "within": within}}


ZONES = Scenario(
    nodes=6, zones=("a", "b"), clients=6, workers=2, load=0.3, seconds=10, calls=READS,
    between_zones=0.01, latency=Latency(kind="fixed", median=0.02),
)  # fmt: skip


def test_a_call_to_another_zone_takes_longer_by_the_distance():
    found = run(attrs.evolve(ZONES, load=0.01, network=0.0))
    assert found["latency"]["p50"] in (pytest.approx(0.02), pytest.approx(0.03))
    assert found["latency"]["longest"] >= 0.03
    near = run(attrs.evolve(ZONES, load=0.01, network=0.0), settings(balancer=of_zone()))
    assert near["latency"]["p99"] == pytest.approx(0.02)


def test_the_file_is_read_in_the_zone_of_each_client(tmp_path):
    path = tmp_path / "bee.yml"
    path.write_text(json.dumps(settings(balancer=of_zone())), encoding="utf-8")
    found = simulate(path, ZONES)
    assert found["connections"]["most_of_a_client"] == 3
    assert found["connections"]["most"] == 18
    crowded = simulate(path, attrs.evolve(ZONES, client_zones=("a",)))
    assert crowded["balance"]["idlest"] == 0.0
    assert crowded["latency"]["p99"] > found["latency"]["p99"]


def test_the_variable_of_the_zone_may_have_another_name(tmp_path):
    named = {"name": "zone", "options": {"zone": "${REGION}"}}
    scenario = attrs.evolve(ZONES, zone_variable="REGION", seconds=5)
    assert run(scenario, settings(balancer=named))["connections"]["most_of_a_client"] == 3


# ── connections ──


def test_connections_end_with_their_process_and_are_counted_once():
    found = Connections()
    for client, node in ((0, 0), (0, 1), (1, 0), (1, 0)):
        found.opened(client, node)
    assert (found.most, found.most_of_a_client, found.most_of_a_node) == (3, 2, 2)
    found.died(0)
    found.closed(0, 0)
    found.opened(1, 0)
    found.opened(1, 1)
    assert (found.most, found.most_of_a_client, found.most_of_a_node) == (3, 2, 2)
    found.opened(0, 0)
    assert found.most == 4


def test_a_subset_bounds_the_connections_of_a_client():
    scenario = Scenario(nodes=20, clients=20, workers=2, load=0.4, seconds=10, calls=READS)
    whole = run(scenario, settings(balancer="p2c"))
    part = {"name": "subset", "options": {"size": 5, "within": "p2c"}}
    some = run(scenario, settings(balancer=part))
    assert whole["connections"]["most"] > 380
    assert some["connections"]["most"] == 100
    assert some["connections"]["most_of_a_client"] == 5
    assert some["balance"]["busiest"] > whole["balance"]["busiest"]


# ── neighbours ──


def test_requests_of_neighbours_use_workers_and_are_none_of_the_calls():
    scenario = Scenario(
        nodes=1, workers=1, rate=5, seconds=20, calls=READS, latency=Latency(kind="fixed")
    )
    alone = run(scenario)
    busy = run(scenario, troubles=(Trouble(kind="busy", at=5, until=15, times=0.8),))
    assert busy["calls"] == alone["calls"] == busy["attempts"]
    during = busy["phases"]["during"]["latency"]
    assert during["p50"] > 1.2 * busy["phases"]["before"]["latency"]["p50"]
    assert busy["phases"]["after"]["latency"]["p50"] == pytest.approx(alone["latency"]["p50"])


def test_neighbours_survive_a_node_that_dies():
    troubles = (
        Trouble(kind="busy", at=1, until=9, count=1, times=2),
        Trouble(kind="dead", at=3, until=6, count=1),
    )
    found = run(Scenario(nodes=3, workers=1, load=0.2, seconds=10, calls=READS, troubles=troubles))
    assert found["success"] == 1.0


# ── methods ──


def test_a_method_may_have_a_latency_of_its_own():
    kinds = (
        CallKind(method="quick", latency=Latency(kind="fixed", median=0.001)),
        CallKind(method="slow", latency=Latency(kind="fixed", median=0.5)),
        CallKind(method="usual"),
    )
    found = run(Scenario(nodes=4, load=0.05, seconds=10, network=0.0, calls=kinds))
    quick, slow, usual = (one["latency"] for one in found["kinds"])
    assert (quick["p50"], slow["p50"]) == (pytest.approx(0.001), pytest.approx(0.5))
    assert usual is None
    # The load is one of the mean of all kinds.
    mean = (0.001 + 0.5 + 0.0209) / 3
    assert found["rate"] == pytest.approx(0.05 * 4 * 8 / mean, rel=0.01)


def test_one_method_has_one_latency():
    kinds = (CallKind(method="a", latency=Latency(median=0.1)), CallKind(method="a"))
    with pytest.raises(ValueError, match="'a' have two different latencies"):
        Scenario(calls=kinds)


def test_p2c_finds_the_slow_node_of_a_service_with_methods_of_very_different_times():
    size = {"workers": 4, "nodes": 10, "seconds": 25}
    patient = {"timeout": 60, "read_timeout": 50}
    better, chance = (
        run("methods", settings(balancer=name, **patient), **size) for name in ("p2c", "random")
    )
    assert better["bad_nodes"]["share"] < 0.4 * chance["bad_nodes"]["share"]
    assert better["kinds"][0]["latency"]["p99"] < 0.1 * chance["kinds"][0]["latency"]["p99"]
