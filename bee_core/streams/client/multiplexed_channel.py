"""The asyncio channels of stream transports: to one process, and to several worker processes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ...terms.causes import connect_timed_out, refused
from ...terms.failures import Failure
from ..deadline_timer import DeadlineTimer
from .multiplexed_connection import MultiplexedConnection
from .outcomes import client_closed
from .pending_reply import PendingReply

if TYPE_CHECKING:
    from ...contracts.transport import ChannelSettings
    from ...terms.node import Node
    from ...terms.request import Request
    from ...wire.messages import Status
    from ..byte_streams import Dialer

MOST_CONNECTIONS = 4
"""Of one client to one node of several workers. One event loop hardly keeps more connections busy,
and each counts against the server's max_conn_size."""


class MultiplexedChannel:
    """One connection to a node, shared by all calls of one event loop.

    See :class:`bee_core.interfaces.AsyncChannel`. ``connection`` is public for tests and tools.
    """

    def __init__(self, dialer: Dialer, node: Node, settings: ChannelSettings) -> None:
        self.settings = settings
        self.loop = asyncio.get_running_loop()
        self.closed = False
        self.explained = dialer.explained
        self._dialer = dialer
        self._node = node
        self.connection: MultiplexedConnection | None = None
        self._leaving: set[MultiplexedConnection] = set()
        self._dialing: asyncio.Task[None] | None = None
        self._queue: list[PendingReply] = []
        self._retired = False
        self._timer = DeadlineTimer(self.loop, settings.clock, self._sweep_queue)

    def start(self, request: Request) -> PendingReply:
        """See :meth:`bee_core.interfaces.AsyncChannel.start`."""
        pending = PendingReply(self.loop.create_future(), request)
        connection = self.connection
        if connection is not None and connection.usable and not connection.stale():
            connection.send(pending)
        elif self.closed:
            pending.settle(client_closed(sent=False))
        else:
            if connection is not None:
                # It has no ids left, or the server ends it. It stays for the replies that are due.
                self.forget(connection)
                if not connection.waiting:
                    connection.close()
            self._enqueue(pending)
        return pending

    @property
    def waiting(self) -> int:
        """Requests that have begun and not ended, without those on connections that are leaving."""
        return len(self._queue) if self.connection is None else self.connection.waiting

    def _enqueue(self, pending: PendingReply) -> None:
        request = pending.request
        pending.wait_for("connect", self.settings.clock() + request.connect_timeout)
        self._queue.append(pending)
        self._timer.watch(pending.until)
        if self._dialing is None:
            self._dialing = self.loop.create_task(self._dial())

    async def _connect(self) -> MultiplexedConnection:
        connection = MultiplexedConnection(self)
        try:
            await self._dialer.dial_async(self._node.url, lambda: connection)
        except BaseException:
            connection.close()
            raise
        return connection

    async def _dial(self) -> None:
        """Connect for all requests in the queue.

        The timer bounds each one's wait. It ends the dial when no request is left.
        """
        dialed: MultiplexedConnection | Failure
        try:
            dialed = await self._connect()
        except (OSError, ValueError) as error:
            dialed = refused(error)
        finally:
            # After a cancel, a later call may have started a dial of its own.
            if self._dialing is asyncio.current_task():
                self._dialing = None
        self._timer.close()
        if not isinstance(dialed, Failure) and dialed.usable:
            self.connection = dialed
            dialed.leaving = self._retired
        queue, self._queue = self._queue, []
        for pending in queue:
            if pending.reply.done():
                continue  # given up meanwhile
            if isinstance(dialed, Failure):
                pending.settle(dialed.copy())
            elif dialed.usable:
                dialed.send(pending)
            else:
                # Refused at once. It is not dialed again here: the call flow decides whether, where
                # and when.
                pending.settle(dialed.why_not())

    def _sweep_queue(self, now: float) -> float | None:
        due = [pending for pending in self._queue if pending.until <= now or pending.reply.done()]
        for pending in due:
            self._queue.remove(pending)
            pending.expire()
        if not self._queue and self._dialing is not None:
            # Forgotten at once: a call before the task has ended must start a dial of its own.
            self._dialing.cancel()
            self._dialing = None
        return min((pending.until for pending in self._queue), default=None)

    def forget(self, connection: MultiplexedConnection) -> None:
        """Send no new requests on a connection. Those on it may still be answered."""
        connection.leaving = True
        if connection is self.connection:
            self.connection = None
        if not connection.waiting:
            self._leaving.discard(connection)
        else:
            self._leaving.add(connection)

    def forget_if_done(self, connection: MultiplexedConnection) -> None:
        """Close a connection that stayed only for its last replies."""
        if not connection.waiting and (connection in self._leaving or self._retired):
            self._leaving.discard(connection)
            connection.close()

    async def ping(self, timeout: float) -> Status | Failure:
        """See :meth:`bee_core.interfaces.AsyncChannel.ping`.

        It uses a connection of its own, so it shows whether a new caller would be accepted.
        """
        until = self.settings.clock() + timeout
        try:
            connection = await asyncio.wait_for(self._connect(), timeout)
        except (TimeoutError, asyncio.TimeoutError):
            return connect_timed_out(timeout, full=True)
        except (OSError, ValueError) as error:
            return refused(error)
        try:
            return await connection.ping(max(0.0, until - self.settings.clock()))
        finally:
            connection.close()

    def retire(self) -> None:
        """See :meth:`bee_core.interfaces.AsyncChannel.retire`."""
        self._retired = True
        if self.connection is not None:
            self.connection.leaving = True
            self.forget_if_done(self.connection)

    def _connections(self) -> list[MultiplexedConnection]:
        return [*self._leaving, *([self.connection] if self.connection else [])]

    def discard_after_fork(self) -> None:
        """In a forked child: close the descriptors. The parent's connections are not touched.

        Nothing else may be done with the channel.
        """
        for connection in self._connections():
            connection.abandon()

    async def close(self) -> None:
        """See :meth:`bee_core.interfaces.AsyncChannel.close`."""
        self.closed = True
        if self._dialing is not None:
            self._dialing.cancel()
            await asyncio.wait((self._dialing,))
        self._timer.close()
        queue, self._queue = self._queue, []
        for pending in queue:
            pending.settle(client_closed(sent=False))
        connections = self._connections()
        self.connection = None
        for connection in connections:
            connection.close()
        if connections:
            await asyncio.wait([connection.closed for connection in connections], timeout=1.0)


