"""Where each balancer wins: rows of ``python -m benchmarks.governance``."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from bee_core.interfaces import Node
from bee_core.testing.simulation import Scenario, Trouble
from bee_plugins.balancers.consistent_hash import ConsistentHash, ConsistentHashOptions
from bee_plugins.balancers.p2c import PowerOfTwoChoices

from .governed_runs import PATIENT, point, points, run, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .governed_runs import Row

SEEDS = (1, 2, 3)


def caches() -> Iterator[Row]:
    """Nodes with caches; one of 20 is killed."""
    rest = 0.0
    for name, balancer in {
        "random": "random",
        "p2c": "p2c",
        "consistent-hash": "consistent-hash",
        "consistent-hash, bound 1.25": {"name": "consistent-hash", "options": {"bound": 1.25}},
    }.items():
        found, during = run("caches", settings(balancer=balancer), clients=5, seconds=40)
        said = f"hits {found['hit_rate']:.1%}, {points(during)}"
        said += f", busiest node {found['balance']['busiest']:.2f} x the mean"
        met = name in {"random", "p2c"} or point(during, "p99") < rest
        if name in {"random", "p2c"}:
            rest = min(rest or 1e9, point(during, "p99"))
        yield (f"caches, {name}", said, met)


def zones() -> Iterator[Row]:
    """Three zones, 10 ms apart, without trouble; clients evenly, and most of them in one zone."""
    for crowd, where in {"": (), ", 3 of 5 clients in a": ("a", "a", "a", "b", "c")}.items():
        rest = 0.0
        for name in ("random", "p2c", "zone within p2c"):
            balancer: Any = name
            if name.startswith("zone"):
                balancer = {"name": "zone", "options": {"zone": "${ZONE}", "within": "p2c"}}
            config = settings(balancer=balancer, breaker="consecutive")
            found, _ = run("zones", config, troubles=(), seconds=20, client_zones=where)
            said = f"{points(found)}, busiest node {found['balance']['busiest']:.2f} x the mean"
            met = bool(crowd) or balancer == name or point(found, "p99") < rest
            rest = min(rest or 1e9, point(found, "p99"))
            yield (f"zones{crowd}, {name}", said, met)


def subsets() -> Iterator[Row]:
    """200 clients and 100 nodes."""
    scenario = Scenario(name="many", nodes=100, workers=2, clients=200, load=0.6, seconds=10)
    for within in ("random", "p2c"):
        for size in (0, 10, 20, 40):
            part = {"name": "subset", "options": {"size": size, "within": within}}
            found, _ = run(scenario, settings(balancer=part if size else within))
            open_, busiest = found["connections"], found["balance"]["busiest"]
            said = f"{open_['most']:,} connections, {open_['most_of_a_node']} of a node"
            said += f", {points(found)}, busiest node {busiest:.2f} x the mean"
            yield (f"200 x 100, {within}, {f'subset {size}' if size else 'all'}", said, True)


def many_clients() -> Iterator[Row]:
    """Many clients with few calls each, near the capacity: with and without load in replies."""
    for load in (0.6, 0.85):
        scenario = Scenario(name="many", clients=100, workers=4, load=load, seconds=12)
        for name in ("random", "round-robin", "p2c"):
            found, _ = run(scenario, settings(balancer=name))
            yield (f"100 clients, {load:.0%} of capacity, {name}", points(found), True)
        yield from _with_and_without(f"100 clients, {load:.0%} of capacity", scenario)


def noisy_node() -> Iterator[Row]:
    """Twenty clients; one node is bad for half a second, every two seconds."""
    scenario = Scenario(name="noisy", clients=20, workers=4, load=0.4, seconds=25)
    _, quiet = run(scenario, settings(balancer="p2c", **PATIENT))
    yield ("20 clients, p2c, quiet", points(quiet), True)
    for how, trouble in (
        ("20 times as slow", {"kind": "slow", "times": 20}),
        ("busy with others", {"kind": "busy", "times": 3}),
    ):
        bursts = tuple(
            Trouble(at=5 + 2 * turn, until=5.5 + 2 * turn, count=1, **trouble)  # type: ignore[arg-type]
            for turn in range(10)
        )
        for balancer in ("random", "p2c"):
            found, _ = run(scenario, settings(balancer=balancer, **PATIENT), troubles=bursts)
            met = balancer == "random" or point(found, "p99") <= 1.3 * point(quiet, "p99")
            yield (f"20 clients, {balancer}, a node {how}", points(found), met)
        yield from _with_and_without(f"20 clients, a node {how}", scenario, troubles=bursts)


def _with_and_without(what: str, scenario: Scenario, **changes: Any) -> Iterator[Row]:
    """``p2c`` with and without the load in replies, with several seeds."""
    for wants in (True, False):
        shown: dict[str, list[str]] = {"p99": [], "p99.9": []}
        for seed in SEEDS:
            with patch.object(PowerOfTwoChoices, "wants_load", new=wants):  # it has no option
                config = settings(balancer="p2c", **PATIENT)
                found, _ = run(scenario, config, seed=seed, **changes)
            for name, of_seeds in shown.items():
                of_seeds.append(f"{point(found, name):.1f}")
        said = ", ".join(f"{name} {' / '.join(of_seeds)} ms" for name, of_seeds in shown.items())
        yield (f"{what}, p2c {'with' if wants else 'without'} reports", said, True)


def methods() -> Iterator[Row]:
    """A method of 1 ms, one of 1 s, and a node that is 10 times as slow."""
    patient = {"timeout": 60, "read_timeout": 50}
    for name in ("random", "round-robin", "p2c, one estimate", "p2c"):
        one = name.endswith("estimate")
        with patch.object(PowerOfTwoChoices, "wants_method", new=not one):  # it has no option
            config = settings(balancer=name.partition(",")[0], **patient)
            found, _ = run("methods", config, clients=4, seconds=40)
        said = f"{found['bad_nodes']['share']:.2%} of attempts to the slow node"
        for kind in found["kinds"]:
            p50, p99 = (kind["latency"][at] * 1e3 for at in ("p50", "p99"))
            said += f", {kind['method']} p50 {p50:.1f} ms p99 {p99:,.1f} ms"
        yield (f"methods, {name}", said, True)


def hash_movement() -> Iterator[Row]:
    """One of 100 nodes leaves."""
    nodes = [Node(f"n{number}", f"tcp://10.0.0.{number}:9000") for number in range(100)]
    keys = [f"key-{number}" for number in range(20_000)]
    rng = Random(1)  # noqa: S311
    balancer = ConsistentHash(ConsistentHashOptions())

    def owners(ready: list[Node]) -> list[str]:
        balancer.update(ready)
        return [balancer.pick(key, frozenset(), 0.0, rng).id for key in keys]

    before = owners(nodes)
    shares = []
    for gone in range(100):
        after = owners([node for node in nodes if node.id != f"n{gone}"])
        shares.append(sum(a != b for a, b in zip(before, after, strict=True)) / len(keys))
    said = f"mean {sum(shares) / 100:.2%}, worst of 100 {max(shares):.2%} of the keys move"
    yield ("consistent-hash, one of 100 nodes gone", said, max(shares) <= 0.015)
