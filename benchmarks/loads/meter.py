"""What is taken down while a load runs: latencies, time, and processor time of both processes."""

from __future__ import annotations

import os
import time
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..spreads import percentile

if TYPE_CHECKING:
    from collections.abc import Callable


def processor_seconds(pid: int) -> float:
    """What a process and its children have used so far; 0 where the system does not tell.

    The nanoseconds of ``schedstat`` where Linux has them, since ``stat`` counts in steps of 10 ms.
    """
    total = 0
    try:
        tasks = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208  # names are what is wanted
    except OSError:
        return 0.0
    children: list[int] = []
    for task in tasks:
        folder = Path(f"/proc/{pid}/task/{task}")
        try:
            total += int((folder / "schedstat").read_text("ascii").split()[0])
            children += map(int, (folder / "children").read_text("ascii").split())
        except (OSError, IndexError):
            continue  # a thread that has just ended, or another system
    return total / 1e9 + sum(map(processor_seconds, children))


class Meter:
    """Latencies between a start and a stop.

    Args:
        server: The process id of the server.
        clock: Seconds that never go back.
    """

    def __init__(self, server: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self.took = array("d")
        self.clock = clock
        self._server = server
        self._marks: list[tuple[float, float, float]] = []

    def start(self) -> float:
        """Begin: what was before, making connections and warming up, does not count."""
        return self._mark()

    def stop(self) -> None:
        """End."""
        self._mark()

    def _mark(self) -> float:
        server = processor_seconds(self._server)
        self._marks.append((self.clock(), time.process_time(), server))
        return self._marks[-1][0]

    def describe(self) -> dict[str, Any]:
        """Throughput, percentiles in microseconds, processor time of a call in microseconds.

        Raises:
            ValueError: No call ended.
        """
        begin, end = self._marks[0], self._marks[-1]
        ordered = sorted(self.took)
        return {
            "calls": len(ordered),
            "per_second": round(len(ordered) / (end[0] - begin[0]), 2),
            "p50": round(percentile(ordered, 50) * 1e6, 2),
            "p99": round(percentile(ordered, 99) * 1e6, 2),
            "p99_9": round(percentile(ordered, 99.9) * 1e6, 2),
            "longest": round(ordered[-1] * 1e6, 2),
            "client_us": round((end[1] - begin[1]) / len(ordered) * 1e6, 2),
            "server_us": round((end[2] - begin[2]) / len(ordered) * 1e6, 2),
        }
