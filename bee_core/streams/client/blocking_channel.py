"""The blocking channel of stream transports: a pool of connections to one node."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from ...terms.causes import connect_timed_out, refused
from ...terms.failures import Failure
from .busy_poll import BusyPoll, usable_window
from .outcomes import client_closed

if TYPE_CHECKING:
    from ...contracts.transport import ChannelSettings
    from ...terms.node import Node
    from ...terms.request import Request
    from ...wire.messages import Status
    from ..byte_streams import Dialer
    from .blocking_connection import BlockingConnection

IDLE_SECONDS = 60.0
"""An idle connection older than this is closed. Many load balancers and NATs forget a connection
after a few minutes, and the connections of a burst of calls should not stay for ever."""


class IdlePool:
    """A stack of idle connections: last in, first out, so that few stay in use and the rest age.

    Thread-safe without a lock: each step is one operation of a deque. It does no I/O: it returns
    the connections that the caller must close.

    Attributes:
        closed: Keep no connection any more.
    """

    __slots__ = ("_idle", "closed")

    def __init__(self) -> None:
        self._idle: deque[BlockingConnection] = deque()
        self.closed = False

    def take(self) -> BlockingConnection | None:
        """The connection that was used last, or None."""
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def give(self, connection: BlockingConnection, now: float) -> list[BlockingConnection]:
        """Put a connection back. Returns the connections to close."""
        connection.idle_since = now
        idle = self._idle
        idle.append(connection)
        # Looked at after the append. Whoever closes the pool sets `closed` and then clears: one of
        # the two takes the connection out.
        if self.closed:
            return self.clear()
        try:
            if len(idle) > 1 and now - idle[0].idle_since > IDLE_SECONDS:
                oldest = idle.popleft()
                if now - oldest.idle_since > IDLE_SECONDS:
                    return [oldest]
                # Another thread took the oldest one meanwhile, so this one is younger.
                idle.append(oldest)
        except IndexError:
            pass  # other threads took all of them
        return []

    def clear(self) -> list[BlockingConnection]:
        """Take all connections out. The caller closes them."""
        taken = []
        while (connection := self.take()) is not None:
            taken.append(connection)
        return taken


class BlockingChannel:
    """See :class:`bee_core.interfaces.Channel`."""

    def __init__(self, dialer: Dialer, node: Node, settings: ChannelSettings) -> None:
        self.settings = settings
        self.closed = False
        self._dialer = dialer
        self._node = node
        self._idle = IdlePool()
        self._active: set[BlockingConnection] = set()
        window = usable_window(dialer.busy_poll)
        self.busy_poll = BusyPoll(window) if window > 0 else None

    def start(self, request: Request) -> BlockingConnection | Failure:
        """See :meth:`bee_core.interfaces.Channel.start`."""
        while True:
            connection = self._idle.take()
            if connection is None:
                connected = self._connect(request)
                if isinstance(connected, Failure):
                    return connected
                connection = connected
            self._active.add(connection)
            # Looked at after the connection was added. close() sets `closed` before it looks at
            # the active connections, so one of the two sees the other.
            failure = client_closed(sent=False) if self.closed else connection.send(request)
            if failure is None:
                return connection
            self.release(connection, False)
            if not failure.unsent:
                return self._unless_closed(failure)
            # A pooled connection ended while it was idle. The server cannot have seen the request,
            # so the next connection is tried for free.

    def _connect(self, request: Request) -> BlockingConnection | Failure:
        """A new connection for a request."""
        if self.closed:
            return client_closed(sent=False)
        now = self.settings.clock()
        seconds = min(request.connect_timeout, request.deadline - now)
        connection = self._dial(seconds, request.connect_timeout)
        if not request.oneway or isinstance(connection, Failure):
            return connection
        # A oneway call waits for the server's hello-ack: no answer would report a later refusal.
        self._active.add(connection)
        until = now + seconds
        failure = connection.greet(until, request.connect_timeout, full=until < request.deadline)
        if failure is None:
            return connection
        self.release(connection, False)
        return self._unless_closed(failure)

    def _unless_closed(self, failure: Failure) -> Failure:
        return client_closed(sent=False) if self.closed else failure

    def _dial(self, seconds: float, configured: float) -> BlockingConnection | Failure:
        if seconds <= 0:
            return connect_timed_out(0.0, full=False)
        try:
            return self._dialer.connection(self, self._dialer.dial(self._node.url, seconds))
        except TimeoutError:
            # Less than the configured time was left: that is the deadline's doing, not the node's.
            return connect_timed_out(configured, full=seconds >= configured)
        except (OSError, ValueError) as error:
            return refused(error)

    def release(self, connection: BlockingConnection, usable: bool) -> None:
        """Take a connection back from a call."""
        self._active.discard(connection)
        if not usable or self.closed:
            connection.close()
            return
        for old in self._idle.give(connection, self.settings.clock()):
            old.close()

    def ping(self, timeout: float) -> Status | Failure:
        """See :meth:`bee_core.interfaces.Channel.ping`.

        It uses a connection of its own, so it shows whether a new caller would be accepted.
        """
        dialed = self._dial(timeout, timeout)
        if isinstance(dialed, Failure):
            return dialed
        try:
            return dialed.ping(timeout)
        finally:
            dialed.close()

    def close(self) -> None:
        """See :meth:`bee_core.interfaces.Channel.close`."""
        self.closed = True
        self.retire()
        for connection in tuple(self._active):
            connection.interrupt()

    def retire(self) -> None:
        """The node has left: close idle connections now, and those in use when their call ends."""
        self._idle.closed = True
        for connection in self._idle.clear():
            connection.close()

    def discard_after_fork(self) -> None:
        """See :meth:`bee_core.interfaces.Channel.discard_after_fork`."""
        for connection in (*self._idle.clear(), *self._active):
            connection.abandon()
        self._idle = IdlePool()
        self._active = set()
