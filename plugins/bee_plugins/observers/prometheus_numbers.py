"""The numbers that every call changes: durations, and what is in flight.

They are kept here and not by prometheus_client, whose values need several locks and loops a call.
They lie in the process's memory; in a program with workers in a file of each process, which is
mapped into its memory and read by the parent.
"""

from __future__ import annotations

import json
import mmap
import os
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.utils import floatToGoString

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from prometheus_client.metrics_core import Metric

    Names = tuple[str, ...]
    """What is counted, and its labels."""
    Doubles = memoryview[float]

_CHUNK = 1 << 16  # bytes by which the memory grows; a multiple of every system's page
_DOUBLE = 8
_FILES = "bee_"
"""How the names of the files begin: ``bee_<process>.numbers`` and ``bee_<process>.names``."""

DURATIONS = {
    "client": (
        "rpc_client_call_duration_seconds",
        "Calls of clients, from start to end, retries included.",
    ),
    "server": (
        "rpc_server_call_duration_seconds",
        "Requests of servers, from acceptance to the answer.",
    ),
}
IN_FLIGHT = {
    "client": ("bee_client_calls_in_flight", "Calls that run."),
    "server": ("bee_server_requests_in_flight", "Requests that run or wait for their turn."),
}
LABELS = ("rpc_service", "rpc_method", "error_type")


class Numbers:
    """Doubles by their names. Thread-safe; who changes a double holds a lock of his own.

    Args:
        folder: Where the files of this process are; None for its own memory.
    """

    def __init__(self, folder: str | None) -> None:
        self._lock = Lock()
        self._places: dict[Names, Doubles] = {}
        self._size = self._used = 0
        self._chunk = memoryview(b"").cast("d")
        self._folder = folder
        self._files: list[int] = []

    def place(self, names: Names, length: int) -> Doubles:
        """So many doubles, 0 at first; the same ones for the same names."""
        with self._lock:
            found = self._places.get(names)
            if found is None:
                if self._used + length > len(self._chunk):
                    self._grow()
                found = self._chunk[self._used : self._used + length]
                if self._files:
                    start = (self._size - _CHUNK) // _DOUBLE + self._used
                    line = json.dumps([start, length, *names])
                    os.write(self._files[1], f"{line}\n".encode())
                self._used += length
                self._places[names] = found
            return found

    def _grow(self) -> None:
        if self._folder is None:
            memory = mmap.mmap(-1, _CHUNK)
        else:
            if not self._files:  # most children that are forked count nothing
                path = Path(self._folder, f"{_FILES}{os.getpid()}")
                flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
                ends = (".numbers", ".names")
                self._files = [os.open(path.with_suffix(end), flags, 0o600) for end in ends]
            os.ftruncate(self._files[0], self._size + _CHUNK)
            memory = mmap.mmap(self._files[0], _CHUNK, offset=self._size)
        self._chunk, self._used = memoryview(memory).cast("d"), 0
        self._size += _CHUNK

    def items(self) -> dict[Names, list[float]]:
        """All numbers of now."""
        with self._lock:
            return {names: list(place) for names, place in self._places.items()}

    def close(self) -> None:
        """Close the files; the places go on."""
        files, self._files = self._files, []
        for file in files:
            os.close(file)


def read(folder: str, pid: int | str) -> dict[Names, list[float]]:
    """The numbers of another process; empty where it has none."""
    path = Path(folder, f"{_FILES}{pid}")
    try:
        lines = path.with_suffix(".names").read_bytes().split(b"\n")
        numbers: Doubles = memoryview(path.with_suffix(".numbers").read_bytes()).cast("d")
    except OSError:
        return {}
    found: dict[Names, list[float]] = {}
    for line in lines[:-1]:  # the last one may not be whole yet
        start, length, *names = json.loads(line)
        found[tuple(names)] = list(numbers[start : start + length])
    return found


def processes(folder: str) -> list[str]:
    """The processes that have numbers in a folder."""
    return [path.stem[len(_FILES) :] for path in Path(folder).glob(f"{_FILES}*.names")]


def forget(folder: str, pid: int | str) -> None:
    """Remove the files of a process."""
    for end in (".names", ".numbers"):
        Path(folder, f"{_FILES}{pid}{end}").unlink(missing_ok=True)


def add(sums: dict[Names, list[float]], found: Mapping[Names, Sequence[float]]) -> None:
    """Add numbers up."""
    for names, numbers in found.items():
        before = sums.get(names)
        sums[names] = (
            list(numbers)
            if before is None
            else [a + b for a, b in zip(before, numbers, strict=True)]
        )


def is_gauge(names: Names) -> bool:
    """Whether the number ends with its process."""
    return names[0] == "in_flight"


def families(
    numbers: Mapping[Names, Sequence[float]], boundaries: Sequence[float]
) -> Iterator[Metric]:
    """The numbers as Prometheus knows them."""
    bounds = [floatToGoString(bound) for bound in (*boundaries, float("inf"))]
    histograms: dict[str, Any] = {
        side: HistogramMetricFamily(*words, labels=LABELS) for side, words in DURATIONS.items()
    }
    gauges: dict[str, Any] = {
        side: GaugeMetricFamily(*words, labels=LABELS[:1]) for side, words in IN_FLIGHT.items()
    }
    for names, found in sorted(numbers.items()):
        _, side, *labels = names
        if is_gauge(names):
            gauges[side].add_metric(labels, found[0])
            continue
        buckets, count = [], 0.0
        for bound, number in zip(bounds, found, strict=False):
            count += number
            buckets.append((bound, count))
        histograms[side].add_metric(labels, buckets, found[-1])
    yield from histograms.values()
    yield from gauges.values()
