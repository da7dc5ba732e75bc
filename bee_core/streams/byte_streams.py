"""What a byte-stream transport implements: the way to connect and the way to listen.

A channel sees a transport as a :class:`Dialer`, a listener sees it as an :class:`Accepting`.
:class:`~bee_core.streams.StreamTransport` is both.
"""

from __future__ import annotations

import errno
from abc import abstractmethod
from typing import TYPE_CHECKING, Protocol

from .client.blocking_connection import BlockingConnection
from .client.native import exchange, is_plain
from .client.native_connection import NativeConnection

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable

    from ..contracts.transport import AcceptTurns
    from .client.leaving import Owner


class Dialer(Protocol):
    """Connects to servers."""

    busy_poll: float = 0.0
    """Seconds for which a blocking call may look for its reply before it sleeps, 0 for never.
    See ``streams/client/busy_poll.py``."""

    @abstractmethod
    def dial(self, url: str, timeout: float) -> socket.socket:
        """Connect within ``timeout`` seconds. Blocks.

        Raises:
            TimeoutError: The time is over.
            OSError: The server refuses, cannot be reached, or its name is unknown.
        """

    @abstractmethod
    async def dial_async(self, url: str, factory: Callable[[], asyncio.Protocol]) -> None:
        """Connect on the running loop. ``factory``, called once, makes the connection's protocol.

        The caller bounds the time.

        Raises:
            OSError: The server refuses, cannot be reached, or its name is unknown.
        """

    def connection(self, owner: Owner, sock: socket.socket) -> BlockingConnection:
        """The blocking connection around a socket that ``dial`` made.

        Override it where a poll of the socket does not tell whether there is something to read.
        """
        if exchange is not None and owner.settings.attended and is_plain(sock):
            return NativeConnection(owner, sock, exchange)
        return BlockingConnection(owner, sock)

    def explained(self, error: Exception) -> Exception:
        """The meaning of an error that ended an asyncio connection.

        Return a :class:`~bee_core.interfaces.HandshakeError` where the server rejected this client.
        """
        return error


class Acceptor(Protocol):
    """An open address of a server. New connections come in until it is closed.

    One that holds descriptors may define ``descriptors()``, which lists them: a forked child lets
    go of them.
    """

    url: str
    """With the real port."""

    def close(self) -> None:
        """Accept no more connections. Open connections stay."""


class Accepting(Protocol):
    """Listens for clients."""

    @abstractmethod
    async def accept(
        self,
        url: str,
        factory: Callable[[], asyncio.Protocol],
        backlog: int,
        sock: socket.socket | None = None,
        turns: AcceptTurns | None = None,
    ) -> Acceptor:
        """Listen on the running loop.

        Args:
            url: The address.
            factory: Makes the protocol of each connection.
            backlog: Connections that may wait to be accepted.
            sock: The socket that ``bind`` made for this url, perhaps in the parent process. The
                acceptor closes this process's copy; ``release`` takes the address away. It is not
                passed when there is none: then bind here.
            turns: Passed with a socket that several processes share; see
                :class:`~bee_core.streams.AcceptLoop`, which takes them.

        Raises:
            OSError: The address is in use, or is not an address of this machine.
        """

    def bind(self, url: str, backlog: int) -> socket.socket:
        """Make a listening socket that forked processes share. Called before any loop runs.

        Optional: a transport that cannot share an address does not override it.

        Raises:
            OSError: The address is in use, is not an address of this machine, or cannot be shared.
        """
        raise OSError(
            errno.EOPNOTSUPP,
            f"{url} cannot be shared by several processes; set workers: 1, or listen on tcp://,"
            " tls:// or unix://",
        )

    def release(self, sock: socket.socket) -> None:
        """Close a socket that ``bind`` made and take its address away, in the process that made it.

        Other processes may still serve the clients that are connected.
        """
        sock.close()

    def check_listening(self, url: str) -> None:
        """Check that a server can listen on ``url`` with these options. Called before it starts.

        Raises:
            ValueError: It cannot; the message says which option is missing.
        """
