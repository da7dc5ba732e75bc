"""A call to every node: what the flow asks for, what becomes of failures, and the result."""

from __future__ import annotations

import pytest

from bee_core.calls import broadcast
from bee_core.contracts.effects import Pause, Race
from bee_core.errors import (
    CallCancelled,
    CircuitOpen,
    DeadlineExceeded,
    InvalidArgument,
    PluginFault,
    RemoteError,
    Unavailable,
)
from bee_core.interfaces import Again, Success
from bee_core.terms.causes import cancelled, lost, not_sent, refused, reported
from support.call_harness import SUCCESS, Harness, later, whole

LOST = lost("end of file")
REFUSED = refused(ConnectionRefusedError(111, "Connection refused"))
RAISED = reported("remote_error", "boom", error_type="ValueError")
STALE = not_sent(BrokenPipeError(32, "Broken pipe"), reused=True)


class Everywhere:
    """Every ready node; retries there after ``delay``, if asked to."""

    def __init__(self, *, again=None, may_fail=0):
        self.again = again
        self.may_fail = may_fail
        self.seen = []

    def next(self, history, rng):
        self.seen.append([tried.node.id for tried in history])
        return self.again

    def targets(self, ready, rng):
        return [node.id for node in ready]

    def tolerates(self, failed, of):
        return failed <= self.may_fail


def everywhere(nodes="abc", fail=None, **options):
    return Harness(nodes, fail=fail or Everywhere(), gates={one: {} for one in nodes}, **options)


def test_every_node_is_called_and_the_value_is_that_of_the_first():
    harness = everywhere()
    result = harness.run(("b", Success(b"2")), ("c", Success(b"3")), ("a", Success(b"1")))
    assert result.value == 1
    assert result.call.answers == {"a": 1, "b": 2, "c": 3}
    assert list(result.call.answers) == ["a", "b", "c"]
    assert (result.call.attempts, result.call.node.id) == (3, "a")
    assert [gate.verdicts for gate in harness.gates.values()] == [["ok"]] * 3
    assert harness.balancer.picks == 0


def test_a_node_that_fails_fails_the_call_after_all_were_called():
    result = everywhere().run(("a", LOST), ("b", SUCCESS), ("c", SUCCESS))
    assert isinstance(result.error, Unavailable)
    assert result.error.node.id == "a"
    assert result.error.executed == "yes"
    assert "1 of 3 nodes failed: tcp://a:9000" in str(result.error)


def test_the_error_is_the_first_that_came():
    result = everywhere().run(("c", RAISED), ("a", LOST), ("b", REFUSED))
    assert isinstance(result.error, RemoteError)
    assert result.error.node.id == "c"
    assert result.error.attempts == 3


@pytest.mark.parametrize(
    ("outcomes", "executed"),
    [((REFUSED, REFUSED), "no"), ((REFUSED, LOST), "maybe"), ((LOST, RAISED), "yes")],
)
def test_executed_is_the_most_that_any_node_may_have_done(outcomes, executed):
    result = everywhere("ab").run(("a", outcomes[0]), ("b", outcomes[1]))
    assert result.error.executed == executed


def test_a_failure_that_is_tolerated_leaves_a_result():
    result = everywhere(fail=Everywhere(may_fail=1)).run(
        ("a", LOST), ("b", Success(b"2")), ("c", Success(b"3"))
    )
    assert result.value == 2
    assert result.call.answers == {"b": 2, "c": 3}


def test_where_all_have_failed_nothing_is_tolerated():
    result = everywhere("a", Everywhere(may_fail=5)).run(("a", LOST))
    assert isinstance(result.error, Unavailable)


def test_a_write_that_may_have_run_is_not_repeated_on_its_node():
    fail = Everywhere(again=Again("same"))
    result = everywhere("ab", fail).run(("a", LOST), ("b", SUCCESS))
    assert result.attempts == ["a", "b"]
    assert fail.seen == []


def test_what_did_not_run_is_tried_again_on_its_node_after_a_pause_that_holds_up_nobody():
    fail = Everywhere(again=Again("same", 2.0))
    harness = everywhere("ab", fail)
    result = harness.run(("a", REFUSED), ("b", later(0.5, SUCCESS)), ("a", SUCCESS))
    assert result.value == 3
    assert result.attempts == ["a", "b", "a"]
    assert result.pauses == [1.5]
    assert fail.seen == [["a"]]


def test_a_node_is_tried_as_often_as_retries_say():
    fail = Everywhere(again=Again("same"))
    result = everywhere("a", fail, retries=2).run(("a", REFUSED), ("a", REFUSED), ("a", REFUSED))
    assert isinstance(result.error, Unavailable)
    assert result.attempts == ["a"] * 3
    assert result.pauses == []


def test_a_retry_on_another_node_is_no_retry_of_a_broadcast():
    fail = Everywhere(again=Again("other"))
    result = everywhere("ab", fail).run(("a", REFUSED), ("b", SUCCESS))
    assert result.error.executed == "yes"
    assert result.attempts == ["a", "b"]


def test_a_stale_connection_is_redialled_once_and_counts_as_no_attempt():
    result = everywhere("ab").run(("a", STALE), ("a", SUCCESS), ("b", SUCCESS))
    assert result.value == 3
    assert result.call.attempts == 2


