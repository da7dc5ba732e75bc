"""What the flight recorder is told of calls: their attempts, and what was decided."""

from __future__ import annotations

import pytest

from bee_core.contracts.flight_recorder import FlightRecorder
from bee_core.terms.causes import lost, refused, reported
from bee_core.testing import FakeClock
from bee_plugins.fault_tolerance.failover import FailOver
from bee_plugins.fault_tolerance.failtry import BackoffOptions, FailTry
from support.call_harness import SUCCESS, Harness, later, whole

REFUSED = refused(ConnectionRefusedError(111, "Connection refused"))
BACKOFF = BackoffOptions(base=0.5, cap=0.5)


def recording(*nodes, **options):
    clock = FakeClock()
    return Harness(*nodes, clock=clock, recorder=FlightRecorder(clock), **options)


def only(harness):
    (kept,) = harness.service.recorder.recent()
    return kept


def steps(harness):
    return [(step["kind"], step["node"], step["decision"]) for step in only(harness).steps]


def test_an_ordinary_call_is_one_line():
    harness = recording()
    harness.run(later(0.25, SUCCESS))
    kept = only(harness)
    assert (kept.method, kept.where, kept.kind, kept.attempts) == ("add", "tcp://a:9000", "", 1)
    assert kept.ended - kept.began == 0.25
    assert kept.steps == ()


def test_a_retried_call_is_told_attempt_by_attempt_with_the_time_of_each():
    harness = recording(fail=FailOver(BACKOFF))
    harness.run(later(0.1, REFUSED), later(0.2, SUCCESS))
    assert steps(harness) == [
        ("attempt", "tcp://a:9000", "retry on another node"),
        ("attempt", "tcp://b:9000", "return the result"),
    ]
    assert [step["seconds"] for step in only(harness).steps] == [0.1, 0.2]
    assert only(harness).steps[0]["failure"]["message"] == REFUSED.message
    assert (only(harness).attempts, only(harness).kind) == (2, "")


def test_a_pause_before_a_retry_is_a_step():
    harness = recording(fail=FailTry(BACKOFF))
    harness.run(REFUSED, REFUSED, SUCCESS)
    told = [kind for kind, _, _ in steps(harness)]
    assert told.count("attempt") == 3
    assert "pause" in told


@pytest.mark.parametrize(
    ("options", "script", "why"),
    [
        (
            {"fail": FailOver(BACKOFF)},
            [lost("end of file")],
            "it may have run, and the method is not marked idempotent",
        ),
        ({"retries": 0, "fail": FailOver(BACKOFF)}, [REFUSED], "retries (0) are used up"),
        (
            {"budget": {"floor_per_second": 0.0}, "fail": FailOver(BACKOFF)},
            [reported("overloaded", "full")],
            "the retry budget of the service is spent",
        ),
    ],
)
def test_a_failed_call_says_why_nothing_more_was_tried(options, script, why):
    harness = recording(**options)
    result = harness.run(*script)
    assert result.error is not None
    assert why in steps(harness)[-1][2]
    assert only(harness).kind == result.error.kind
    assert only(harness).executed == result.error.executed


def test_a_node_whose_breaker_gives_no_permit_is_a_step():
    harness = recording(gates={"a": {"permits": 0}, "b": {}})
    harness.run(SUCCESS)
    assert steps(harness) == [
        ("breaker", "tcp://a:9000", "pass over: its breaker gives no permit"),
        ("attempt", "tcp://b:9000", "return the result"),
    ]


def test_a_wait_for_the_limiter_is_a_step():
    harness = recording(limiter="queue")
    harness.run(SUCCESS)
    assert [kind for kind, _, _ in steps(harness)] == ["queue", "attempt"]


def test_a_wait_for_the_limiter_that_is_over_is_told():
    harness = recording(limiter="queue")
    harness.run(turn=False)
    (step,) = only(harness).steps
    assert (step["kind"], step["failure"]["kind"]) == ("queue", "overloaded")
    assert only(harness).kind == "overloaded"


def test_a_fallback_that_answered_is_named_and_the_failure_stays_to_be_seen():
    harness = recording(fallback=7, retries=0)
    assert harness.run(REFUSED).value == 7
    assert only(harness).kind == "unavailable"
    assert only(harness).fallback
    assert harness.service.recorder.recent("failed") == [only(harness)]


def test_a_call_without_a_node_is_told():
    harness = recording("")
    harness.run()
    assert (only(harness).kind, only(harness).where, only(harness).attempts) == (
        "unavailable",
        "",
        0,
    )


def test_a_call_that_was_given_up_is_told_with_the_attempt_that_it_was_in():
    harness = recording()
    running = whole(harness.begin())
    next(running)
    harness.clock.advance(0.25)
    running.close()
    kept = only(harness)
    assert (kept.kind, kept.executed, kept.ended - kept.began) == ("cancelled", "maybe", 0.25)
    assert [(step["node"], step["seconds"]) for step in kept.steps] == [("tcp://a:9000", 0.25)]


def test_nothing_of_arguments_results_and_metadata_is_kept():
    harness = recording(metadata={"password": "secret-1"})
    harness.run(SUCCESS, args=("secret-2",))
    harness.run(REFUSED, args=("secret-3",))
    assert "secret" not in repr(harness.service.recorder.recent())
    assert "secret" not in repr(list(harness.service.recorder.last))


def test_without_a_recorder_no_step_is_noted():
    harness = Harness(fail=FailOver(BACKOFF))
    call = harness.begin()
    harness.drive(call, REFUSED, SUCCESS)
    assert call.steps is None
