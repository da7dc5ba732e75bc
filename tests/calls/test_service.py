"""A service as its callers share it: plans, keys, deadlines, baggage."""

from __future__ import annotations

import attrs
import pytest

from bee_core.calls.plan import CallOptions
from bee_core.config import load_config
from bee_core.errors import InvalidArgument, MessageTooLarge
from bee_core.methods.signatures import Parameter, Signature
from bee_core.terms.call_context import CurrentCall, reset_current, set_current
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


def inside_a_handler(clock, deadline=None, baggage=()):
    return set_current(
        CurrentCall("outer", "m", deadline, {"private": "1"}, dict(baggage), "peer", None, clock)
    )


# ── plans ──


def test_a_plan_has_the_services_numbers_and_the_methods_own_over_them():
    tested = configured(
        {
            "timeout": 3,
            "retries": 1,
            "methods": {"slow": {"timeout": 9, "read_timeout": 8, "idempotent": True}},
        }
    )
    quick, slow = tested.plan("quick"), tested.plan("slow")
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
    plan = service(idempotent=configured_as).plan(
        "add", marked_idempotent=marked, options=CallOptions(idempotent=option)
    )
    assert plan.idempotent is idempotent


def test_a_method_may_have_a_policy_of_its_own():
    tested = service()
    special, plain = object(), tested._fault_tolerances[""]
    tested._fault_tolerances = {"": plain, "add": special}
    tested._fallbacks = {"": special, "add": None}
    assert (tested.plan("add").fault_tolerance, tested.plan("add").fallback) == (special, None)
    assert (tested.plan("other").fault_tolerance, tested.plan("other").fallback) == (plain, special)


def test_a_codec_is_bound_to_a_method_once_however_many_options():
    tested = service()
    signature = Signature("add", (Parameter("a", hint=int),), int)
    one = tested.plan("add", signature)
    assert (
        tested.plan("add", attrs.evolve(signature), options=CallOptions(timeout=1)).codec
        is one.codec
    )


def test_a_signature_that_cannot_be_hashed_is_bound_all_the_same():
    signature = Signature("add", (Parameter("a", default=[], required=False),))
    assert service().plan("add", signature).codec.encode_args((), {}) is not None


def test_names_made_up_by_a_caller_do_not_fill_the_memory():
    tested = service()
    for number in range(5000):
        tested.plan(f"method_{number}")
    assert len(tested._bound) <= 4100


def test_a_type_that_the_codec_cannot_carry_is_a_type_error():
    with pytest.raises(TypeError, match="add"):
        service().plan("add", Signature("add", (Parameter("a", hint=type(Ellipsis)),)))


def test_metadata_that_does_not_fit_into_a_header_is_a_bad_argument():
    with pytest.raises(InvalidArgument) as caught:
        service().plan("add", options=CallOptions(metadata={"a": "x" * 100_000}))
    assert (caught.value.service, caught.value.method) == ("calc", "add")


# ── arguments and bodies ──


def test_arguments_that_do_not_fit_are_named_with_service_and_method():
    tested = service()
    plan = tested.plan("add", Signature("add", (Parameter("a", hint=int),)))
    with pytest.raises(InvalidArgument) as caught:
        tested.encode(plan, ("one",), {})
    assert (caught.value.service, caught.value.method, caught.value.executed) == (
        "calc",
        "add",
        "no",
    )


def test_a_body_over_the_limit_is_named_with_service_and_method():
    tested = service()
    with pytest.raises(MessageTooLarge) as caught:
        tested.pack(tested.plan("add"), b"x" * 1001)
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
    outside = harness.begin().fields
    token = inside_a_handler(harness.clock, baggage={"trace": "t-1", "both": "theirs"})
    try:
        fields = harness.begin().fields
    finally:
        reset_current(token)
    assert b"t-1" in fields
    assert b"mine" in fields
    assert b"theirs" not in fields
    assert b"private" not in fields
    assert b"t-1" not in outside


def test_the_plans_own_fields_are_not_changed_by_baggage_on_the_way():
    harness = Harness("a")
    plan = harness.service.plan("add")
    before = plan.fields
    plan.inheriting({"trace": "t-1"})
    assert plan.fields == before


# ── keys ──


def test_an_idempotent_call_has_a_key_of_its_own_and_another_has_none():
    harness = Harness("a")
    keys = [harness.begin(idempotent=True).dedupe_key for _ in range(100)]
    assert len(set(keys)) == 100
    assert {len(key) for key in keys} == {16}
    assert harness.begin().dedupe_key is None


def test_keys_come_from_the_randomness_that_is_handed_in_and_not_from_the_rng():
    harness = Harness("a")
    asked = []
    harness.service._random_bytes = lambda count: asked.append(count) or b"\xab" * count
    harness.service.renew_keys()
    assert asked == [8]
    assert harness.begin(idempotent=True).dedupe_key.startswith(b"\xab" * 8)


def test_after_a_fork_the_childs_keys_differ_and_no_lock_is_held():
    harness = Harness("a")
    tested = harness.service
    before = harness.begin(idempotent=True).dedupe_key
    tested.nodes._lock.acquire()
    tested.budget._lock.acquire()
    tested.after_fork()
    assert harness.begin(idempotent=True).dedupe_key[:8] != before[:8]
    assert tested.budget.withdraw(harness.clock())
    harness.list_nodes("ab")