def test_only_so_many_nodes_are_called_at_a_time(monkeypatch):
    monkeypatch.setattr(broadcast, "AT_A_TIME", 2)
    harness = everywhere("abcd")
    steps, sizes, answer = whole(harness.begin()), [], None
    try:
        while True:
            effect = steps.send(answer)
            assert isinstance(effect, Race)
            sizes.append(len(effect.entrants))
            answer = harness.end_one(effect, (effect.entrants[0].node.id, SUCCESS), [])
    except StopIteration:
        pass
    assert sizes == [2, 2, 2, 1]


def test_a_node_that_is_cut_off_is_left_out_and_one_without_a_permit_has_failed():
    harness = Harness("ab", fail=Everywhere(), gates={"a": {}, "b": {"permits": 0}})
    result = harness.run(("a", SUCCESS))
    assert isinstance(result.error, CircuitOpen)
    assert result.error.node.id == "b"


def test_no_ready_node_is_an_error():
    assert isinstance(everywhere("").run().error, Unavailable)


def test_the_deadline_ends_it_and_nodes_that_were_not_called_have_failed(monkeypatch):
    monkeypatch.setattr(broadcast, "AT_A_TIME", 1)
    late = reported("deadline_exceeded", "the deadline came before the reply")
    result = everywhere("ab", timeout=1.0).run(("a", later(1.0, late)))
    assert isinstance(result.error, DeadlineExceeded)
    assert result.attempts == ["a"]
    assert "2 of 2 nodes" in str(result.error)


def test_an_answer_that_cannot_be_decoded_is_a_failure_of_that_node():
    result = everywhere("ab").run(("a", Success(b"{")), ("b", SUCCESS))
    assert result.error is not None
    assert not isinstance(result.error, InvalidArgument) or result.error.executed == "yes"
    assert result.error.executed == "yes"


@pytest.mark.parametrize("wrong", [ValueError("a bug"), "abc", ["z"], 7])
def test_a_policy_that_names_no_nodes_ends_the_call_and_is_named(wrong):
    class Broken(Everywhere):
        def targets(self, ready, rng):
            if isinstance(wrong, Exception):
                raise wrong
            return wrong

    result = everywhere(fail=Broken()).run()
    assert isinstance(result.error, PluginFault)
    assert result.error.executed == "no"


def test_a_policy_that_wants_one_node_has_a_plain_call():
    class One(Everywhere):
        def targets(self, ready, rng):
            return None

    assert everywhere(fail=One()).run(SUCCESS).attempts == ["a"]


@pytest.mark.parametrize("wrong", [ValueError("a bug"), "yes"])
def test_a_policy_with_a_bug_tolerates_nothing(wrong):
    class Broken(Everywhere):
        def tolerates(self, failed, of):
            if isinstance(wrong, Exception):
                raise wrong
            return wrong

    harness = everywhere("ab", Broken())
    assert isinstance(harness.run(("a", LOST), ("b", SUCCESS)).error, Unavailable)
    assert "tolerates" in harness.complaints[0]


def test_a_broadcast_given_up_in_the_middle_gives_everything_back():
    harness = everywhere("abc", limiter="at once")
    steps = whole(harness.begin())
    effect = next(steps)
    answer = harness.end_one(effect, ("b", SUCCESS), [])
    steps.send(answer)
    steps.close()
    assert [gate.held for gate in harness.gates.values()] == [0, 0, 0]
    assert harness.gates["a"].verdicts == ["no verdict"]
    assert harness.gates["b"].verdicts == ["ok"]
    assert {"cancelled a", "cancelled c"} <= set(harness.trace)
    assert [verdict for verdict, _ in harness.limiter.released] == ["no verdict"]


def test_a_client_that_is_closed_in_a_pause_ends_it():
    fail = Everywhere(again=Again("same", 2.0))
    harness = everywhere("a", fail)
    steps = whole(harness.begin())
    answer = harness.end_one(next(steps), ("a", REFUSED), [])
    assert isinstance(steps.send(answer), Pause)
    with pytest.raises(StopIteration) as stop:
        steps.send(cancelled("the client was closed", sent=False))
    assert isinstance(stop.value.value, CallCancelled)


def test_a_pause_that_is_interrupted_leaves_what_ran_elsewhere_said():
    harness = everywhere("ab", Everywhere(again=Again("same", 2.0)))
    call = harness.begin()
    steps = whole(call)
    effect = steps.send(harness.end_one(next(steps), ("a", SUCCESS), []))
    effect = steps.send(harness.end_one(effect, ("b", reported("overloaded", "full")), []))
    assert isinstance(effect, Pause)
    with pytest.raises(StopIteration):
        steps.send(cancelled("the client was closed", sent=False))
    assert call.executed == "yes"


def test_each_node_is_a_first_attempt_for_the_budget_of_retries():
    harness = everywhere("abc")
    harness.run(("a", SUCCESS), ("b", SUCCESS), ("c", SUCCESS))
    assert harness.trace.count("budget paid in") == 3


def test_a_transport_that_makes_no_channel_fails_its_node_only():
    def make_channel(node):
        if node.id == "b":
            raise ValueError("a bug")
        return node.id

    harness = everywhere("abc", make_channel=make_channel)
    result = harness.run(("a", SUCCESS), ("c", SUCCESS))
    assert isinstance(result.error, PluginFault)
    assert [gate.held for gate in harness.gates.values()] == [0, 0, 0]


def test_a_fallback_answers_for_a_broadcast_too():
    assert everywhere("a", fallback=7).run(("a", LOST)).value == 7
