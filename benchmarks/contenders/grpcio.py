"""grpcio, as its quick start and its page on performance recommend.

https://grpc.io/docs/languages/python/quickstart/ and https://grpc.io/docs/guides/performance/: one
channel for all callers, a thread pool at the server; or asyncio at both ends, which that page says
is the faster. Messages are Google's protobuf with its C core.
"""

from __future__ import annotations

import asyncio
from concurrent import futures
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from ..payloads import RECORD_SIZE, data
from .contender import Contender, field_values

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from .contender import AsyncCall, Call, Ready

OPTIONS = [("grpc.max_receive_message_length", 1 << 23), ("grpc.max_send_message_length", 1 << 23)]
SERVICE = "bee.benchmarks.Echo"
THREADS = 64


def messages() -> tuple[Any, Any]:
    """The classes of a record and of bytes."""
    from google.protobuf.wrappers_pb2 import BytesValue

    from .. import record_pb2

    return record_pb2.Record, BytesValue


def generic_handlers(echo: Any) -> Any:
    """What the code that is generated for a service registers."""
    import grpc

    record, bytes_value = messages()
    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            name: grpc.unary_unary_rpc_method_handler(
                echo, type_.FromString, type_.SerializeToString
            )
            for name, type_ in (("EchoRecord", record), ("EchoData", bytes_value))
        },
    )


def stub(channel: Any, size: int) -> tuple[Any, Any]:
    """The method of the generated stub, and what it is called with."""
    from .. import record_pb2

    record, bytes_value = messages()
    if size == RECORD_SIZE:
        name, message = "EchoRecord", record(**field_values(record_pb2.Line))
    else:
        name, message = "EchoData", bytes_value(value=data(size))
    method = channel.unary_unary(
        f"/{SERVICE}/{name}", type(message).SerializeToString, type(message).FromString
    )
    return method, message


class Grpcio(Contender):
    """Threads at both ends."""

    title = "grpcio"
    setup = f"`grpc.server` with {THREADS} threads; one channel for all threads"
    needs = ("grpc", "google.protobuf")

    def serve(self, ready: Ready) -> None:
        import grpc

        def echo(message: Any, context: Any) -> Any:
            return message

        server = grpc.server(futures.ThreadPoolExecutor(max_workers=THREADS), options=OPTIONS)
        server.add_generic_rpc_handlers((generic_handlers(echo),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        ready(port)
        server.wait_for_termination()

    @contextmanager
    def open(self, port: int, size: int, count: int) -> Iterator[list[Call]]:
        import grpc

        with grpc.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS) as channel:
            method, message = stub(channel, size)
            yield [lambda: method(message, timeout=30)] * count


class GrpcAio(Contender):
    """asyncio at both ends."""

    title = "grpc.aio"
    setup = "`grpc.aio.server`; one channel"
    needs = ("grpc", "google.protobuf")
    uvloop = False

    def serve(self, ready: Ready) -> None:
        import grpc

        async def echo(message: Any, context: Any) -> Any:
            return message

        async def main() -> None:
            server = grpc.aio.server(options=OPTIONS)
            server.add_generic_rpc_handlers((generic_handlers(echo),))
            port = server.add_insecure_port("127.0.0.1:0")
            await server.start()
            ready(port)
            await server.wait_for_termination()

        asyncio.run(main())

    @asynccontextmanager
    async def open_async(self, port: int, size: int, count: int) -> AsyncIterator[list[AsyncCall]]:
        import grpc

        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS) as channel:
            method, message = stub(channel, size)

            async def call() -> Any:
                return await method(message, timeout=30)

            yield [call] * count
