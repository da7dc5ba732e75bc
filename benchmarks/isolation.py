"""How much a service that hangs costs the one beside it: ``python -m benchmarks.isolation``.

One client has two services, each with its own limiter and connections. A few threads call the one
that works. In every second window fifty threads hang in the other. The p99 of the working service
is taken in each window, and a ratio in each pair of windows. The median of the ratios is reported:
on a shared machine a single p99 is mostly noise.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from statistics import median
from typing import Any

import bee_core

from .spreads import spread

PAIRS = 15
CALLS = 1500
CALLERS = 2
HANGING = 50


def server() -> None:
    """Serve one method that answers and one that never does.

    It prints its port, and ends when its input ends.
    """

    class Service:
        @bee_core.nonblocking
        def answer(self) -> int:
            return 1

        async def hang(self) -> None:
            import asyncio

            await asyncio.sleep(3600)

    built = bee_core.build_server(
        {
            "bee": {
                "rpc": {
                    "server": {"name": sys.argv[2], "address": "127.0.0.1:0", "drain_timeout": 0}
                }
            }
        }
    )
    built.add(Service())
    with built.in_thread():
        print(built.address, flush=True)
        sys.stdin.read()


def start(stack: ExitStack, name: str) -> str:
    """A server process; returns its url."""
    command = [sys.executable, "-m", "benchmarks.isolation", "serve", name]
    process = stack.enter_context(
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    )
    assert process.stdin is not None and process.stdout is not None  # noqa: PT018  # pipes were asked for
    stack.callback(process.stdin.close)
    return process.stdout.readline().strip()


def p99(works: Any) -> float:
    """Seconds, over all callers."""
    times: list[list[float]] = [[] for _ in range(CALLERS)]

    def call(into: list[float]) -> None:
        for _ in range(CALLS):
            begun = time.perf_counter()
            works.answer()
            into.append(time.perf_counter() - begun)

    threads = [threading.Thread(target=call, args=(into,)) for into in times]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    together = sorted(seconds for part in times for seconds in part)
    return together[int(len(together) * 0.99)]


def beside_a_hanging_service(works: Any, hangs: Any) -> float:
    """The same with fifty threads in the service that hangs."""

    def hang() -> None:
        try:
            hangs.with_options(timeout=1.5).hang()
        except bee_core.errors.CallError:
            return

    threads = [threading.Thread(target=hang) for _ in range(HANGING)]
    for thread in threads:
        thread.start()
    result = p99(works)
    for thread in threads:
        thread.join()
    return result


def main() -> None:
    """Measure and print."""
    with ExitStack() as stack:
        urls = {name: start(stack, name) for name in ("works", "hangs")}
        limits = {
            "limiter": {"name": "fixed", "options": {"max_in_flight": 40}},
            "read_timeout": 60,
            "fail": "failfast",
        }
        services = {name: {"address": url, **limits} for name, url in urls.items()}
        client = stack.enter_context(bee_core.build_client({"bee": {"rpc": {"client": services}}}))
        works, hangs = client.service("works"), client.service("hangs")
        p99(works)
        pairs = [(p99(works), beside_a_hanging_service(works, hangs)) for _ in range(PAIRS)]
    print("p99 alone, µs            ", spread([alone * 1e6 for alone, _ in pairs]))
    print("p99 beside, µs           ", spread([beside * 1e6 for _, beside in pairs]))
    print(
        "beside over alone        ",
        spread([beside / alone for alone, beside in pairs]),
        "median of ratios",
        round(median(beside / alone for alone, beside in pairs), 2),
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        server()
    else:
        main()
