"""What no framework can beat: sockets and frames with nothing around them."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from bee_core.wire import frames, protocol
from bee_core.wire.requests import request_fields, time_left_field

from ..payloads import RECORD, RECORD_SIZE, data
from .contender import Contender

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from .contender import AsyncCall, Call, Ready

CHUNK = 1 << 18
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_FIELDS = request_fields("echo") + time_left_field(30)


def request(id_: int, body: bytes) -> bytes:
    """A request of bee's wire with a method and a time left."""
    return frames.encode(frames.REQUEST, id_, _FIELDS, body)


def message(size: int) -> bytes:
    """As many bytes as bee's request has."""
    return request(1, _encode([RECORD]) if size == RECORD_SIZE else data(size))


def connected(port: int) -> socket.socket:
    """A socket that sends at once."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def serve_threads(ready: Ready, handle: Any) -> None:
    """A thread for each connection."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    ready(listener.getsockname()[1])
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=handle, args=(connection,), daemon=True).start()


def serve_protocol(ready: Ready, factory: Any) -> None:
    """A protocol of asyncio on uvloop."""
    import uvloop

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(
            factory, "127.0.0.1", 0, backlog=512
        )
        ready(server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()

    uvloop.run(main())


class RawSocket(Contender):
    """The least that a round trip of two sleeping threads can cost."""

    title = "raw socket"
    setup = "blocking sockets, a thread for each connection, no framing; both ends sleep"

    def serve(self, ready: Ready) -> None:
        def handle(connection: socket.socket) -> None:
            while received := connection.recv(CHUNK):
                connection.sendall(received)

        serve_threads(ready, handle)

    @contextmanager
    def open(self, port: int, size: int, count: int) -> Iterator[list[Call]]:
        sent = message(size)

        def bind(sock: socket.socket) -> Call:
            buffer = bytearray(len(sent))
            # A part is sent while the answer to the one before comes back, so no buffer fills.
            parts = [sent[at : at + CHUNK] for at in range(0, len(sent), CHUNK)]

            def call() -> None:
                missing = 0
                for part in parts:
                    sock.sendall(part)
                    missing += len(part)
                    while missing > CHUNK:
                        missing -= sock.recv_into(buffer)
                while missing:
                    missing -= sock.recv_into(buffer)

            return call

        with ExitStack() as stack:
            yield [bind(stack.enter_context(connected(port))) for _ in range(count)]


class Echoing(asyncio.Protocol):
    """Sends back what comes."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, received: bytes) -> None:
        self.transport.write(received)


class Returning(asyncio.Protocol):
    """Counts the bytes of answers that are all of one size, and wakes the callers in turn."""

    def __init__(self, sent: bytes) -> None:
        self.sent = sent
        self.received = 0
        self.waiting: list[asyncio.Future[None]] = []
        self.loop = asyncio.get_running_loop()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, received: bytes) -> None:
        self.received += len(received)
        done, self.received = divmod(self.received, len(self.sent))
        for waiter in self.waiting[:done]:
            waiter.set_result(None)
        del self.waiting[:done]

    async def call(self) -> None:
        waiter = self.loop.create_future()
        self.waiting.append(waiter)
        self.transport.write(self.sent)
        await waiter


class UvloopEcho(Contender):
    """The least that a round trip on an event loop can cost."""

    title = "uvloop echo"
    setup = "protocols of asyncio on uvloop at both ends, one connection, no framing"

    def serve(self, ready: Ready) -> None:
        serve_protocol(ready, Echoing)

    @asynccontextmanager
    async def open_async(self, port: int, size: int, count: int) -> AsyncIterator[list[AsyncCall]]:
        sent = message(size)
        transport, client = await asyncio.get_running_loop().create_connection(
            lambda: Returning(sent), "127.0.0.1", port
        )
        yield [client.call] * count
        transport.close()


def answer(frame: frames.Frame, size_is_record: bool) -> bytes:
    """What the bare protocol's server does with a request."""
    body = frame.body
    if size_is_record:
        (record,) = _decode(body)
        body = _encode(record)
    return protocol.response(frame.id, body, compressed=False)


class BareServer(asyncio.Protocol):
    """Frames and msgspec, and nothing else: no limits, no deadlines, no dispatch by name."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.decoder = frames.FrameDecoder(1 << 21)

    def data_received(self, received: bytes) -> None:
        out = [
            answer(frame, len(frame.body) < 2 * RECORD_SIZE)
            for frame in self.decoder.feed(received)
        ]
        self.transport.write(b"".join(out))


class BareClient(asyncio.Protocol):
    """Ids, futures, frames, msgspec."""

    def __init__(self) -> None:
        self.decoder = frames.FrameDecoder(1 << 21)
        self.waiting: dict[int, asyncio.Future[Any]] = {}
        self.last = 0
        self.loop = asyncio.get_running_loop()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, received: bytes) -> None:
        for frame in self.decoder.feed(received):
            self.waiting.pop(frame.id).set_result(frame.body)

    async def send(self, body: bytes) -> bytes:
        self.last = id_ = self.last + 1
        reply = self.waiting[id_] = self.loop.create_future()
        self.transport.write(request(id_, body))
        return await reply

    async def call(self) -> object:
        return _decode(await self.send(_encode([RECORD])))


class BareProtocol(Contender):
    """bee's frames and msgspec on uvloop, with no governance at all."""

    title = "bare protocol"
    setup = "bee's frames and msgspec on uvloop, one connection; nothing that governs calls"

    def serve(self, ready: Ready) -> None:
        serve_protocol(ready, BareServer)

    @asynccontextmanager
    async def open_async(self, port: int, size: int, count: int) -> AsyncIterator[list[AsyncCall]]:
        transport, client = await asyncio.get_running_loop().create_connection(
            BareClient, "127.0.0.1", port
        )
        body = data(size)

        async def send() -> bytes:
            return await client.send(body)

        yield [client.call if size == RECORD_SIZE else send] * count
        transport.close()


class BareProtocolBlocking(BareProtocol):
    """The same frames from blocking sockets: one ``send`` and one ``recv`` a call."""

    title = "bare protocol, 2 system calls"
    setup = "the same server; a blocking socket for each thread, one send and one recv a call"
    open_async = None  # type: ignore[assignment]

    def runs(self, kind: str) -> bool:
        return kind == "blocking"

    @contextmanager
    def open(self, port: int, size: int, count: int) -> Iterator[list[Call]]:
        body = data(size)

        def bind(sock: socket.socket) -> Call:
            decoder = frames.FrameDecoder(1 << 21)
            last = 0

            def send(body: bytes) -> bytes:
                nonlocal last
                last += 1
                sock.sendall(request(last, body))
                while True:
                    for frame in decoder.feed(sock.recv(CHUNK)):
                        return frame.body

            if size == RECORD_SIZE:
                return lambda: _decode(send(_encode([RECORD])))
            return lambda: send(body)

        with ExitStack() as stack:
            yield [bind(stack.enter_context(connected(port))) for _ in range(count)]
