"""Bodies of 1 MB beside a raw socket: ``python -m benchmarks.scale.bodies [--size BYTES]``.

One message there and back, by the blocking and by the asyncio client, as bytes with the codec
``msgpack`` and as a text with ``json``. The raw socket reads a whole message before it answers, as
a call does. Each round measures every contender in turn; ratios are taken within a round.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import time
from contextlib import ExitStack
from statistics import median
from typing import TYPE_CHECKING, Any

import uvloop

import bee_core

from .serving import client_config, read_whole, server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def raw_echo(port: int, size: int) -> Callable[[], object]:
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(size.to_bytes(8, "big"))
    message = bytes(size)
    reply = memoryview(bytearray(size))

    def call() -> object:
        sock.sendall(message)
        return read_whole(sock, reply)

    return call


def rate(call: Callable[[], object], seconds: float) -> float:
    calls, began = 0, time.perf_counter()
    while (now := time.perf_counter()) < began + seconds:
        call()
        calls += 1
    return calls / (now - began)


async def rate_async(call: Callable[[], Awaitable[object]], seconds: float, callers: int) -> float:
    calls, began = 0, time.perf_counter()

    async def work() -> None:
        nonlocal calls
        while time.perf_counter() < began + seconds:
            await call()
            calls += 1

    await asyncio.gather(*(work() for _ in range(callers)))
    return calls / (time.perf_counter() - began)


def measure(size: int, rounds: int, seconds: float) -> dict[str, Any]:
    found: list[dict[str, float]] = []
    loop = uvloop.new_event_loop()
    with ExitStack() as stack:
        port, _ = stack.enter_context(server("bee"))
        raw_port, _ = stack.enter_context(server("raw"))
        raw = raw_echo(raw_port, size)
        plain, text = bytes(size), "a" * size
        msgpack = client_config(port, codec={"name": "msgpack", "options": {"max_size": 2 * size}})
        as_json = client_config(port, codec={"name": "json", "options": {"max_size": 2 * size}})
        blocking = stack.enter_context(bee_core.build_client(msgpack)).service("echo")
        texts = stack.enter_context(bee_core.build_client(as_json)).service("echo")

        async def on_loop() -> dict[str, float]:
            async with bee_core.build_async_client(msgpack) as client:
                echo = client.service("echo")
                return {
                    f"asyncio_{callers}": await rate_async(
                        lambda: echo.echo(plain), seconds, callers
                    )
                    for callers in (1, 4)
                }

        blocking.echo(plain)
        texts.echo(text)
        for _ in range(rounds):
            one = {
                "raw": rate(raw, seconds),
                "blocking": rate(lambda: blocking.echo(plain), seconds),
                "blocking_threaded": rate(lambda: blocking.echo_threaded(plain), seconds),
                "blocking_json": rate(lambda: texts.echo(text), seconds),
            }
            found.append(one | loop.run_until_complete(on_loop()))
    loop.close()
    return {
        name: {
            "mb_per_second": round(median(one[name] for one in found) * size / 1e6, 1),
            "over_raw": round(median(one[name] / one["raw"] for one in found), 3),
            "least": round(min(one[name] / one["raw"] for one in found), 3),
            "most": round(max(one[name] / one["raw"] for one in found), 3),
        }
        for name in found[0]
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    print(json.dumps(measure(options.size, options.rounds, options.seconds), indent=2))


if __name__ == "__main__":
    main()
