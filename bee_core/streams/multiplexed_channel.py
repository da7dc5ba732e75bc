"""The asyncio channel of stream transports: one connection, shared by all calls of one event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

from ..terms.failures import Failure, cancelled, connect_timed_out, refused
from .deadline_timer import DeadlineTimer
from .multiplexed_connection import MultiplexedConnection, PendingReply

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..contracts.transport import ChannelSettings
    from ..terms.node import Node
    from ..terms.request import Request
    from .transport import StreamTransport


class MultiplexedChannel:
    """See :class:`bee_core.interfaces.AsyncChannel`."""

    def __init__(self, transport: StreamTransport, node: Node, settings: ChannelSettings) -> None:
        self.settings = settings
        self.loop = asyncio.get_running_loop()
        self.closed = False
        self._transport = transport
        self._node = node
        self._connection: MultiplexedConnection | None = None
        self._leaving: set[MultiplexedConnection] = set()
        self._dialing: asyncio.Task[None] | None = None
        self._queue: list[PendingReply] = []
        self._retired = False
        self._timer = DeadlineTimer(self.loop, settings.clock, self._sweep_queue)

    def start(self, request: Request) -> PendingReply:
        """See :meth:`bee_core.interfaces.AsyncChannel.start`."""
        pending = PendingReply(self.loop.create_future(), request)
        connection = self._connection
        if connection is not None and connection.usable and not connection.stale():
            connection.send(pending)
        elif self.closed:
            pending.settle(cancelled("the client was closed", sent=False))
        else:
            if connection is not None:
                # Out of ids, going, or ended by the server: it stays for the replies that are due.
                self.forget(connection)
                if connection.idle:
                    connection.close()
            self._enqueue(pending)
        return pending

    @property
    def waiting(self) -> int:
        """How many requests it has begun and not ended, without those on connections that are on their way out."""
        return len(self._queue) if self._connection is None else self._connection.waiting

    def _enqueue(self, pending: PendingReply) -> None:
        now = self.settings.clock()
        pending.until = now + pending.request.connect_timeout
        pending.full = pending.until <= pending.request.deadline
        if not pending.full:
            pending.until = pending.request.deadline
        self._queue.append(pending)
        self._timer.watch(pending.until)
        if self._dialing is None:
            self._dialing = self.loop.create_task(self._dial())

    async def _dial(self) -> None:
        """Connect, for all that wait. The timer bounds each one's wait, and ends the dial when nobody is left."""
        made: list[MultiplexedConnection] = []
        failure: Failure | None = None
        try:
            await self._transport.dial_async(self._node.url, self._factory(made))
        except (OSError, ValueError) as error:
            failure = refused(error)
        except BaseException:
            for connection in made:
                connection.close()
            raise
        finally:
            if self._dialing is asyncio.current_task():
                self._dialing = None
        self._timer.close()
        if failure is None and made[0].usable:
            self._connection = made[0]
            made[0].leaving = self._retired
        queue, self._queue = self._queue, []
        for pending in queue:
            if pending.reply.done():
                continue
            if failure is not None:
                pending.settle(failure.copy())
            elif made[0].usable:
                made[0].send(pending)
            else:
                # Refused as soon as it was there. Not dialed again here: whether, where and when is for the call flow to say.
                pending.settle(made[0].why_not())

    def _factory(self, made: list[MultiplexedConnection]) -> Callable[[], MultiplexedConnection]:
        def make() -> MultiplexedConnection:
            made.append(MultiplexedConnection(self))
            return made[-1]

        return make

    def _sweep_queue(self, now: float) -> float | None:
        due = [pending for pending in self._queue if pending.until <= now or pending.reply.done()]
        for pending in due:
            self._queue.remove(pending)
            pending.settle(connect_timed_out(pending.request.connect_timeout, full=pending.full))
        if not self._queue and self._dialing is not None:
            # Forgotten at once: a call that comes before the task has ended must start a dial of its own.
            self._dialing.cancel()
            self._dialing = None
        return min((pending.until for pending in self._queue), default=None)

    def forget(self, connection: MultiplexedConnection) -> None:
        """The connection takes no new requests; those on it may still be answered."""
        connection.leaving = True
        if connection is self._connection:
            self._connection = None
        if connection.idle:
            self._leaving.discard(connection)
        else:
            self._leaving.add(connection)

    def forget_if_done(self, connection: MultiplexedConnection) -> None:
        """Close a connection that was only kept for the replies still due."""
        if connection.idle and (connection in self._leaving or self._retired):
            self._leaving.discard(connection)
            connection.close()

    async def ping(self, timeout: float) -> Literal["serving", "draining"] | Failure:
        """See :meth:`bee_core.interfaces.AsyncChannel.ping`. On a connection of its own: it shows whether a new caller would get in."""
        made: list[MultiplexedConnection] = []
        until = self.settings.clock() + timeout
        try:
            await asyncio.wait_for(
                self._transport.dial_async(self._node.url, self._factory(made)), timeout
            )
            return await made[0].ping(max(0.0, until - self.settings.clock()))
        except (TimeoutError, asyncio.TimeoutError):
            return connect_timed_out(timeout, full=True)
        except (OSError, ValueError) as error:
            return refused(error)
        finally:
            for connection in made:
                connection.close()

    def explained(self, error: Exception) -> Exception:
        """See :meth:`StreamTransport.explained`."""
        return self._transport.explained(error)

    def retire(self) -> None:
        """See :meth:`bee_core.interfaces.AsyncChannel.retire`."""
        self._retired = True
        if self._connection is not None:
            self._connection.leaving = True
            self.forget_if_done(self._connection)

    def discard_after_fork(self) -> None:
        """In a forked child: let go of the descriptors; the parent's connections are not touched. Nothing else may be done with the channel."""
        for connection in (self._connection, *self._leaving):
            if connection is not None:
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
            pending.settle(cancelled("the client was closed", sent=False))
        open_ = [
            connection
            for connection in (self._connection, *self._leaving)
            if connection is not None
        ]
        self._connection = None
        for connection in open_:
            connection.close()
        if open_:
            await asyncio.wait([connection.closed for connection in open_], timeout=1.0)
