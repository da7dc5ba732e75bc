"""What the flight recorder is told of calls: of an ordinary one a line, of any other its steps.

Only what fails, waits or is turned away is noted step by step, so an ordinary call pays for none of
it. A step's time runs from the end of the step before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..contracts.flight_recorder import LONGEST, MOST_STEPS, Kept, place, trace_of
from ..terms.causes import cancelled
from .steps import Step, StepKind, decided

if TYPE_CHECKING:
    from ..contracts.flight_recorder import FlightRecorder
    from ..terms.failures import Failure
    from ..terms.node import Node
    from .call import Call


def note(
    call: Call, kind: StepKind, node: Node | None = None, failure: Failure | None = None
) -> None:
    """A step of a call is over. Nothing where nobody records."""
    service = call.plan.service
    if service.recorder is None:
        return
    if call.steps is None:
        call.steps = []
    if len(call.steps) < MOST_STEPS:
        call.steps.append((kind, node, failure, service.clock()))


def slow(recorder: FlightRecorder, call: Call, ended: float) -> None:
    """An ordinary call is one of the slowest."""
    name = call.plan.service.name
    recorder.slow(name, call.method, call.node, call.started, ended, call.head.metadata)


def went_well_in_the_end(recorder: FlightRecorder, call: Call) -> None:
    """A call has its result, after steps that were noted."""
    note(call, "attempt", call.node)
    _keep(recorder, call, None, "")


def went_well(recorder: FlightRecorder, call: Call) -> None:
    """A call to several nodes has its result; each of its attempts was noted."""
    _keep(recorder, call, None, "")


def failed(recorder: FlightRecorder, call: Call, failure: Failure, fallback: str = "") -> None:
    """A call has no result of its own.

    Args:
        recorder: Keeps it.
        call: The call.
        failure: Why.
        fallback: The fallback that answered; empty where none did.
    """
    _keep(recorder, call, failure, fallback)


def abandoned(recorder: FlightRecorder, call: Call) -> None:
    """The caller gave the call up, and nobody waits for its end."""
    if call.reply is None:  # else it had its result already
        if call.node is not None:
            note(call, "attempt", call.node, cancelled("the caller gave up", sent=True))
        _keep(recorder, call, cancelled("the caller gave up", sent=call.attempts > 0), "")


def _keep(recorder: FlightRecorder, call: Call, failure: Failure | None, fallback: str) -> None:
    recorder.keep(
        Kept(
            call.plan.service.name,
            call.method[:LONGEST],
            place(call.node),
            call.started,
            recorder.clock(),
            "" if failure is None else failure.kind,
            "" if failure is None else failure.message[:LONGEST],
            "" if failure is None else max(failure.executed, call.executed, key=_MOST.index),
            "" if failure is None else failure.error_type[:LONGEST],
            call.attempts,
            fallback[:LONGEST],
            _steps(call, failure),
            trace_of(call.head.metadata),
        )
    )


_MOST = ["no", "maybe", "yes"]


def _steps(call: Call, end: Failure | None) -> tuple[dict[str, Any], ...]:
    began = call.started
    steps: list[Step] = []
    for kind, node, failure, at in call.steps or ():
        steps.append(Step(kind, at - began, node, failure))
        began = at
    told = [step.as_object() for step in decided(steps, call, end)]
    for step in told:
        step["decision"] = step["decision"][:LONGEST]
        if step["failure"] is not None:
            step["failure"]["message"] = step["failure"]["message"][:LONGEST]
    return tuple(told)
