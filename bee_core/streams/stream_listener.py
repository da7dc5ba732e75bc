"""A server's open door with its connections: limits, time limits, drain."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ..wire.messages import RequestParser
from .served_connection import ServedConnection

if TYPE_CHECKING:
    import socket

    from ..contracts.transport import Endpoint, ListenSettings
    from .transport import Acceptor, StreamTransport

_REFUSAL_SECONDS = 1.0
"""How long a refused connection's input is read and thrown away. Closing at once would send a reset, and a reset destroys the refusal in the peer's buffer."""
_LINGER_SECONDS = 0.5
"""How long closing waits for the clients to take the last replies and close their half. An idle blocking client does not look at its sockets, so many will not."""


class StreamListener:
    """One open door with its connections; see :class:`bee_core.interfaces.Listener`."""

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

    async def open(
        self, transport: StreamTransport, url: str, sock: socket.socket | None = None
    ) -> None:
        """Begin to accept, on a socket that is there already or on a new one."""
        shared = {} if sock is None else {"sock": sock}
        self._opened(await transport.accept(url, self.connection, self.settings.backlog, **shared))

    def connection(self) -> ServedConnection:
        """The protocol of a new connection."""
        return ServedConnection(self)

    def _opened(self, acceptor: Acceptor) -> None:
        self._acceptor = acceptor
        self.url = acceptor.url

    def add(self, connection: ServedConnection) -> tuple[str, str] | None:
        """Count a connection in; returns why it is refused, where it is."""
        count = len(self._connections)
        self._connections.add(connection)
        self._gone.clear()
        self.sweep_soon()
        if self.draining:
            return "unavailable", "the server is shutting down"
        if count >= self.settings.max_connections:
            return (
                "overloaded",
                f"the server has {count} connections, its max_conn_size is {self.settings.max_connections}",
            )
        return None

    def remove(self, connection: ServedConnection) -> None:
        """Count a connection out."""
        self._connections.discard(connection)
        if not self._connections:
            self._gone.set()

    def sweep_soon(self) -> None:
        """Look at the connections' time limits from time to time, as long as there are any."""
        if self._timer is None:
            interval = (
                min(_REFUSAL_SECONDS, self.settings.read_timeout, self.settings.write_timeout) / 4
            )
            self._timer = self.loop.call_later(interval, self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        now = self.loop.time()
        for connection in tuple(self._connections):
            if connection.refused_since is not None:
                if now - connection.refused_since > _REFUSAL_SECONDS:
                    connection.abort()
            elif connection.paused_since is not None:
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