class WorkersChannel:
    """Some connections to a node of several worker processes, so that one loop reaches several.

    The system decides which worker a connection reaches. A call goes to the connection with the
    fewest calls waiting, so a slow or hanging worker gets few calls. A further connection is made
    only when calls overlap. See :class:`bee_core.interfaces.AsyncChannel`.
    """

    def __init__(self, dialer: Dialer, node: Node, settings: ChannelSettings) -> None:
        self.channels = [
            MultiplexedChannel(dialer, node, settings)
            for _ in range(min(node.workers, MOST_CONNECTIONS))
        ]

    def start(self, request: Request) -> PendingReply:
        """See :meth:`bee_core.interfaces.AsyncChannel.start`."""
        best = self.channels[0]
        fewest = best.waiting
        if fewest:
            for channel in self.channels:
                if (waiting := channel.waiting) < fewest:
                    best, fewest = channel, waiting
        return best.start(request)

    async def ping(self, timeout: float) -> Status | Failure:
        """See :meth:`bee_core.interfaces.AsyncChannel.ping`. One worker answers for the node."""
        return await self.channels[0].ping(timeout)

    def retire(self) -> None:
        """See :meth:`bee_core.interfaces.AsyncChannel.retire`."""
        for channel in self.channels:
            channel.retire()

    def discard_after_fork(self) -> None:
        """See :meth:`MultiplexedChannel.discard_after_fork`."""
        for channel in self.channels:
            channel.discard_after_fork()

    async def close(self) -> None:
        """See :meth:`bee_core.interfaces.AsyncChannel.close`."""
        for channel in self.channels:
            await channel.close()
