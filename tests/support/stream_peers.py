"""The other end of a stream channel, played by hand: what a server says, and its socket."""

from __future__ import annotations

import asyncio
import functools
import socket
import time

import pytest

from bee_core.contracts.transport import ChannelSettings
from bee_core.streams import StreamTransport, byte_streams
from bee_core.streams.client import native
from bee_core.terms.failures import Failure
from bee_core.terms.node import Node
from bee_core.terms.request import Request, RequestHead
from bee_core.wire import frames, messages, protocol
from bee_core.wire.messages import Goaway, HelloAck

MAX_BODY = 4096
HEAD = RequestHead("calc", "add")
ONEWAY_HEAD = RequestHead("calc", "log", oneway=True)
BOOM = Failure("remote_error", "boom", "yes", "never", "none", error_type="ValueError")


def run(test):
    """Run an async test, and let nothing of it live on."""

    @functools.wraps(test)
    def wrapper(*args, **kwargs):
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 10))

    return wrapper


async def until(condition):
    """Let the loop go round until it has done what the test waits for."""
    # The change is inside the code under test, which sets no event.
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0)


def ack(max_body=None):
    return frames.encode(frames.HELLO_ACK, 0, HelloAck("calc", "1.0.0", b"e", max_body).encode())


def response(id_, body=b"3", **kwargs):
    return protocol.response(id_, body, compressed=kwargs.get("compressed", False))


def error(id_, failure=BOOM):
    return frames.encode(frames.ERROR, id_, messages.error_fields(failure))


def goaway(last_id, kind="unavailable"):
    return frames.encode(frames.GOAWAY, 0, Goaway(last_id, kind, "go away").encode())


def request(
    body=b"[1,2]", *, timeout=50.0, read_timeout=5.0, write_timeout=5.0, connect_timeout=5.0
):
    return Request(
        HEAD,
        0,
        body,
        False,
        time.monotonic() + timeout,
        connect_timeout,
        write_timeout,
        read_timeout,
    )


def oneway(*, timeout=50.0, connect_timeout=5.0, write_timeout=5.0, body=b'["x"]'):
    return Request(
        ONEWAY_HEAD,
        0,
        body,
        False,
        time.monotonic() + timeout,
        connect_timeout,
        write_timeout,
        5.0,
    )


PATHS = ["pure", "native"]
"""Of a blocking channel; see :func:`on_path`."""


def on_path(path, monkeypatch):
    """Let the channels of a test take a path, whether or not they are attended.

    The native step then looks for a reply, and leaves each wait to Python: a test starts a request,
    lets the peer speak, and waits.
    """
    if path == "pure":
        monkeypatch.setattr(byte_streams, "exchange", None)
    elif native.exchange is None:
        pytest.skip("bee is installed without the native exchange")
    else:
        monkeypatch.setattr(Request, "moment", 0)
    monkeypatch.setitem(ALWAYS, "attended", path == "native")


ALWAYS = {}
"""Settings of each channel under test."""


def channel_settings(**kwargs):
    """The settings of a channel under test."""
    settings = {
        "service": "calc",
        "codec": "json",
        "compressor": None,
        "max_body": MAX_BODY,
        "clock": time.monotonic,
    }
    return ChannelSettings(**settings | ALWAYS | kwargs)


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.setblocking(False)
        self.decoder = frames.FrameDecoder(1 << 24)

    def heard(self):
        """The frames that have come so far."""
        found = []
        while True:
            try:
                data = self.sock.recv(1 << 16)
            except BlockingIOError:
                return found
            except ConnectionResetError:  # the end as well: it was closed with something unread
                data = b""
            if not data:
                return [*found, "end"]
            found += self.decoder.feed(data)

    def say(self, *parts):
        self.sock.sendall(b"".join(parts))


class PairTransport(StreamTransport):
    """Each dial makes a socket pair; ``greet`` is what a new peer says at once."""

    def __init__(self, greet=b""):
        self.peers = []
        self.dialed = []
        self.greet = greet
        self.error = None

    def dial(self, url, timeout):
        if self.error is not None:
            raise self.error
        ours, theirs = socket.socketpair()
        self.peers.append(Peer(ours))
        self.peers[-1].say(self.greet)
        self.dialed.append(theirs)
        return theirs

    async def dial_async(self, url, factory):
        raise NotImplementedError

    async def accept(self, url, factory, backlog):
        raise NotImplementedError


def channel_on(transport, **kwargs):
    return transport.channel(Node("a", "pair://a"), channel_settings(**kwargs))
