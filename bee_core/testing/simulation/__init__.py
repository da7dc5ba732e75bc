"""The simulator: the real call flow and the real plugins against simulated nodes.

Time is a number that jumps from event to event, so a minute of a thousand nodes takes seconds. No
socket is opened and no thread is started. With the same seed a run repeats to its last event.

======================= ===========================================================================
real                    the call flow, retries, the retry budget, the node set, and the plugins of
                        the YAML: balancer, fault tolerance, breaker, limiter (client and server),
                        fallback. ``client/assembly.py`` makes them as for any client
simulated               the clock, the network, the servers with their queues, the registry, the
                        control plane's pings and sweeps
left out                codec, compressor, transport, token, observers, interceptors
======================= ===========================================================================

Where to look: ``scenario.py`` says what a scenario is, ``scenarios.py`` has bee's own.
``world.py`` is the clock and the events. ``driver.py`` carries the flow's effects out, ``nodes.py``
is a server, ``channels.py`` the way to it. ``troubles.py`` breaks nodes. ``run.py`` puts it
together, ``figures.py`` says what came out, and ``picture.py`` draws it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .picture import draw
    from .run import simulate
    from .scenario import Cache, CallKind, Latency, Scenario, Trouble
    from .scenario_file import read_scenario
    from .scenarios import SCENARIOS

__all__ = [
    "SCENARIOS",
    "Cache",
    "CallKind",
    "Latency",
    "Scenario",
    "Trouble",
    "draw",
    "read_scenario",
    "simulate",
]

_WHERE = {
    "SCENARIOS": "scenarios",
    "Cache": "scenario",
    "CallKind": "scenario",
    "Latency": "scenario",
    "Scenario": "scenario",
    "Trouble": "scenario",
    "draw": "picture",
    "read_scenario": "scenario_file",
    "simulate": "run",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
