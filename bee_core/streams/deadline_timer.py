"""One timer for many deadlines.

A timer a call costs more than the rest of a call's bookkeeping, and nearly all of them are cancelled. Most calls of a connection have the same timeout, so the next
one ends later than those before it, and the timer that is set already comes early enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

_NEVER = float("inf")


class DeadlineTimer:
    """Calls ``sweep`` when the earliest deadline has come. For one loop's thread.

    Args:
        loop: The loop that owns the timer.
        clock: Seconds, the clock of the deadlines.
        sweep: Ends what is due at the given moment; returns the earliest deadline that is left, or None.

    Attributes:
        next: When it goes off; infinity when nothing is due. Only a deadline before it needs ``watch``.
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
        if until < self.next:
            self._set(until)

    def _set(self, until: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
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
