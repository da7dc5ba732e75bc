"""What runs under valgrind: ``python -m benchmarks.instructions.programs PROGRAM [PORT FEW MANY]``.

``picks NAME FEW MANY`` has no client and no server: a balancer picks among :data:`NODES` nodes.

A client makes some calls, marks, makes more calls, marks, and ends. A server prints its port,
marks when it reads a line, and ends when its input ends. All of bee's governance is on, as for the
other benchmarks; a lone thread does not poll.

A mark is a child that ends at once: valgrind says at the end of each process how many instructions
it has run, and a child begins with its parent's number. So starting and importing, which is most of
the work, is done once.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import warnings
from typing import TYPE_CHECKING, Any

import uvloop

from ..contenders.bee import Bee, handlers
from ..contenders.floors import BareProtocol, BareProtocolBlocking
from ..payloads import RECORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable

IN_FLIGHT = 64
OBSERVERS = "BEE_BENCHMARK_OBSERVERS"
"""A variable of the environment: names of observers with commas between them, or a list in JSON, as
the configuration has it."""
BALANCER = "BEE_BENCHMARK_BALANCER"
"""Likewise: the balancer of the client; empty for that of all benchmarks."""
NODES = 20
"""Nodes that ``picks`` has. A client under valgrind has one."""
RECORDER = "recorder"
"""Stands for the flight recorder, which is no plugin. It is off unless it is named: which calls are
among the slowest depends on the clock."""


def named() -> list[Any]:
    """What is to be measured."""
    text = os.environ.get(OBSERVERS, "")
    return json.loads(text) if text.startswith("[") else [name for name in text.split(",") if name]


def application() -> dict[str, Any]:
    """The section ``bee.application``."""
    return {"recorder": RECORDER in named()}


def observers() -> list[Any]:
    """The observers that are to be measured, with what they need."""
    if "opentelemetry" in os.environ.get(OBSERVERS, ""):
        use_sdk()
    return [one for one in named() if one != RECORDER]


def use_sdk() -> None:
    """Set up OpenTelemetry as programs do, with spans in batches. They go nowhere.

    The variable ``OTEL_TRACES_SAMPLER`` decides which calls are traced, as in any program.
    """
    from opentelemetry import metrics, trace
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import (
        BatchSpanProcessor,
        SpanExporter,
        SpanExportResult,
    )

    class Nowhere(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([InMemoryMetricReader()]))


def bee() -> Any:
    """bee, and nobody polls: how often would depend on the clock."""
    service: dict[str, Any] = {"observers": observers() or None}
    if name := os.environ.get(BALANCER):
        service["balancer"] = balancer_named(name)
    return Bee(transport={"busy_poll": 0}, service=service, application=application())


def balancer_named(name: str) -> Any:
    """A balancer as the configuration names it, with the options that it must have."""
    needed = {"subset": {"size": 10, "client": "one"}, "zone": {"zone": "a"}}
    return {"name": name, "options": needed.get(name, {})}


def pick_often(name: str, parts: tuple[int, ...]) -> None:
    """Pick and settle, as a client does for calls that succeed; a mark behind each part."""
    from random import Random

    from bee_core.config import PluginRef
    from bee_core.contracts.balancer_parts import wants_method
    from bee_core.interfaces import Load, Node, Success
    from bee_core.plugins.hub import PluginHub

    given = balancer_named(name)
    balancer: Any = PluginHub().create(PluginRef(name, given["options"]), "balancer")
    balancer.update(
        [Node(f"n{number}", f"tcp://10.0.0.{number}:1", zone="a") for number in range(NODES)]
    )
    rng, now = Random(1), 0.0  # noqa: S311  # repeatable is the point
    answer = Success(b"", load=Load(1, 0.0))
    more = ("echo",) if wants_method(balancer) else ()
    settle = balancer.settle
    for calls in parts:
        for _ in range(calls):
            now += 0.001
            node = balancer.pick("key", (), now, rng)
            if settle is not None:
                settle(node, answer, 0.001, now, *more)
        mark()


def mark() -> None:
    """Have valgrind say the number of instructions so far."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def call_blocking(contender: Any, port: int, parts: tuple[int, ...]) -> None:
    """One after the other; a mark behind each part."""
    with contender.open(port, RECORD_SIZE, 1) as (call,):
        for calls in parts:
            for _ in range(calls):
                call()
            mark()


def call_asyncio(contender: Any, port: int, parts: tuple[int, ...]) -> None:
    """``IN_FLIGHT`` at a time: all go on together, since their answers come together."""

    async def main() -> None:
        async with contender.open_async(port, RECORD_SIZE, IN_FLIGHT) as functions:

            async def work(call: Any, calls: int) -> None:
                for _ in range(calls // IN_FLIGHT):
                    await call()

            for calls in parts:
                await asyncio.gather(*(work(call, calls) for call in functions))
                mark()

    uvloop.run(main())


def serve_bee() -> None:
    """bee's server with an ``async def`` handler."""
    import bee_core

    settings: dict[str, Any] = {"name": "echo", "version": "1.0.0", "address": "127.0.0.1:0"}
    settings["observers"] = observers()
    server = bee_core.build_server(
        {"bee": {"application": application(), "rpc": {"server": settings}}}
    )
    server.add(handlers())

    async def main() -> None:
        async with server:
            print(server.address.rpartition(":")[2], flush=True)
            await asyncio.Event().wait()

    uvloop.run(main())


def serve_bare() -> None:
    """The bare protocol's server."""
    BareProtocol().serve(lambda port: print(port, flush=True))


CLIENTS: dict[str, tuple[Callable[[Any, int, tuple[int, ...]], None], Callable[[], Any]]] = {
    "blocking": (call_blocking, bee),
    "bare-blocking": (call_blocking, BareProtocolBlocking),
    "asyncio": (call_asyncio, bee),
    "bare-asyncio": (call_asyncio, BareProtocol),
}
SERVERS: dict[str, Callable[[], None]] = {"server": serve_bee, "bare-server": serve_bare}


def mark_when_told() -> None:
    """Mark for each line of the input, and say so; end when the input ends."""
    for _ in sys.stdin:
        mark()
        print("marked", flush=True)
    os._exit(0)


def main() -> None:
    """See the module."""
    warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads that only ends
    name, *rest = sys.argv[1:]
    if name == "picks":
        pick_often(rest[0], (int(rest[1]), int(rest[2])))
        os._exit(0)
    if name in CLIENTS:
        call, new = CLIENTS[name]
        port, *parts = map(int, rest)
        call(new(), port, tuple(parts))
        os._exit(0)  # what a loop does to end is nobody's business here
    threading.Thread(target=mark_when_told, daemon=True).start()
    SERVERS[name]()


if __name__ == "__main__":
    main()
