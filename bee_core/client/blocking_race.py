"""Several requests of one call at a time, on the calling thread.

One poll waits for all of their descriptors. A transport whose requests have none is asked in turn.
"""

from __future__ import annotations

import select
from math import ceil
from typing import TYPE_CHECKING, Any

from ..calls.broken_effects import broken, checked, give_up, late
from ..terms.causes import connect_given_up
from ..terms.failures import Failure, Success
from .beginnings import begin
from .overdue import GRACE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ..calls.call import Call
    from ..contracts.effects import Entrant, Race
    from ..terms.failures import Outcome

_LONGEST = 0.25
"""Seconds until all are asked again though none has shown anything: their own bounds may be over.
The bound of a read_timeout is known to the channel alone."""
_TURN_FIRST, _TURN_MOST = 0.001, 0.01
"""Seconds between two questions to those without a descriptor, twice as long each time."""


def race(call: Call, effect: Race, clock: Callable[[], float]) -> Entrant | None:
    """Carry out a :class:`~bee_core.contracts.effects.Race`: the first that has ended, or None."""
    entrants = effect.entrants
    bound = call.deadline + GRACE
    until = bound if effect.seconds is None else min(bound, clock() + effect.seconds)
    connecting: list[Entrant] = []
    for entrant in entrants:
        if not entrant.begun:
            if getattr(entrant.channel, "connects", False):
                connecting.append(entrant)
            else:
                _begin(call, effect, entrant, clock)
    if len(connecting) == 1:
        _begin(call, effect, connecting[0], clock)
    elif connecting:
        _begin_together(call, effect, connecting, clock)
    ended = next((one for one in entrants if one.outcome is not None), None)
    if ended is None:
        if len(entrants) == 1:
            _look(call, effect, entrants[0], max(0.0, until - clock()))
            ended = entrants[0] if entrants[0].outcome is not None else None
        else:
            ended = _first(call, effect, until, clock)
    if ended is None and clock() >= bound:  # a channel did not end its request in time
        ended = entrants[0]
        give_up(call, ended.pending, ended.node)
        ended.pending, ended.outcome = None, late(call)
    return ended


def _begin(call: Call, effect: Race, entrant: Entrant, clock: Callable[[], float]) -> None:
    entrant.begun = True
    try:
        _started(call, entrant, entrant.channel.start(entrant), clock)
    except Exception as error:
        _failed(call, effect, entrant, error)


def _begin_together(
    call: Call, effect: Race, entrants: Sequence[Entrant], clock: Callable[[], float]
) -> None:
    """Begin several that have to connect: a node that hangs keeps no other one waiting."""
    interruption: BaseException | None = None
    begun = begin(entrants, clock, call.deadline + GRACE)
    for entrant in entrants:
        if entrant.outcome is not None:
            entrant.outcome = late(call)  # a channel did not end its start in time
    for one in begun:
        error = one.error
        try:
            if error is not None:
                raise error
            _started(call, one.entrant, one.answer, clock)
        except Exception as raised:
            _failed(call, effect, one.entrant, raised)
        except BaseException as raised:
            interruption = raised
    if interruption is not None:
        raise interruption


def _started(call: Call, entrant: Entrant, answer: Any, clock: Callable[[], float]) -> None:
    """A channel has given its answer to a request."""
    if isinstance(answer, Failure):
        early = answer.kind == "deadline_exceeded" and clock() < call.deadline
        if early and entrant.connect_within < entrant.connect_timeout:
            answer = connect_given_up(entrant.connect_within)
        entrant.outcome = checked(call, None, answer, entrant.node)
    elif entrant.pending is None:
        _ = answer.wait  # before it is kept: what has no wait() cannot be cancelled either
        entrant.pending = answer  # a channel that does not note it itself


def _failed(call: Call, effect: Race, entrant: Entrant, error: Exception) -> None:
    """A channel has raised while it started a request."""
    pending, entrant.pending = entrant.pending, None
    entrant.outcome = broken(call, effect, pending, error, node=entrant.node)


def _look(call: Call, effect: Race, entrant: Entrant, seconds: float) -> None:
    """Wait for one of them, for so long; without waiting where that is 0."""
    pending = entrant.pending
    try:
        answer: Outcome | None = pending.wait(seconds)
        if answer is not None and type(answer) is not Success:
            answer = checked(call, pending, answer, entrant.node)
    except Exception as error:
        answer = broken(call, effect, pending, error, node=entrant.node)
    if answer is not None:
        entrant.pending, entrant.outcome = None, answer


def _first(call: Call, effect: Race, until: float, clock: Callable[[], float]) -> Entrant | None:
    """The first that has ended, or None when the time is over."""
    poll, by_descriptor, others = _polled(call, effect.entrants)
    due: Iterable[Entrant] = effect.entrants
    turn = _TURN_FIRST
    while True:
        for entrant in due:
            _look(call, effect, entrant, 0.0)
            if entrant.outcome is not None:
                return entrant
        left = until - clock()
        if left <= 0:
            return None
        if others:
            left, turn = min(left, turn), min(2 * turn, _TURN_MOST)
        shown = poll.poll(ceil(min(left, _LONGEST) * 1000))
        due = [*(one for fd, _ in shown for one in by_descriptor[fd]), *others]
        due = due if shown else effect.entrants


def _polled(
    call: Call, entrants: Sequence[Entrant]
) -> tuple[Any, dict[int, list[Entrant]], list[Entrant]]:
    """What waits for all, each one's place in it, and those that have no descriptor."""
    poll = select.poll()
    by_descriptor: dict[int, list[Entrant]] = {}
    others: list[Entrant] = []
    for entrant in entrants:
        descriptor = _descriptor(call, entrant)
        if descriptor is None:
            others.append(entrant)
        else:
            poll.register(descriptor, select.POLLIN)
            by_descriptor.setdefault(descriptor, []).append(entrant)
    return poll, by_descriptor, others


def _descriptor(call: Call, entrant: Entrant) -> int | None:
    """What shows that a reply may be there; None for a transport that has no such thing."""
    try:
        descriptor = entrant.pending.fileno()
    except Exception as error:
        call.plan.service.faults.let_pass(error)
        return None
    return descriptor if isinstance(descriptor, int) and descriptor >= 0 else None
