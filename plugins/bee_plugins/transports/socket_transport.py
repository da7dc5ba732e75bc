"""What the transports ``tcp`` and ``unix`` share: their options and what they do with sockets."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import attrs

from bee_core.options import Seconds, validator
from bee_core.streams import BUSY_POLL_WINDOW, AcceptLoop, StreamTransport

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

    from bee_core.interfaces import AcceptTurns

LONGEST = 0.01
"""Seconds: the largest window. A thread that looks for longer only wastes the processor."""


@attrs.frozen
class SocketOptions:
    """Options of ``tcp`` and ``unix``. Only clients use them.

    Attributes:
        busy_poll: Seconds. A blocking call looks for its reply for so long before it sleeps, if its
            thread calls alone and replies come that fast. 0 turns it off. It costs about as much of
            the processor as waking up does, and halves the time of a fast call.
    """

    busy_poll: Seconds = attrs.field(
        default=BUSY_POLL_WINDOW,
        validator=validator(
            lambda value: (
                "" if 0 <= value <= LONGEST else f"0 for none, or a window of at most {LONGEST:g} s"
            )
        ),
    )


class SocketTransport(StreamTransport):
    """A transport whose plain sockets may be polled for a reply."""

    def __init__(self, options: SocketOptions | None = None) -> None:
        self.busy_poll = (options or SocketOptions()).busy_poll


@contextmanager
def closed_on_error(sock: socket.socket) -> Iterator[None]:
    """Close the socket if the block raises."""
    try:
        yield
    except BaseException:
        sock.close()
        raise


class SharedAcceptor(AcceptLoop):
    """Accepts on a socket that several processes share, in turns with them.

    Args:
        sock: The listening socket.
        url: With the real port.
        factory: Makes the protocol of a connection.
        turns: Whose turn it is.
    """

    def __init__(
        self,
        sock: socket.socket,
        url: str,
        factory: Callable[[], asyncio.Protocol],
        turns: AcceptTurns,
    ) -> None:
        self._factory = factory
        self._begun: set[asyncio.Task[Any]] = set()
        super().__init__(sock, url, self._begin, turns)

    def _begin(self, sock: socket.socket, _: Any) -> None:
        if sock.family != getattr(socket, "AF_UNIX", None):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begun = self._loop.create_task(self._loop.connect_accepted_socket(self._factory, sock))
        self._begun.add(begun)
        begun.add_done_callback(self._begun.discard)


class SocketAcceptor:
    """A listening asyncio server under its url.

    Args:
        server: The server that asyncio made.
        url: With the real port.
        cleanup: Called once, after the server has stopped listening.
    """

    def __init__(
        self, server: asyncio.AbstractServer, url: str, cleanup: Callable[[], None] | None = None
    ) -> None:
        self.url = url
        self._server = server
        self._cleanup = cleanup

    def descriptors(self) -> list[int]:
        """Those that listen."""
        return [sock.fileno() for sock in getattr(self._server, "sockets", ())]

    def close(self) -> None:
        """Stop listening; open connections stay. Idempotent."""
        self._server.close()
        cleanup, self._cleanup = self._cleanup, None
        if cleanup is not None:
            cleanup()
