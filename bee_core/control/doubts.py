"""Asks nodes in doubt how they are: all those of a client, at one pace.

A registry that lost its data puts thousands of nodes in doubt at one moment, and for all clients at
the same one. So the questions of a client are spread, and the order of those that are due together
is drawn.
"""

from __future__ import annotations

import asyncio
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable
    from random import Random

    Question = Callable[[], Awaitable[float | None]]

PINGS_A_SECOND = 20
"""The most pings that one client sends in a second because of doubts.

A thousand clients that doubt one node together cost it a thousand pings a second, on connections
that are open mostly. That is little beside their calls.
"""
_SPACING = 1 / PINGS_A_SECOND
_MOST_AT_A_TIME = 2 * PINGS_A_SECOND  # a ping takes two seconds at most


class Doubts:
    """Puts each question when it is due, and not before its turn.

    Used on the control plane's loop only.

    Args:
        clock: Seconds, monotonic.
        rng: Draws the order.
    """

    def __init__(self, clock: Callable[[], float], rng: Random) -> None:
        self._clock = clock
        self._rng = rng
        self.after_fork()

    def after_fork(self) -> None:
        """Forget all questions, which are the parent's in a forked child."""
        self._open: dict[Hashable, Question] = {}
        # When, a lot, the number that tells equal ones apart, and whom to ask.
        self._due: list[tuple[float, float, int, Hashable]] = []
        self._count = 0
        self._next_at = 0.0
        self._news = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None
        self._asking: set[asyncio.Task[None]] = set()

    def begin(self, key: Hashable, question: Question) -> None:
        """Ask as soon as there is a turn, and go on until it is settled.

        Args:
            key: Whom the question is about.
            question: Asks. Returns the seconds until it is put again; None: it is settled.
        """
        self._open[key] = question
        self._put(key, self._clock())

    def end(self, key: Hashable) -> None:
        """Do not ask any more. Without effect where it is settled."""
        self._open.pop(key, None)
        if len(self._due) > 2 * len(self._open) + _MOST_AT_A_TIME:
            # Records that come and go all the time leave what is settled behind.
            self._due = [entry for entry in self._due if entry[-1] in self._open]
            heapify(self._due)

    def _put(self, key: Hashable, when: float) -> None:
        self._count += 1
        heappush(self._due, (when, self._rng.random(), self._count, key))
        self._news.set()
        if self._runner is None:
            self._runner = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        try:
            while self._open:
                self._news.clear()
                pause = self._pause()
                if pause is None or pause > 0:
                    await self._wait(pause)
                    continue
                key = heappop(self._due)[-1]
                self._next_at = self._clock() + _SPACING
                task = asyncio.ensure_future(self._ask(key))
                self._asking.add(task)
                task.add_done_callback(self._asked)
        finally:
            self._runner = None

    def _pause(self) -> float | None:
        """Seconds until the next question may be put; None: something has to happen first."""
        while self._due and self._due[0][-1] not in self._open:
            heappop(self._due)
        if not self._due or len(self._asking) >= _MOST_AT_A_TIME:
            return None
        return max(self._due[0][0], self._next_at) - self._clock()

    async def _wait(self, seconds: float | None) -> None:
        # Not wait_for: before Python 3.12 it loses a cancellation that meets the news.
        loop = asyncio.get_running_loop()
        timer = None if seconds is None else loop.call_later(seconds, self._news.set)
        try:
            await self._news.wait()
        finally:
            if timer is not None:
                timer.cancel()

    async def _ask(self, key: Hashable) -> None:
        question = self._open.get(key)
        if question is None:
            return
        again = await question()
        if again is None:
            self._open.pop(key, None)
        elif self._open.get(key) is question:
            self._put(key, self._clock() + again)

    def _asked(self, task: asyncio.Task[None]) -> None:
        self._asking.discard(task)
        self._news.set()
