"""Where the time of a call goes: ``python -m benchmarks.stages``.

A sampling profiler, py-spy, looks at a client and its server from outside while they work, and
notes in which function each of them is. Functions are summed by what they are for. C code counts
for the function of Python that called it. Who sleeps is not counted. It needs a quiet machine.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from .instructions.counting import ROOT

STAGES: dict[str, tuple[str, ...]] = {
    "codec: JSON, and that nothing is lost": ("bee_plugins/codecs",),
    "flow: budget, pick, breaker, retries": (
        "bee_core/calls",
        "bee_core/nodes",
        "bee_plugins/balancers",
        "bee_plugins/breakers",
    ),
    "client: proxy, driver": ("bee_core/client",),
    "life of a request: bounds, context, answer": ("bee_core/server",),
    "frames and fields": ("bee_core/wire",),
    "connection: pool, socket, system calls": ("bee_core/streams",),
    "event loop, tasks, system calls": ("asyncio/", "uvloop", "selectors"),
    "the caller's own code, the handler": ("benchmarks/",),
}
"""What the functions in these places are for; the first that fits counts."""
REST = "other"
LOADS = {"one blocking caller": "blocking", "asyncio, 64 in flight": "asyncio"}
WARM = 1.0
"""Seconds before the profiler looks."""
FOREVER = 64_000_000
"""Calls; the client is ended before."""
NO_CALL = ("_find_and_load", "mark_when_told")
"""What is imported on the way, and a thread that waits for orders."""
FRAME = re.compile(r"\((?P<file>[^()]*):\d+\)$")


def stage_of(stack: str) -> str:
    """What a stack of py-spy's raw form is for: its innermost function decides."""
    found = FRAME.search(stack.rsplit(";", 1)[-1])
    file = "" if found is None else found["file"]
    return next(
        (stage for stage, places in STAGES.items() if any(place in file for place in places)), REST
    )


def shares(raw: str) -> dict[str, float]:
    """The share of each stage in what py-spy wrote."""
    counted: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, samples = line.rpartition(" ")
        if not any(one in stack for one in NO_CALL):
            counted[stage_of(stack)] += int(samples)
    total = counted.total()
    return {stage: count / total for stage, count in counted.most_common()} if total else {}


def program(*arguments: str) -> subprocess.Popen[str]:
    """One of the programs whose instructions are counted, not counted."""
    command = [sys.executable, "-m", "benchmarks.instructions.programs", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)


def look(seconds: float, programs: dict[str, subprocess.Popen[str]]) -> dict[str, dict[str, float]]:
    """Profile several processes at a time."""
    spy = shutil.which("py-spy")
    if spy is None:
        raise SystemExit("py-spy is missing: pip install py-spy")
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder, f"{name}.raw") for name in programs}
        looking = [
            subprocess.Popen(
                [spy, "record", "--format", "raw", "--rate", "500", "--duration", f"{seconds:.0f}",
                 "--output", str(files[name]), "--pid", str(one.pid)],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            for name, one in programs.items()
        ]  # fmt: skip
        for process in looking:
            process.wait(seconds + 60)
        return {name: shares(file.read_text("utf-8")) for name, file in files.items()}


def measure(client: str, seconds: float) -> dict[str, dict[str, float]]:
    """The shares of a client and of its server."""
    server = program("server")
    try:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        caller = program(client, port, "64", str(FOREVER))
        try:
            time.sleep(WARM)
            return look(seconds, {"client": caller, "server": server})
        finally:
            caller.kill()
            caller.wait()
    finally:
        server.kill()
        server.wait()


def table(found: dict[str, dict[str, dict[str, float]]]) -> str:
    """All shares in a table of Markdown; a stage that takes less than 0.5 % is left out."""
    columns = [(load, side) for load, sides in found.items() for side in sides]
    heads = [f"{load}: {side}" for load, side in columns]
    lines = [f"| | {' | '.join(heads)} |", f"| --- |{' ---: |' * len(columns)}"]
    for stage in (*STAGES, REST):
        cells = [found[load][side].get(stage, 0.0) for load, side in columns]
        if max(cells) >= 0.005:  # said above
            lines.append(f"| {stage} | {' | '.join(f'{cell:.0%}' for cell in cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="to look at each pair")
    options = parser.parse_args()
    print(table({load: measure(client, options.seconds) for load, client in LOADS.items()}))


if __name__ == "__main__":
    main()
