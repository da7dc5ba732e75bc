"""The deadline as the asyncio driver holds it itself: no channel can make a call outlive it.

A channel ends each request at its deadline. For one that does not, a plugin with a bug, the driver
ends the wait. One timer serves all calls of a loop: nearly none of them ever needs it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

GRACE = 0.05
"""Seconds after the deadline in which the channel may still end the request itself: it knows best
why there is no reply."""

_NEVER = float("inf")
_ENDED = -1.0  # stands for the deadline of a wait that was ended here


class Overdue:
    """The waits of one loop's calls. For the thread of that loop.

    Args:
        clock: The clock of the deadlines, in seconds.

    Attributes:
        waits: The deadline of each reply that is awaited.
        next: When it looks next; infinity where it has nothing to look for. Only an earlier
            deadline needs ``look_at``.
    """

    __slots__ = ("_timer", "clock", "next", "waits")

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.waits: dict[Any, float] = {}
        self.next = _NEVER
        self._timer: asyncio.TimerHandle | None = None

    def look_at(self, deadline: float) -> None:
        """Look at the waits once this deadline is over."""
        self.close()
        self.next = deadline
        delay = max(0.0, deadline - self.clock()) + GRACE
        self._timer = asyncio.get_running_loop().call_later(delay, self._look)

    def _look(self) -> None:
        self._timer = None
        self.next = _NEVER
        over = self.clock() - GRACE
        for reply, deadline in tuple(self.waits.items()):
            if deadline <= over and deadline != _ENDED and not reply.done():
                self.waits[reply] = _ENDED
                reply.cancel()
        earliest = min((left for left in self.waits.values() if left > over), default=None)
        if earliest is not None:
            self.look_at(earliest)

    def ended(self, reply: Any) -> bool:
        """Forget a wait that is over; whether it was ended here."""
        try:
            return self.waits.pop(reply, None) == _ENDED
        except TypeError:  # what a broken channel gave cannot even be looked up
            return False

    def close(self) -> None:
        """Look at nothing any more."""
        self.next = _NEVER
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
