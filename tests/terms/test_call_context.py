"""What a handler knows of the call that it works on."""

from __future__ import annotations

import contextvars

import pytest

from bee_core import current_call
from bee_core.errors import CallCancelled
from bee_core.terms.call_context import CurrentCall, get_current, reset_current, set_current
from bee_core.testing import FakeClock


@pytest.fixture
def clock():
    return FakeClock()


def call(clock, deadline=None, metadata=(), baggage=()):
    return CurrentCall(
        "calc",
        "Stats.mean",
        deadline,
        dict(metadata),
        dict(baggage),
        "10.0.0.1:4000",
        b"key",
        clock,
    )


@pytest.fixture
def handling(clock):
    current = call(clock, clock() + 5.0)
    token = set_current(current)
    yield current
    reset_current(token)


def test_outside_of_a_handler_there_is_no_call():
    with pytest.raises(LookupError, match=r"current_call\(None\)"):
        current_call()
    assert current_call(None) is None


def test_inside_of_a_handler_it_is_the_call_being_handled(handling):
    assert current_call() is handling
    assert current_call(None) is handling
    assert get_current() is handling


def test_it_says_who_calls_what(clock):
    current = call(clock)
    assert (current.service, current.method, current.peer, current.dedupe_key) == (
        "calc",
        "Stats.mean",
        "10.0.0.1:4000",
        b"key",
    )


def test_the_time_left_runs_down_and_stops_at_zero(clock):
    current = call(clock, clock() + 5.0)
    assert current.time_left == 5.0
    clock.advance(2.0)
    assert current.time_left == 3.0
    clock.advance(9.0)
    assert current.time_left == 0.0


def test_without_a_deadline_there_is_no_time_left_to_speak_of(clock):
    assert call(clock).time_left is None


def test_metadata_shows_the_baggage_as_well_and_baggage_only_itself(clock):
    current = call(clock, metadata={"tenant": "a", "trace": "old"}, baggage={"trace": "1"})
    assert current.metadata == {"tenant": "a", "trace": "1"}
    assert current.baggage == {"trace": "1"}


def test_a_handler_whose_caller_waits_goes_on(clock):
    call(clock, clock() + 5.0).raise_if_cancelled()
    call(clock).raise_if_cancelled()


def test_a_handler_whose_caller_gave_up_can_leave(clock):
    current = call(clock)
    current.cancelled = True
    with pytest.raises(CallCancelled) as caught:
        current.raise_if_cancelled()
    assert (caught.value.service, caught.value.method, caught.value.executed) == (
        "calc",
        "Stats.mean",
        "maybe",
    )


def test_a_handler_whose_deadline_has_passed_can_leave(clock):
    current = call(clock, clock() + 5.0)
    clock.advance(5.0)
    with pytest.raises(CallCancelled):
        current.raise_if_cancelled()


def test_each_context_has_its_own_call(handling, clock):
    other = call(clock)

    def elsewhere():
        set_current(other)
        return current_call()

    assert contextvars.copy_context().run(elsewhere) is other
    assert current_call() is handling
