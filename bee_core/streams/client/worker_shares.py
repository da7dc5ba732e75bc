"""Keeps a blocking client's connections spread over the worker processes of a node.

The workers take turns to accept, so new connections are spread. But connections live long: after a
worker was replaced, all of them go to the others. So a connection of a worker that has more than
its share is closed when its call has ended. The next call that needs one opens it anew.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...wire.messages import HelloAck

_LOOK_SECONDS = 0.5  # between two looks while all is even
_MOVE_SECONDS = 0.02  # between two connections that are closed


class Acknowledged(Protocol):
    """A connection of which the server's ack is known, or not yet."""

    @property
    def ack(self) -> HelloAck | None:
        """What the server has said of itself."""


class WorkerShares:
    """How the connections of one channel are spread. For any thread; an error costs a dial.

    Attributes:
        look_at: When to ask :meth:`is_surplus` again, so that calls do not ask for nothing.
    """

    __slots__ = ("_moves", "look_at")

    def __init__(self) -> None:
        self.look_at = 0.0
        self._moves = 0

    def is_surplus(
        self, connection: Acknowledged, all_of_them: Sequence[Acknowledged], now: float
    ) -> bool:
        """Whether a connection is to be closed, since its worker has more than its share."""
        self.look_at = now + _LOOK_SECONDS
        own = connection.ack
        if own is None or own.workers == 1:
            return False
        counts = Counter(other.ack.epoch for other in all_of_them if other.ack is not None)
        fewest = min(counts.values()) if len(counts) >= own.workers else 0
        most = max(counts.values())
        if most < fewest + 2:
            self._moves = 0
            return False
        # A worker that stays away must not make the others' clients dial for ever.
        if self._moves < 2 * len(all_of_them):
            self.look_at = now + _MOVE_SECONDS
        if counts[own.epoch] < most:
            return False
        self._moves += 1
        return True
