"""A service as its calls share it: bound codecs and keys."""

from __future__ import annotations

import attrs

from bee_core.calls.options import CallOptions
from bee_core.calls.plan import make_plan
from bee_core.methods.signatures import Parameter, Signature
from support.call_harness import Harness


def service(**config):
    return Harness("a", **config).service


def test_a_codec_is_bound_to_a_method_once_however_many_options():
    tested = service()
    signature = Signature("add", (Parameter("a", hint=int),), int)
    one = make_plan(tested, "add", signature)
    assert (
        make_plan(tested, "add", attrs.evolve(signature), options=CallOptions(timeout=1)).codec
        is one.codec
    )


def test_a_signature_that_cannot_be_hashed_is_bound_all_the_same():
    signature = Signature("add", (Parameter("a", default=[], required=False),))
    assert make_plan(service(), "add", signature).codec.encode_args((), {}) is not None


def test_names_made_up_by_a_caller_do_not_fill_the_memory():
    tested = service()
    for number in range(5000):
        make_plan(tested, f"method_{number}")
    assert len(tested.bound) <= 4100


# ── keys ──


def test_an_idempotent_call_has_a_key_of_its_own_and_another_has_none():
    harness = Harness("a")
    keys = [harness.begin(idempotent=True).dedupe_key for _ in range(100)]
    assert len(set(keys)) == 100
    assert {len(key) for key in keys} == {16}
    assert harness.begin().dedupe_key is None


def test_keys_come_from_the_randomness_that_is_handed_in_and_not_from_the_rng():
    asked = []
    harness = Harness("a", random_bytes=lambda count: asked.append(count) or b"\xab" * count)
    assert asked == [8]
    assert harness.begin(idempotent=True).dedupe_key.startswith(b"\xab" * 8)


def test_after_a_fork_the_childs_keys_differ_and_no_lock_is_held():
    harness = Harness("a")
    tested = harness.service
    before = harness.begin(idempotent=True).dedupe_key
    tested.nodes.lock.acquire()
    tested.budget.lock.acquire()
    tested.after_fork()
    assert harness.begin(idempotent=True).dedupe_key[:8] != before[:8]
    assert tested.budget.withdraw(harness.clock())
    harness.list_nodes("ab")
