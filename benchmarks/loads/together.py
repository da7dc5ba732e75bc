"""Threads that warm up on their own and then begin together."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..contenders.contender import Call
    from .meter import Meter

WARM_UP = 0.3
"""Seconds before anything is taken down: connections, caches, the interpreter's specializing."""
PATIENCE = 60
"""Seconds until the last thread must have warmed up."""


def run_together(
    calls: list[Call],
    work: Callable[[Call, float, list[float]], None],
    meter: Meter,
    warm_up: float = WARM_UP,
) -> None:
    """Run a thread for each call.

    Args:
        calls: Each is called by one thread only.
        work: Gets the call, the time at which all begin, and a list for its latencies.
        meter: Runs from that time until the last thread has ended.
        warm_up: Seconds of calling before that; one call at least.

    Raises:
        Exception: What the first call that failed raised.
    """
    clock = time.perf_counter
    begun: list[float] = []
    failures: list[BaseException] = []
    barrier = threading.Barrier(len(calls), action=lambda: begun.append(meter.start()))

    def run(call: Call) -> None:
        took: list[float] = []
        try:
            until = clock() + warm_up
            call()
            while clock() < until:
                call()
            barrier.wait(PATIENCE)
            work(call, begun[0], took)
        except BaseException as error:
            failures.append(error)
            barrier.abort()
        meter.took.extend(took)  # one thread at a time: this is a single step of the interpreter

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    meter.stop()
