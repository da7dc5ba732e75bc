from __future__ import annotations

import pytest

from bee_core.calls.conclusion import conclude
from bee_core.calls.trace import CallRecorder
from bee_core.contracts.effects import Attempt, Pause
from bee_core.terms.causes import lost, not_sent, refused, reported
from bee_plugins.fault_tolerance.failover import FailOver
from bee_plugins.fault_tolerance.failtry import BackoffOptions, FailTry
from support.call_harness import SUCCESS, Harness

REFUSED = refused(ConnectionRefusedError(111, "Connection refused"))
LOST = lost("end of file")
STALE = not_sent(BrokenPipeError(32, "Broken pipe"), reused=True)
RAISED = reported("remote_error", "boom", error_type="ValueError")
BACKOFF = BackoffOptions(base=0.5, cap=0.5)


def trace(harness, *script, seconds=0.0, turn=True, **options):
    """Make a call whose attempts are answered from the script, each after some seconds."""
    call = harness.begin(**options)
    recorder = CallRecorder()
    steps = recorder.flow(call)
    answers = iter(script)
    answer = None
    try:
        while True:
            effect = steps.send(answer)
            if isinstance(effect, Attempt):
                harness.clock.advance(seconds)
                answer = next(answers)
            elif isinstance(effect, Pause):
                harness.clock.advance(effect.seconds)
                answer = None
            else:
                if turn is True:
                    effect.ticket.admitted = True
                    effect.ticket.grant()
                answer = turn
    except StopIteration as stop:
        failure = stop.value
    return recorder.finish(call, None if failure is None else conclude(call, failure))


def decisions(told):
    return [step.decision for step in told.steps]


def test_a_call_that_succeeds_is_one_step_with_its_node_and_time():
    told = trace(Harness(), SUCCESS, seconds=0.25)
    (step,) = told.steps
    assert (step.kind, step.node.id, step.seconds, step.failure, step.decision) == (
        "attempt",
        "a",
        0.25,
        None,
        "return the result",
    )
    assert (told.value, told.error, told.attempts, told.seconds) == (3, None, 1, 0.25)


def test_a_retry_elsewhere_is_told_with_the_failure_that_led_to_it():
    told = trace(Harness(fail=FailOver(BACKOFF)), REFUSED, SUCCESS)
    assert [(step.node.id, step.failure) for step in told.steps] == [("a", REFUSED), ("b", None)]
    assert decisions(told) == ["retry on another node", "return the result"]
    assert told.attempts == 2


def test_a_pause_is_a_step_of_its_own():
    told = trace(Harness(fail=FailTry(BACKOFF)), REFUSED, REFUSED, SUCCESS)
    assert [step.kind for step in told.steps if step.kind == "pause"]
    pause = next(step for step in told.steps if step.kind == "pause")
    assert pause.seconds > 0
    assert "retry on the same node after a pause" in decisions(told)


def test_a_redial_is_told_as_no_attempt():
    told = trace(Harness("a"), STALE, SUCCESS)
    assert told.attempts == 1
    assert (
        decisions(told)[0]
        == "send anew on the same node: the server provably did not see it, so it is no attempt"
    )


@pytest.mark.parametrize(
    ("harness", "script", "why"),
    [
        ({}, [RAISED], "such a failure is the same wherever it is tried"),
        (
            {"fail": FailOver(BACKOFF)},
            [LOST],
            "it may have run, and the method is not marked idempotent",
        ),
        ({"retries": 0, "fail": FailOver(BACKOFF)}, [REFUSED], "retries (0) are used up"),
        ({"nodes": "a", "fail": FailOver(BACKOFF)}, [REFUSED], "no other node is left to try"),
        (
            {"budget": {"floor_per_second": 0.0}, "fail": FailOver(BACKOFF)},
            [reported("overloaded", "full")],
            "the retry budget of the service is spent",
        ),
    ],
)
def test_giving_up_is_told_with_its_reason(harness, script, why):
    told = trace(Harness(**harness), *script)
    assert decisions(told)[-1].startswith("give up: ")
    assert why in decisions(told)[-1]
    assert told.error is not None


def test_a_fault_tolerance_that_retries_nothing_is_named():
    told = trace(Harness(), REFUSED)
    assert decisions(told) == [
        "give up: failover does not retry this"
    ]  # the name that the configuration states


def test_a_wait_for_the_limiter_is_a_step_and_its_permit_comes_back():
    harness = Harness(limiter="queue")
    told = trace(harness, SUCCESS)
    assert [step.kind for step in told.steps] == ["queue", "attempt"]
    assert [outcome for outcome, _ in harness.limiter.released] == ["ok"]


def test_a_wait_for_the_limiter_that_is_over_is_a_failed_step():
    told = trace(Harness(limiter="queue"), turn=False)
    assert [(step.kind, step.failure.kind) for step in told.steps] == [("queue", "overloaded")]
    assert decisions(told)[0].startswith("give up")


def test_without_a_node_there_is_no_step_and_an_error():
    told = trace(Harness(""))
    assert told.steps == ()
    assert told.error.kind == "unavailable"


def test_a_fallback_that_answered_is_told():
    told = trace(Harness(fallback=7), REFUSED)
    assert (told.degraded, told.value, told.error) == (True, 7, None)
    assert told.steps[0].failure is REFUSED


def test_a_call_that_is_given_up_settles_its_permits():
    harness = Harness(gates={"a": {}}, limiter="at once")
    steps = CallRecorder().flow(harness.begin())
    next(steps)
    assert harness.gates["a"].held == 1
    steps.close()
    assert harness.gates["a"].held == 0
    assert harness.limiter.released == [("no verdict", 0.0)]
