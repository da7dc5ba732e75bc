"""A second attempt beside a slow first one: what the flow asks for, and who hears of what."""

from __future__ import annotations

import pytest

from bee_core.contracts.effects import Race
from bee_core.errors import DeadlineExceeded, RemoteError, Unavailable
from bee_core.interfaces import Again
from bee_core.terms.causes import lost, refused, reported
from support.call_harness import SUCCESS, Harness, later, whole

LOST = lost("end of file")
REFUSED = refused(ConnectionRefusedError(111, "Connection refused"))
RAISED = reported("remote_error", "boom", error_type="ValueError")


class Hedged:
    """A fault tolerance that sends a second attempt after ``delay`` seconds."""

    def __init__(self, delay=1.0, *, may=True, again=None):
        self.delay = delay
        self.may = may
        self.again = again
        self.asked = []
        self.told = []

    def next(self, history, rng):
        return self.again

    def hedge(self, history, now):
        self.asked.append([tried.node.id for tried in history])
        return self.delay

    def may_hedge(self, now):
        return self.may

    def settle(self, outcome, seconds, now):
        said = "given up" if outcome is None else "ok" if outcome.ok else outcome.kind
        self.told.append((said, seconds))


def hedged(nodes="abc", fail=None, **options):
    gates = {name: {} for name in nodes}
    return Harness(nodes, fail=fail or Hedged(), gates=gates, idempotent=True, **options)


def test_a_call_that_is_answered_in_time_makes_one_attempt():
    harness = hedged()
    result = harness.run(("a", later(0.5, SUCCESS)))
    assert result.value == 3
    assert harness.trace == [
        *("budget paid in", "pick a", "permit a", "attempt a"),
        *("breaker told a ok", "balancer told a ok"),
    ]
    assert result.call.attempts == 1
    assert harness.service.fault_tolerances[""].told == [("ok", 0.5)]


def test_the_second_attempt_wins_and_the_first_is_given_up_without_a_verdict():
    harness = hedged()
    result = harness.run(None, ("b", later(0.5, SUCCESS)))
    assert result.value == 3
    assert harness.trace == [
        *("budget paid in", "pick a", "permit a", "attempt a", "no reply yet"),
        *("pick b", "permit b", "attempt b", "breaker told b ok", "balancer told b ok"),
        *("cancelled a", "breaker told a no verdict", "balancer told a no verdict"),
    ]
    assert (result.call.attempts, result.call.node.id) == (2, "b")
    assert harness.service.fault_tolerances[""].told == [("ok", 0.5), ("given up", 1.5)]


def test_the_first_attempt_may_win_too():
    harness = hedged()
    result = harness.run(None, ("a", SUCCESS))
    assert (result.call.attempts, result.call.node.id) == (2, "a")
    assert "cancelled b" in harness.trace
    assert harness.gates["b"].verdicts == ["no verdict"]


def test_a_failure_waits_for_the_other_attempt():
    harness = hedged()
    result = harness.run(None, ("a", LOST), ("b", SUCCESS))
    assert result.value == 3
    assert harness.gates["a"].verdicts == ["unavailable"]
    assert harness.gates["b"].verdicts == ["ok"]
    assert not [line for line in harness.trace if line.startswith("cancelled")]


def test_when_both_have_failed_the_policy_is_asked_with_both():
    seen = []

    class Noting(Hedged):
        def next(self, history, rng):
            seen.append([tried.node.id for tried in history])
            return Again("other")

    harness = hedged("abcd", Noting(), retries=3)
    result = harness.run(None, ("b", LOST), ("a", LOST), ("c", SUCCESS))
    assert result.value == 3
    assert seen == [["b", "a"]]
    assert result.attempts == ["a", "b", "c"]
    assert harness.service.fault_tolerances[""].asked == [[], ["b", "a"]]


def test_when_both_have_failed_the_call_may_have_run_if_one_of_them_may():
    result = hedged().run(None, ("b", LOST), ("a", reported("overloaded", "full")))
    assert (result.error.kind, result.error.executed) == ("overloaded", "maybe")


def test_the_attempts_of_a_race_count_towards_the_retries():
    harness = hedged("abcd", Hedged(again=Again("other")), retries=1)
    result = harness.run(None, ("b", LOST), ("a", LOST))
    assert isinstance(result.error, Unavailable)
    assert result.attempts == ["a", "b"]
    assert (result.error.attempts, result.error.executed) == (2, "maybe")


@pytest.mark.parametrize("retries", [0, 1])
def test_without_a_retry_there_is_no_race(retries):
    harness = hedged(retries=retries)
    script = [None, ("b", SUCCESS)] if retries else [SUCCESS]
    assert len(harness.run(*script).attempts) == 1 + retries


def test_the_last_attempt_that_the_retries_allow_is_not_hedged():
    harness = hedged("abcd", Hedged(again=Again("other")), retries=1)
    result = harness.run(("a", LOST), ("b", later(5.0, SUCCESS)))
    assert (result.value, result.attempts) == (3, ["a", "b"])
    assert harness.service.fault_tolerances[""].asked == [[]]


def test_a_call_that_is_not_idempotent_is_never_raced():
    harness = Harness("ab", fail=Hedged(0.0))
    assert harness.run(SUCCESS).attempts == ["a"]
    assert harness.service.fault_tolerances[""].asked == []


def test_an_error_of_the_handler_decides_at_once_and_the_other_may_have_run():
    harness = hedged()
    result = harness.run(None, ("b", RAISED))
    assert isinstance(result.error, RemoteError)
    assert result.error.executed == "yes"
    assert "cancelled a" in harness.trace


