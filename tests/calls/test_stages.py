"""What stands between a call and its attempts: observers, interceptors, the limiter."""

from __future__ import annotations

import pytest

from bee_core.errors import PluginFault, Unauthenticated
from support.call_harness import SUCCESS, Harness, failure, said, whole


class Watcher:
    def __init__(self, trace):
        self.trace = trace

    def call_started(self, call):
        self.trace.append(f"started {call.method}")
        return "state"

    def attempt_ended(self, state, call, node, outcome, seconds):
        self.trace.append(f"attempt ended {state} {node.id} {said(outcome)} {seconds:g}")

    def call_ended(self, state, record):
        kind = None if record.failure is None else record.failure.kind
        self.trace.append(f"ended {state} {kind}")


class Gate:
    def __init__(self, trace, name="gate", error=None):
        self.trace, self.name, self.error = trace, name, error

    def enter(self, call):
        self.trace.append(f"enter {self.name}")
        if self.error is not None:
            raise self.error

    def exit(self, call, outcome):
        self.trace.append(f"exit {self.name} {said(outcome)}")


def staged(*, errors=(), watchers=True, **options):
    trace = []
    gates = [Gate(trace, f"gate{index}", error) for index, error in enumerate(errors)]
    harness = Harness(
        "a",
        watchers=[Watcher(trace)] if watchers else [],
        interceptors=gates,
        trace=trace,
        **options,
    )
    return harness, trace


def test_observers_come_first_then_interceptors_then_the_limiter():
    harness, trace = staged(errors=[None, None], limiter="at once")
    assert harness.run(SUCCESS).value == 3
    assert trace == [
        "started add",
        "enter gate0",
        "enter gate1",
        "limiter asked",
        "budget paid in",
        "pick a",
        "attempt a",
        "balancer told a ok",
        "attempt ended state a ok 0",
        "limiter told ok",
        "exit gate1 ok",
        "exit gate0 ok",
        "ended state None",
    ]


def test_an_interceptor_that_refuses_ends_the_call_with_its_error_and_is_not_left():
    refusal = Unauthenticated("no tenant", executed="maybe")
    harness, trace = staged(errors=[None, refusal, None], limiter="at once")
    result = harness.run()
    assert result.error is refusal
    assert (refusal.executed, refusal.service, refusal.method) == ("no", "calc", "add")
    assert trace == [
        "started add",
        "enter gate0",
        "enter gate1",
        "exit gate0 unauthenticated",
        "ended state unauthenticated",
    ]


def test_an_interceptor_that_breaks_is_a_plugin_fault():
    bug = KeyError("tenant")
    harness, trace = staged(errors=[bug])
    error = harness.run().error
    assert isinstance(error, PluginFault)
    assert error.__cause__ is bug
    assert error.executed == "no"
    assert trace[-1] == "ended state plugin_fault"


def test_a_call_that_is_given_up_is_left_and_ended():
    harness, trace = staged(errors=[None])
    steps = whole(harness.begin())
    next(steps)
    steps.close()
    assert trace[-3:] == [
        "attempt ended state a no verdict 0",
        "exit gate0 no verdict",
        "ended state cancelled",
    ]


def test_a_call_that_never_began_is_not_ended():
    harness, trace = staged()
    whole(harness.begin()).close()
    assert trace == []


def test_an_observer_of_attempts_hears_how_long_each_took():
    harness, trace = staged()

    def slow(harness):
        harness.clock.advance(0.25)
        return failure()

    harness.run(slow)
    assert "attempt ended state a unavailable 0.25" in trace


def test_interceptors_without_observers():
    harness, trace = staged(errors=[None], watchers=False)
    assert harness.run(SUCCESS).value == 3
    assert trace[0] == "enter gate0"
    assert trace[-1] == "exit gate0 ok"


@pytest.mark.parametrize("late", [True, False])
def test_a_call_that_is_late_asks_no_limiter(late):
    harness, trace = staged(limiter="at once")
    call = harness.begin()
    if late:
        call.deadline = call.started
    result = harness.drive(call, *([] if late else [SUCCESS]))
    assert ("limiter asked" in trace) is not late
    assert (result.error is not None) is late
