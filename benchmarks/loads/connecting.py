"""Connection set-up: a new client for each call, and what it takes until it is closed again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..contenders.contender import AsyncCalls, Calls
    from .meter import Meter


def run_blocking(new: Callable[[], Calls], seconds: float, meter: Meter) -> None:
    """Make a client, call once, close it; again and again for so long."""
    with new() as (call,):
        call()
    clock = meter.clock
    until = meter.start() + seconds
    while (begun := clock()) < until:
        with new() as (call,):
            call()
        meter.took.append(clock() - begun)
    meter.stop()


async def run_async(new: Callable[[], AsyncCalls], seconds: float, meter: Meter) -> None:
    """The same on an event loop."""
    async with new() as (call,):
        await call()
    clock = meter.clock
    until = meter.start() + seconds
    while (begun := clock()) < until:
        async with new() as (call,):
            await call()
        meter.took.append(clock() - begun)
    meter.stop()
