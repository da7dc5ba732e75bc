"""What the policies do in trouble, by the simulator: ``python -m benchmarks.governance [NAME…]``.

It prints the rows of docs/governance.md: a goal, the figures, and whether they meet it. All times
are virtual, so the machine's speed does not matter, and a run repeats to its last event. It exits
with 1 where a goal is missed. Without a NAME it runs all rows; that takes some minutes.

A hanging service beside another one needs real threads: ``python -m benchmarks.isolation``.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from bee_core.testing.simulation import SCENARIOS, CallKind, Scenario, Trouble

from . import governed_balancers as balancers
from .governed_runs import CAPACITY, HASTY, PATIENT, SMALL, point, points, run, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .governed_runs import Row


def slow_node() -> Iterator[Row]:
    """One of 20 nodes is 50 times as slow."""
    size: dict[str, Any] = {"rate": 1000.0, "seconds": 40}
    _, healthy = run("slow-node", settings(**PATIENT), troubles=(), **size)
    limit, slowest = 1.5 * point(healthy, "p99"), 1.5 * point(healthy, "p99.9")
    yield ("a healthy fleet", points(healthy), True)
    for balancer, fail in (
        ("random", "failover"),
        ("round-robin", "failover"),
        ("p2c", "failover"),
        ("random", "failbackup"),
        ("p2c", "failbackup"),
    ):
        config = settings(balancer=balancer, fail=fail, **PATIENT)
        found, during = run("slow-node", config, **size)
        extra = found["extra_attempts"]
        met = balancer != "p2c" or point(during, "p99") <= limit
        if fail == "failbackup":
            met = met and extra <= 0.05
            met = met and (balancer != "p2c" or point(during, "p99.9") <= slowest)
        goal = f"slow-node, {balancer}, {fail}"
        yield (goal, f"{points(during)}, {extra:.1%} more attempts", met)


def dead_nodes() -> Iterator[Row]:
    """A tenth of the nodes is killed."""
    for balancer, breaker in (
        ("random", "none"),
        ("random", "consecutive"),
        ("random", "success-rate"),
        ("random", "outlier"),
        ("p2c", "none"),
        ("p2c", "consecutive"),
    ):
        found, _ = run("dead-nodes", settings(balancer=balancer, breaker=breaker), rate=500.0)
        late, success = found["bad_nodes"]["share_after_5_s"], found["success"]
        said = f"success {success:.3%}, {late:.2%} of attempts to dead nodes after 5 s"
        met = success >= 0.9999 and late < 0.01
        yield (f"dead-nodes, {balancer}, {breaker}", said, met or breaker == "none")


def failing_node() -> Iterator[Row]:
    """One of 20 nodes loses half of its calls."""
    trouble = Trouble(kind="fail", at=10, count=1, failure="reset", rate=0.5)
    scenario = Scenario(name="failing", rate=500, seconds=60, troubles=(trouble,))
    for balancer in ("random", "p2c"):
        for breaker in ("none", "consecutive", "success-rate", "outlier"):
            found, during = run(scenario, settings(balancer=balancer, breaker=breaker))
            bad = found["bad_nodes"]
            after = bad["cut_off_after"]
            said = "never cut off" if after is None else f"cut off after {after:.1f} s"
            said += f", {bad['share']:.2%} of attempts, {during['extra_attempts']:.2%} retries"
            met = (balancer, breaker) != ("random", "outlier") or (after or 99) <= 10
            yield (f"fails half, {balancer}, {breaker}", said, met)


def gray_node() -> Iterator[Row]:
    """One of 20 nodes loses 15 % of its calls, the others 1 %."""
    calls = SCENARIOS["gray-node"].calls
    for balancer in ("random", "p2c"):
        for breaker in ("none", "consecutive", "success-rate", "outlier"):
            config = settings(balancer=balancer, breaker=breaker)
            found, _ = run("gray-node", config, calls=calls, rate=1000.0, seconds=120)
            late, writes = found["bad_nodes"]["share_after_5_s"], found["kinds"][1]["success"]
            said = f"{late:.2%} of attempts to it after 5 s, {writes:.2%} of writes succeed"
            met = (balancer, breaker) != ("random", "outlier") or late < 0.01
            yield (f"gray-node, {balancer}, {breaker}", said, met)


def cut_network() -> Iterator[Row]:
    """A zone is cut, and ``connect_timeout`` is longer than ``timeout``."""
    calls = SCENARIOS["zone-cut"].calls
    for name, client in {
        "none": {"breaker": "none", "connect_timeout": 5},
        "consecutive": {"breaker": "consecutive", "connect_timeout": 5},
        "consecutive, failfast": {
            "breaker": "consecutive",
            "connect_timeout": 5,
            "fail": "failfast",
        },
        "consecutive, 200 ms": {"breaker": "consecutive", "connect_timeout": 0.2},
    }.items():
        config = settings(timeout=2, read_timeout=0.5, **client)
        _, during = run("zone-cut", config, rate=500.0, calls=calls)
        met = "fast" in name or name == "none" or during["success"] >= 0.999
        yield (f"cut network, timeout 2 s, {name}", points(during), met)


def lost_answers() -> Iterator[Row]:
    """Writes whose answers are lost: who repeats them, and what runs twice."""
    calls = (CallKind(method="write"),)
    for name, client, server in (
        ("failfast", {"fail": "failfast"}, {}),
        ("failover", {"fail": "failover"}, {}),
        ("failtry", {"fail": "failtry"}, {}),
        ("failtry, idempotent: true", {"fail": "failtry", "idempotent": True}, {}),
        ("failtry, deduplicate", {"fail": "failtry"}, {"deduplicate": {}}),
    ):
        config = settings(server, **client)
        found, during = run("lost-answers", config, calls=calls, rate=500.0)
        said = f"success {during['success']:.2%}, {found['ran_again']} runs too many"
        said += f" of {found['calls']:,} calls"
        met = name != "failtry, deduplicate" or (
            during["success"] >= 0.99 and found["ran_again"] == 0
        )
        yield (f"lost-answers, {name}", said, met)


def invalidate() -> Iterator[Row]:
    """Calls that every node must hear; a fifth of the nodes refuses 30 % of them."""
    calls = SCENARIOS["invalidate"].calls
    for name, client in {
        "failover": {"fail": "failover"},
        "broadcast, retries 0": {"fail": "broadcast", "retries": 0},
        "broadcast": {"fail": "broadcast"},
        "broadcast, retries 4": {"fail": "broadcast", "retries": 4},
    }.items():
        found, during = run("invalidate", settings(**client), calls=calls)
        heard = found["kinds"][0]["heard"]
        said = f"{heard:.2%} of the nodes heard, {points(during)}"
        yield (f"invalidate, {name}", said, name != "broadcast" or heard > 0.99)


def overload() -> Iterator[Row]:
    """Two and six times as many calls as five nodes can handle."""
    wasteful = {"retry_budget": {"ratio": 1, "floor": 1000}}
    cases: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
        ("nothing", wasteful, {}),
        ("budget", {}, {}),
        ("codel", wasteful, {"limiter": "codel"}),
        ("gradient, budget", {}, {"limiter": "gradient"}),
        ("codel, budget", {}, {"limiter": "codel"}),
    )
    for times in (2, 6):
        surge = Trouble(kind="surge", at=5, until=15, times=2 * times)
        scenario = Scenario(name="x", load=0.5, seconds=20, troubles=(surge,), **SMALL)
        for name, client, server in cases:
            _, during = run(scenario, settings(server, **HASTY, **client))
            goodput = during["goodput"] / CAPACITY
            said = f"goodput {goodput:.1%} of capacity, p99 {point(during, 'p99'):.0f} ms"
            said += f", {during['extra_attempts']:.0%} retries"
            yield (f"overload x{times}, {name}", said, name != "codel, budget" or goodput >= 0.9)


def criticality() -> Iterator[Row]:
    """Critical calls of two and of four fifths of the capacity beside sheddable ones."""
    cases = ((0.4, 6.0, "none"), *((0.4, 6.0, name) for name in ("codel", "gradient")))
    cases += tuple((0.8, total, name) for name in ("codel", "gradient") for total in (2.0, 6.0))
    for share, total, limiter in cases:
        calls = (
            CallKind(method="pay", idempotent=True, share=share),
            CallKind(
                method="batch",
                idempotent=True,
                share=total - share,
                options={"criticality": "sheddable"},
            ),
        )
        scenario = Scenario(name="x", load=total, seconds=15, **SMALL)
        found, _ = run(scenario, settings({"limiter": limiter}, **HASTY), calls=calls)
        pay, batch = (kind["success"] for kind in found["kinds"])
        said = f"critical {pay:.2%}, sheddable {batch:.1%}"
        goal = f"overload x{total:.0f}, {limiter}, critical {share:.0%} of capacity"
        yield (goal, said, limiter == "none" or pay >= 0.999)


def throttle() -> Iterator[Row]:
    """Six times the capacity for ten seconds, and 45 s after it."""
    surge = Trouble(kind="surge", at=5, until=15, times=12)
    scenario = Scenario(name="x", load=0.5, seconds=60, troubles=(surge,), **SMALL)
    for window in (None, 5, 10, 120):
        limiter = {"name": "throttle", "options": {"window": window}} if window else "none"
        config = settings({"limiter": "codel"}, limiter=limiter, **HASTY)
        found, during = run(scenario, config)
        after = [one for one in found["windows"] if one["at"] >= 15]
        failing = (one["at"] for one in after if one["failed"] > 0.01 * one["calls"])
        last = max(failing, default=14.5) + 0.5  # windows of half a second
        success = found["phases"]["after"]["success"]
        said = f"{found['attempts']:,} attempts, goodput {during['goodput'] / CAPACITY:.1%}"
        said += f", {success:.1%} after it, the last refusal {last - 15:.1f} s after it"
        name = "none" if window is None else f"throttle, window {window} s"
        yield (f"overload x6, codel, {name}", said, window != 10 or success >= 0.95)


def policies() -> Iterator[Row]:
    """Where the other policies win."""
    for balancer in ("random", "round-robin", "p2c"):
        scenario = Scenario(name="busy", workers=4, load=0.85, seconds=20)
        found, _ = run(scenario, settings(balancer=balancer))
        yield (f"85 % of capacity, {balancer}", points(found), True)
        found, _ = run(scenario, settings(balancer=balancer), clients=20, seconds=15)
        yield (f"85 % of capacity, 20 clients, {balancer}", points(found), True)
    for start in (0, 30):
        config = settings(balancer="p2c", **PATIENT, **({"slow_start": start} if start else {}))
        _, during = run("cold-start", config, workers=2)
        yield (f"cold-start, p2c, slow_start {start or 'none'}", points(during), True)
    for breaker in ("none", "consecutive", "success-rate", "outlier"):
        config = settings(balancer="p2c", breaker=breaker, read_timeout=0.5)
        _, during = run("zone-cut", config, rate=500.0)
        said = f"{points(during)}, {during['extra_attempts']:.1%} retries"
        yield (f"zone-cut, p2c, {breaker}", said, True)
    for zone in ("none", "a", "c"):
        inside = {"name": "zone", "options": {"zone": zone, "within": "random"}}
        balancer = "random" if zone == "none" else inside
        config = settings(balancer=balancer, breaker="consecutive", read_timeout=0.5)
        _, during = run("zone-cut", config, rate=500.0)
        yield (f"zone-cut, client of zone {zone}, zone c is cut", points(during), True)
    for limiter in ("none", "codel", "gradient"):
        scenario = Scenario(name="full", load=1.0, seconds=20, **SMALL)
        found, _ = run(scenario, settings({"limiter": limiter}, **HASTY))
        said = f"{points(found)}, {found['extra_attempts']:.1%} retries"
        yield (f"100 % of capacity, {limiter}", said, True)
    everything = {"max_ejected": 1.0, "panic_threshold": 0.0}
    for name, breaker in {
        "success-rate": "success-rate",
        "outlier": "outlier",
        "success-rate, max_ejected 1": {"name": "success-rate", "options": everything},
    }.items():
        trouble = Trouble(kind="fail", at=5, until=25, failure="reset", rate=0.4)
        scenario = Scenario(
            name="all", nodes=10, workers=4, load=0.5, seconds=40, troubles=(trouble,)
        )
        _, during = run(scenario, settings({"limiter": "codel"}, breaker=breaker))
        yield (f"all nodes lose 40 %, {name}", f"success {during['success']:.1%}", True)
    for fail in ("failfast", "failtry", "failover"):
        _, during = run("flapping", settings(fail=fail, breaker="none"), rate=500.0)
        said = f"success {during['success']:.2%}, {during['extra_attempts']:.1%} retries"
        yield (f"flapping, {fail}", said, True)
    for name, client in {
        "no budget": {"retry_budget": {"ratio": 1, "floor": 1000}},
        "the default": {},
        "tokens 20, ratio 0.1": {"retry_budget": {"tokens": 20, "ratio": 0.1}},
        "last-good": {"fallback": "last-good"},
    }.items():
        _, during = run("retry-storm", settings(**client), workers=2)
        said = f"success {during['success']:.1%}, {during['extra_attempts']:.1%} retries"
        yield (f"retry-storm, {name}", said, True)


ROWS: dict[str, Callable[[], Iterator[Row]]] = {
    "slow-node": slow_node,
    "dead-nodes": dead_nodes,
    "failing-node": failing_node,
    "gray-node": gray_node,
    "cut-network": cut_network,
    "lost-answers": lost_answers,
    "invalidate": invalidate,
    "overload": overload,
    "criticality": criticality,
    "throttle": throttle,
    "noisy-node": balancers.noisy_node,
    "many-clients": balancers.many_clients,
    "caches": balancers.caches,
    "zones": balancers.zones,
    "subset": balancers.subsets,
    "methods": balancers.methods,
    "policies": policies,
    "hash": balancers.hash_movement,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(ROWS))
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in ROWS]
    if unknown:
        parser.error(f"there is no {unknown[0]!r}; there are: {', '.join(ROWS)}")
    missed = 0
    for name in given.names or ROWS:
        for what, said, met in ROWS[name]():
            missed += not met
            print(f"{what:<46} {said}{'' if met else '   MISSED'}", flush=True)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
