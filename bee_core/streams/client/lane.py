"""One connection to a node on an event loop: how it is made, and the requests that wait for it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from ...terms.causes import connect_timed_out, refused
from ...terms.failures import Failure
from ..deadline_timer import DeadlineTimer
from .multiplexed_connection import MultiplexedConnection
from .outcomes import client_closed

if TYPE_CHECKING:
    from ...contracts.transport import ChannelSettings
    from ...terms.node import Node
    from ...wire.messages import HelloAck, Status
    from ..byte_streams import Dialer
    from .pending_reply import PendingReply

_SEEK_SECONDS = 5.0
"""How long a lane may look for a process of its own while calls go on."""


class Owner(Protocol):
    """What a lane needs of its channel."""

    @property
    def tries(self) -> int:
        """Further connections that a lane may open until it has a process of its own."""

    def sends_at_once(self, lane: Lane) -> bool:
        """Whether a new connection takes its requests before the server's ack."""

    def learn(self, ack: HelloAck) -> None:
        """A server has said what it is, and how many processes serve behind the address."""

    def claim(self, lane: Lane, epoch: bytes) -> bool:
        """Whether a lane may have the process of an epoch: no other lane has it."""

    def place(self, pending: PendingReply) -> None:
        """Give a request that has waited for a connection to the lane with the fewest requests."""

    def lacks(self) -> None:
        """A lane has a connection to a process that another lane has as well."""


