"""Several requests of one call at a time, on an event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ..calls.broken_effects import broken, checked, give_up, late
from ..contracts.plugin_faults import kind_of
from ..terms.causes import cancelled
from ..terms.failures import Success
from .overdue import GRACE

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..calls.call import Call
    from ..contracts.effects import Entrant, Race


async def race(call: Call, effect: Race, clock: Callable[[], float]) -> Entrant | None:
    """Carry out a :class:`~bee_core.contracts.effects.Race`: the first that has ended, or None."""
    entrants = effect.entrants
    bound = call.deadline + GRACE
    until = bound if effect.seconds is None else min(bound, clock() + effect.seconds)
    for entrant in entrants:
        if not entrant.begun:
            _begin(call, effect, entrant)
    if _ended(call, effect) is None:
        await asyncio.wait(
            [entrant.pending.reply for entrant in entrants],
            timeout=max(0.0, until - clock()),
            return_when=asyncio.FIRST_COMPLETED,
        )
    ended = _ended(call, effect)
    if ended is None and clock() >= bound:  # a channel did not end its request in time
        ended = entrants[0]
        give_up(call, ended.pending, ended.node)
        ended.pending, ended.outcome = None, late(call)
    return ended


def _begin(call: Call, effect: Race, entrant: Entrant) -> None:
    entrant.begun = True
    pending: Any = None
    try:
        pending = entrant.channel.start(entrant)
        reply = pending.reply
        if not asyncio.isfuture(reply):
            raise TypeError(f"the reply of a request is {kind_of(reply)}, and no future")
        entrant.pending = pending
    except Exception as error:
        entrant.outcome = broken(call, effect, pending, error, node=entrant.node)


def _ended(call: Call, effect: Race) -> Entrant | None:
    """The first of them that has ended; it has its outcome then."""
    for entrant in effect.entrants:
        if entrant.outcome is not None:
            return entrant
        if entrant.pending.reply.done():
            entrant.outcome = _outcome(call, effect, entrant)
            entrant.pending = None
            return entrant
    return None


def _outcome(call: Call, effect: Race, entrant: Entrant) -> Any:
    pending = entrant.pending
    if pending.reply.cancelled():
        give_up(call, pending, entrant.node)
        return cancelled("the channel gave the request up", sent=True)
    try:
        answer = pending.reply.result()
        if type(answer) is not Success:
            return checked(call, pending, answer, entrant.node)
    except Exception as error:
        return broken(call, effect, pending, error, node=entrant.node)
    return answer
