"""Throughput of ``workers: N``: ``python -m benchmarks.scale.workers [--workers 1 2 4]``.

Client processes call a handler that works for about 0.2 ms, and one that only answers. Throughput
can grow until the server's workers and the clients have used up the processors. So the table has
the processor time of the server for each call, too: it must not grow with N.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from statistics import median
from typing import Any

import uvloop

import bee_core

from .serving import ROOT, client_config, server

CALLERS = 32


async def call_for(port: int, method: str, argument: Any, seconds: float) -> int:
    calls = 0
    async with bee_core.build_async_client(client_config(port)) as client:
        one = getattr(client.service("echo"), method)
        await one(argument)
        until = time.perf_counter() + seconds

        async def work() -> None:
            nonlocal calls
            while time.perf_counter() < until:
                await one(argument)
                calls += 1

        await asyncio.gather(*(work() for _ in range(CALLERS)))
    return calls


def processor_time(pid: int) -> float:
    """Seconds that a process and its workers have used."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:  # noqa: PTH123
        pids = [pid, *map(int, file.read().split())]
    total = 0.0
    for one in pids:
        with open(f"/proc/{one}/stat", encoding="ascii") as file:  # noqa: PTH123
            fields = file.read().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def run_clients(port: int, clients: int, method: str, argument: Any, seconds: float) -> int:
    command = [sys.executable, "-m", "benchmarks.scale.workers", "--client"]
    words = [str(port), method, json.dumps(argument), str(seconds)]
    started = [
        subprocess.Popen([*command, *words], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(clients)
    ]
    return sum(int(process.communicate()[0]) for process in started)


def measure(numbers: list[int], rounds: int, seconds: float) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with ExitStack() as stack:
        servers = {number: stack.enter_context(server("bee", number)) for number in numbers}
        for method, argument in (("work", 4000), ("echo", 1)):
            rates: dict[int, list[tuple[float, float]]] = {number: [] for number in numbers}
            for _ in range(rounds):
                for number, (port, pid) in servers.items():
                    before = processor_time(pid)
                    calls = run_clients(port, 2, method, argument, seconds)
                    used = (processor_time(pid) - before) / calls * 1e6
                    rates[number].append((calls / seconds, used))
            found[method] = {
                number: {
                    "per_second": round(median(rate for rate, _ in each)),
                    "over_one": round(
                        median(
                            rate / one
                            for (rate, _), (one, _) in zip(each, rates[numbers[0]], strict=True)
                        ),
                        2,
                    ),
                    "server_us_a_call": round(median(used for _, used in each), 1),
                }
                for number, each in rates.items()
            }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--client", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        port, method, argument, seconds = options.client
        loop = uvloop.new_event_loop()
        work = call_for(int(port), method, json.loads(argument), float(seconds))
        print(loop.run_until_complete(work))
        return
    print(json.dumps(measure(options.workers, options.rounds, options.seconds), indent=2))


if __name__ == "__main__":
    main()
