"""Looking for a reply for a moment instead of sleeping at once.

A processor that sleeps takes 20 µs and more to wake up, and finds its caches cold: for a reply that is there after 50 µs that doubles the time of a call, and takes as much of the
processor as looking for it would. So a thread that calls alone looks first, as the socket option SO_BUSY_POLL has the kernel do and adaptive mutexes do: only where replies have
come that fast, and never for longer than a window; a reply that does not come in it is waited for asleep, and the next ones too for a while.
"""

from __future__ import annotations

import os

WINDOW = 100e-6
"""Seconds, the usual window: what a call takes on one machine or to the next rack."""
FIRST = 8
"""Replies in a row that must have been quick before a window is spent on looking, and the least."""
MOST = 1024
"""The most that are asked for: a service that answers now fast, now slowly costs a window in so many calls."""
MISSES = 4
"""Windows in a row without a reply after which it sleeps again. The first ones find the other side's caches still cold from sleeping."""
NEAR = 2
"""Windows within which a sleeper's reply counts as quick: a wake-up is in it."""

waiting: set[object] = set()
"""Everything in this process that waits for a reply. Only a single one looks: with several threads, others have a use for the interpreter and the processor."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=waiting.clear)


class BusyPoll:
    """Whether to look for one node's replies. Used from all threads without a lock: what is lost between them is a count, and costs a moment.

    Args:
        window: Seconds.

    Attributes:
        window: Seconds that looking may take.
        worth_it: Whether the next reply is looked for.
    """

    __slots__ = ("_missed", "_needed", "_penalty", "window", "worth_it")

    def __init__(self, window: float) -> None:
        self.window = window
        self.worth_it = False
        self._missed = 0
        self._penalty = self._needed = FIRST

    def slept(self, seconds: float) -> None:
        """A reply was waited for asleep; it took so long."""
        if seconds > NEAR * self.window:
            self._needed = self._penalty
            return
        self._needed -= 1
        if self._needed <= 0:
            self.worth_it = True

    def crowded(self) -> None:
        """Another thread waits for a reply too: sleep, until this one has been alone for a while."""
        self.worth_it = False
        self._needed = self._penalty

    def found(self) -> None:
        """A reply came while it was looked for."""
        self._missed = 0
        if self._penalty > FIRST:
            self._penalty -= 1

    def missed(self) -> None:
        """None came in the window. After some of these in a row: sleep again, until so many replies were quick as it takes now."""
        self._missed += 1
        if self._missed < MISSES:
            return
        self._missed = 0
        self.worth_it = False
        self._penalty = self._needed = min(2 * self._penalty, MOST)


def usable_window(seconds: float) -> float:
    """The window to use on this machine: none where it has a single processor, which the server may need."""
    return seconds if (os.cpu_count() or 1) > 1 else 0.0
