"""Carries out the effects of the call flow on an event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ..calls.flow import abandon, conclude, flow
from ..contracts.effects import Attempt, Effect, Pause, Queue
from ..terms.causes import cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from ..calls.call import Call
    from ..terms.failures import Failure


async def drive(
    call: Call,
    closing: asyncio.Event,
    clock: Callable[[], float],
    make_flow: Callable[[Call], Generator[Effect, Any, Failure | None]] = flow,
) -> Exception | None:
    """Make a call: ``call.value`` is then the result, unless an error is returned.

    See :func:`bee_core.client.blocking_driver.drive`.
    """
    steps = make_flow(call)
    answer: Any = None
    failure: Failure | None = None
    try:
        while True:
            effect = steps.send(answer)
            if type(effect) is Attempt:
                pending = effect.channel.start(call)
                try:
                    answer = await pending.reply
                except BaseException:
                    pending.cancel()
                    raise
            elif type(effect) is Pause:
                closed = await _wait(closing, effect.seconds)
                answer = (
                    cancelled("the client was closed", sent=call.executed != "no")
                    if closed
                    else None
                )
            else:
                answer = await _queue(effect, closing, clock)
    except StopIteration as stop:
        failure = stop.value
    except BaseException:
        # The task was cancelled. The permits must go back now, not at garbage collection.
        steps.close()
        abandon(call)
        raise
    return None if failure is None and not call.plan.service.observers else conclude(call, failure)


async def _wait(event: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except (TimeoutError, asyncio.TimeoutError):
        return False
    return True


async def _queue(
    effect: Queue, closing: asyncio.Event, clock: Callable[[], float]
) -> bool | Failure:
    loop = asyncio.get_running_loop()
    admitted = asyncio.Event()

    def on_admitted() -> None:
        loop.call_soon_threadsafe(admitted.set)

    effect.ticket.on_admitted(on_admitted)
    waits = {asyncio.ensure_future(admitted.wait()), asyncio.ensure_future(closing.wait())}
    try:
        await asyncio.wait(
            waits, timeout=max(0.0, effect.until - clock()), return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        for wait in waits:
            wait.cancel()
    if admitted.is_set():
        return True
    return cancelled("the client was closed", sent=False) if closing.is_set() else False
