"""What a run found, in the file and in memory.

The file is JSON::

    {"format": 1, "machine": {...}, "options": {...}, "left_out": {contender: why},
     "suites": {suite: {load: {contender: [round, ...]}}}}

A round is what ``worker.describe`` says, or null where the contender failed in that round.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import attrs

from .contenders.bee import native_exchange
from .spreads import Spread, ratios, spread

FORMAT = 1
DISTRIBUTIONS = (
    "bee-rpc",
    "msgspec",
    "uvloop",
    "grpcio",
    "protobuf",
    "connectrpc",
    "protobuf-py",
    "pyqwest",
    "thriftpy2",
    "pycapnp",
    "rpyc",
    "Pyro5",
    "fastapi",
    "uvicorn",
    "httpx",
)
Rounds = list["dict[str, Any] | None"]


@attrs.define
class Results:
    """Everything of one run.

    Attributes:
        machine: Where it ran, and with which versions.
        options: What it was asked for.
        left_out: Contenders that did not take part, or failed, and why.
        suites: Rounds by suite, load and contender.
    """

    machine: dict[str, Any] = attrs.field(factory=dict)
    options: dict[str, Any] = attrs.field(factory=dict)
    left_out: dict[str, str] = attrs.field(factory=dict)
    suites: dict[str, dict[str, dict[str, Rounds]]] = attrs.field(factory=dict)

    def rounds(self, suite: str, load: str, contender: str) -> Rounds:
        """The rounds of a contender; none if it was not measured."""
        return self.suites.get(suite, {}).get(load, {}).get(contender, [])

    def values(self, suite: str, load: str, contender: str, key: str) -> list[float | None]:
        """One figure of each round."""
        return [None if one is None else one[key] for one in self.rounds(suite, load, contender)]

    def spread(self, suite: str, load: str, contender: str, key: str) -> Spread | None:
        """The median of a figure and its range, or None if no round was measured."""
        found = [one for one in self.values(suite, load, contender, key) if one is not None]
        return spread(found) if found else None

    def ratio(self, suite: str, load: str, of: str, to: str, key: str) -> Spread | None:
        """How many times the figure of ``to`` that of ``of`` is, taken within each round."""
        return ratios(self.values(suite, load, of, key), self.values(suite, load, to, key))

    def save(self, path: Path) -> None:
        """Write the file."""
        text = json.dumps({"format": FORMAT, **attrs.asdict(self)}, indent=1)
        path.write_text(text + "\n", "utf-8")


def load(path: Path) -> Results:
    """Read a file.

    Raises:
        ValueError: It is not such a file, or one of another format.
    """
    try:
        read = json.loads(path.read_text("utf-8"))
        if read.pop("format", None) != FORMAT:
            raise ValueError("it has another format")
        return Results(**read)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not a result file of `benchmarks run`: {error}") from error


def this_machine() -> dict[str, Any]:
    """What a reader needs to place the figures."""
    model = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.partition(":")[2].strip()
            for line in cpuinfo.read_text("utf-8").splitlines()
            if line.startswith("model name")
        ]
        model = names[0] if names else ""
    versions = {}
    for name in DISTRIBUTIONS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "system": platform.system(),
        "processor": model,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0,
        "native": native_exchange(),
        "load_before": round(os.getloadavg()[0], 2),
        "versions": versions,
    }
