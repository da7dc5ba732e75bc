"""Faults that a configuration asks for: some attempts are late, fail, or get no reply.

:func:`with_faults` stands between the flow and the driver. It decides about each attempt, so that
retries, breakers, hedges and fallbacks are tried as well. A service without ``faults`` does not
come here. Pure: randomness is handed in, and a delay is an effect.

Nothing is sent for an attempt that fails here. So ``executed`` is ``no`` for an error. For a reply
that never comes it is ``maybe``, as for any reply that never comes: the caller cannot know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..contracts.effects import Attempt, Effect, Entrant, Pause, Race
from ..terms.causes import read_timed_out
from ..terms.failures import Failure

Fault = Any
"""A ``FaultConfig`` of the configuration."""

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from random import Random

    from .call import Call

    Steps = Generator[Effect, Any, Failure | None]


def chosen(faults: Sequence[Fault], method: str, rng: Random) -> Fault | None:
    """The fault that an attempt meets: the first one that is for it and whose turn it is."""
    return next(
        (one for one in faults if one.method in (None, method) and rng.random() < one.rate), None
    )


def with_faults(call: Call, steps: Steps, faults: Sequence[Fault]) -> Steps:
    """The steps of a call, with faults in its attempts."""
    rng = call.plan.service.rng
    answer: Any = None
    held = _Held(call, faults)
    try:
        while True:
            effect = steps.send(answer)
            if type(effect) is Race:
                answer = yield from held.race(effect)
                continue
            fault = chosen(faults, call.method, rng) if type(effect) is Attempt else None
            answer = (yield effect) if fault is None else (yield from _meet(call, effect, fault))
    except StopIteration as stop:
        failure: Failure | None = stop.value
        return failure
    finally:
        steps.close()  # a caller that gives up closes this generator, and so the inner one


def _meet(call: Call, effect: Effect, fault: Fault) -> Generator[Effect, Any, Any]:
    """The outcome of an attempt that meets a fault."""
    if fault.kind == "error":
        return _refusal(fault)
    left = max(0.0, call.deadline - call.plan.service.clock())
    seconds = fault.seconds if fault.kind == "delay" else call.read_timeout
    interrupted: Failure | None = yield Pause(min(seconds, left))
    if interrupted is not None:
        return interrupted
    return (yield effect) if fault.kind == "delay" else _no_reply(seconds, left)


def _refusal(fault: Fault) -> Failure:
    kind = "overloaded" if fault.error == "Overloaded" else "unavailable"
    blame: Any = "none" if kind == "overloaded" else "node"
    return Failure(kind, "a fault that the configuration injects", "no", "other", blame)


def _no_reply(seconds: float, left: float) -> Failure:
    failure = read_timed_out(seconds, full=seconds <= left)
    failure.message += ": a fault that the configuration injects"
    return failure


class _Held:
    """Attempts of a race or a broadcast that are late, or get no reply: the others go on."""

    def __init__(self, call: Call, faults: Sequence[Fault]) -> None:
        self._call = call
        self._faults = faults
        self._clock = call.plan.service.clock
        # When each is sent, or what it ends with then.
        self._until: dict[Entrant, tuple[float, Failure | None]] = {}

    def race(self, effect: Race) -> Generator[Effect, Any, Entrant | None]:
        """Carry a race out as a driver does, with faults in its attempts."""
        entrants = effect.entrants
        now = self._clock()
        for entrant in entrants:
            if not entrant.begun and entrant not in self._until:
                self._draw(entrant, now)
        end = None if effect.seconds is None else now + effect.seconds
        while True:
            now = self._clock()
            self._let_go(now)
            ended = next((one for one in entrants if one.outcome is not None), None)
            if ended is not None or (end is not None and now >= end):
                return ended
            ended = yield from self._wait(entrants, now, end)
            if ended is not None:
                return ended

    def _draw(self, entrant: Entrant, now: float) -> None:
        call = self._call
        fault = chosen(self._faults, call.method, call.plan.service.rng)
        if fault is None:
            return
        if fault.kind == "error":
            entrant.begun, entrant.outcome = True, _refusal(fault)
            return
        left = max(0.0, call.deadline - now)
        seconds = fault.seconds if fault.kind == "delay" else call.read_timeout
        end = None if fault.kind == "delay" else _no_reply(seconds, left)
        self._until[entrant] = now + min(seconds, left), end

    def _let_go(self, now: float) -> None:
        """Those whose time has come are sent with the next race, or have ended."""
        for entrant, (until, failure) in tuple(self._until.items()):
            if until <= now:
                del self._until[entrant]
                if failure is not None:
                    entrant.begun, entrant.outcome = True, failure

    def _wait(
        self, entrants: Sequence[Entrant], now: float, end: float | None
    ) -> Generator[Effect, Any, Entrant | None]:
        """Wait for those that run, until the time of one that does not or the end has come."""
        times = [until for until, _ in self._until.values()]
        wake = min(times if end is None else [*times, end], default=None)
        seconds = None if wake is None else wake - now
        running = tuple(one for one in entrants if one not in self._until)
        if running:
            ended: Entrant | None = yield Race(running, seconds)
            return ended
        interrupted: Failure | None = yield Pause(seconds or 0.0)
        if interrupted is None:
            return None
        first = entrants[0]
        first.begun, first.outcome = True, interrupted
        return first
