"""What the flight recorder is told of requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ..contracts.flight_recorder import LONGEST, Kept, place, trace_of
from ..terms.failures import Failure

if TYPE_CHECKING:
    from ..contracts.endpoint import InboundCall
    from ..contracts.flight_recorder import FlightRecorder
    from .answers import Answer
    from .in_flight import InFlight

RUNNING = "running"
"""The kind of a request that has not ended."""


def record(recorder: FlightRecorder, call: InboundCall, answer: Answer | None) -> None:
    """A request has its answer.

    Args:
        recorder: Keeps it.
        call: The request.
        answer: None where nobody waits for one.
    """
    if type(answer) is tuple and not call.cancelled:
        began, ended = call.accepted, recorder.clock()
        if call.deduplicated:
            recorder.keep(_kept(call, None, began, ended))
            return
        recorder.append((call.service, call.method, call.peer, began, ended))
        if ended - began > recorder.slow_above:
            record_slow(recorder, call, ended)
        return
    now = recorder.clock()
    if isinstance(answer, Failure) and not call.cancelled:
        recorder.keep(_kept(call, answer, call.accepted, now))
        return
    # Given up: its caller has been told, or has gone. A handler on a thread may have gone on.
    late = call.deadline is not None and now >= call.deadline
    kind, why = ("deadline_exceeded", "the deadline passed") if late else ("cancelled", "given up")
    end = Failure(kind, f"{why} before it was done", "maybe", "never", "none")
    recorder.keep(_kept(call, end, call.accepted, now))


def record_slow(recorder: FlightRecorder, call: InboundCall, ended: float) -> None:
    """A request that went well is one of the slowest."""
    recorder.slow(call.service, call.method, call.peer, call.accepted, ended, call.metadata)


def record_refusal(recorder: FlightRecorder, call: InboundCall, failure: Failure) -> None:
    """A request was rejected before any work."""
    now = recorder.clock()
    recorder.refuse(_kept(call, failure, now, now))


def running(flight: InFlight) -> list[Kept]:
    """The requests that did not end at once and still run; from any thread."""
    found: list[Kept] = []
    now = flight.clock()
    for one in flight.watched.copy():  # one step, as the loop sees it
        call = one.call
        found.append(Kept(call.service, call.method, place(call.peer), call.accepted, now, RUNNING))
    return found


def _kept(call: InboundCall, failure: Failure | None, began: float, now: float) -> Kept:
    kept = Kept(
        call.service,
        call.method[:LONGEST],
        place(call.peer),
        began,
        now,
        trace=trace_of(call.metadata),
        deduplicated=call.deduplicated,
    )
    if failure is None:
        return kept
    return attrs.evolve(
        kept,
        kind=failure.kind,
        message=failure.message[:LONGEST],
        executed=failure.executed,
        error_type=failure.error_type[:LONGEST],
    )
