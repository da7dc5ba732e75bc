"""Closed loop: each caller calls again as soon as it has its answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from .together import WARM_UP, run_together

if TYPE_CHECKING:
    from ..contenders.contender import AsyncCall, Call
    from .meter import Meter


def run_threads(calls: list[Call], seconds: float, meter: Meter) -> None:
    """Call from a thread for each call.

    Args:
        calls: One for each thread.
        seconds: How long.
        meter: Gets the latency of each call.

    Raises:
        Exception: What a call raised.
    """
    clock = meter.clock

    def work(call: Call, started: float, took: list[float]) -> None:
        until = started + seconds
        while (begun := clock()) < until:
            call()
            took.append(clock() - begun)

    run_together(calls, work, meter)


async def run_tasks(calls: list[AsyncCall], seconds: float, meter: Meter) -> None:
    """Call from a task for each call; see :func:`run_threads`."""
    clock, took = meter.clock, meter.took

    async def work(call: AsyncCall) -> None:
        while (begun := clock()) < until:
            await call()
            took.append(clock() - begun)

    await warm_up(calls, WARM_UP)
    until = meter.start() + seconds
    await asyncio.gather(*map(work, calls))
    meter.stop()


async def warm_up(calls: list[AsyncCall], seconds: float) -> None:
    """Call for so long, and once at least."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds

    async def work(call: AsyncCall) -> None:
        await call()
        while loop.time() < until:
            await call()

    await asyncio.gather(*map(work, calls))
