"""How late the serving loop is, measured while somebody wants to know."""

from __future__ import annotations

import asyncio

INTERVAL = 0.1
"""Seconds between two looks: short against what a balancer reacts to, and 10 timers a second cost
nothing."""
_UNASKED = 20
"""Looks after the last question until it stops: an idle server has no timer."""


class LoopLag:
    """Sets a timer and sees how late it goes off. On the loop's thread only."""

    __slots__ = ("_due", "_lag", "_left", "_loop", "_timer")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._due = self._lag = 0.0
        self._left = 0

    def seconds(self) -> float:
        """Seconds by which the loop was late last, or is now. 0 at the first question."""
        self._left = _UNASKED
        if self._timer is None:
            self._lag = 0.0
            self._watch()
        return max(self._lag, self._loop.time() - self._due, 0.0)

    def _watch(self) -> None:
        self._due = self._loop.time() + INTERVAL
        self._timer = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        self._lag = self._loop.time() - self._due
        self._left -= 1
        if self._left > 0:
            self._watch()
        else:
            self._timer = None

    def close(self) -> None:
        """Drop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