def test_a_bad_argument_decides_and_the_other_may_have_run():
    harness = hedged()
    result = harness.run(None, ("b", reported("invalid_argument", "bad")))
    assert result.error.executed == "maybe"


def test_no_other_node_no_race():
    harness = hedged("a")
    result = harness.run(None, ("a", SUCCESS))
    assert result.value == 3
    assert result.attempts == ["a"]
    assert harness.gates["a"].verdicts == ["ok"]


def test_a_node_whose_breaker_gives_no_permit_is_passed_over():
    harness = Harness(
        "abc", fail=Hedged(), gates={"a": {}, "b": {"permits": 0}, "c": {}}, idempotent=True
    )
    assert harness.run(None, ("c", SUCCESS)).attempts == ["a", "c"]


@pytest.mark.parametrize("fail", [Hedged(may=False), Hedged(None), Hedged(100.0)])
def test_where_the_policy_wants_no_second_attempt_there_is_none(fail):
    harness = hedged(fail=fail)
    script = [None] if fail.delay == 1.0 else []
    assert harness.run(*script, ("a", SUCCESS)).attempts == ["a"]


@pytest.mark.parametrize("wrong", ["soon", -1.0, float("nan"), ValueError("a bug")])
def test_a_policy_with_a_bug_costs_the_second_attempt_and_is_named(wrong):
    class Broken(Hedged):
        def hedge(self, history, now):
            if isinstance(wrong, Exception):
                raise wrong
            return wrong

    harness = hedged(fail=Broken())
    assert harness.run(("a", SUCCESS)).value == 3
    assert len(harness.complaints) == 1
    assert "hedge" in harness.complaints[0]


@pytest.mark.parametrize("name", ["may_hedge", "settle"])
def test_a_policy_that_raises_costs_no_call(name):
    def bug(*_):
        raise ValueError("a bug")

    fail = Hedged()
    setattr(fail, name, bug)
    harness = hedged(fail=fail)
    script = [None, ("a", SUCCESS)]
    if name == "settle":
        script = [("a", SUCCESS)]
    assert harness.run(*script).value == 3
    assert name in harness.complaints[0]


def test_a_balancer_that_fails_at_the_second_pick_leaves_the_first_attempt_alone():
    harness = hedged()
    pick = harness.balancer.pick

    def broken(key, tried, now, rng):
        if tried:
            raise ValueError("a bug")
        return pick(key, tried, now, rng)

    harness.balancer.pick = broken
    assert harness.run(None, ("a", SUCCESS)).value == 3
    assert harness.gates["a"].verdicts == ["ok"]


def test_a_channel_that_cannot_be_made_for_the_second_gives_its_permit_back():
    def make_channel(node):
        if node.id == "b":
            raise ValueError("a bug")
        return node.id

    harness = hedged(make_channel=make_channel)
    assert harness.run(None, ("a", SUCCESS)).value == 3
    assert harness.gates["a"].held == harness.gates["b"].held == 0
    assert ("b", "no verdict") in harness.balancer.settled


def test_a_race_given_up_in_the_middle_gives_everything_back():
    harness = hedged(limiter="at once")
    steps = whole(harness.begin())
    effect = next(steps)
    assert isinstance(effect, Race)
    harness.end_one(effect, None, [])
    effect = steps.send(None)
    assert len(effect.entrants) == 2
    with pytest.raises(TypeError):
        harness.end_one(effect, 7, [])
    steps.close()
    assert harness.gates["a"].verdicts == harness.gates["b"].verdicts == ["no verdict"]
    assert sorted(harness.balancer.settled) == [("a", "no verdict"), ("b", "no verdict")]
    assert {"cancelled a", "cancelled b"} <= set(harness.trace)
    assert [verdict for verdict, _ in harness.limiter.released] == ["no verdict"]


def test_the_deadline_ends_both():
    harness = hedged(timeout=2.0)
    late = reported("deadline_exceeded", "the deadline came before the reply")
    result = harness.run(None, ("a", later(1.0, late)))
    assert isinstance(result.error, DeadlineExceeded)
    assert result.error.executed == "maybe"
    assert harness.gates["b"].held == 0


def test_the_budget_of_retries_pays_no_second_attempt():
    harness = hedged(budget={"floor_per_second": 0.0, "ratio": 0.0})
    assert harness.run(None, ("b", SUCCESS)).value == 3
    assert "budget paid out" not in harness.trace


def test_each_attempt_is_observed():
    class Watcher:
        def __init__(self):
            self.ended = []

        def call_started(self, call):
            return None

        def attempt_ended(self, state, call, node, outcome, seconds):
            self.ended.append((node.id, outcome is not None and outcome.ok, seconds))

    watcher = Watcher()
    harness = hedged(watchers=[watcher])
    harness.run(None, ("b", later(0.25, SUCCESS)))
    assert watcher.ended == [("b", True, 0.25), ("a", False, 1.25)]


def test_each_attempt_has_a_request_of_its_own():
    harness = hedged()
    call = harness.begin()
    seen = []

    def noted(harness):
        return SUCCESS

    original = Harness.end_one

    def race(self, effect, turn, attempts):
        seen.extend(effect.entrants)
        return original(self, effect, turn, attempts)

    harness.end_one = race.__get__(harness)
    harness.drive(call, None, ("b", noted))
    first, again, second = seen
    assert first is again
    assert (first.body, first.head, first.dedupe_key) == (call.body, call.head, call.dedupe_key)
    assert first.dedupe_key == second.dedupe_key
    assert (first.moment, second.moment) == (20, 0)
