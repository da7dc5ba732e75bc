"""What the plugins must do that say what follows a failure: fault tolerances and fallbacks."""

from __future__ import annotations

from abc import abstractmethod
from math import isfinite
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from bee_core.contracts.policies import Fallback, FaultTolerance, PastResult, Tried
from bee_core.errors import CALL_ERRORS, CallError
from bee_core.terms.backoff import CAP
from bee_core.terms.causes import lost, refused, reported
from bee_core.terms.failures import Success
from bee_core.terms.node import Node
from bee_core.terms.request import POSITIONAL, Request, RequestHead

from .fakes import seeded_random
from .held_locks import after_a_fork

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bee_core.terms.failures import Failure


FAILURES = (
    refused(ConnectionRefusedError(111, "Connection refused")),
    lost("end of file"),
    reported("overloaded", "too many requests"),
    reported("overloaded", "too many requests", retry_after=2.0),
    reported("unavailable", "draining"),
)


DRAINING = FAILURES[-1]  # only another node helps
AT_ONCE = 0.02  # seconds; far more than a decision takes, and less than anybody sleeps


def _seconds(policy: FaultTolerance, attempts: Sequence[Tried]) -> float:
    began = monotonic()
    policy.next(attempts, seeded_random(1))
    return monotonic() - began


def history(*failures: Failure, nodes: Sequence[str] | None = None) -> list[Tried]:
    """Attempts that failed so, each on a node of its own where ``nodes`` names no ids."""
    ids = nodes or [str(index) for index in range(len(failures))]
    return [
        Tried(Node(name, f"tcp://{name}:9000"), failure)
        for name, failure in zip(ids, failures, strict=True)
    ]


class FaultToleranceContract:
    """Inherit, and say how to make the fault tolerance: its answer depends on the history alone.

    The suite does not check the bounds of retries. They are the core's and hold for every plugin:
    ``retries``, the deadline, the retry budget, and that a call may have to run once at most.
    """

    longest = CAP
    """Seconds that a pause may take where no server asks for one; set your own bound here."""

    most_hedged = 0.1
    """Second attempts as a share of the calls, where the policy bounds them; likewise."""

    @abstractmethod
    def make_fault_tolerance(self) -> FaultTolerance:
        """A fault tolerance with the options under test."""

    @pytest.fixture
    def policy(self) -> FaultTolerance:
        """The fault tolerance of one test."""
        return self.make_fault_tolerance()

    @pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.kind)
    @pytest.mark.parametrize("attempts", [1, 2, 3, 10, 2000])
    def test_an_answer_is_to_give_up_or_a_retry_after_a_finite_delay(
        self, policy: FaultTolerance, failure: Failure, attempts: int
    ) -> None:
        again = policy.next(history(*[failure] * attempts), seeded_random(1))
        assert again is None or (
            again.where in {"same", "other"} and again.delay >= 0 and isfinite(again.delay)
        )

    @pytest.mark.parametrize("attempts", [1, 2, 3, 10])
    def test_a_failure_that_no_retry_can_help_is_given_up(
        self, policy: FaultTolerance, attempts: int
    ) -> None:
        hopeless = reported("unauthenticated", "a wrong token")
        before = [FAILURES[0]] * (attempts - 1)
        assert policy.next(history(*before, hopeless), seeded_random(1)) is None

    @pytest.mark.parametrize("attempts", [1, 2, 3, 10])
    def test_the_same_node_is_not_asked_again_where_only_another_one_helps(
        self, policy: FaultTolerance, attempts: int
    ) -> None:
        again = policy.next(history(*[DRAINING] * attempts), seeded_random(1))
        assert again is None or again.where == "other"

    @pytest.mark.parametrize("retry_after", [2.0, 20.0])
    @pytest.mark.parametrize("seed", range(5))
    def test_the_same_node_is_not_asked_again_before_the_time_that_it_asked_for(
        self, policy: FaultTolerance, retry_after: float, seed: int
    ) -> None:
        busy = reported("overloaded", "too many requests", retry_after=retry_after)
        again = policy.next(history(busy), seeded_random(seed))
        assert again is None or again.where == "other" or again.delay >= retry_after

    @pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.kind)
    @pytest.mark.parametrize("attempts", [1, 2, 3, 10])
    def test_no_pause_is_longer_than_its_bound_unless_the_server_asks_for_it(
        self, policy: FaultTolerance, failure: Failure, attempts: int
    ) -> None:
        for seed in range(20):
            again = policy.next(history(*[failure] * attempts), seeded_random(seed))
            longest = max(self.longest, failure.retry_after or 0.0)
            assert again is None or again.delay <= longest

    def test_it_decides_and_does_not_wait(self, policy: FaultTolerance) -> None:
        attempts = history(FAILURES[0], FAILURES[1])
        # The quickest of some, because a busy machine may hold up any of them.
        assert min(_seconds(policy, attempts) for _ in range(5)) < AT_ONCE

    def test_the_answer_depends_on_the_history_and_the_random_source_alone(
        self, policy: FaultTolerance
    ) -> None:
        attempts = history(FAILURES[0], FAILURES[1])
        first = policy.next(attempts, seeded_random(5))
        policy.next(history(FAILURES[0]), seeded_random(6))
        assert policy.next(attempts, seeded_random(5)) == first

    def test_the_history_is_left_as_it_is(self, policy: FaultTolerance) -> None:
        attempts = history(FAILURES[0], FAILURES[1])
        before = list(attempts)
        policy.next(attempts, seeded_random(1))
        assert attempts == before

    # The methods that a fault tolerance may have besides.

    def test_a_second_attempt_begins_after_a_finite_delay_or_not_at_all(
        self, policy: FaultTolerance
    ) -> None:
        hedge, settle = _optional(policy, "hedge"), getattr(policy, "settle", None)
        for number in range(500):
            attempts = history(*FAILURES[: number % 3])
            delay = hedge(attempts, 1000.0 + number)
            assert delay is None or (delay >= 0 and isfinite(delay))
            if settle is not None:
                outcome = (Success(b""), None, FAILURES[1])[number % 3]
                assert settle(outcome, 0.001 * (number % 17), 1000.0 + number) is None

    def test_second_attempts_are_a_small_part_of_the_calls(self, policy: FaultTolerance) -> None:
        hedge, may_hedge = _optional(policy, "hedge"), _optional(policy, "may_hedge")
        calls, granted = 2000, 0
        for number in range(calls):
            hedge((), float(number))
            answer = may_hedge(float(number))
            assert isinstance(answer, bool)
            granted += answer
        assert granted <= self.most_hedged * calls + 1

    def test_it_measures_and_does_not_wait(self, policy: FaultTolerance) -> None:
        hedge = _optional(policy, "hedge")
        began = monotonic()
        for number in range(20):
            hedge((), float(number))
        assert monotonic() - began < 20 * AT_ONCE

    def test_the_nodes_that_a_call_goes_to_are_ready_ones_each_once(
        self, policy: FaultTolerance
    ) -> None:
        targets = _optional(policy, "targets")
        for many in (0, 1, 3, 200):
            ready = tuple(Node(str(one), f"tcp://{one}:9000") for one in range(many))
            found = targets(ready, seeded_random(many))
            if found is not None:
                assert not isinstance(found, str)
                assert len(set(found)) == len(found)
                assert {node.id for node in ready}.issuperset(found)

    def test_a_call_without_any_answer_has_no_result(self, policy: FaultTolerance) -> None:
        tolerates = _optional(policy, "tolerates")
        for many in (1, 2, 100):
            assert tolerates(many, many) is False
            assert isinstance(tolerates(1, 100), bool)


