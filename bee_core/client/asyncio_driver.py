"""Carries out the effects of the call flow on an event loop."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..calls.broken_effects import broken, checked, give_up
from ..calls.conclusion import abandon, conclude
from ..calls.flow import flow
from ..contracts.effects import Attempt, Effect, Pause, Queue, Race
from ..terms.causes import cancelled, read_timed_out
from ..terms.failures import Success
from .asyncio_race import race

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from ..calls.call import Call
    from ..terms.failures import Failure
    from .overdue import Overdue


async def drive(
    call: Call,
    closing: asyncio.Event,
    overdue: Overdue,
    make_flow: Callable[[Call], Generator[Effect, Any, Failure | None]] = flow,
) -> Exception | None:
    """Make a call: ``call.value`` is then the result, unless an error is returned.

    Args:
        call: The call.
        closing: Set when the client is closed: it ends every wait.
        overdue: Ends the wait for a channel that does not end it at the deadline.
        make_flow: Makes the generator to run; another one where a call is traced.
    """
    steps = make_flow(call)
    answer: Any = None
    failure: Failure | None = None
    waits = overdue.waits
    deadline = call.deadline
    try:
        while True:
            effect = steps.send(answer)
            pending: Any = None
            try:
                if type(effect) is Attempt:
                    pending = effect.channel.start(call)
                    reply = pending.reply
                    waits[reply] = deadline
                    if deadline < overdue.next:
                        overdue.look_at(deadline)
                    answer = await reply
                    del waits[reply]
                    if type(answer) is not Success:
                        answer = checked(call, pending, answer)
                elif type(effect) is Pause:
                    closed = await _wait(closing, effect.seconds)
                    answer = (
                        cancelled("the client was closed", sent=call.executed != "no")
                        if closed
                        else None
                    )
                elif type(effect) is Race:
                    answer = await race(call, effect, overdue.clock)
                else:
                    answer = await _queue(effect, closing, overdue.clock)
            except BaseException as error:
                answer = _given_up(call, effect, pending, overdue, error)
                if answer is None:
                    raise
    except StopIteration as stop:
        failure = stop.value
    except BaseException:
        # The task was cancelled. The permits must go back now, not at garbage collection.
        steps.close()
        abandon(call)
        raise
    return None if failure is None and not call.plan.service.attentive else conclude(call, failure)


def _given_up(
    call: Call, effect: Effect, pending: Any, overdue: Overdue, error: BaseException
) -> Failure | None:
    """Clean up after a wait that ended by an exception.

    Returns:
        The failure of the attempt; None where the exception is the caller's own.
    """
    ended = overdue.ended(getattr(pending, "reply", None))
    if isinstance(error, Exception):
        return broken(call, effect, pending, error)
    give_up(call, pending)
    if ended:
        return read_timed_out(call.read_timeout, full=False)
    if type(effect) is Attempt and isinstance(error, asyncio.CancelledError) and not _asked_for():
        return cancelled("the channel gave the request up", sent=True)
    return None


def _asked_for() -> bool:
    """Whether somebody has cancelled the running task. Python 3.10 cannot tell; it says yes."""
    cancelling = getattr(asyncio.current_task(), "cancelling", None)
    return cancelling is None or cancelling() > 0


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
        with suppress(RuntimeError):  # a loop that was closed has nobody to tell
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
