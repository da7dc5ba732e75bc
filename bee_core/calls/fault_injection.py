"""Faults that a configuration asks for: some attempts are late, fail, or get no reply.

:func:`with_faults` stands between the flow and the driver. It decides about each attempt, so that
retries, breakers, hedges and fallbacks are tried as well. A service without ``faults`` does not
come here. Pure: randomness is handed in, and a delay is an effect.

Nothing is sent for an attempt that fails here. So ``executed`` is ``no`` for an error. For a reply
that never comes it is ``maybe``, as for any reply that never comes: the caller cannot know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..contracts.effects import Attempt, Effect, Pause
from ..terms.causes import read_timed_out
from ..terms.failures import Failure

Fault = Any
"""A ``FaultConfig`` of the configuration."""

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from random import Random

    from .call import Call

    Steps = Generator[Effect, Any, Failure | None]


def chosen(faults: Sequence[Fault], method: str, rng: Random) -> Fault | None:
    """The fault that an attempt meets: the first one that is for it and whose turn it is."""
    return next(
        (one for one in faults if one.method in (None, method) and rng.random() < one.rate), None
    )


def attempts(call: Call, flow: Callable[..., Steps]) -> Steps:
    """The flow from its attempts on, with the faults that the configuration asks for."""
    faults = call.plan.service.config.faults
    steps = flow(call, inside=True)
    return with_faults(call, steps, faults) if faults else steps


def with_faults(call: Call, steps: Steps, faults: Sequence[Fault]) -> Steps:
    """The steps of a call, with faults in its attempts."""
    rng = call.plan.service.rng
    answer: Any = None
    try:
        while True:
            effect = steps.send(answer)
            fault = chosen(faults, call.method, rng) if type(effect) is Attempt else None
            answer = (yield effect) if fault is None else (yield from _meet(call, effect, fault))
    except StopIteration as stop:
        failure: Failure | None = stop.value
        return failure
    finally:
        steps.close()  # a caller that gives up closes this generator, and so the inner one


def _meet(call: Call, effect: Effect, fault: Fault) -> Generator[Effect, Any, Any]:
    """The outcome of an attempt that meets a fault."""
    left = max(0.0, call.deadline - call.plan.service.clock())
    if fault.kind == "error":
        kind = "overloaded" if fault.error == "Overloaded" else "unavailable"
        blame: Any = "none" if kind == "overloaded" else "node"
        return Failure(kind, "a fault that the configuration injects", "no", "other", blame)
    seconds = fault.seconds if fault.kind == "delay" else call.read_timeout
    interrupted: Failure | None = yield Pause(min(seconds, left))
    if interrupted is not None:
        return interrupted
    if fault.kind == "delay":
        return (yield effect)
    failure = read_timed_out(seconds, full=seconds <= left)
    failure.message += ": a fault that the configuration injects"
    return failure
