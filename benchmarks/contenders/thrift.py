"""thriftpy2, as its quick start has it: ``make_server`` and ``make_client`` with their defaults.

On CPython these are its threaded server, and its binary protocol and buffered transport in Cython;
thriftpy2's own benchmarks call them the fastest. A connection is for one caller at a time.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..payloads import RECORD_SIZE, data
from .contender import Contender, field_values, free_port, when_open

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from .contender import AsyncCall, Call, Ready

TIMEOUT = 30_000


def schema() -> Any:
    """The module that thriftpy2 makes of the schema."""
    import thriftpy2

    path = Path(__file__).parent / "schemas" / "echo.thrift"
    return thriftpy2.load(str(path), module_name="echo_thrift")


def argument(size: int) -> Any:
    """What is sent."""
    module = schema()
    if size == RECORD_SIZE:
        return module.Record(**field_values(module.Line))
    return data(size)


def bound(client: Any, size: int) -> Call:
    """A call of one connection."""
    value = argument(size)
    method = client.echo_record if size == RECORD_SIZE else client.echo_data
    return lambda: method(value)


class Thrift(Contender):
    """Threads at both ends."""

    title = "thriftpy2"
    setup = "threaded server, Cython binary protocol and buffered transport; a connection a thread"
    needs = ("thriftpy2",)

    def serve(self, ready: Ready) -> None:
        from thriftpy2.rpc import make_server

        class Echo:
            def echo_record(self, record: Any) -> Any:
                return record

            def echo_data(self, data: bytes) -> bytes:
                return data

        port = free_port()
        server = make_server(schema().Echo, Echo(), "127.0.0.1", port, client_timeout=TIMEOUT)
        when_open(port, ready)
        server.serve()

    @contextmanager
    def open(self, port: int, size: int, count: int) -> Iterator[list[Call]]:
        from thriftpy2.rpc import make_client

        with ExitStack() as stack:
            clients = []
            for _ in range(count):
                client = make_client(schema().Echo, "127.0.0.1", port, timeout=TIMEOUT)
                stack.callback(client.close)
                clients.append(client)
            yield [bound(client, size) for client in clients]


class ThriftAio(Contender):
    """asyncio at both ends."""

    title = "thriftpy2 aio"
    setup = "`make_aio_server` and `make_aio_client` with their defaults; a connection a task"
    needs = ("thriftpy2",)

    def serve(self, ready: Ready) -> None:
        import uvloop
        from thriftpy2.rpc import make_aio_server

        class Echo:
            async def echo_record(self, record: Any) -> Any:
                return record

            async def echo_data(self, data: bytes) -> bytes:
                return data

        uvloop.install()
        loop = uvloop.new_event_loop()
        asyncio.set_event_loop(loop)
        port = free_port()
        server = make_aio_server(
            schema().Echo, Echo(), "127.0.0.1", port, client_timeout=TIMEOUT, loop=loop
        )
        when_open(port, ready)
        server.serve()

    @asynccontextmanager
    async def open_async(self, port: int, size: int, count: int) -> AsyncIterator[list[AsyncCall]]:
        from thriftpy2.rpc import make_aio_client

        clients = [
            await make_aio_client(schema().Echo, "127.0.0.1", port, timeout=TIMEOUT)
            for _ in range(count)
        ]
        yield [bound(client, size) for client in clients]  # type: ignore[misc]
        for client in clients:
            client.close()
