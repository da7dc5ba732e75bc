"""Connect for Python, as https://connectrpc.com/docs/python/ recommends it.

uvicorn is one of the two servers that its page on deployment calls a safe bet, and the one for
``async def``. The stubs are generated, the messages are protobuf-py's with its Rust core.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from ..payloads import RECORD_SIZE, data
from .contender import Contender, field_values
from .http_json import serve_asgi

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from .contender import AsyncCall, Call, Ready

TIMEOUT = 30_000


def chosen(client: Any, size: int) -> tuple[Any, Any]:
    """The method, and what it is called with."""
    from .schemas import echo_pb

    if size == RECORD_SIZE:
        return client.echo_record, echo_pb.Record(**field_values(echo_pb.Line))
    return client.echo_data, echo_pb.Data(data=data(size))


class Connect(Contender):
    """Generated stubs over HTTP/1.1."""

    title = "connectrpc"
    setup = "generated stubs; uvicorn with uvloop and httptools; one client for all callers"
    needs = ("connectrpc", "pyqwest", "protobuf", "uvicorn", "httptools")

    def serve(self, ready: Ready) -> None:
        from .schemas import echo_connect

        class Service:
            async def echo_record(self, request: Any, ctx: Any) -> Any:
                return request

            async def echo_data(self, request: Any, ctx: Any) -> Any:
                return request

        serve_asgi(echo_connect.EchoServiceASGIApplication(Service()), ready)  # type: ignore[arg-type]

    @contextmanager
    def open(self, port: int, size: int, count: int) -> Iterator[list[Call]]:
        from .schemas import echo_connect

        with echo_connect.EchoServiceClientSync(f"http://127.0.0.1:{port}") as client:
            method, message = chosen(client, size)
            yield [lambda: method(message, timeout_ms=TIMEOUT)] * count

    @asynccontextmanager
    async def open_async(self, port: int, size: int, count: int) -> AsyncIterator[list[AsyncCall]]:
        from .schemas import echo_connect

        async with echo_connect.EchoServiceClient(f"http://127.0.0.1:{port}") as client:
            method, message = chosen(client, size)
            yield [lambda: method(message, timeout_ms=TIMEOUT)] * count
