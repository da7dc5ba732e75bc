"""What a call means: the rules of the flow, driven by hand under a fake clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bee_core.calls.retries import FREE_REDIALS, may_retry
from bee_core.contracts.effects import Attempt, Pause, Queue
from bee_core.errors import (
    CallError,
    CircuitOpen,
    DeadlineExceeded,
    InvalidArgument,
    Overloaded,
    RemoteError,
    Unavailable,
)
from bee_core.interfaces import Again, Success
from bee_core.terms.call_context import CurrentCall, reset_current, set_current
from bee_core.terms.causes import (
    cancelled,
    local,
    lost,
    not_sent,
    passed_over,
    read_timed_out,
    refused,
    reported,
)
from bee_core.terms.node import Node
from bee_plugins.fault_tolerance.failfast import FailFast
from bee_plugins.fault_tolerance.failover import FailOver
from bee_plugins.fault_tolerance.failtry import BackoffOptions, FailTry
from support.call_harness import SUCCESS, Harness, failure, later, whole

REFUSED = refused(ConnectionRefusedError(111, "Connection refused"))
LOST = lost("end of file")
RAISED = reported("remote_error", "boom", error_type="ValueError")
BUSY = reported("overloaded", "too many requests")
DRAINING = reported("unavailable", "draining")
CUT = not_sent(ConnectionResetError(104, "Connection reset by peer"), reused=False)
STALE = not_sent(BrokenPipeError(32, "Broken pipe"), reused=True)


class Steady:
    """A fault tolerance that always says the same."""

    def __init__(self, where="other", delay=0.0):
        self.again = Again(where, delay)
        self.seen = []

    def next(self, history, rng):
        self.seen.append([(tried.node.id, tried.failure.kind) for tried in history])
        return self.again


def failover(**options):
    return FailOver(BackoffOptions(**options))


def failtry(**options):
    return FailTry(BackoffOptions(**options))


# ── the order of the stages ──


def test_the_stages_stand_in_the_order_of_the_design():
    harness = Harness(
        "ab",
        fail=Steady("other", 0.5),
        gates={"a": {}, "b": {}},
        limiter="queue",
        fallback=7,
        observers=[None],
    )
    result = harness.run(CUT, RAISED)
    assert result.value == 7
    assert harness.trace == [
        "limiter asked",
        "queue",
        "budget paid in",
        "pick a",
        "permit a",
        "attempt a",
        "breaker told a unavailable",
        "balancer told a unavailable",
        "budget paid out",
        "pause",
        "pick b",
        "permit b",
        "attempt b",
        "breaker told b remote_error",
        "balancer told b remote_error",
        "limiter told remote_error",
        "fallback asked remote_error",
        "observed",
    ]


def test_a_call_without_trouble_asks_nobody_more_than_it_must():
    harness = Harness(
        "a", fail=Steady(), gates={"a": {}}, limiter="at once", fallback=7, observers=[None]
    )
    assert harness.run(SUCCESS).value == 3
    assert harness.trace == [
        *(
            "limiter asked",
            "budget paid in",
            "pick a",
            "permit a",
            "attempt a",
            "breaker told a ok",
            "balancer told a ok",
            "limiter told ok",
            "observed",
        ),
    ]


def test_an_expired_deadline_comes_before_the_limiter_and_inside_of_the_fallback():
    harness = Harness(limiter="at once", fallback=7)
    call = harness.begin()
    call.deadline = call.started
    assert harness.drive(call).value == 7
    assert harness.trace == ["fallback asked deadline_exceeded"]


# ── the limiter ──


def test_a_call_takes_one_permit_of_the_limiter_however_many_attempts_it_makes():
    harness = Harness("abc", fail=Steady(), limiter="at once")
    harness.run(REFUSED, REFUSED, later(1.5, SUCCESS))
    assert harness.limiter.granted == 1
    assert harness.limiter.released == [("ok", 1.5)]


def test_a_refused_connection_is_told_and_no_other_failure():
    harness, told = Harness("abc", fail=failover()), []
    harness.service.told = False  # nobody else listens
    harness.service.refused = lambda node, failure: told.append((node.id, failure))
    harness.run(REFUSED, BUSY, SUCCESS)
    assert told == [("a", REFUSED)]


def test_a_full_queue_ends_the_call_before_any_attempt():
    harness = Harness(limiter="full")
    error = harness.run().error
    assert isinstance(error, Overloaded)
    assert (error.executed, error.attempts, error.retry_after) == ("no", 0, 0.5)
    assert harness.limiter.released == []


def test_the_wait_for_a_turn_is_bounded_by_the_deadline():
    harness = Harness(limiter="queue", timeout=4.0)
    seen = []

    def turn(_, effect):
        seen.append(effect.until)
        return False

    error = harness.run(turn=turn).error
    assert seen == [harness.clock() + 4.0]
    assert isinstance(error, Overloaded)
    assert "waited for its turn" in str(error)
    assert harness.limiter.ticket.left
    assert harness.limiter.released == []


def test_a_permit_granted_in_the_moment_of_giving_up_goes_back():
    harness = Harness(limiter="queue")

    def turn(harness, effect):
        effect.ticket.grant()
        return False

    harness.run(turn=turn)
    assert harness.limiter.released == [("no verdict", 0.0)]


def test_a_turn_that_comes_at_the_deadline_is_no_attempt():
    harness = Harness(limiter="queue", timeout=4.0)

    def turn(harness, effect):
        effect.ticket.grant()
        harness.clock.advance(4.0)
        return True

    result = harness.run(turn=turn)
    assert isinstance(result.error, DeadlineExceeded)
    assert result.attempts == []
    assert [verdict for verdict, _ in harness.limiter.released] == ["deadline_exceeded"]


def test_a_limiter_may_turn_a_call_away_after_it_has_waited():
    harness = Harness("a", limiter="queue")
    harness.limiter.ticket.refusal = local("overloaded", "waited in vain", retry_after=0.5)
    error = harness.run(turn=True).error
    assert (error.kind, error.executed, error.retry_after) == ("overloaded", "no", 0.5)
    assert harness.limiter.released == [], "there is no permit to give back"
    assert harness.trace.count("pick a") == 0


def test_a_client_that_is_closed_while_a_call_queues_ends_it():
    harness = Harness(limiter="queue")
    error = harness.run(turn=cancelled("the client was closed", sent=False)).error
    assert (error.kind, error.executed) == ("cancelled", "no")
    assert harness.limiter.ticket.left


# ── permits of calls that are given up ──


def test_a_call_given_up_in_the_middle_of_an_attempt_gives_its_permits_back_without_a_verdict():
    harness = Harness("a", gates={"a": {}}, limiter="at once")
    steps = whole(harness.begin())
    assert isinstance(next(steps), Attempt)
    harness.clock.advance(2.0)
    steps.close()
    assert harness.gates["a"].verdicts == ["no verdict"]
    assert harness.gates["a"].held == 0
    assert harness.balancer.settled == [("a", "no verdict")]
    assert harness.limiter.released == [("no verdict", 2.0)]


def test_a_call_given_up_in_a_pause_holds_only_the_limiters_permit():
    harness = Harness("ab", fail=Steady("other", 1.0), gates={"a": {}, "b": {}}, limiter="at once")
    steps = whole(harness.begin())
    next(steps)
    assert isinstance(steps.send(REFUSED), Pause)
    assert harness.gates["a"].held == 0
    steps.close()
    assert harness.limiter.released == [("no verdict", 0.0)]


def test_a_call_given_up_in_the_queue_leaves_it():
    harness = Harness(limiter="queue")
    steps = whole(harness.begin())
    assert isinstance(next(steps), Queue)
    steps.close()
    assert harness.limiter.ticket.left


def test_a_driver_that_breaks_in_an_attempt_settles_the_permit_too():
    harness = Harness("a", gates={"a": {}}, limiter="at once")
    steps = whole(harness.begin())
    next(steps)
    with pytest.raises(KeyboardInterrupt):
        steps.throw(KeyboardInterrupt())
    assert harness.gates["a"].verdicts == ["no verdict"]
    assert [verdict for verdict, _ in harness.limiter.released] == ["no verdict"]


# ── which failures are tried again ──


@pytest.mark.parametrize(
    ("outcome", "idempotent", "again"),
    [
        (REFUSED, False, True),
        (BUSY, False, True),
        (DRAINING, False, True),
        (LOST, False, False),
        (LOST, True, True),
        (read_timed_out(10, full=True), False, False),
        (read_timed_out(10, full=True), True, True),
        (read_timed_out(10, full=False), True, False),
        (RAISED, False, False),
        (RAISED, True, False),
        (reported("invalid_argument", "bad"), True, False),
        (reported("method_not_found", "none"), True, False),
        (failure(executed="yes", retry="same"), True, False),
    ],
    ids=repr,
)
def test_only_what_did_not_run_or_may_run_twice_is_tried_again(outcome, idempotent, again):
    assert may_retry(outcome, idempotent=idempotent) is again
    harness = Harness("ab", fail=failover(), idempotent=idempotent)
    result = harness.run(outcome, SUCCESS) if again else harness.run(outcome)
    assert result.attempts == (["a", "b"] if again else ["a"])


def test_nothing_is_idempotent_unless_somebody_says_so():
    assert Harness().run(SUCCESS).call.plan.idempotent is False


def test_the_option_outranks_the_configuration():
    result = Harness("ab", fail=failover(), idempotent=True).run(LOST, idempotent=False)
    assert result.attempts == ["a"]


_kinds = (
    "unavailable",
    "deadline_exceeded",
    "overloaded",
    "remote_error",
    "protocol_error",
    "invalid_argument",
    "cancelled",
)
_failures = st.builds(
    failure,
    kind=st.sampled_from(_kinds),
    executed=st.sampled_from(("no", "maybe", "yes")),
    retry=st.sampled_from(("never", "same", "other")),
    blame=st.sampled_from(("node", "caller", "none")),
    unsent=st.booleans(),
)
_SEVERITY = ("no", "maybe", "yes")


def _scripted(script, **options):
    """Make a call; the outcomes that the flow asked for, and the result."""
    harness = Harness(
        "abcd",
        gates={"a": {"opens": True}, "b": {"permits": 1}, "c": {"permits": 0}},
        limiter="at once",
        **options,
    )
    call = harness.begin()
    steps = whole(call)
    answers, asked, sent = iter(script), [], None
    try:
        while True:
            if isinstance(steps.send(sent), Attempt):
                sent = next(answers)
                asked.append(sent)
            else:
                sent = None
    except StopIteration as stop:
        error = stop.value
    return harness, call, asked, error


@given(
    script=st.lists(_failures, min_size=20, max_size=20),
    where=st.sampled_from(("same", "other")),
    retries=st.integers(0, 6),
)
def test_a_call_that_is_not_idempotent_is_never_sent_again_once_it_may_have_run(
    script, where, retries
):
    _, call, asked, error = _scripted(script, fail=Steady(where), retries=retries)
    assert all(outcome.executed == "no" for outcome in asked[:-1])
    assert error.executed == asked[-1].executed
    assert call.attempts <= retries + 1


@given(
    script=st.lists(_failures | st.just(SUCCESS), min_size=20, max_size=20),
    where=st.sampled_from(("same", "other")),
    retries=st.integers(0, 6),
    idempotent=st.booleans(),
)
def test_whatever_happens_counts_come_out_even_and_bounds_hold(script, where, retries, idempotent):
    harness, call, asked, error = _scripted(
        script, fail=Steady(where), retries=retries, idempotent=idempotent
    )
    assert len(asked) <= retries + 1 + FREE_REDIALS
    assert harness.balancer.picks == len(harness.balancer.settled)
    assert all(gate.held == 0 for gate in harness.gates.values())
    assert len(harness.limiter.released) == harness.limiter.granted == 1
    assert not any(outcome.executed == "yes" for outcome in asked[:-1] if not outcome.ok)
    if error is not None:
        assert error.executed == max((outcome.executed for outcome in asked), key=_SEVERITY.index)
        assert error.attempts == call.attempts


# ── retries, budget, deadline ──


def test_no_retries_means_none():
    assert Harness("ab", fail=failover(), retries=0).run(REFUSED).attempts == ["a"]


def test_retries_are_counted_beside_the_first_attempt():
    result = Harness("abcde", fail=failover(), retries=3).run(*[REFUSED] * 4)
    assert result.attempts == ["a", "b", "c", "d"]
    assert result.error.attempts == 4


def test_a_spent_budget_ends_the_call_and_says_so():
    harness = Harness("ab", fail=failover(), budget={"floor_per_second": 0.0})
    error = harness.run(CUT).error
    assert isinstance(error, Unavailable)
    assert "connection broke" in str(error)
    assert "budget" in str(error)
    assert harness.trace[-1] == "budget is spent"


def test_a_retry_after_a_node_that_was_not_even_reached_costs_no_budget():
    harness = Harness("ab", fail=failover(), budget={"floor_per_second": 0.0})
    for _ in range(10):
        assert harness.run(REFUSED, SUCCESS).value == 3
    assert "budget paid out" not in harness.trace


def test_the_budget_is_paid_by_first_attempts_alone():
    harness = Harness("ab", fail=failover(), budget={"floor_per_second": 0.0})
    for _ in range(5):
        harness.run(SUCCESS)
    assert harness.run(CUT, SUCCESS).value == 3
    assert harness.trace.count("budget paid in") == 6
    assert "budget" in str(harness.run(CUT).error)


def test_a_retry_that_is_not_allowed_costs_no_budget():
    harness = Harness("ab", fail=failover())
    harness.run(LOST)
    assert "budget paid out" not in harness.trace


def test_a_pause_that_the_deadline_leaves_no_room_for_is_not_begun():
    harness = Harness("ab", fail=Steady("other", 2.0), timeout=5.0)
    result = harness.run(later(3.0, REFUSED))
    assert result.pauses == []
    assert isinstance(result.error, Unavailable)
    assert "no time was left" in str(result.error)
    assert "budget paid out" not in harness.trace


def test_a_pause_that_fits_is_made():
    result = Harness("ab", fail=Steady("other", 1.9), timeout=5.0).run(later(3.0, REFUSED), SUCCESS)
    assert result.pauses == [1.9]


def test_a_retry_without_a_pause_needs_time_as_well():
    result = Harness("ab", fail=Steady("other", 0.0), timeout=5.0).run(later(5.0, REFUSED))
    assert result.attempts == ["a"]


def test_every_attempt_carries_the_same_deadline():
    harness = Harness("ab", fail=failover(), timeout=5.0)
    begun = harness.begin()
    steps = whole(begun)
    assert isinstance(next(steps), Attempt)
    harness.clock.advance(1.0)
    assert isinstance(steps.send(REFUSED), Attempt)
    assert begun.deadline == begun.started + 5.0


def test_a_client_that_is_closed_in_a_pause_ends_the_call():
    result = Harness("ab", fail=Steady("other", 1.0)).run(
        REFUSED, pause=cancelled("the client was closed", sent=False)
    )
    assert (result.error.kind, result.attempts) == ("cancelled", ["a"])


def test_a_handler_with_no_time_left_gets_no_attempt_at_all():
    harness = Harness()
    token = set_current(
        CurrentCall("outer", "m", harness.clock(), {}, {}, "peer", None, harness.clock)
    )
    try:
        result = harness.run()
    finally:
        reset_current(token)
    assert isinstance(result.error, DeadlineExceeded)
    assert (result.error.executed, result.error.attempts, result.error.node) == ("no", 0, None)
    assert harness.trace == []


# ── the fault tolerances of bee ──


def test_failfast_tries_once():
    assert Harness("ab", fail=FailFast(), idempotent=True).run(REFUSED).attempts == ["a"]


def test_failtry_asks_the_same_node_up_to_its_retries_and_pauses_between():
    result = Harness("ab", fail=failtry(base=0.1, cap=0.2)).run(REFUSED, REFUSED, REFUSED)
    assert result.attempts == ["a", "a", "a"]
    assert len(result.pauses) == 2


def test_failtry_gives_up_where_only_another_node_would_help():
    assert Harness("ab", fail=failtry()).run(DRAINING).attempts == ["a"]


def test_a_policy_that_asks_the_same_node_against_the_failures_word_is_not_followed():
    assert Harness("ab", fail=Steady("same")).run(DRAINING).attempts == ["a"]


def test_failtry_ends_when_its_node_has_left_the_list():
    harness = Harness("ab", fail=failtry())
    steps = whole(harness.begin())
    next(steps)
    assert isinstance(steps.send(REFUSED), Pause)
    harness.list_nodes("b")
    with pytest.raises(StopIteration) as stop:
        steps.send(None)
    assert "asked no more" in str(stop.value.value)
    assert stop.value.value.node.id == "a"


def test_failtry_ends_when_its_node_gives_no_permit():
    harness = Harness("ab", fail=failtry(), gates={"a": {"opens": True}})
    error = harness.run(REFUSED).error
    assert isinstance(error, Unavailable)
    assert "breaker" in str(error)


def test_failover_asks_another_node_each_time():
    result = Harness("abc", fail=failover()).run(REFUSED, DRAINING, BUSY)
    assert result.attempts == ["a", "b", "c"]
    assert result.error.node.id == "c"


def test_failover_ends_when_no_other_node_is_left():
    result = Harness("a", fail=failover()).run(REFUSED)
    assert "no other node is left" in str(result.error)


def test_the_policy_sees_the_attempts_of_this_call_in_order():
    policy = Steady()
    Harness("abc", fail=policy).run(REFUSED, BUSY, RAISED)
    assert policy.seen == [[("a", "unavailable")], [("a", "unavailable"), ("b", "overloaded")]]


# ── free redials ──


@pytest.mark.parametrize("unsent", [STALE, passed_over("draining")], ids=["stale socket", "goaway"])
def test_a_redial_is_free_even_under_failfast(unsent):
    harness = Harness("ab", fail=FailFast(), retries=0, budget={"floor_per_second": 0.0})
    result = harness.run(unsent, SUCCESS)
    assert result.attempts == ["a", "b"]
    assert result.call.attempts == 1
    assert "budget paid out" not in harness.trace


def test_with_a_single_node_the_redial_goes_there_again():
    result = Harness("a").run(STALE, SUCCESS)
    assert (result.attempts, result.call.attempts) == (["a", "a"], 1)


def test_failover_does_not_come_back_to_a_node_that_hung_up():
    result = Harness("abc", fail=failover()).run(passed_over("draining"), REFUSED, SUCCESS)
    assert result.attempts == ["a", "b", "c"]


def test_redials_are_bounded():
    result = Harness("a", fail=FailFast()).run(STALE, STALE)
    assert isinstance(result.error, Unavailable)
    assert (result.error.attempts, result.error.executed) == (1, "no")


def test_a_call_that_may_retry_is_redialled_a_few_times_more():
    result = Harness("a", fail=failtry(), retries=1).run(*[STALE] * (FREE_REDIALS + 2))
    assert isinstance(result.error, Unavailable)
    assert (result.error.attempts, result.error.executed) == (2, "no")


def test_a_redial_after_a_retry_on_the_same_node_still_reaches_it():
    result = Harness("a", fail=failtry()).run(REFUSED, STALE, SUCCESS)
    assert result.attempts == ["a", "a", "a"]
    assert result.call.attempts == 2


def test_a_redial_that_finds_every_door_shut_reports_what_happened():
    harness = Harness("a", gates={"a": {"permits": 1}})
    error = harness.run(passed_over("draining")).error
    assert isinstance(error, Unavailable)
    assert "draining" in str(error)


def test_after_the_deadline_nothing_is_redialled():
    assert Harness("ab", timeout=5.0).run(later(5.0, STALE)).attempts == ["a"]


def test_unsent_counts_only_together_with_not_executed():
    assert Harness("ab").run(failure(executed="maybe", unsent=True)).attempts == ["a"]


# ── breakers and nodes ──


def test_a_node_whose_breaker_gives_no_permit_is_passed_over_and_settled_without_a_verdict():
    harness = Harness("abc", gates={"a": {"permits": 0}, "b": {}})
    assert harness.run(SUCCESS).attempts == ["b"]
    assert harness.balancer.settled == [("a", "no verdict"), ("b", "ok")]


def test_a_node_that_is_cut_off_is_not_picked_by_the_next_call():
    harness = Harness("ab", gates={"a": {"opens": True}, "b": {}})
    harness.run(REFUSED)
    assert [node.id for node in harness.balancer.ready] == ["b"]
    assert harness.run(SUCCESS).attempts == ["b"]


def test_with_every_node_cut_off_the_circuit_is_open():
    harness = Harness("ab", gates={"a": {"permits": 0}, "b": {"permits": 0}})
    error = harness.run().error
    assert isinstance(error, CircuitOpen)
    assert (error.attempts, error.executed, error.node) == (0, "no", None)
    assert "2 fitting nodes" in str(error)


def test_a_single_node_is_cut_off_as_well():
    harness = Harness("a", gates={"a": {"opens": True}})
    harness.run(REFUSED)
    assert isinstance(harness.run().error, CircuitOpen)


def test_without_any_node_the_service_is_unavailable_and_not_cut_off():
    error = Harness("", gates={}).run().error
    assert type(error) is Unavailable
    assert "no node of calc is known" in str(error)


def test_a_call_that_has_waited_for_nodes_in_vain_says_why_although_it_is_late():
    harness = Harness("", timeout=5.0)
    call = harness.begin()
    harness.clock.advance(6.0)
    error = harness.drive(call).error
    assert type(error) is Unavailable
    assert "no node of calc is known" in str(error)


def test_nodes_that_take_no_calls_are_not_called_cut_off():
    error = Harness([Node("a", "tcp://a:1", weight=0.0)]).run().error
    assert type(error) is Unavailable
    assert "weight 0" in str(error)


def test_a_node_that_left_between_pick_and_attempt_is_passed_over():
    harness = Harness("ab")
    harness.nodes.states = {"b": harness.nodes.states["b"]}
    assert harness.run(SUCCESS).attempts == ["b"]
    assert harness.balancer.settled == [("a", "no verdict"), ("b", "ok")]


def test_a_retry_on_the_same_node_is_no_pick_of_the_balancer():
    harness = Harness("a", fail=failtry())
    harness.run(REFUSED, SUCCESS)
    assert harness.balancer.settled == [("a", "unavailable")]


def test_the_breaker_hears_of_every_attempt():
    harness = Harness("a", fail=failtry(), gates={"a": {}})
    harness.run(REFUSED, SUCCESS)
    assert harness.gates["a"].verdicts == ["unavailable", "ok"]


def test_a_balancer_that_does_not_care_is_told_nothing():
    harness = Harness("a")
    harness.balancer.settle = None
    assert harness.run(SUCCESS).value == 3


# ── what the caller sees ──


def test_the_error_says_the_most_that_any_attempt_may_have_done():
    error = Harness("ab", fail=failover(), idempotent=True).run(LOST, REFUSED, retries=1).error
    assert (error.executed, error.attempts, error.node.id) == ("maybe", 2, "b")
    assert "cannot connect" in str(error)


def test_the_failure_that_a_policy_was_handed_is_left_as_it_is():
    before = REFUSED.message
    Harness("a", fail=failover()).run(REFUSED)
    assert before == REFUSED.message


def test_a_reply_that_cannot_be_decoded_has_run_and_is_not_tried_again():
    harness = Harness("ab", fail=failover(), idempotent=True, gates={"a": {}})
    error = harness.run(Success(b"{")).error
    assert isinstance(error, InvalidArgument)
    assert (error.executed, error.attempts) == ("yes", 1)
    assert harness.gates["a"].verdicts == ["ok"]


def test_an_application_error_keeps_its_type():
    error = Harness().run(RAISED).error
    assert isinstance(error, RemoteError)
    assert (error.type, error.message, error.executed, error.service, error.method) == (
        "ValueError",
        "boom",
        "yes",
        "calc",
        "add",
    )


# ── fallback and observers ──


def test_a_fallback_answers_instead_of_the_error():
    harness = Harness("a", fallback=7)
    result = harness.run(REFUSED)
    assert (result.value, result.call.degraded) == (7, True)
    service, method, args, kwargs, error = harness.fallback.asked[0]
    assert (service, method, args, kwargs) == ("calc", "add", (1, 2), {})
    assert isinstance(error, Unavailable)


def test_a_fallback_is_not_asked_when_the_call_could():
    harness = Harness("a", fallback=7)
    assert harness.run(SUCCESS).call.degraded is False
    assert harness.fallback.asked == []


def test_a_fallback_declines_by_raising():
    harness = Harness("a", fallback="declines")
    result = harness.run(REFUSED)
    assert isinstance(result.error, Unavailable)
    assert result.call.degraded is False


def test_a_fallback_may_raise_an_error_of_its_own_and_observers_still_hear_of_the_call():
    harness = Harness("a", fallback=LookupError("no cached price"), observers=[None])
    result = harness.run(REFUSED)
    assert isinstance(result.error, LookupError)
    assert [record.failure.kind for record in harness.observers[0].records] == ["unavailable"]


def test_an_observer_is_told_of_a_call_once_however_many_attempts():
    harness = Harness("ab", fail=failover(), observers=[None])
    harness.run(REFUSED, later(0.5, SUCCESS))
    (record,) = harness.observers[0].records
    assert (record.service, record.method, record.node.id, record.attempts, record.seconds) == (
        "calc",
        "add",
        "b",
        2,
        0.5,
    )
    assert (record.failure, record.degraded) == (None, False)


def test_an_observer_sees_what_a_fallback_hides():
    harness = Harness("a", fallback=7, observers=[None])
    harness.run(REFUSED)
    (record,) = harness.observers[0].records
    assert (record.failure.kind, record.degraded) == ("unavailable", True)


def test_an_observer_that_raises_breaks_no_call_and_is_reported_once():
    harness = Harness("a", observers=[ZeroDivisionError("oops"), None])
    assert harness.run(SUCCESS).value == 3
    assert harness.run(SUCCESS).value == 3
    assert len(harness.observers[1].records) == 2
    (complaint,) = harness.complaints
    assert "ZeroDivisionError: oops" in complaint


def test_an_observer_hears_of_a_call_that_was_given_up():
    harness = Harness("a", observers=[None])
    steps = whole(harness.begin())
    next(steps)
    steps.close()
    (record,) = harness.observers[0].records
    assert (record.failure.kind, record.failure.executed, record.attempts) == (
        "cancelled",
        "maybe",
        1,
    )


def test_every_error_of_a_call_is_a_call_error():
    for outcome in (REFUSED, LOST, RAISED, BUSY, DRAINING):
        assert isinstance(Harness("a").run(outcome).error, CallError)


# ── oneway ──


def test_a_oneway_call_has_no_value_whatever_the_answer_says():
    result = Harness("a").run(Success(b""), oneway=True)
    assert (result.value, result.call.node.id, result.call.attempts) == (None, "a", 1)


def test_a_oneway_call_that_was_sent_is_no_verdict_on_its_node():
    harness = Harness("a", gates={"a": {}}, limiter="at once")
    assert harness.run(Success(b""), oneway=True).error is None
    assert harness.gates["a"].verdicts == ["no verdict"]
    assert harness.gates["a"].held == 0
    assert harness.balancer.settled == [("a", "no verdict")]
    assert [said for said, _ in harness.limiter.released] == ["no verdict"]


def test_a_oneway_call_that_was_sent_takes_a_half_open_node_back():
    harness = Harness("a", gates={"a": {}})
    harness.gates["a"].state = "half-open"
    harness.run(Success(b""), oneway=True)
    assert harness.gates["a"].verdicts == ["ok"]


def test_a_oneway_call_that_was_not_sent_counts_against_its_node_and_is_tried_elsewhere():
    harness = Harness("ab", fail=failover(), gates={"a": {}, "b": {}})
    result = harness.run(REFUSED, Success(b""), oneway=True)
    assert (result.error, result.attempts) == (None, ["a", "b"])
    assert (harness.gates["a"].verdicts, harness.gates["b"].verdicts) == (
        ["unavailable"],
        ["no verdict"],
    )


def test_a_oneway_call_is_never_sent_a_second_time_even_when_it_is_marked_idempotent():
    harness = Harness("ab", fail=failover(), idempotent=True)
    result = harness.run(LOST, oneway=True, idempotent=True)
    assert (result.error.executed, result.attempts) == ("maybe", ["a"])
    assert result.call.dedupe_key is None


def test_a_oneway_call_that_cannot_be_sent_raises_or_falls_back():
    assert isinstance(Harness("a").run(REFUSED, oneway=True).error, Unavailable)
    harness = Harness("a", fallback=7)
    assert (harness.run(REFUSED, oneway=True).value, harness.fallback.asked[0][1]) == (7, "add")
