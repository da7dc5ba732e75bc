"""The requests of a server that have begun and not ended: their places, deadlines and permits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from ..streams.deadline_timer import DeadlineTimer

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..contracts.endpoint import InboundCall


LATE = "the deadline passed while the handler ran"


class Watched(Protocol):
    """What :class:`InFlight` needs of a call that it watches.

    Attributes:
        call: The request.
    """

    call: InboundCall

    @property
    def begun(self) -> bool:
        """Whether its handler has begun."""

    def stop(self, kind: str, message: str) -> None:
        """Give the call up, and tell the caller. Never raises."""


class InFlight:
    """Counts the calls in flight and ends those that are late. On the loop's thread only.

    Args:
        clock: Seconds, monotonic.

    Attributes:
        count: Requests in flight, those in the limiter's queue included.
        watched: The calls that did not end at once, as keys, oldest first.
    """

    __slots__ = ("_quiet", "_timer", "clock", "count", "watched")

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.count = 0
        self.watched: dict[Watched, None] = {}
        self._timer = DeadlineTimer(asyncio.get_running_loop(), clock, self._sweep)
        self._quiet: asyncio.Event | None = None  # there while somebody waits

    def watch(self, running: Watched) -> None:
        """Keep an eye on a call that did not end at once."""
        self.watched[running] = None
        if running.call.deadline is not None:
            self._timer.watch(running.call.deadline)

    def ended(self, running: Watched) -> None:
        """Take the place back from a call whose handler is done or will never begin."""
        if self.watched:  # a call that ended at once never was
            self.watched.pop(running, None)
        call = running.call
        if call.held:
            call.let_go()
        self.count -= 1
        if self.count == 0 and self._quiet is not None:
            self._quiet.set()

    def unheard(self, running: Watched) -> None:
        """A call is to end as if its request had never come. Until then it keeps its place."""

    def _sweep(self, now: float) -> float | None:
        earliest: float | None = None
        for running in tuple(self.watched):
            deadline = running.call.deadline
            if deadline is None or running.call.cancelled:
                continue
            if deadline <= now:
                running.stop("deadline_exceeded", LATE)
            elif earliest is None or deadline < earliest:
                earliest = deadline
        return earliest

    async def wait_quiet(self, timeout: float) -> bool:
        """Wait until nothing is in flight; False when that takes more than ``timeout`` seconds."""
        if self.count:
            self._quiet = quiet = self._quiet or asyncio.Event()
            quiet.clear()
            try:
                await asyncio.wait_for(quiet.wait(), timeout)
            except (TimeoutError, asyncio.TimeoutError):
                return False
        return True

    def give_up_rest(self) -> int:
        """Cancel what is still in flight; returns how many calls that were."""
        rest = tuple(self.watched)
        for running in rest:
            running.stop("cancelled", "the server has shut down before the call was done")
        return len(rest)

    def close(self) -> None:
        """Drop the timer."""
        self._timer.close()
