"""One timer for many deadlines.

A timer for each call costs more than the rest of a call's bookkeeping, and nearly all of them are
cancelled. Most calls of a connection have the same timeout. So the next call ends later than those
before it, and the timer that is already set comes early enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

_NEVER = float("inf")


class DeadlineTimer:
    """Calls ``sweep`` when the earliest deadline has come. For the thread of one loop.

    Args:
        loop: The loop that owns the timer.
        clock: The clock of the deadlines, in seconds.
        sweep: Ends what is due at the given moment. Returns the earliest deadline left, or None.

    Attributes:
        next: When it goes off; infinity without a deadline. Only an earlier one needs ``watch``.
    """

    __slots__ = ("_clock", "_handle", "_loop", "_sweep", "next")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        sweep: Callable[[float], float | None],
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._sweep = sweep
        self.next = _NEVER
        self._handle: asyncio.TimerHandle | None = None

    def watch(self, until: float) -> None:
        """Take care of a new deadline."""
        if until >= self.next:
            return
        self.close()
        self.next = until
        self._handle = self._loop.call_later(max(0.0, until - self._clock()), self._fire)

    def _fire(self) -> None:
        self._handle = None
        self.next = _NEVER
        earliest = self._sweep(self._clock())
        if earliest is not None:
            self.watch(earliest)

    def close(self) -> None:
        """Forget all deadlines."""
        self.next = _NEVER
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
