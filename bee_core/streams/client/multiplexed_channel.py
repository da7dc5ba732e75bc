"""The asyncio channel of stream transports: a shared connection to each process of a node."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from .lane import Lane
from .pending_reply import PendingReply
from .same_process import another_answers
from .same_process_lane import SameProcess

if TYPE_CHECKING:
    from ...contracts.transport import ChannelSettings
    from ...terms.failures import Failure
    from ...terms.node import Node
    from ...terms.request import Request
    from ...wire.messages import HelloAck, Status
    from ..byte_streams import Dialer
    from .multiplexed_connection import MultiplexedConnection

MOST_CONNECTIONS = 16
"""Of one client to one node. Each counts against the server's max_conn_size, and one event loop
hardly keeps more processes busy."""
_SEEK_FIRST, _SEEK_MOST = 0.25, 8.0
"""Seconds until a lane looks for a process of its own again, twice as long each time. A worker that
was killed is replaced within about 0.1 s."""


class MultiplexedChannel:
    """Shared connections to a node, one for each process behind its address.

    The registry says how many processes there are, or the server's hello-ack does. A call goes to
    the connection with the fewest calls waiting, so a slow or hanging process gets few calls. A
    further connection is made only when calls overlap. Where several serve, a new connection takes
    calls once its hello-ack has shown that no other connection goes to the same process. See
    :class:`bee_core.interfaces.AsyncChannel`.
    """

    def __init__(self, dialer: Dialer, node: Node, settings: ChannelSettings) -> None:
        self._dialer = dialer
        self._node = node
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._workers = 0  # not known
        self._remembers = False  # the server its answers
        self._former: list[Lane] = []
        self._seek_delay = _SEEK_FIRST
        self._seeking: asyncio.TimerHandle | None = None
        self._retired = False
        self.lanes: list[Lane] = []
        self._resize(node.workers)

    def start(self, request: Request) -> PendingReply:
        """See :meth:`bee_core.interfaces.AsyncChannel.start`."""
        pending = PendingReply(self._loop.create_future(), request)
        lanes = self.lanes
        (lanes[0] if len(lanes) == 1 else self._least_busy()).take(pending)
        return pending

    def repeat(self, request: Request) -> PendingReply:
        """Send a request once more, to the process that got it first.

        See :meth:`.blocking_channel.BlockingChannel.repeat`.
        """
        pending = PendingReply(self._loop.create_future(), request)
        sent = request.where_sent
        if sent is None or self._retired:
            pending.settle(another_answers())
            return pending
        workers = max(self._workers, len(self.lanes))
        same = SameProcess(self._dialer, self._node, self._settings, workers, sent.epoch)
        self._former.append(same.lane)
        pending.reply.add_done_callback(lambda _: self._former.remove(same.lane))
        same.start(pending)
        return pending

    def _least_busy(self) -> Lane:
        best = self.lanes[0]
        fewest = best.waiting
        if fewest:
            for lane in self.lanes:
                if (waiting := lane.waiting) < fewest:
                    best, fewest = lane, waiting
        return best

    @property
    def connection(self) -> MultiplexedConnection | None:
        """The first connection, if there is one; for tests and tools."""
        return self.lanes[0].connection

    def _resize(self, workers: int) -> None:
        count = min(max(workers, 1), MOST_CONNECTIONS)
        while len(self.lanes) < count:
            self.lanes.append(Lane(self, self._dialer, self._node, self._settings))
        while len(self.lanes) > count:
            lane = self.lanes.pop()
            lane.retire()
            self._former.append(lane)

    # What the lanes call.

    @property
    def tries(self) -> int:
        """See :class:`.lane.Owner`."""
        return 2 * len(self.lanes) if len(self.lanes) > 1 else 0

    def sends_at_once(self, lane: Lane) -> bool:
        """See :class:`.lane.Owner`.

        The first call needs no extra round trip. Of calls that begin together on a new connection,
        one process might get all. Where the server remembers its answers, a call must know which
        process has it.
        """
        if self._remembers:
            return False
        if self._workers == 1:
            return True
        alone = not any(other.connecting for other in self.lanes if other is not lane)
        return alone and lane.waiting <= 1

    def learn(self, ack: HelloAck) -> None:
        """See :class:`.lane.Owner`."""
        self._remembers = ack.deduplication is not None
        workers = ack.workers
        if workers != self._workers and not self._retired:
            self._workers = workers
            self._resize(workers)

    def claim(self, lane: Lane, epoch: bytes) -> bool:
        """See :class:`.lane.Owner`."""
        return all(other.epoch != epoch for other in self.lanes if other is not lane)

    def place(self, pending: PendingReply) -> None:
        """See :class:`.lane.Owner`."""
        self._least_busy().take(pending)

    def lacks(self) -> None:
        """See :class:`.lane.Owner`."""
        if self._seeking is None and not self._retired:
            self._seeking = self._loop.call_later(self._seek_delay, self._seek)

    def _seek(self) -> None:
        self._seeking = None
        lacking = [lane for lane in self.lanes if lane.connection and lane.epoch is None]
        if not lacking:
            self._seek_delay = _SEEK_FIRST
            return
        self._seek_delay = min(2 * self._seek_delay, _SEEK_MOST)
        for lane in lacking:
            lane.seek()

    # The rest of the contract.

    async def ping(self, timeout: float) -> Status | Failure:
        """See :meth:`bee_core.interfaces.AsyncChannel.ping`. One process answers for the node."""
        return await self.lanes[0].ping(timeout)

    async def ping_open(self, timeout: float) -> Status | Failure | None:
        """See :meth:`bee_core.interfaces.Channel.ping`: it may define this as well."""
        for lane in self.lanes:
            connection = lane.connection
            if connection is not None and connection.usable:
                return await connection.ping(timeout)
        return None

    def retire(self) -> None:
        """See :meth:`bee_core.interfaces.AsyncChannel.retire`."""
        self._end_seeking()
        for lane in self.lanes:
            lane.retire()

    def _end_seeking(self) -> None:
        self._retired = True
        if self._seeking is not None:
            self._seeking.cancel()

    def discard_after_fork(self) -> None:
        """In a forked child: close the descriptors. The parent's connections are not touched.

        Nothing else may be done with the channel.
        """
        for lane in (*self.lanes, *self._former):
            lane.discard_after_fork()

    async def close(self) -> None:
        """See :meth:`bee_core.interfaces.AsyncChannel.close`."""
        self._end_seeking()
        lanes = *self.lanes, *self._former
        for lane in lanes:
            lane.closed = True
        for lane in lanes:
            await lane.close()
