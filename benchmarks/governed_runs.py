"""Runs of the simulator as the rows of ``governance.py`` need them."""

from __future__ import annotations

from typing import Any

import attrs

from bee_core.testing.simulation import SCENARIOS, CallKind, Scenario, simulate

Row = tuple[str, str, bool]
"""What was asked for, the figures, and whether they meet it."""

CALLING = ("caches", "methods")
"""Scenarios whose calls are what they are about."""
READS = (CallKind(method="read", idempotent=True),)
PATIENT = {"timeout": 5, "read_timeout": 4}
"""No attempt at a slow node ends early, so what shows is where the calls go."""
HASTY = {"timeout": 1, "read_timeout": 0.5}
SMALL = {"nodes": 5, "workers": 4}
CAPACITY = 5 * 4 / 0.0209  # calls a second of SMALL: the mean of the handlers is 20.9 ms


def settings(server: dict[str, Any] | None = None, **client: Any) -> dict[str, Any]:
    """A configuration with a registry, and what the client and the server state.

    The balancer is ``random`` where none is stated: it is the one that decides nothing.
    """
    given = {
        "balancer": "random",
        "timeout": 3,
        "connect_timeout": 0.2,
        "read_timeout": 1,
        **client,
    }
    registry = {"protocol": "etcd3", "heartbeat_interval": 5}
    rpc: dict[str, Any] = {"registry": registry, "client": {"calc": given}}
    if server is not None:
        rpc["server"] = {"name": "calc", **server}
    return {"bee": {"rpc": rpc}}


def run(
    scenario: str | Scenario, config: dict[str, Any], *, seed: int = 1, **changes: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The figures of a run, and those while the trouble lasts (of all, where there is none)."""
    chosen = SCENARIOS[scenario] if isinstance(scenario, str) else scenario
    if isinstance(scenario, Scenario) or scenario not in CALLING:
        changes = {"calls": READS, **changes}
    found = simulate(config, attrs.evolve(chosen, **changes), seed=seed)
    return found, found["phases"].get("during", found)


def point(phase: dict[str, Any], name: str) -> float:
    """A percentile in milliseconds."""
    return float(phase["latency"][name]) * 1e3


def points(phase: dict[str, Any]) -> str:
    """The percentiles and the success, as text."""
    shown = ", ".join(f"{name} {point(phase, name):.1f} ms" for name in ("p50", "p99", "p99.9"))
    return f"{shown}, success {phase['success']:.3%}"
