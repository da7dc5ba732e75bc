"""One call as it begins: its arguments, its body, its deadline, its baggage."""

from __future__ import annotations

import pytest

from bee_core.calls.call import encode, pack
from bee_core.calls.plan import make_plan
from bee_core.errors import InvalidArgument, MessageTooLarge
from bee_core.methods.signatures import Parameter, Signature
from bee_core.terms.call_context import CurrentCall, reset_current, set_current
from support.call_harness import Harness


def service(**config):
    return Harness("a", **config).service


def inside_a_handler(clock, deadline=None, baggage=()):
    return set_current(
        CurrentCall("outer", "m", deadline, {"private": "1"}, dict(baggage), "peer", None, clock)
    )


def test_arguments_that_do_not_fit_are_named_with_service_and_method():
    tested = service()
    plan = make_plan(tested, "add", Signature("add", (Parameter("a", hint=int),)))
    with pytest.raises(InvalidArgument) as caught:
        encode(plan, ("one",), {})
    assert (caught.value.service, caught.value.method, caught.value.executed) == (
        "calc",
        "add",
        "no",
    )


def test_a_body_over_the_limit_is_named_with_service_and_method():
    tested = service()
    with pytest.raises(MessageTooLarge) as caught:
        pack(make_plan(tested, "add"), b"x" * 1001)
    assert (caught.value.service, caught.value.method, caught.value.executed) == (
        "calc",
        "add",
        "no",
    )


# ── the beginning of a call ──


def test_a_calls_deadline_is_its_timeout_from_now():
    harness = Harness("a", timeout=4.0)
    call = harness.begin()
    assert (call.started, call.deadline) == (harness.clock(), harness.clock() + 4.0)


@pytest.mark.parametrize(("handler_has", "call_gets"), [(1.5, 1.5), (60.0, 4.0), (None, 4.0)])
def test_a_call_inside_a_handler_has_no_more_time_than_the_handler(handler_has, call_gets):
    harness = Harness("a", timeout=4.0)
    token = inside_a_handler(
        harness.clock, None if handler_has is None else harness.clock() + handler_has
    )
    try:
        assert harness.begin().deadline - harness.clock() == call_gets
    finally:
        reset_current(token)


def test_a_call_inside_a_handler_passes_its_baggage_on_and_nothing_else():
    harness = Harness("a", baggage={"own": "1", "both": "mine"})
    outside = harness.begin()
    token = inside_a_handler(harness.clock, baggage={"trace": "t-1", "both": "theirs"})
    try:
        inside = harness.begin()
    finally:
        reset_current(token)
    assert inside.baggage == {"own": "1", "both": "mine", "trace": "t-1"}
    assert inside.metadata == outside.metadata == {}
    assert outside.baggage == {"own": "1", "both": "mine"}
