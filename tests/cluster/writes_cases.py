"""Each plugin that decides where, when or whether a call is made, as writes meet it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cluster.writes import Case

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cluster.writes import Figures

QUICK = {"base_ejection_time": 0.05, "trials": 1}
"""Nodes that were cut off come back within the run."""
FAILTRY = {"name": "failtry", "options": {"base": 0.002, "cap": 0.02}}
LEVELS = ("critical_plus", "critical", "sheddable_plus", "sheddable")


def fixed(max_in_flight: int) -> dict[str, Any]:
    return {"name": "fixed", "options": {"max_in_flight": max_in_flight, "max_queue": 0}}


def gradient(most: int) -> dict[str, Any]:
    options = {"initial": most, "min_limit": 2, "max_limit": most, "queue": 1}
    return {"name": "gradient", "options": options}


def codel(most: int) -> dict[str, Any]:
    return {"name": "codel", "options": {"limit": fixed(most), "max_queue": 2}}


def faults(seconds: float = 0.02) -> list[dict[str, Any]]:
    return [
        {"kind": "error", "rate": 0.1},
        {"kind": "error", "rate": 0.05, "error": "Overloaded"},
        {"kind": "delay", "rate": 0.1, "seconds": seconds},
        {"kind": "drop", "rate": 0.01},
    ]


def breaker(name: str, **options: Any) -> dict[str, Any]:
    return {"breaker": {"name": name, "options": {**QUICK, **options}}}


def injected(figures: Figures) -> bool:
    """Whether faults of the configuration were met."""
    return figures.tell("injects") > 0


def degraded(figures: Figures) -> bool:
    """Whether a fallback answered."""
    return figures.said["degraded"] > 0


CASES: Mapping[str, Case] = {
    # Balancers.
    "p2c": Case(client={"balancer": "p2c"}),
    "consistent-hash": Case(
        client={
            "balancer": {"name": "consistent-hash", "options": {"argument": "key", "bound": 1.25}}
        }
    ),
    "zone": Case(
        client={
            "balancer": {"name": "zone", "options": {"zone": "a", "within": "p2c"}},
            **breaker("consecutive", max_error_count=2),
        },
        each=({"zone": "a"}, {"zone": "a"}, {"zone": "b"}),
    ),
    "subset": Case(client={"balancer": {"name": "subset", "options": {"size": 2}}}),
    "slow_start": Case(client={"balancer": "p2c", "slow_start": 2}),
    # Fault tolerance.
    "failbackup": Case(
        client={"fail": {"name": "failbackup", "options": {"delay": 0.0001, "budget": 0.1}}}
    ),
    "broadcast": Case(
        client={"fail": {"name": "broadcast", "options": {"base": 0.05, "cap": 0.3}}},
        everywhere=True,
    ),
    "broadcast, a third may fail": Case(
        client={"fail": {"name": "broadcast", "options": {"fail_percent": 34}}}, everywhere=True
    ),
    "deduplicate, failtry": Case(client={"fail": FAILTRY}, server={"deduplicate": {}}),
    # Breakers.
    "success-rate": Case(client=breaker("success-rate", window=1, min_calls=5)),
    "outlier": Case(
        client=breaker(
            "outlier",
            interval=0.1,
            success_rate={"min_nodes": 2, "min_calls": 5, "min_failures": 1, "stdev_factor": 0.5},
            failure_percentage={"threshold": 0.2, "min_nodes": 2, "min_calls": 5},
            max_ejected=0.5,
        )
    ),
    "max_ejected": Case(client=breaker("consecutive", max_error_count=1, max_ejected=0.34)),
    # Limiters.
    "gradient at the server": Case(server={"limiter": gradient(2)}),
    "gradient at the client": Case(client={"limiter": gradient(4)}),
    "codel at the server": Case(server={"limiter": codel(1)}),
    "codel at the client": Case(client={"limiter": codel(2)}),
    "throttle at the client": Case(
        client={"limiter": {"name": "throttle", "options": {"window": 1}}, "retries": 0},
        server={"limiter": fixed(1)},
    ),
    "throttle at the server": Case(
        server={"limiter": [{"name": "throttle", "options": {"window": 1}}, fixed(1)]},
    ),
    "criticality": Case(server={"limiter": codel(1)}, levels=LEVELS),
    # Fallbacks.
    "last-good": Case(
        client={
            "fallback": {"name": "last-good", "options": {"ignore": ["id"]}},
            "faults": faults(),
            "retries": 0,
        },
        alike=True,
        shows=degraded,
    ),
    "last-good, when": Case(
        client={
            "fallback": {
                "name": "last-good",
                "options": {"ignore": ["id"], "when": ["Unavailable", "DeadlineExceeded"]},
            },
            "retries": 0,
        },
        server={"faults": faults()},
        alike=True,
        shows=degraded,
    ),
    # Faults of the configuration.
    "faults at the client": Case(
        client={"faults": faults(), "retries": 0},
        shows=injected,
    ),
    "faults at the server": Case(
        client={"retries": 0},
        server={"faults": faults()},
        shows=injected,
    ),
    "faults and failbackup": Case(
        client={
            "fail": {"name": "failbackup", "options": {"delay": 0.0001, "budget": 0.1}},
            "faults": faults(),
        },
        server={"faults": faults()},
    ),
    "faults and broadcast": Case(
        client={"fail": "broadcast", "faults": faults()},
        server={"faults": faults()},
        everywhere=True,
    ),
    "faults and deduplicate": Case(
        client={"fail": FAILTRY, "faults": faults()},
        server={"deduplicate": {}, "faults": faults()},
    ),
    # Time: most calls end at their deadline, somewhere on their way.
    "short deadlines": Case(client={"timeout": 0.006, "read_timeout": 0.004}),
    # Processes.
    "workers": Case(server={"workers": 2}),
    "workers, deduplicate": Case(
        client={"fail": FAILTRY}, server={"workers": 2, "deduplicate": {}}
    ),
    "workers, faults": Case(
        client={"retries": 0},
        server={"workers": 2, "faults": faults()},
        shows=injected,
    ),
}
