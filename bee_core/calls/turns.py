"""A call's turn at the limiter of its client: asked for, waited for, given back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..contracts.effects import Queue
from ..contracts.plugin_faults import kind_of
from ..errors import CALL_ERRORS
from ..terms.causes import local
from ..terms.failures import Failure, raised
from .recording import note

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from ..contracts.effects import Effect
    from ..contracts.policies import Limiter
    from ..terms.failures import Outcome
    from .call import Call

    Steps = Generator[Effect, Any, Failure | None]


def release(call: Call, limiter: Limiter, outcome: Outcome | None, seconds: float) -> None:
    """Give a permit back."""
    try:
        limiter.release(outcome, seconds)
    except Exception as error:  # the call keeps what it has
        call.plan.service.faults.said(limiter, "release", error)
        # What it made of the verdict raised, so the permit is still out: see Limiter.release().
        try:
            limiter.release(None, 0.0)
        except Exception as again:
            call.plan.service.faults.said(limiter, "release", again)


def turn(call: Call, limiter: Limiter, held: list[Any]) -> Steps:
    """Get one permit of the limiter, waiting for it if need be.

    Args:
        call: The call.
        limiter: The limiter.
        held: Gets the ticket, and then True for the permit.
    """
    clock, faults = call.plan.service.clock, call.plan.service.faults
    ticket: Any = None
    try:
        held[0] = ticket = limiter.admit(call, clock())
        if ticket is True:
            return None
        if isinstance(ticket, Failure):
            held[0] = None
            _tell(call, "refused", ticket.message)
            return ticket if ticket.kind in CALL_ERRORS else local("overloaded", ticket.message)
        patience: float | None = ticket.timeout
        until = call.deadline if patience is None else min(call.deadline, clock() + patience)
        _ = ticket.leave
    except Exception as error:
        faults.let_pass(error)  # a permit that is held goes back
        held[0] = None
        if ticket is None:
            return raised(faults.fault(limiter, "admit", error))
        leave = getattr(ticket, "leave", None)
        if leave is not None and not has_left(call, limiter, leave):
            release(call, limiter, None, 0.0)
        what = f"returned {kind_of(ticket)}, which is neither True nor a ticket nor a failure"
        return raised(faults.wrong(limiter, "admit", what))
    _tell(call, "queued", "")
    answer: Any = yield Queue(ticket, until)
    if answer is True:
        turned_away = getattr(ticket, "refusal", None)
        if isinstance(turned_away, Failure):
            held[0] = None
            return _refused(call, turned_away)
        held[0] = True
        note(call, "queue")
        return None
    if isinstance(answer, Failure):
        note(call, "queue", None, answer)
        return answer
    late = until >= call.deadline
    over = "the deadline came" if late else f"the limiter's queue_timeout ({patience:g} s) was over"
    message = f"{over} while the call waited for its turn at the client's limiter"
    return _refused(call, local("overloaded", message))


def _refused(call: Call, refusal: Failure) -> Failure:
    """Note that a call was turned away after a wait."""
    _tell(call, "refused", refusal.message)
    note(call, "queue", None, refusal)
    return refusal


def _tell(call: Call, state: str, reason: str) -> None:
    """Tell the observers what the limiter made of a call."""
    observation = call.plan.service.observation
    observation.limited("client", call.service, call.method, state, reason)


def has_left(call: Call, limiter: Limiter, leave: Callable[[], bool]) -> bool:
    """Whether a ticket was given up; False where its permit was granted and must go back."""
    try:
        return leave()
    except Exception as error:  # the call ends; what it held nobody can tell
        call.plan.service.faults.said(limiter, "leave", error)
        return True
