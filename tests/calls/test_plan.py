"""What stays the same for all calls of one method: whose word counts."""

from __future__ import annotations

import pytest

from bee_core.calls.options import CallOptions
from bee_core.calls.plan import make_plan
from bee_core.config import load_config
from bee_core.methods.signatures import Parameter, Signature
from support.call_harness import Harness


def service(**config):
    return Harness("a", **config).service


def configured(yaml):
    """A service whose configuration is read, not made."""
    harness = Harness("a")
    harness.service.config = load_config({"bee": {"rpc": {"client": {"calc": yaml}}}}).client(
        "calc"
    )
    return harness.service


def test_a_plan_has_the_services_numbers_and_the_methods_own_over_them():
    tested = configured(
        {
            "timeout": 3,
            "retries": 1,
            "methods": {"slow": {"timeout": 9, "read_timeout": 8, "idempotent": True}},
        }
    )
    quick, slow = make_plan(tested, "quick"), make_plan(tested, "slow")
    assert (quick.timeout, quick.read_timeout, quick.retries, quick.idempotent) == (
        3.0,
        10.0,
        1,
        False,
    )
    assert (slow.timeout, slow.read_timeout, slow.retries, slow.idempotent) == (9.0, 8.0, 1, True)


@pytest.mark.parametrize(
    ("option", "configured_as", "marked", "idempotent"),
    [
        (None, None, False, False),
        (None, None, True, True),
        (None, False, True, False),
        (None, True, False, True),
        (False, True, True, False),
        (True, False, False, True),
    ],
)
def test_idempotent_is_said_by_the_option_then_the_configuration_then_the_mark(
    option, configured_as, marked, idempotent
):
    plan = make_plan(
        service(idempotent=configured_as),
        "add",
        marked_idempotent=marked,
        options=CallOptions(idempotent=option),
    )
    assert plan.idempotent is idempotent


def test_a_method_may_have_a_policy_of_its_own():
    tested = service()
    special, plain = object(), tested.fault_tolerances[""]
    tested.fault_tolerances = {"": plain, "add": special}
    tested.fallbacks = {"": special, "add": None}
    assert (make_plan(tested, "add").fault_tolerance, make_plan(tested, "add").fallback) == (
        special,
        None,
    )
    assert (make_plan(tested, "other").fault_tolerance, make_plan(tested, "other").fallback) == (
        plain,
        special,
    )


def test_a_type_that_the_codec_cannot_carry_is_a_type_error():
    with pytest.raises(TypeError, match="add"):
        make_plan(service(), "add", Signature("add", (Parameter("a", hint=type(Ellipsis)),)))


def test_the_plans_own_head_is_not_changed_by_baggage_on_the_way():
    harness = Harness("a")
    plan = make_plan(harness.service, "add", options=CallOptions(metadata={"raw": b"\x00"}))
    inside = plan.inheriting({"trace": "t-1"})
    assert (inside.metadata, inside.baggage) == ({"raw": b"\x00"}, {"trace": "t-1"})
    assert plan.head.baggage == {}


def test_an_observer_can_add_to_one_call_and_not_to_the_next():
    harness = Harness("a", metadata={"tenant": "a"})
    call, next_call = harness.begin(), harness.begin()
    call.add_metadata("span", b"\x01")
    call.add_baggage("trace", "t-1")
    assert (call.metadata, call.baggage) == ({"tenant": "a", "span": b"\x01"}, {"trace": "t-1"})
    assert (next_call.metadata, next_call.baggage) == ({"tenant": "a"}, {})
