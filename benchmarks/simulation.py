"""The simulator beside reality: ``python -m benchmarks.simulation [--seconds S] [--median S]``.

One YAML is simulated, and then runs for real: an asyncio client on a Poisson process of calls, and
eight server processes whose handlers sleep for as long as those of the simulated nodes take. It
exits with 1 where p50 or p99 differ by more than 15 %. ``--speed`` says instead how much processor
time a minute of 1,000 nodes at 10,000 calls a second takes.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import subprocess
import sys
import time
from contextlib import ExitStack
from math import ceil, exp, log
from pathlib import Path
from typing import Any

import attrs

import bee_core
from bee_core.testing.simulation import (
    SCENARIOS,
    CallKind,
    Latency,
    Scenario,
    Trouble,
    simulate,
)

NODES = 8
SIGMA = 0.3
AGREES = 0.15
PER_NODE = 4
"""Calls that a server handles at a time: its limiter, of which the YAML says so."""
CASES = {"all nodes alike": 1.0, "one node 3 times as slow": 3.0}


class Sleeper:
    """A service whose calls take as long as those of the scenario."""

    def __init__(self, seed: int, factor: float, median: float) -> None:
        self._rng = random.Random(seed)  # noqa: S311
        self._factor = factor
        self._middle = log(median)

    async def read(self) -> None:
        await asyncio.sleep(exp(self._rng.gauss(self._middle, SIGMA)) * self._factor)


def configuration(addresses: list[str]) -> dict[str, Any]:
    limiter = {"name": "fixed", "options": {"max_in_flight": PER_NODE, "max_queue": 1000}}
    client = {"address": addresses, "timeout": 10, "read_timeout": 5, "breaker": "consecutive"}
    server = {"name": "sleeper", "version": "1.0", "limiter": limiter}
    return {"bee": {"rpc": {"client": {"sleeper": client}, "server": server}}}


def serve(seed: int, factor: float, median: float) -> None:
    server = bee_core.build_server(configuration([]))
    server.add(Sleeper(seed, factor, median))
    with server.in_thread():
        print(server.address, flush=True)
        sys.stdin.read()


def real(rate: float, seconds: float, factor: float, median: float) -> list[float]:
    """The latencies of real calls."""
    with ExitStack() as stack:
        addresses = []
        for number in range(NODES):
            slow = factor if number == NODES - 1 else 1.0
            what = [str(number), str(slow), str(median)]
            process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.simulation", "--serve", *what],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=Path(__file__).parent.parent,
            )
            stack.callback(process.wait, 10)
            assert process.stdin is not None
            assert process.stdout is not None
            stack.callback(process.stdin.close)
            addresses.append(process.stdout.readline().strip())
        return asyncio.run(calls(configuration(addresses), rate, seconds))


async def calls(config: dict[str, Any], rate: float, seconds: float) -> list[float]:
    rng = random.Random(1)  # noqa: S311
    took: list[float] = []
    async with bee_core.build_async_client(config) as client:
        sleeper = client.service("sleeper")
        await asyncio.gather(*(sleeper.read() for _ in range(4 * NODES)))  # connects

        async def call(due: float) -> None:
            await sleeper.read()
            took.append(time.perf_counter() - due)

        begun = time.perf_counter()
        due = begun
        tasks = []
        while due < begun + seconds:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(asyncio.create_task(call(due)))
            due += rng.expovariate(rate)
        await asyncio.gather(*tasks)
    return took


def simulated(rate: float, seconds: float, factor: float, median: float) -> dict[str, float]:
    slow = (Trouble(kind="slow", count=1, times=factor),) if factor > 1 else ()
    scenario = Scenario(
        name="reality",
        nodes=NODES,
        workers=1000,  # the limiter is the bound
        seconds=seconds,
        rate=rate,
        network=0.001,
        latency=Latency(median=median, sigma=SIGMA),
        calls=(CallKind(method="read"),),
        troubles=slow,
    )
    found: dict[str, float] = simulate(configuration([]), scenario)["latency"]
    return found


def compare(rate: float, seconds: float, median: float) -> bool:
    """Print the figures; whether they agree."""
    agree = True
    print(f"{NODES} nodes, {rate:g} calls/s for {seconds:g} s, handlers of {median * 1e3:g} ms")
    for name, factor in CASES.items():
        expected = simulated(rate, max(seconds, 600), factor, median)
        ordered = sorted(real(rate, seconds, factor, median))
        for point, share in (("p50", 0.5), ("p99", 0.99)):
            found = ordered[ceil(share * len(ordered)) - 1]
            off = expected[point] / found - 1
            agree = agree and abs(off) <= AGREES
            print(
                f"{name:<26} {point}: simulated {expected[point] * 1e3:7.1f} ms,"
                f" real {found * 1e3:7.1f} ms, {off:+.1%}",
                flush=True,
            )
    return agree


def speed() -> None:
    """Print what a large run costs."""
    scenario = attrs.evolve(SCENARIOS["slow-node"], nodes=1000, rate=10_000.0)
    begun = time.process_time()
    found = simulate(configuration([]), scenario)
    spent = time.process_time() - begun
    print(f"{found['calls']:,} calls, {found['events']:,} events: {spent:.1f} s of processor time")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=40.0)
    parser.add_argument("--median", type=float, default=0.1, help="seconds that a handler takes")
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--speed", action="store_true", help="only measure the simulator")
    given = parser.parse_args()
    if given.serve:
        serve(int(given.serve[0]), *map(float, given.serve[1:]))
    elif given.speed:
        speed()
    elif not compare(given.rate, given.seconds, given.median):
        sys.exit(1)


if __name__ == "__main__":
    main()
