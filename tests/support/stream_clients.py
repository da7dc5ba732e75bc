"""A client of a stream server, played by hand, and an endpoint that keeps what it is given."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

from bee_core.contracts.memory_bound import MemoryBound
from bee_core.contracts.transport import ListenSettings
from bee_core.streams import StreamTransport
from bee_core.terms.causes import local
from bee_core.wire import fields, frames, requests
from bee_core.wire.messages import Goaway, Hello, HelloAck

MAX_BODY = 1 << 16
FIELDS = (
    requests.request_fields("add", {"tenant": "a"}, {"trace": "t"})
    + requests.time_left_field(0.5)
    + fields.field(fields.DEDUPE_KEY, b"key")
)
HELLO = frames.encode(frames.HELLO, 0, Hello("calc", "json", "gzip", max_body=99).encode())


class Running:
    def __init__(self):
        self.cancelled = asyncio.Event()

    def cancel(self):
        self.cancelled.set()


class KeepingEndpoint:
    """Admits the service ``calc`` and keeps its calls until the test answers them."""

    ack = HelloAck("calc", "1.0.0", b"epoch", MAX_BODY)
    clock = staticmethod(time.monotonic)
    draining = False

    def __init__(self):
        self.calls = []
        self.running = []

    def admit(self, hello):
        return (
            None
            if hello.service == "calc"
            else local("protocol_error", f"no service {hello.service!r} here")
        )

    def identity(self, hello):
        return None

    def begin(self, call):
        self.calls.append(call)
        self.running.append(Running())
        return self.running[-1]


class PairTransport(StreamTransport):
    """A door that the test walks through with :meth:`connect`."""

    url = "pair://a"

    def dial(self, url, timeout):
        raise NotImplementedError

    async def dial_async(self, url, factory):
        raise NotImplementedError

    async def accept(self, url, factory, backlog):
        self.factory = factory
        return self

    def close(self):
        self.factory = None

    async def connect(self):
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        _, connection = await asyncio.get_running_loop().connect_accepted_socket(
            self.factory, theirs
        )
        return Client(ours, connection)


class Client:
    """The client's end."""

    open = []  # noqa: RUF012  # emptied by each test's listener

    def __init__(self, sock, connection):
        self.open.append(sock)
        self.sock = sock
        self.connection = connection
        self.decoder = frames.FrameDecoder(1 << 24)

    async def say(self, *parts):
        await asyncio.get_running_loop().sock_sendall(self.sock, b"".join(parts))

    async def hear(self, count):
        """Wait for so many frames; the end of the stream counts as one."""
        found = []
        while len(found) < count:
            data = await asyncio.get_running_loop().sock_recv(self.sock, 1 << 16)
            found += self.decoder.feed(data) if data else ["end"]
        return found

    async def hear_goaway(self):
        """A goaway and behind it the end."""
        frame, end = await self.hear(2)
        assert (frame.kind, end) == (frames.GOAWAY, "end")
        return Goaway.parse(frame.fields)


@contextlib.asynccontextmanager
async def served(**kwargs):
    """A listener; yields its endpoint, a way to connect, and itself."""
    settings = {
        "backlog": 10,
        "max_connections": 10,
        "read_timeout": 5.0,
        "write_timeout": 5.0,
        "max_body": MAX_BODY,
        "memory": MemoryBound(64 * MAX_BODY, MAX_BODY),
    }
    endpoint, transport = KeepingEndpoint(), PairTransport()
    listener = await transport.listen("pair://a", endpoint, ListenSettings(**settings | kwargs))
    try:
        yield endpoint, transport.connect, listener
    finally:
        while Client.open:
            Client.open.pop().close()  # or the listener waits for them
        await listener.close()


def request(id_, body=b"[1,2]", block=FIELDS, **kwargs):
    return frames.encode(frames.REQUEST, id_, block, body, **kwargs)


async def greeted(connect):
    client = await connect()
    await client.say(HELLO)
    ack = (await client.hear(1))[0]
    assert (ack.kind, HelloAck.parse(ack.fields)) == (frames.HELLO_ACK, KeepingEndpoint.ack)
    return client
