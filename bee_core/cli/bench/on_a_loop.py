"""The load of asyncio callers: tasks of one event loop, over one client that all share."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ...calls.application_errors import call_error_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ...client.proxies import Reply
    from .course import Course

_LOOK = 0.1  # seconds
_BUSY = 0.001
"""Seconds between two looks while all callers are busy. Who is free first takes what is due."""
_ROUNDING = 0.002
"""Seconds. Event loops wake up to a millisecond late, so the rest of a wait is spent turning the
loop. That keeps a core busy, and it keeps the generator's own lateness out of the latencies."""


class Callers:
    """Tasks that call until the run is over. Belongs to the running loop.

    Args:
        course: The run.
        call: Makes one call.
    """

    def __init__(self, course: Course, call: Callable[[], Awaitable[Reply[Any]]]) -> None:
        self._course = course
        self._call = call
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()
        self._broken: BaseException | None = None

    def interrupt(self) -> None:
        """End the run early, for Ctrl-C."""
        self._course.end("interrupted")
        self._over.set()

    async def run(self, show: Callable[[float], None]) -> float:
        """Call until the run is over.

        Args:
            show: Is told the time a few times a second.

        Returns:
            When the last call ended.
        """
        course = self._course
        watching = asyncio.create_task(self._watch(show))
        try:
            if course.schedule is None:
                for _ in range(course.load.concurrency):
                    self._begin(self._closed())
            else:
                await self._dispatch()
            while self._tasks and not self._over.is_set():
                over = asyncio.ensure_future(self._over.wait())
                await asyncio.wait({*self._tasks, over}, return_when=asyncio.FIRST_COMPLETED)
                over.cancel()
        finally:
            watching.cancel()
            left = list(self._tasks)
            for task in left:
                task.cancel()
            course.given_up += len(left)
            await asyncio.gather(watching, *left, return_exceptions=True)
        if self._broken is not None:
            raise self._broken
        return perf_counter()

    def _begin(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._broken = self._broken or error  # a bug or a plugin's: the command reports it
            self._over.set()

    async def _watch(self, show: Callable[[float], None]) -> None:
        while True:
            await asyncio.sleep(_LOOK)
            now = perf_counter()
            self._course.look(now)
            if self._course.ending:
                self._over.set()
            show(now)

    async def _closed(self) -> None:
        until = self._course.until
        while (now := perf_counter()) < until:
            await self._make(now, None)

    async def _dispatch(self) -> None:
        schedule, limit = self._course.schedule, self._course.load.concurrency
        assert schedule is not None  # noqa: S101  # for the type checker
        while not self._over.is_set() and (start := schedule.next_start()) is not None:
            ahead = start - perf_counter()
            if ahead > _ROUNDING:
                await asyncio.sleep(min(_LOOK, ahead - _ROUNDING))
            elif ahead > 0:
                await asyncio.sleep(0)
            elif len(self._tasks) >= limit:
                await asyncio.sleep(_BUSY)
            elif (planned := schedule.take()) is not None:
                self._begin(self._open(planned))

    async def _open(self, planned: float) -> None:
        schedule = self._course.schedule
        assert schedule is not None  # noqa: S101  # for the type checker
        following: float | None = planned
        while following is not None:
            now = perf_counter()
            await self._make(following, now)
            following = schedule.take(perf_counter())

    async def _make(self, planned: float, began: float | None) -> None:
        course = self._course
        try:
            reply = await self._call()
        except Exception as raised:
            error, ended = call_error_of(raised), perf_counter()
            if planned >= course.counted_from:
                course.tally.add_error(error, ended - planned)
        else:
            ended = perf_counter()
            if planned >= course.counted_from:
                course.tally.add_reply(
                    reply, ended - planned, None if began is None else ended - began
                )