class Lane:
    """One connection to a node, dialed again when it has ended. Shared by all calls of a loop.

    Attributes:
        connection: The one that new requests go to, or None.
        epoch: The process that this lane has for itself, or None.
    """

    def __init__(self, owner: Owner, dialer: Dialer, node: Node, settings: ChannelSettings) -> None:
        self.settings = settings
        self._clock = settings.clock
        self.loop = asyncio.get_running_loop()
        self.closed = False
        self.explained = dialer.explained
        self._owner = owner
        self._dialer = dialer
        self._node = node
        self.connection: MultiplexedConnection | None = None
        self.epoch: bytes | None = None
        self._leaving: set[MultiplexedConnection] = set()
        self._greeting: dict[MultiplexedConnection, asyncio.Future[None]] = {}
        self._dialing: asyncio.Task[None] | None = None
        self._seeking: asyncio.Task[None] | None = None
        self._queue: list[PendingReply] = []
        self._retired = False
        self._timer = DeadlineTimer(self.loop, settings.clock, self._sweep_queue)

    def take(self, pending: PendingReply) -> None:
        """Send a request, or keep it until there is a connection."""
        connection = self.connection
        if connection is not None and connection.fresh(now := self._clock()):
            connection.send(pending, now)
        elif self.closed:
            pending.settle(client_closed(sent=False))
        else:
            if connection is not None:
                # It has no ids left, or the server ends it. It stays for the replies that are due.
                self.forget(connection)
                if not connection.waiting:
                    connection.close()
            self._enqueue(pending)

    @property
    def waiting(self) -> int:
        """Requests that have begun and not ended, without those on connections that are leaving."""
        return len(self._queue) if self.connection is None else self.connection.waiting

    @property
    def connecting(self) -> bool:
        """Whether there is a connection, or will be."""
        return self.connection is not None or self._dialing is not None

    def _enqueue(self, pending: PendingReply) -> None:
        if not pending.until:  # else it has waited in another lane
            pending.since = now = self.settings.clock()
            pending.wait_for("connect", now + pending.request.may_connect(now))
        pending.connection = self  # where it is to be given up, until there is a connection
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

    async def _find(self) -> MultiplexedConnection:
        """A connection, to a process that no other lane has if one is found.

        The system decides which process takes a connection. Those of other lanes' processes stay
        open until the end, so that the next connection goes elsewhere.
        """
        spares: list[MultiplexedConnection] = []
        try:
            while True:
                connection = await self._connect()
                spares.append(connection)
                if (
                    (len(spares) == 1 and self._owner.sends_at_once(self))
                    or (ack := await self._greet(connection)) is None
                    or self._claim(ack.epoch)
                    or len(spares) > self._owner.tries
                ):
                    return spares.pop()
        except (OSError, ValueError):
            if not spares:
                raise
            return spares.pop()  # better than none
        finally:
            for spare in spares:
                spare.close()

    async def _greet(self, connection: MultiplexedConnection) -> HelloAck | None:
        """Say hello and wait for the ack. None where the server ends the connection instead."""
        heard = self._greeting[connection] = self.loop.create_future()
        try:
            connection.greet()
            if connection.protocol.ack is None:
                await asyncio.wait((heard, connection.closed), return_when="FIRST_COMPLETED")
        finally:
            del self._greeting[connection]
        return connection.protocol.ack if connection.usable else None

    def _claim(self, epoch: bytes) -> bool:
        if self._owner.claim(self, epoch):
            self.epoch = epoch
        return self.epoch == epoch

    def greeted(self, connection: MultiplexedConnection, ack: HelloAck) -> None:
        """The server has answered the hello."""
        self._owner.learn(ack)
        heard = self._greeting.get(connection)
        if heard is not None:
            if not heard.done():
                heard.set_result(None)
        elif connection is self.connection and not self._claim(ack.epoch):
            self._owner.lacks()

    async def _dial(self) -> None:
        """Connect for all requests in the queue.

        The timer bounds each one's wait. It ends the dial when no request is left.
        """
        dialed: MultiplexedConnection | Failure
        try:
            dialed = await self._find()
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
            if self.epoch is None and dialed.protocol.ack is not None:
                self._owner.lacks()
        queue, self._queue = self._queue, []
        for pending in queue:
            if pending.reply.done():
                continue  # given up meanwhile
            if isinstance(dialed, Failure):
                pending.settle(dialed.copy())
            elif dialed.usable:
                self._owner.place(pending)
            else:
                # Refused at once. It is not dialed again here: the call flow decides whether, where
                # and when.
                pending.settle(dialed.why_not())

    def seek(self) -> None:
        """Look for a process that no other lane has. Calls go on meanwhile."""
        connection = self.connection
        if connection is None or self._seeking is not None:
            return
        if not connection.waiting:
            # Nobody needs it now. The next call looks for a process as it dials.
            self.forget(connection)
            connection.close()
        else:
            self._seeking = self.loop.create_task(self._seek(connection))

    async def _seek(self, old: MultiplexedConnection) -> None:
        found: MultiplexedConnection | None = None
        try:
            found = await asyncio.wait_for(self._find(), _SEEK_SECONDS)
        except (OSError, ValueError, asyncio.TimeoutError):
            pass  # the node is ill; the old connection says that soon enough
        finally:
            self._seeking = None
        epoch = self.epoch
        if epoch is None or found is None or self.connection is not old:
            if found is not None:
                found.close()
            if self.connection is old:
                self._owner.lacks()
            return
        self.forget(old)
        if not old.waiting:
            old.close()
        self.connection, self.epoch = found, epoch
        found.leaving = self._retired

    def give_up(self, pending: PendingReply) -> None:
        """Nobody waits for a request any more that is not sent yet."""
        with suppress(ValueError):
            self._queue.remove(pending)

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
            self.connection = self.epoch = None
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
        if self._seeking is not None:
            self._seeking.cancel()
        if self.connection is not None:
            self.connection.leaving = True
            self.forget_if_done(self.connection)

    def _connections(self) -> list[MultiplexedConnection]:
        current = [self.connection] if self.connection else []
        return [*self._leaving, *self._greeting, *current]

    def discard_after_fork(self) -> None:
        """In a forked child: close the descriptors. The parent's connections are not touched.

        Nothing else may be done with the channel.
        """
        for connection in self._connections():
            connection.abandon()

    async def close(self) -> None:
        """See :meth:`bee_core.interfaces.AsyncChannel.close`."""
        self.closed = True
        tasks = [task for task in (self._dialing, self._seeking) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
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