def _optional(policy: FaultTolerance, name: str) -> Any:
    """A method that a fault tolerance may have; a test of one that has none is skipped."""
    method = getattr(policy, name, None)
    if method is None:
        pytest.skip(f"this fault tolerance has no {name}()")
    return method


class FallbackContract:
    """Inherit, and say how to make the fallback: it answers, or raises the error that it was given.

    The suite does not check which errors it answers, or with what. These are options of the
    fallback.
    """

    @abstractmethod
    def make_fallback(self) -> Fallback:
        """A new fallback with the options under test."""

    @pytest.fixture
    def fallback(self) -> Fallback:
        """The fallback of one test."""
        return self.make_fallback()

    def ask(self, fallback: Fallback, error: CallError) -> tuple[Any, BaseException | None]:
        """Ask for an answer: the value, or what was raised instead."""
        try:
            return fallback.answer("calc", "add", (1, 2), {"c": 3}, error), None
        except Exception as raised:
            return None, raised

    @pytest.mark.parametrize("kind", sorted(CALL_ERRORS))
    def test_every_error_is_answered_or_raised(self, fallback: Fallback, kind: str) -> None:
        error = CALL_ERRORS[kind]("it failed", service="calc", method="add")
        value, raised = self.ask(fallback, error)
        assert raised is error or not isinstance(raised, CallError)
        assert value is None or raised is None

    def test_the_answer_is_a_value_and_nothing_to_be_awaited(self, fallback: Fallback) -> None:
        value, _ = self.ask(fallback, CALL_ERRORS["unavailable"]("no node"))
        assert not hasattr(value, "__await__")

    def test_the_arguments_are_left_as_they_are(self, fallback: Fallback) -> None:
        args, kwargs = ([1, 2],), {"c": {"d": 3}}
        error = CALL_ERRORS["unavailable"]("no node")
        try:
            fallback.answer("calc", "add", args, kwargs, error)
        except Exception as raised:
            assert raised is error  # noqa: PT017  # one of two outcomes that are both right
        assert (args, kwargs) == (([1, 2],), {"c": {"d": 3}})

    def test_what_is_recalled_is_a_result_of_the_same_call(self, fallback: Fallback) -> None:
        """Only of one that learns: it must not answer a call with the result of another one."""
        learning: Any = fallback
        if not hasattr(fallback, "learn"):
            return
        learned = {body: PastResult(body, 0.0, lambda: 1.0) for body in (b"[1]", b"[2]", b"[3]")}
        error = CALL_ERRORS["unavailable"]("no node")
        assert learning.recall(_asking(b"[1]"), error) is None
        for body, result in learned.items():
            learning.learn(_asking(body), result)
        for body, result in learned.items():
            assert learning.recall(_asking(body), error) in (None, result)
        assert learning.recall(_asking(b"[1]", method="sub"), error) is None
        assert learning.recall(_asking(b"[1]", tenant="other"), error) is None

    def test_in_a_forked_child_no_lock_of_the_parent_is_waited_for(
        self, fallback: Fallback
    ) -> None:
        learning: Any = fallback
        error = CALL_ERRORS["unavailable"]("no node")

        def use() -> None:
            if hasattr(fallback, "learn"):
                learning.learn(_asking(b"[1]"), PastResult(b"1", 0.0, lambda: 1.0))
                learning.recall(_asking(b"[1]"), error)
            self.ask(fallback, error)

        use()
        after_a_fork((fallback,), use)


def _asking(body: bytes, method: str = "add", tenant: str = "one") -> Request:
    """A request that was sent."""
    head = RequestHead("calc", method, {"tenant": tenant})
    return Request(head, POSITIONAL, body, False, 10.0, 1.0, 1.0, 1.0)
