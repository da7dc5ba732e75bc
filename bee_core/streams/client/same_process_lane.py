"""How a repetition goes to the process that got the request first, on an event loop.

The blocking channel's part is :mod:`.same_process`, which loads no event loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .lane import Lane
from .outcomes import client_closed
from .same_process import another_answers, tries

if TYPE_CHECKING:
    from ...contracts.transport import ChannelSettings
    from ...terms.node import Node
    from ...wire.messages import HelloAck
    from ..byte_streams import Dialer
    from .pending_reply import PendingReply


class SameProcess:
    """The lane of one repetition on an event loop. Owns the lane; see :class:`.lane.Owner`.

    Args:
        dialer, node, settings: The channel's.
        workers: How many processes serve behind the address.
        epoch: The one that is wanted.
    """

    def __init__(
        self, dialer: Dialer, node: Node, settings: ChannelSettings, workers: int, epoch: bytes
    ) -> None:
        self.tries = tries(workers) - 1
        self.lane = Lane(self, dialer, node, settings)
        self._epoch = epoch

    def start(self, pending: PendingReply) -> None:
        """Connect, and send the request."""
        self.lane.take(pending)
        self.lane.retire()  # its connection is closed once the reply is there

    def sends_at_once(self, lane: Lane) -> bool:
        """Never before the ack has shown whose connection it is."""
        return False

    def learn(self, ack: HelloAck) -> None:
        """The channel has learnt it."""

    def claim(self, lane: Lane, epoch: bytes) -> bool:
        """Whether it is the process that is wanted."""
        return epoch == self._epoch

    def place(self, pending: PendingReply) -> None:
        """Send the request, if the process was found."""
        lane = self.lane
        if lane.closed:
            pending.settle(client_closed(sent=False))
        elif lane.epoch != self._epoch or lane.connection is None:
            pending.settle(another_answers())
            lane.retire()
        else:
            lane.connection.send(pending, lane.settings.clock())

    def lacks(self) -> None:
        """No other connection is looked for later."""
