"""What ``tcp`` and ``unix`` accept connections with. Imported when a server listens."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from bee_core.streams import AcceptLoop

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from bee_core.interfaces import AcceptTurns


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
