"""Look for a reply for a moment instead of sleeping at once.

A processor that sleeps needs 20 µs or more to wake up, and its caches are cold then. For a reply
that comes after 50 µs this doubles the time of a call, and it takes as much of the processor as
looking would. So a thread that calls alone looks first, like the kernel with the socket option
SO_BUSY_POLL and like adaptive mutexes. It looks only at nodes whose replies were that fast, and
never longer than a window. After some windows without a reply it sleeps again for a while.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

BUSY_POLL_WINDOW = 100e-6
"""The usual window in seconds: the time of a call on one machine or to the next rack."""
FIRST = 8
"""Quick replies in a row before it looks, at first and at least."""
MOST = 1024
"""Quick replies in a row before it looks, at most: a service that is fast now and slow then costs
one window in so many calls."""
MISSES = 4
"""Windows in a row without a reply before it sleeps again. The first windows still meet the cold
caches of the other side."""
NEAR = 2
"""A reply within so many windows counts as quick, when it woke a sleeper: a wake-up is in it."""

waiting: set[object] = set()
"""All that waits for a reply in this process. Only a single one looks: with several threads, the
others can use the interpreter and the processor."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=waiting.clear)


class BusyPoll:
    """Decides whether to look for the replies of one node.

    All threads use it without a lock. They may lose a count between them, which costs a moment.

    Args:
        window: Seconds.

    Attributes:
        window: Seconds that a look may take.
        worth_it: Look for the next reply.
    """

    __slots__ = ("_missed", "_needed", "_penalty", "window", "worth_it")

    def __init__(self, window: float) -> None:
        self.window = window
        self.worth_it = False
        self._missed = 0
        self._penalty = self._needed = FIRST

    def look(
        self,
        poll: Callable[[int], object],
        clock: Callable[[], float],
        now: float,
        left: float,
    ) -> bool:
        """Look without sleeping, while no other thread waits for a reply.

        Args:
            poll: Tells at once whether there is something to read.
            clock: Seconds.
            now: The moment of the clock.
            left: Seconds that the reply may take.

        Returns:
            Whether there is something to read.
        """
        until = now + min(self.window, left)
        while len(waiting) == 1:
            if poll(0):
                self.found()
                return True
            if clock() >= until:
                self.missed()
                return False
        self.crowded()
        return False

    def looked(self, seconds: float) -> None:
        """A look of the native step, which does not see other threads, has ended.

        Args:
            seconds: After which a reply came, or time was up.
        """
        if len(waiting) > 1:
            self.crowded()
        elif seconds <= self.window:
            self.found()
        else:
            self.missed()

    def waited(self, seconds: float) -> None:
        """A reply came after so many seconds, or time was up; nobody looked for it."""
        if len(waiting) == 1:
            self.slept(seconds)
        else:
            self.crowded()

    def slept(self, seconds: float) -> None:
        """A thread slept for so many seconds until its reply came."""
        if seconds > NEAR * self.window:
            self._needed = self._penalty
            return
        self._needed -= 1
        if self._needed <= 0:
            self.worth_it = True

    def crowded(self) -> None:
        """Another thread waits for a reply too: sleep, until one has been alone for a while."""
        self.worth_it = False
        self._needed = self._penalty

    def found(self) -> None:
        """A reply came during a look."""
        self._missed = 0
        if self._penalty > FIRST:
            self._penalty -= 1

    def missed(self) -> None:
        """No reply came in the window. After some of these in a row it sleeps again."""
        self._missed += 1
        if self._missed < MISSES:
            return
        self._missed = 0
        self.worth_it = False
        # The next time it takes more quick replies, so looking in vain becomes rare.
        self._penalty = self._needed = min(2 * self._penalty, MOST)


def usable_window(seconds: float) -> float:
    """The window for this machine: 0 with a single processor, which the server may need."""
    return seconds if (os.cpu_count() or 1) > 1 else 0.0
