"""How long a test waits for what should come at once: the busier the machine, the longer.

Only bounds that mean "it hangs" follow the load. A bound that says how fast bee is does not.
"""

from __future__ import annotations

import os
from pathlib import Path

MOST = 6.0
"""No machine is taken to be slower than this many times: a test that hangs must end some day."""

SLOWNESS = "BEE_TEST_SLOWNESS"
"""A variable that states how slow the machine is, where measuring does not tell."""


def slowness() -> float:
    """How many programs share a core at present, 1.0 to ``MOST``.

    The mean of the last minute comes late. So the programs that want to run just now count too.
    """
    stated = os.environ.get(SLOWNESS)
    if stated:
        return float(stated)
    wanting = max(os.getloadavg()[0], running())
    return min(MOST, max(1.0, wanting / cores()))


def running() -> int:
    """How many threads of the machine run or want to, less the one that asks."""
    try:
        return int(Path("/proc/loadavg").read_text().split()[3].partition("/")[0]) - 1
    except OSError:  # not Linux
        return 0


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def scaled(seconds: float) -> float:
    """A bound that fits an idle machine, made longer for the present load."""
    return seconds * slowness()


PATIENCE = scaled(15.0)
"""Seconds after which a test stops waiting for an event that should have come at once.

Measured when the run starts, so it is a plain number. It leaves room for load that comes later.
"""
