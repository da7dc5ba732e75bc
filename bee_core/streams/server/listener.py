"""An open address of a server with its connections: limits, time limits, drain."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ...wire import frames
from ...wire.messages import Goaway
from ...wire.requests import RequestParser
from .connection import LEAVING, ServedConnection

if TYPE_CHECKING:
    import socket

    from ...contracts.transport import Endpoint, ListenSettings
    from ..byte_streams import Accepting, Acceptor

_REFUSAL_SECONDS = 1.0
"""How long the input of a refused connection is read and thrown away. Closing at once would send a
reset, and a reset destroys the refusal in the client's buffer."""
_LINGER_SECONDS = 0.5
"""How long closing waits until clients have taken the last replies and closed their half. Many will
not: an idle blocking client does not look at its sockets."""


class StreamListener:
    """One open address with its connections; see :class:`bee_core.interfaces.Listener`."""

    def __init__(self, endpoint: Endpoint, settings: ListenSettings) -> None:
        self.endpoint = endpoint
        self.settings = settings
        self.loop = asyncio.get_running_loop()
        self.parser = RequestParser()
        self.draining = False
        self.closing = False
        self.url = ""
        self._acceptor: Acceptor | None = None
        self._connections: set[ServedConnection] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._gone = asyncio.Event()

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._connections)

    async def open(self, transport: Accepting, url: str, sock: socket.socket | None = None) -> None:
        """Begin to accept, on a socket that listens already or on a new one."""
        shared = {} if sock is None else {"sock": sock}
        self._opened(await transport.accept(url, self.connection, self.settings.backlog, **shared))

    def connection(self) -> ServedConnection:
        """The protocol of a new connection."""
        return ServedConnection(self)

    def _opened(self, acceptor: Acceptor) -> None:
        self._acceptor = acceptor
        self.url = acceptor.url

    def add(self, connection: ServedConnection) -> None:
        """Count a connection in, and refuse it if it is one too many."""
        count, most = len(self._connections), self.settings.max_connections
        self._connections.add(connection)
        self._gone.clear()
        self.sweep_soon()
        if self.draining:
            connection.refuse(*LEAVING)
        elif count >= most:
            connection.refuse(
                "overloaded", f"the server has {count} connections, its max_conn_size is {most}"
            )

    def remove(self, connection: ServedConnection) -> None:
        """Count a connection out."""
        self._connections.discard(connection)
        if not self._connections:
            self._gone.set()

    def sweep_soon(self) -> None:
        """Look at the connections' time limits from time to time, while there are connections."""
        if self._timer is None:
            settings = self.settings
            interval = min(_REFUSAL_SECONDS, settings.read_timeout, settings.write_timeout) / 4
            self._timer = self.loop.call_later(interval, self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        now = self.loop.time()
        for connection in tuple(self._connections):
            if connection.refused_since is not None:
                if now - connection.refused_since > _REFUSAL_SECONDS:
                    connection.abort()
            elif connection.paused_since is not None:
                # Before the next branch: nothing is read meanwhile, so no frame can be completed.
                if now - connection.paused_since > self.settings.write_timeout:
                    connection.abort()
            elif (
                connection.partial_since is not None
                and now - connection.partial_since > self.settings.read_timeout
            ):
                connection.time_out(self.settings.read_timeout)
        if self._connections:
            self.sweep_soon()

    def stop_accepting(self) -> None:
        """See :meth:`bee_core.interfaces.Listener.stop_accepting`."""
        if self._acceptor is not None:
            self._acceptor.close()

    async def drain(self) -> None:
        """See :meth:`bee_core.interfaces.Listener.drain`."""
        self.draining = True
        for connection in tuple(self._connections):
            connection.leave()

    async def close(self) -> None:
        """See :meth:`bee_core.interfaces.Listener.close`."""
        self.stop_accepting()
        self.closing = self.draining = True
        for connection in tuple(self._connections):
            connection.close()
        if self._connections:
            await asyncio.wait((asyncio.ensure_future(self._gone.wait()),), timeout=_LINGER_SECONDS)
        for connection in tuple(self._connections):
            connection.abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def refusal(kind: str, message: str) -> bytes:
    """The bytes of a goaway for a client that did not get as far as a hello: nothing ran.

    Args:
        kind: A kind of failure, such as ``protocol_error``.
        message: One sentence for a person.
    """
    return frames.encode(frames.GOAWAY, 0, Goaway(0, kind, message).encode())
