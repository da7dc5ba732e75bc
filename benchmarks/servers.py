"""The servers, each in its own process: ``python -m benchmarks.servers raw|protocol|bee``.

A server prints its port, and ends when its input ends.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
from typing import Any

import msgspec
import uvloop

import bee_core
from bee_core.wire import frames, protocol


def raw() -> None:
    """Send back whatever comes, on a blocking socket: the least that a round trip can cost."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := connection.recv(65536):
            connection.sendall(data)


class BareConnection(asyncio.Protocol):
    """bee's frames and msgspec, and nothing else: no limits, no deadlines, no dispatch by name."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self.transport: Any = transport
        self.decoder = frames.FrameDecoder(1 << 21)

    def data_received(self, data: bytes) -> None:
        """Decode, call, encode, answer."""
        out = []
        for frame in self.decoder.feed(data):
            (record,) = _decode(frame.body)
            out.append(protocol.response(frame.id, _encode(record), compressed=False))
        self.transport.write(b"".join(out))


_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def bare() -> None:
    """The protocol without governance, on uvloop."""

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(BareConnection, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Event().wait()

    loop = uvloop.new_event_loop()
    loop.run_until_complete(main())


class Echo:
    """The same handler in the three kinds."""

    @bee_core.nonblocking
    def echo(self, record: dict[str, Any]) -> dict[str, Any]:
        """On the loop."""
        return record

    async def echo_async(self, record: dict[str, Any]) -> dict[str, Any]:
        """A task."""
        return record

    def echo_threaded(self, record: dict[str, Any]) -> dict[str, Any]:
        """On a thread."""
        return record


def bee() -> None:
    """bee as it is."""
    server = bee_core.build_server(
        {"bee": {"rpc": {"server": {"name": "echo", "version": "1.0.0", "address": "127.0.0.1:0"}}}}
    )
    server.add(Echo())

    async def main() -> None:
        await server.start()
        print(server.address.rpartition(":")[2], flush=True)
        await asyncio.Event().wait()

    loop = uvloop.new_event_loop()
    loop.run_until_complete(main())


def _leave_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    {"raw": raw, "protocol": bare, "bee": bee}[sys.argv[1]]()
