"""The asyncio channel to a node of several worker processes: some connections, so that one event loop keeps more than one worker busy.

Which worker a connection reaches is for the system to say. A call goes to the connection with the fewest calls waiting, so a worker that is slow or hangs gets few of
them; a further connection is only made once the calls overlap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from .multiplexed_channel import MultiplexedChannel

if TYPE_CHECKING:
    from ..contracts.transport import ChannelSettings
    from ..terms.failures import Failure
    from ..terms.node import Node
    from ..terms.request import Request
    from .multiplexed_connection import PendingReply
    from .transport import StreamTransport

MOST_CONNECTIONS = 4
"""Of one client to one node, however many workers it has: one event loop hardly keeps more than this busy, and each connection counts against the server's max_conn_size."""


class SpreadChannel:
    """See :class:`bee_core.interfaces.AsyncChannel`."""

    def __init__(self, transport: StreamTransport, node: Node, settings: ChannelSettings) -> None:
        self._channels = [
            MultiplexedChannel(transport, node, settings)
            for _ in range(min(node.workers, MOST_CONNECTIONS))
        ]

    def start(self, request: Request) -> PendingReply:
        """See :meth:`bee_core.interfaces.AsyncChannel.start`."""
        best = self._channels[0]
        fewest = best.waiting
        if fewest:
            for channel in self._channels:
                if (waiting := channel.waiting) < fewest:
                    best, fewest = channel, waiting
        return best.start(request)

    async def ping(self, timeout: float) -> Literal["serving", "draining"] | Failure:
        """See :meth:`bee_core.interfaces.AsyncChannel.ping`. Whichever worker takes it answers for the node."""
        return await self._channels[0].ping(timeout)

    def retire(self) -> None:
        """See :meth:`bee_core.interfaces.AsyncChannel.retire`."""
        for channel in self._channels:
            channel.retire()

    def discard_after_fork(self) -> None:
        """See :meth:`bee_core.streams.multiplexed_channel.MultiplexedChannel.discard_after_fork`."""
        for channel in self._channels:
            channel.discard_after_fork()

    async def close(self) -> None:
        """See :meth:`bee_core.interfaces.AsyncChannel.close`."""
        for channel in self._channels:
            await channel.close()
