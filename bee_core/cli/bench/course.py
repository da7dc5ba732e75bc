"""A run: what is asked for, how far it is, and why it ends early."""

from __future__ import annotations

from typing import Literal

import attrs

from .schedule import Schedule
from .tally import Tally

_ROUNDING = 1e-6
"""Seconds. A start that is planned for the end of the warm-up may lie before it by rounding."""

Ending = Literal["", "interrupted", "cannot keep up"]


@attrs.frozen
class Load:
    """What is asked for.

    Attributes:
        concurrency: Calls that may be in flight.
        duration: Seconds that are measured.
        warmup: Seconds before, in which calls are made and not counted.
        rate: Calls a second in an open loop; None for a closed loop.
        most_waiting: Calls of an open loop that may be due and not begun.
    """

    concurrency: int
    duration: float
    warmup: float
    rate: float | None
    most_waiting: int


class Course:
    """A run that goes on. Its methods are for the one thread or loop that drives it.

    Args:
        load: What is asked for.
        began: When it begins, in seconds on the drivers' clock.

    Attributes:
        measured_from: When the warm-up is over.
        counted_from: Calls that begin, or were planned, earlier are not counted.
        until: No call of a closed loop begins later, and none of an open loop is planned for later.
        schedule: The planned starts of an open loop, or None.
        tally: What was counted.
        ending: Why it ends early; empty while it does not. Any thread may look at it.
        longest_queue: The most calls that were due and not begun.
        queue_at_end: Such calls at ``until``.
        given_up: Calls in flight that were given up when the run ended early; they may have run.
    """

    def __init__(self, load: Load, began: float) -> None:
        self.load = load
        self.measured_from = began + load.warmup
        self.counted_from = self.measured_from - _ROUNDING
        self.until = self.measured_from + load.duration
        # What waits at the end gets as long again. It is made and counted, because leaving it out
        # would leave out the slowest calls.
        self._latest = self.until + load.duration
        self.schedule: Schedule | None = None
        if load.rate is not None:
            planned = round((load.warmup + load.duration) * load.rate)
            self.schedule = Schedule(load.rate, began, max(1, planned))
        self.tally = Tally()
        self.ending: Ending = ""
        self.longest_queue = 0
        self.queue_at_end: int | None = None
        self.given_up = 0

    def look(self, now: float) -> None:
        """See whether the target keeps up; several times a second."""
        if self.schedule is None:
            return
        waiting = self.schedule.waiting(now)
        self.longest_queue = max(self.longest_queue, waiting)
        if now >= self.until and self.queue_at_end is None:
            self.queue_at_end = waiting
        if waiting > self.load.most_waiting or (waiting and now > self._latest):
            self.end("cannot keep up")

    def end(self, why: Ending) -> None:
        """End it early. The first reason counts."""
        self.ending = self.ending or why

    def measured(self, ended: float) -> float:
        """Seconds that were measured, when the last call ended at ``ended``; 0 in the warm-up."""
        end = ended if self.ending else max(ended, self.until)
        return max(0.0, end - self.measured_from)

    @property
    def never_begun(self) -> int:
        """Planned calls that never began; 0 in a closed loop, and where all went as planned."""
        if self.schedule is None or self.ending != "cannot keep up":
            return 0
        return self.schedule.total - self.schedule.taken

    @property
    def kept_up(self) -> bool:
        """Whether calls began about as fast as they were planned.

        A queue that is longer at the end than what one stall explains (a hundredth of all calls,
        and more than may be in flight) means that the rate is above what the target can do.
        """
        if self.ending == "cannot keep up":
            return False
        if self.schedule is None or not self.queue_at_end:
            return True
        return self.queue_at_end <= max(self.load.concurrency, self.schedule.total // 100)
