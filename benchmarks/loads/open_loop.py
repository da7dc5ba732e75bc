"""Open loop: calls begin at planned times, and a latency counts from the plan.

A closed loop hides a stall: while one call hangs, its caller makes no others, so a second without
an answer is one slow call. Users do not wait for each other. Here call ``n`` is planned for
``n / rate`` seconds after the start, and what it waits for a free caller or a late event loop is
part of its latency. Gil Tene calls the mistake "coordinated omission"; wrk2 and HdrHistogram were
made against it.

The event loop's timers wake up to a millisecond late, which is more than most calls take. So the
scheduler sleeps until two milliseconds before the plan, and then turns the loop without a pause.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from typing import TYPE_CHECKING

from .closed_loop import warm_up
from .together import WARM_UP, run_together

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..contenders.contender import AsyncCall, Call
    from .meter import Meter

GRACE = 5.0
"""Seconds after the last planned start in which calls may still begin and end."""
SLEEPS_ABOVE = 0.003
WAKES_BEFORE = 0.002


def planned_calls(rate: float, seconds: float) -> int:
    """How many calls an open loop plans."""
    return max(1, int(rate * seconds))


def run_threads(calls: list[Call], rate: float, seconds: float, meter: Meter) -> None:
    """Each thread takes the next planned start, waits for it, and calls.

    Args:
        calls: One for each thread.
        rate: Calls a second, all threads together.
        seconds: How long.
        meter: Gets the latency of each call that ended.

    Raises:
        Exception: What a call raised.
    """
    clock = meter.clock
    total = planned_calls(rate, seconds)
    numbers = itertools.count()

    def work(call: Call, begun: float, took: list[float]) -> None:
        last = begun + total / rate + GRACE
        while (number := next(numbers)) < total:
            planned = begun + number / rate
            if (left := planned - clock()) > 0:
                time.sleep(left)
            elif clock() > last:
                return
            call()
            took.append(clock() - planned)

    run_together(calls, work, meter)


class Schedule:
    """Hands planned starts to free callers; those that find none wait in line."""

    def __init__(self, calls: list[AsyncCall], meter: Meter) -> None:
        self.failures: list[BaseException] = []
        self.running: set[asyncio.Task[None]] = set()
        self._free = list(calls)
        self._late: deque[float] = deque()
        self._meter = meter

    def begin(self, planned: float) -> None:
        """A call is due."""
        if not self._free:
            self._late.append(planned)
            return
        task = asyncio.ensure_future(self._work(self._free.pop(), planned))
        self.running.add(task)
        task.add_done_callback(self._ended)

    async def _work(self, call: AsyncCall, planned: float) -> None:
        while True:
            await call()
            self._meter.took.append(self._meter.clock() - planned)
            if not self._late:
                self._free.append(call)
                return
            planned = self._late.popleft()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures.append(error)

    async def end(self, seconds: float) -> None:
        """Wait for what runs, for so long; then cancel it."""
        if self.running:
            await asyncio.wait(list(self.running), timeout=seconds)
        for task in list(self.running):
            task.cancel()
        if self.failures:
            raise self.failures[0]


async def run_tasks(
    calls: list[AsyncCall],
    rate: float,
    seconds: float,
    meter: Meter,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Each planned start takes a free call, or the first that becomes free.

    Args:
        calls: As many as may be in flight.
        rate: Calls a second.
        seconds: How long.
        meter: Gets the latency of each call that ended.
        sleep: Waits for so many seconds, and lets the loop turn.

    Raises:
        Exception: What a call raised.
    """
    await warm_up(calls, WARM_UP)
    clock = meter.clock
    total = planned_calls(rate, seconds)
    schedule = Schedule(calls, meter)
    begun = meter.start()
    number = 0
    while number < total and not schedule.failures:
        due = min(total, int((clock() - begun) * rate) + 1)
        for one in range(number, due):
            schedule.begin(begun + one / rate)
        number = max(number, due)
        wait = begun + number / rate - clock()
        await sleep(wait - WAKES_BEFORE if wait > SLEEPS_ABOVE else 0)
    await schedule.end(max(0.1, begun + total / rate + GRACE - clock()))
    meter.stop()
