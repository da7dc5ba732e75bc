"""A process with traced services: ``traced_program.py SERVICES``.

SERVICES is JSON, a list of ``[name, kind, address, next]``: ``next`` is the name and the address of
the service that its handler calls, or null. It says ``ready``, serves until its input ends, and
then prints its spans, one a line.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import bee_core

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.telemetry import as_line


def config(**rpc):
    return {"bee": {"application": {"observers": "opentelemetry"}, "rpc": rpc}}


class Last:
    @bee_core.nonblocking
    def go(self, number: int) -> int:
        return number


class Blocking:
    def __init__(self, client, name):
        self.client, self.name = client, name

    def go(self, number: int) -> int:
        return self.client.service(self.name).go(number) + 1


class Async:
    def __init__(self, settings, name):
        self.settings, self.name = settings, name

    async def go(self, number: int) -> int:
        async with bee_core.build_async_client(self.settings) as client:
            return await client.service(self.name).go(number) + 1


def main():
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    with contextlib.ExitStack() as stack:
        for name, kind, address, following in json.loads(sys.argv[1]):
            server = bee_core.build_server(config(server={"name": name, "address": address}))
            if following is None:
                server.add(Last())
            else:
                settings = config(client={following[0]: {"address": following[1]}})
                if kind == "async":
                    server.add(Async(settings, following[0]))
                else:
                    client = stack.enter_context(bee_core.build_client(settings))
                    server.add(Blocking(client, following[0]))
            stack.enter_context(server.in_thread())
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.read()
    for span in exporter.get_finished_spans():
        sys.stdout.write(f"{as_line(span)}\n")


if __name__ == "__main__":
    main()
