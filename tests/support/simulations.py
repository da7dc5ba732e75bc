"""Runs of the simulator that are small enough for tests."""

from __future__ import annotations

from typing import Any

import attrs

from bee_core.testing.simulation import SCENARIOS, Scenario, simulate


def settings(**client: Any) -> dict[str, Any]:
    """A configuration with a registry, and with timeouts that suit handlers of 20 ms.

    The balancer is ``random`` unless a test names one: it decides nothing.
    """
    given = {
        "balancer": "random",
        "timeout": 3,
        "read_timeout": 1,
        "breaker": "consecutive",
        **client,
    }
    registry = {"protocol": "etcd3", "heartbeat_interval": 5}
    return {"bee": {"rpc": {"registry": registry, "client": {"calc": given}}}}


def run(
    scenario: str | Scenario, config: dict[str, Any] | None = None, *, seed: int = 1, **changes: Any
) -> dict[str, Any]:
    """A run with one worker a node, unless something else is said."""
    chosen = SCENARIOS[scenario] if isinstance(scenario, str) else scenario
    if isinstance(scenario, str):
        changes = {"workers": 1, **changes}
    return simulate(config or settings(), attrs.evolve(chosen, **changes), seed=seed)
