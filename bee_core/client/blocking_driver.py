"""Carries out the effects of the call flow on the calling thread."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING, Any

from ..calls.broken_effects import broken
from ..calls.conclusion import abandon, conclude
from ..calls.flow import flow
from ..contracts.effects import Attempt, Effect, Pause, Queue, Race
from ..terms.causes import cancelled
from ..terms.failures import Failure
from .blocking_race import race
from .overdue import GRACE

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from ..calls.call import Call


def drive(
    call: Call,
    closing: Event,
    clock: Callable[[], float],
    make_flow: Callable[[Call], Generator[Effect, Any, Failure | None]] = flow,
) -> Exception | None:
    """Make a call: afterwards ``call.value`` is the result, unless an error is returned.

    Args:
        call: The call.
        closing: Set when the client is closed: it ends every wait.
        clock: Seconds, monotonic.
        make_flow: Makes the generator to run; another one where a call is traced.
    """
    steps = make_flow(call)
    answer: Any = None
    failure: Failure | None = None
    try:
        while True:
            effect = steps.send(answer)
            try:
                if type(effect) is Attempt:
                    answer = effect.channel.start(call)
                    if type(answer) is not Failure:
                        seconds = call.deadline - clock() + GRACE
                        if answer is call.pending:
                            answer = answer.wait(seconds)
                        else:
                            answer = _kept(call, answer, seconds)
                elif type(effect) is Pause:
                    answer = (
                        cancelled("the client was closed", sent=call.executed != "no")
                        if closing.wait(effect.seconds)
                        else None
                    )
                elif type(effect) is Race:
                    answer = race(call, effect, clock)
                else:
                    answer = _queue(effect, closing, clock)
            except Exception as error:
                answer = broken(call, effect, call.pending, error)
    except StopIteration as stop:
        failure = stop.value
    except BaseException:
        # An interrupt (Ctrl-C) came, perhaps between two lines. The connection and the permits must
        # go back now, not at garbage collection.
        if call.pending is not None:
            call.pending.cancel()
        steps.close()
        abandon(call)
        raise
    return None if failure is None and not call.plan.service.attentive else conclude(call, failure)


def _kept(call: Call, pending: Any, seconds: float) -> Any:
    """Wait for the reply of a channel that does not keep ``request.pending`` itself."""
    wait = pending.wait
    call.pending = pending
    answer = wait(seconds)
    if answer is not None:
        call.pending = None  # it has ended, so it must not be cancelled
    return answer


def _queue(effect: Queue, closing: Event, clock: Callable[[], float]) -> bool | Failure:
    admitted = Event()
    effect.ticket.on_admitted(admitted.set)
    while not admitted.is_set():
        if closing.is_set():
            return cancelled("the client was closed", sent=False)
        left = effect.until - clock()
        if left <= 0:
            return False
        admitted.wait(min(left, _CLOSING_CHECK))
    return True


_CLOSING_CHECK = 0.1  # seconds after which a call that queues notices that its client was closed
