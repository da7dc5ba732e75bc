"""Run all measurements side by side: ``python -m benchmarks [--rounds N] [--json]``.

The machines that this runs on are shared and noisy, so absolute figures say little. Each round
measures every contender once, in turn. A ratio is taken within a round; the median of the rounds is
reported with the least and the most.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from statistics import median
from typing import TYPE_CHECKING, Any

import msgspec
import uvloop

import bee_core
from bee_core.wire import frames
from bee_core.wire.requests import request_fields, time_left_field

from .record import RECORD

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PINNED = "apart"
CALLS = 2500
IN_FLIGHT = 64
CONCURRENT_CALLS = 20000


def pin(pid: int, cpu: int) -> None:
    """Keep a process on one core; a no-op where that is not to be had.

    On a virtual machine a wake-up of the other core costs several times the rest of a round trip,
    and the scheduler moves processes as it likes. Without pinning, two runs of the same raw echo
    differ by a factor of four. Client and server each get a core, as they would in production.
    """
    cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
    if len(cpus) > 1:
        os.sched_setaffinity(pid, {cpus[cpu]})


def start(stack: ExitStack, kind: str) -> int:
    """A server process; returns its port."""
    process = stack.enter_context(
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.servers", kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    )
    assert process.stdin is not None and process.stdout is not None  # noqa: PT018  # pipes were asked for
    stack.callback(process.stdin.close)
    if PINNED != "no":
        pin(process.pid, 0)
    return int(process.stdout.readline())


def config(port: int, **transport: Any) -> dict[str, Any]:
    """A client with all governance that exists: balancer, failover with budget, deadline."""
    service = {
        "address": f"127.0.0.1:{port}",
        "balancer": "random",
        "fail": "failover",
        "retries": 2,
        "timeout": 30,
    }
    service["transport"] = {"name": "tcp", "options": transport}
    return {"bee": {"rpc": {"client": {"echo": service}}}}


def median_seconds(call: Callable[[], object]) -> float:
    """Of many calls one after another."""
    times = []
    clock = time.perf_counter
    for _ in range(CALLS):
        begun = clock()
        call()
        times.append(clock() - begun)
    return median(times)


def raw_call(port: int) -> Callable[[], object]:
    """One round trip of as many bytes as bee's request has."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    body = msgspec.json.encode([RECORD])
    message = frames.encode(frames.REQUEST, 1, request_fields("echo") + time_left_field(30), body)

    def call() -> object:
        sock.sendall(message)
        return sock.recv(65536)

    return call


class BareClient(asyncio.Protocol):
    """The protocol-only client: ids, futures, frames, msgspec."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self.transport: Any = transport
        self.decoder = frames.FrameDecoder(1 << 21)
        self.waiting: dict[int, asyncio.Future[bytes]] = {}
        self.last = 0
        self.loop = asyncio.get_running_loop()
        self.fields = request_fields("echo") + time_left_field(30)

    def data_received(self, data: bytes) -> None:
        """Replies."""
        for frame in self.decoder.feed(data):
            self.waiting.pop(frame.id).set_result(frame.body)

    async def call(self) -> object:
        """One call."""
        self.last = id_ = self.last + 1
        reply = self.waiting[id_] = self.loop.create_future()
        self.transport.write(frames.encode(frames.REQUEST, id_, self.fields, _encode([RECORD])))
        return _decode(await reply)


_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


async def throughput(call: Callable[[], Awaitable[object]]) -> float:
    """Calls a second with many in flight."""

    async def work() -> None:
        for _ in range(CONCURRENT_CALLS // IN_FLIGHT):
            await call()

    await call()
    begun = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
    return CONCURRENT_CALLS / (time.perf_counter() - begun)


async def concurrent_round(ports: dict[str, int]) -> dict[str, float]:
    """Throughput of the bare protocol and of bee, one after the other, on one loop."""
    _, bare = await asyncio.get_running_loop().create_connection(
        BareClient, "127.0.0.1", ports["protocol"]
    )
    results = {"protocol": await throughput(bare.call)}
    async with bee_core.build_async_client(config(ports["bee"])) as client:
        echo = client.service("echo")
        results["bee"] = await throughput(lambda: echo.echo(RECORD))
        results["bee_async"] = await throughput(lambda: echo.echo_async(RECORD))
    bare.transport.close()
    return results


def import_seconds(statement: str) -> float:
    """Time of a fresh interpreter that runs one statement; the least of several."""
    times = []
    for _ in range(7):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", statement], check=True)
        times.append(time.perf_counter() - begun)
    return min(times)


def spread(values: list[float]) -> dict[str, float]:
    """Median, least and most."""
    return {
        "median": round(median(values), 3),
        "min": round(min(values), 3),
        "max": round(max(values), 3),
    }


def measure(rounds: int) -> dict[str, Any]:
    """All of it."""
    blocking: list[dict[str, float]] = []
    concurrent: list[dict[str, float]] = []
    with ExitStack() as stack:
        ports = {kind: start(stack, kind) for kind in ("raw", "protocol", "bee")}
        client = stack.enter_context(bee_core.build_client(config(ports["bee"])))
        sleeping = stack.enter_context(bee_core.build_client(config(ports["bee"], busy_poll=0)))
        echo, echo_sleeping = client.service("echo"), sleeping.service("echo")
        calls: dict[str, Callable[[], object]] = {
            "raw": raw_call(ports["raw"]),
            "bee": lambda: echo.echo(RECORD),
            "bee_sleeping": lambda: echo_sleeping.echo(RECORD),
            "bee_async": lambda: echo.echo_async(RECORD),
            "bee_threaded": lambda: echo.echo_threaded(RECORD),
        }
        if PINNED != "no":
            pin(0, 0 if PINNED == "together" else 1)
        for call in calls.values():
            call()
        loop = uvloop.new_event_loop()
        for _ in range(rounds):
            blocking.append({name: median_seconds(call) for name, call in calls.items()})
            concurrent.append(loop.run_until_complete(concurrent_round(ports)))
        loop.close()
    bare, loaded = import_seconds("pass"), import_seconds("import bee_core")
    return {
        "blocking_median_us": {
            name: spread([round_[name] * 1e6 for round_ in blocking]) for name in blocking[0]
        },
        "blocking_over_raw": {
            name: spread([round_[name] / round_["raw"] for round_ in blocking])
            for name in blocking[0]
            if name != "raw"
        },
        "in_flight_64_per_second": {
            name: spread([round_[name] for round_ in concurrent]) for name in concurrent[0]
        },
        "in_flight_64_over_protocol": {
            name: spread([round_[name] / round_["protocol"] for round_ in concurrent])
            for name in concurrent[0]
            if name != "protocol"
        },
        "import_bee_core_ms": round((loaded - bare) * 1e3, 1),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--pin",
        choices=("apart", "together", "no"),
        default="apart",
        help="client and server on cores of their own, on one core, or as the system likes",
    )
    options = parser.parse_args()
    global PINNED  # noqa: PLW0603  # a script's option
    PINNED = options.pin
    results = measure(options.rounds)
    if options.json:
        print(json.dumps(results, indent=2))
        return
    for title, rows in results.items():
        if not isinstance(rows, dict):
            print(f"{title}: {rows}")
            continue
        print(title)
        for name, row in rows.items():
            print(f"  {name:14} {row['median']:>12} (from {row['min']} to {row['max']})")


if __name__ == "__main__":
    main()
