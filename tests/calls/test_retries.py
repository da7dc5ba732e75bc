"""What follows a failed attempt, case by case."""

from __future__ import annotations

import pytest

from bee_core.calls.options import CallOptions
from bee_core.calls.plan import make_plan
from bee_core.calls.retries import FREE_REDIALS, Redial, Stop, after
from bee_core.errors import InvalidArgument
from bee_core.interfaces import Again, Node, Tried
from bee_core.terms.causes import (
    broken_peer,
    cancelled,
    connect_timed_out,
    lost,
    not_sent,
    passed_over,
    read_timed_out,
    refused,
    reported,
    undecodable,
)
from support.call_harness import Harness

NOW, DEADLINE = 100.0, 110.0
NODE = Node("a", "tcp://a:9000")
STALE = not_sent(BrokenPipeError(32, "Broken pipe"), reused=True)
REFUSED = refused(ConnectionRefusedError(111, "Connection refused"))
LOST = lost("end of file")
DRAINING = passed_over("draining")
SLOW = read_timed_out(10.0, full=True)
RAISED = reported("remote_error", "boom", error_type="ValueError")
BUSY = reported("overloaded", "too many requests")


AGAIN = Again("other", 0.5)


class Says:
    """A fault tolerance with one answer, which remembers what it was asked."""

    def __init__(self, again):
        self.again = again
        self.asked = []

    def next(self, history, rng):
        self.asked.append([tried.failure for tried in history])
        return self.again


def judged(
    *failures,
    idempotent=False,
    retries=2,
    says=AGAIN,
    redials=0,
    now=NOW,
    budget=None,
):
    """What follows the last of these failures, and the policy that was asked."""
    policy = Says(says)
    harness = Harness("ab", fail=policy, retries=retries, budget=budget)
    plan = make_plan(harness.service, "add", options=CallOptions(idempotent=idempotent))
    history = [Tried(NODE, failure) for failure in failures]
    return after(plan, history, redials, now, DEADLINE), policy


@pytest.mark.parametrize(
    ("failure", "idempotent", "follows"),
    [
        # Proven that no server saw the request: sent anew, and no attempt.
        (STALE, False, Redial),
        (DRAINING, False, Redial),
        # It did not run: another attempt.
        (REFUSED, False, Again),
        (connect_timed_out(5.0, full=True), False, Again),
        (BUSY, False, Again),
        # It may have run: another attempt only where the method may run twice.
        (LOST, False, Stop),
        (LOST, True, Again),
        (SLOW, False, Stop),
        (SLOW, True, Again),
        (broken_peer(ValueError("no frame")), False, Stop),
        (broken_peer(ValueError("no frame")), True, Again),
        # It ran: never again, whatever the method may do.
        (RAISED, True, Stop),
        (undecodable(InvalidArgument("not a number")), True, Stop),
        # It would be the same everywhere, or nobody wants it any more.
        (reported("invalid_argument", "a: not a number"), True, Stop),
        (reported("unauthenticated", "a wrong token"), True, Stop),
        (cancelled("given up", sent=False), True, Stop),
        (read_timed_out(10.0, full=False), True, Stop),
    ],
)
def test_a_failure_is_followed_by(failure, idempotent, follows):
    step, _ = judged(failure, idempotent=idempotent)
    assert type(step) is follows
    if follows is Stop:
        assert step.failure is failure


def test_a_policy_is_asked_only_where_a_retry_is_allowed():
    for failure in (STALE, LOST, RAISED):
        assert judged(failure)[1].asked == []
    assert judged(REFUSED)[1].asked == [[REFUSED]]


def test_the_policy_sees_all_attempts_that_failed_and_its_answer_is_followed():
    step, policy = judged(REFUSED, BUSY, says=Again("same", 0.25))
    assert step == Again("same", 0.25)
    assert policy.asked == [[REFUSED, BUSY]]


@pytest.mark.parametrize(("made", "follows"), [(1, Again), (2, Again), (3, Stop)])
def test_retries_are_attempts_after_the_first(made, follows):
    assert type(judged(*[REFUSED] * made, retries=2)[0]) is follows


def test_no_retries_means_none():
    assert judged(REFUSED, retries=0)[0] == Stop(REFUSED)


def test_a_policy_that_gives_up_ends_the_call():
    assert judged(REFUSED, says=None)[0] == Stop(REFUSED)


def test_the_same_node_is_not_asked_against_the_failures_word():
    elsewhere = reported("unavailable", "draining")
    assert judged(elsewhere, says=Again("same"))[0] == Stop(elsewhere)
    assert judged(elsewhere, says=Again("other"))[0] == Again("other")


def test_free_redials_are_bounded_and_then_count_as_attempts():
    assert type(judged(STALE, redials=FREE_REDIALS - 1)[0]) is Redial
    assert type(judged(STALE, redials=FREE_REDIALS)[0]) is Again


@pytest.mark.parametrize("tried_once", [{"says": None}, {"retries": 0}])
def test_a_call_that_is_tried_once_is_redialled_once(tried_once):
    assert type(judged(STALE, redials=0, **tried_once)[0]) is Redial
    assert judged(STALE, redials=1, **tried_once)[0] == Stop(STALE)


def test_nothing_is_sent_anew_once_the_deadline_has_come():
    step, _ = judged(STALE, now=DEADLINE)
    assert type(step) is Stop
    assert "no time was left for a retry" in step.failure.message


@pytest.mark.parametrize(("delay", "follows"), [(9.9, Again), (10.0, Stop)])
def test_a_pause_must_end_before_the_deadline(delay, follows):
    step, _ = judged(REFUSED, says=Again("other", delay))
    assert type(step) is follows


SPENT = {"ratio": 0.0, "floor_per_second": 0.0}


def test_a_spent_budget_ends_the_call_and_says_so():
    step, _ = judged(BUSY, budget=SPENT)
    assert (
        step.failure.message
        == f"{BUSY.message}; not retried: the retry budget of the service is spent"
    )


def test_a_server_that_was_not_reached_has_no_load_so_the_budget_is_not_asked():
    assert judged(REFUSED, budget=SPENT)[0] == Again("other", 0.5)


def test_a_note_is_made_on_a_copy_since_policies_may_keep_the_failure():
    before = BUSY.message
    judged(BUSY, budget=SPENT)
    assert BUSY.message == before
