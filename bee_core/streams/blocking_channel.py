"""The blocking channel of stream transports: a pool of connections to one node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ..terms.failures import Failure, cancelled, connect_timed_out, refused
from .busy_poll import BusyPoll, usable_window
from .pool import IdlePool

if TYPE_CHECKING:
    from ..contracts.transport import ChannelSettings
    from ..terms.node import Node
    from ..terms.request import Request
    from .blocking_connection import BlockingConnection
    from .transport import StreamTransport


class BlockingChannel:
    """See :class:`bee_core.interfaces.Channel`."""

    def __init__(self, transport: StreamTransport, node: Node, settings: ChannelSettings) -> None:
        self.settings = settings
        self.closed = False
        self._clock = settings.clock
        self._transport = transport
        self._node = node
        self._idle = IdlePool()
        self._active: set[BlockingConnection] = set()
        window = usable_window(transport.busy_poll)
        self.busy_poll = BusyPoll(window) if window > 0 else None

    def start(self, request: Request) -> BlockingConnection | Failure:
        """See :meth:`bee_core.interfaces.Channel.start`. A pooled connection that turns out to be broken while sending costs nothing: the next one is taken."""
        while True:
            connection = self._idle.take()
            if connection is None:
                if self.closed:
                    return cancelled("the client was closed", sent=False)
                now = self.settings.clock()
                seconds = min(request.connect_timeout, request.deadline - now)
                dialed = self._dial(seconds, request.connect_timeout)
                if isinstance(dialed, Failure):
                    return dialed
                connection = dialed
                if (
                    request.oneway
                    and (failure := self._greet(connection, now + seconds, request)) is not None
                ):
                    return failure
            elif connection.stale():
                connection.close()
                continue
            self._active.add(connection)
            if self.closed:
                self.release(connection, False)
                return cancelled("the client was closed", sent=False)
            failure = connection.send(request)
            if failure is None:
                return connection
            self.release(connection, False)
            if not failure.unsent:
                return (
                    failure
                    if not self._closed_meanwhile()
                    else cancelled("the client was closed", sent=False)
                )

    def _closed_meanwhile(self) -> bool:
        return self.closed

    def _dial(self, seconds: float, configured: float) -> BlockingConnection | Failure:
        if seconds <= 0:
            return connect_timed_out(0.0, full=False)
        try:
            return self._transport.connection(self, self._transport.dial(self._node.url, seconds))
        except TimeoutError:
            return connect_timed_out(configured, full=seconds >= configured)
        except (OSError, ValueError) as error:
            return refused(error)

    def _greet(
        self, connection: BlockingConnection, until: float, request: Request
    ) -> Failure | None:
        """Wait until the server has accepted a new connection: nobody hears of a refusal that comes behind a oneway request."""
        self._active.add(connection)
        if self.closed:
            failure: Failure | None = cancelled("the client was closed", sent=False)
        else:
            failure = connection.greet(
                until, request.connect_timeout, full=until < request.deadline
            )
            if failure is not None and self._closed_meanwhile():
                failure = cancelled("the client was closed", sent=False)
        if failure is not None:
            self.release(connection, False)
        return failure

    def release(self, connection: BlockingConnection, usable: bool) -> None:
        """Take a connection back from a call."""
        self._active.discard(connection)
        if not usable or self.closed:
            connection.close()
            return
        for old in self._idle.give(connection, self.settings.clock()):
            old.close()

    def ping(self, timeout: float) -> Literal["serving", "draining"] | Failure:
        """See :meth:`bee_core.interfaces.Channel.ping`. On a connection of its own: it shows whether a new caller would get in."""
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
        self._idle.closed = True
        for connection in self._idle.clear():
            connection.close()
        for connection in tuple(self._active):
            connection.interrupt()

    def retire(self) -> None:
        """The node has left the list: idle connections go now, those in use when their call ends."""
        self._idle.closed = True
        for connection in self._idle.clear():
            connection.close()

    def discard_after_fork(self) -> None:
        """See :meth:`bee_core.interfaces.Channel.discard_after_fork`."""
        for connection in (*self._idle.clear(), *self._active):
            connection.abandon()
        self._idle = IdlePool()
        self._active = set()
