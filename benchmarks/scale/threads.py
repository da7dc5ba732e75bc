"""A thousand threads on one client: ``python -m benchmarks.scale.threads [--threads 1 16 1000]``.

All call one method for a while. Told are calls a second, the slowest call, the connections that
the client opened, and its memory for a thread.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from statistics import median
from typing import Any

import bee_core

from .connections import allow_descriptors, resident
from .serving import client_config, server


def run(client: Any, count: int, seconds: float) -> dict[str, float]:
    echo = client.service("echo").echo
    ready = threading.Barrier(count + 1)
    until = [0.0]
    calls = [0] * count
    slowest = [0.0] * count
    failed: list[str] = []

    def work(number: int) -> None:
        ready.wait()
        try:
            while (began := time.perf_counter()) < until[0]:
                echo(number)
                calls[number] += 1
                slowest[number] = max(slowest[number], time.perf_counter() - began)
        except bee_core.errors.CallError as error:
            failed.append(str(error))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    until[0] = time.perf_counter() + seconds
    ready.wait()
    for thread in threads:
        thread.join()
    assert not failed, failed[:3]
    return {
        "per_second": sum(calls) / seconds,
        "slowest_ms": max(slowest) * 1e3,
        "least_calls_of_a_thread": min(calls),
        "most_calls_of_a_thread": max(calls),
    }


def measure(numbers: list[int], rounds: int, seconds: float) -> dict[str, Any]:
    found: dict[int, list[dict[str, float]]] = {number: [] for number in numbers}
    with server("bee") as (port, _), bee_core.build_client(client_config(port)) as client:
        client.service("echo").echo(1)
        before = resident_of_self()
        for _ in range(rounds):
            for number in numbers:
                found[number].append(run(client, number, seconds))
        grown = resident_of_self() - before
    return {
        "threads": {
            number: {name: round(median(one[name] for one in each), 1) for name in each[0]}
            for number, each in found.items()
        },
        "kb_each_of_the_most_threads": round(grown / max(numbers) / 1e3, 1),
    }


def resident_of_self() -> int:
    import os

    return resident(os.getpid())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 16, 1000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    allow_descriptors(max(options.threads))
    print(json.dumps(measure(options.threads, options.rounds, options.seconds), indent=2))


if __name__ == "__main__":
    main()
