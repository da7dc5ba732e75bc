"""pycapnp, as its documentation has it since 2.0: asyncio with ``capnp.kj_loop`` at both ends.

It has no blocking client, so it takes no part in the loads of threads.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..payloads import RECORD, RECORD_SIZE, data
from .contender import Contender, free_port, when_open

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .contender import AsyncCall, Ready


def schema() -> Any:
    """The module that pycapnp makes of the schema."""
    import capnp

    capnp.remove_import_hook()
    return capnp.load(str(Path(__file__).parent / "schemas" / "echo.capnp"))


class Capnp(Contender):
    """asyncio at both ends."""

    title = "pycapnp"
    setup = "`TwoPartyServer` and `TwoPartyClient` on asyncio; one connection for all tasks"
    needs = ("capnp",)
    uvloop = False

    def serve(self, ready: Ready) -> None:
        import capnp

        class Echo(schema().Echo.Server):  # type: ignore[misc,name-defined]
            async def echoRecord(self, record: Any, **_: Any) -> Any:  # noqa: N802  # the schema's name
                return record

            async def echoData(self, data: Any, **_: Any) -> Any:  # noqa: N802  # the schema's name
                return data

        async def connected(stream: Any) -> None:
            await capnp.TwoPartyServer(stream, bootstrap=Echo()).on_disconnect()

        async def main() -> None:
            port = free_port()
            server = await capnp.AsyncIoStream.create_server(connected, "127.0.0.1", port)
            when_open(port, ready)
            async with server:
                await server.serve_forever()

        asyncio.run(capnp.run(main()))

    @asynccontextmanager
    async def open_async(self, port: int, size: int, count: int) -> AsyncIterator[list[AsyncCall]]:
        import capnp

        module = schema()
        async with capnp.kj_loop():
            stream = await capnp.AsyncIoStream.create_connection(host="127.0.0.1", port=port)
            echo = capnp.TwoPartyClient(stream).bootstrap().cast_as(module.Echo)
            record = module.Record.new_message(**RECORD)
            body = data(size)

            async def call() -> Any:
                return (await echo.echoRecord(record)).record

            async def call_data() -> Any:
                return (await echo.echoData(body)).data

            yield [call if size == RECORD_SIZE else call_data] * count
