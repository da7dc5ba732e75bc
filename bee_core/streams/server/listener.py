"""An open address of a server with its connections: limits, time limits, drain."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import attrs

from ...wire import first_frame, frames
from ...wire.messages import Goaway
from ...wire.requests import RequestParser
from .connection import LEAVING, ServedConnection
from .connection_lines import ConnectionLines

if TYPE_CHECKING:
    from ...contracts.endpoint import Endpoint
    from ...contracts.memory_bound import SlowReader
    from ...contracts.transport import ListenSettings
    from ..byte_streams import Accepting, Acceptor

_REFUSAL_SECONDS = 1.0
"""How long the input of a refused connection is read and thrown away. Closing at once would send a
reset, and a reset destroys the refusal in the client's buffer."""
_STALLED_SECONDS = 0.25
"""How long a client may leave replies unread while such replies fill half of the memory. One
that reads takes something every few milliseconds."""
_MOST_REFUSALS = 64
"""Connections above max_connections that may be open to read a refusal. One more is closed without
a word, so that a flood of connections does not take all descriptors."""
_LINGER_SECONDS = 0.5
"""How long closing waits until clients have taken the last replies and closed their half. Many will
not: an idle blocking client does not look at its sockets."""


class StreamListener:
    """One open address with its connections; see :class:`bee_core.interfaces.Listener`."""

    def __init__(self, endpoint: Endpoint, settings: ListenSettings) -> None:
        self.endpoint = endpoint
        self.settings = settings
        self.memory = settings.memory
        self.loop = asyncio.get_running_loop()
        self.parser = RequestParser(repetitions=endpoint.ack.deduplication is not None)
        self.lines = ConnectionLines(self.loop.call_later)
        self.draining = False
        self.closing = False
        self.crowded = False
        self.url = ""
        self._acceptor: Acceptor | None = None
        self._connections: set[ServedConnection] = set()
        self._of_peer: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None
        self._gone = asyncio.Event()

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._connections)

    def connections_of(self, host: str) -> int:
        """How many are open from one address."""
        return self._of_peer[host]

    async def open(self, transport: Accepting, url: str) -> None:
        """Begin to accept, on the socket of the settings or on a new one."""
        shared = self.shared_socket()
        self._opened(await transport.accept(url, self.connection, self.settings.backlog, **shared))

    def shared_socket(self) -> dict[str, Any]:
        """The keywords of ``accept`` for a socket that the parent process has bound."""
        settings = self.settings
        given = {"sock": settings.sock, "turns": settings.turns}
        return {name: value for name, value in given.items() if value is not None}

    def connection(self) -> ServedConnection:
        """The protocol of a new connection."""
        return ServedConnection(self)

    def _opened(self, acceptor: Acceptor) -> None:
        self._acceptor = acceptor
        self.url = acceptor.url

    def add(self, connection: ServedConnection) -> None:
        """Count a connection in, and refuse it if it is one too many."""
        count, most = len(self._connections), self.settings.max_connections
        host, most_of_peer = connection.host, self.settings.max_connections_per_peer
        of_peer = 0 if host is None else self._of_peer[host]
        self._connections.add(connection)
        if host is not None:
            self._of_peer[host] = of_peer + 1
        self._gone.clear()
        self.sweep_soon()
        if self.draining:
            connection.refuse(*LEAVING)
        elif of_peer >= most_of_peer:
            connection.refuse(
                "overloaded",
                f"the server has {of_peer} connections of {host}, its max_connections_per_peer is"
                f" {most_of_peer}",
            )
        elif count >= most + _MOST_REFUSALS:
            connection.abort()
        elif count >= most:
            connection.refuse(
                "overloaded", f"the server has {count} connections, its max_conn_size is {most}"
            )

    def remove(self, connection: ServedConnection) -> None:
        """Count a connection out."""
        self._connections.discard(connection)
        host = connection.host
        if host is not None:
            self._of_peer[host] -= 1
            if self._of_peer[host] <= 0:
                del self._of_peer[host]
        if not self._connections:
            self._gone.set()

    def relieve(self) -> None:
        """Cut off who leaves its replies unread for longest, until there is room for others.

        Over the half of the memory that is for replies, those who have not read for a while; over
        all of it, anyone. A client of another address of the server as well: the memory is one.
        """
        memory, now = self.memory, self.loop.time()
        for one in sorted(memory.slow, key=lambda one: one.paused_since or 0.0):
            patient = memory.held + memory.unread <= memory.limit
            if memory.unread <= memory.half or (
                patient and now - (one.paused_since or now) < _STALLED_SECONDS
            ):
                return
            self._cut_off(one, "memory is full")

    def _free_places(self, now: float) -> None:
        """Requests are refused for want of places: end those that wait for a client to read."""
        for one in tuple(self._connections):
            since = one.paused_since
            if since is not None and one.parks and now - since >= _STALLED_SECONDS:
                self._cut_off(one, "its calls take the places of others")

    def _cut_off(self, connection: SlowReader, why: str) -> None:
        self.lines.cut_off(connection.address, connection.host, why)
        connection.abort()

    def sweep_soon(self) -> None:
        """Look at the connections' time limits from time to time, while there are connections."""
        if self._timer is None:
            settings = self.settings
            bounds = settings.read_timeout, settings.write_timeout, settings.max_idle
            interval = min(_REFUSAL_SECONDS, *bounds) / 4
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
                else:
                    connection.count_unread()
            elif (
                connection.reading  # else no frame can be completed
                and connection.partial_since is not None
                and now - connection.partial_since > self.settings.read_timeout
            ):
                connection.time_out(self.settings.read_timeout)
            elif connection.idle_for(now) > self.settings.max_idle:
                connection.retire(self.settings.max_idle)
        if self.memory.unread > self.memory.half:
            self.relieve()
        if self.crowded:
            self.crowded = False
            self._free_places(now)
        if self._connections:
            self.sweep_soon()

    def reload(self, settings: ListenSettings) -> None:
        """Take other bounds. Connections that are open keep the bound of their bodies."""
        kept = self.settings
        self.settings = attrs.evolve(settings, sock=kept.sock, turns=kept.turns)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self.sweep_soon()

    def stop_accepting(self) -> None:
        """See :meth:`bee_core.interfaces.Listener.stop_accepting`."""
        if self._acceptor is not None:
            self._acceptor.close()

    def discard_after_fork(self) -> None:
        """In a forked child: let go of the listening socket and of all connections.

        Else clients would wait for a child that serves nobody, after the server has died.
        """
        acceptor: Any = self._acceptor
        descriptors = [connection.descriptor for connection in self._connections]
        with suppress(AttributeError):  # an acceptor without descriptors of its own
            descriptors += acceptor.descriptors()
        # Not closed: the number of a closed descriptor is given to the child's next file, which the
        # copies of the parent's objects would close.
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in descriptors:
            if descriptor >= 0:
                os.dup2(nothing, descriptor, inheritable=False)
        os.close(nothing)

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
        self.lines.close()


def refusal(kind: str, message: str, *, http: bool = False) -> bytes:
    """The bytes of a goaway for a client that did not get as far as a hello: nothing ran.

    Args:
        kind: A kind of failure, such as ``protocol_error``.
        message: One sentence for a person.
        http: The client speaks HTTP, and gets the sentence in an answer of HTTP.
    """
    if http:
        return first_frame.http_answer(message)
    return frames.encode(frames.GOAWAY, 0, Goaway(0, kind, message).encode())
