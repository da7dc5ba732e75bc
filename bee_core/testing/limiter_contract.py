"""What the plugins must do that bound the calls that run at a time: limiters."""

from __future__ import annotations

from abc import abstractmethod
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from functools import partial
from threading import Event, Lock
from typing import TYPE_CHECKING

import pytest

from bee_core.terms.failures import Failure, Success

from .fakes import AnyCall
from .held_locks import after_a_fork

if TYPE_CHECKING:
    from bee_core.contracts.policies import Limiter, Ticket

CALL = AnyCall("calc", "add", {"tenant": "a"})
WELL = Success(b"1")
CROWD = 5000  # more calls than any limiter under test lets run and wait together
DEADLINE = 10.0  # seconds that a test waits for a thread


class LimiterContract:
    """Inherit, and say how to make the limiter: a bound, a fair queue, and no permit that is lost.

    It must let some calls run, and refuse a call while 5,000 others are not over. The suite does
    not check how large the bound or the queue is, or how a limiter adapts its bound.

    Attributes:
        bounded: Whether it bounds the calls that run at a time. False for one that refuses calls
            for another reason: then what concerns the bound is not tested.
    """

    now = 1000.0
    bounded = True

    @abstractmethod
    def make_limiter(self) -> Limiter:
        """A new limiter with the options under test."""

    @pytest.fixture
    def limiter(self) -> Limiter:
        """The limiter of one test."""
        return self.make_limiter()

    def fill(self, limiter: Limiter) -> tuple[int, list[Ticket]]:
        """Ask until it refuses: how many run, and the tickets of those that wait."""
        if not self.bounded:
            pytest.skip("it does not bound the calls that run at a time")
        running = 0
        waiting: list[Ticket] = []
        for _ in range(CROWD):
            answer = limiter.admit(CALL, self.now)
            if isinstance(answer, Failure):
                return running, waiting
            if answer is True:
                assert not waiting, "a newcomer overtook those in the queue"
                running += 1
            else:
                waiting.append(answer)
        raise AssertionError(f"{CROWD} calls, and none was refused")

    def listening(self, tickets: list[Ticket]) -> list[int]:
        """The indexes of the tickets whose permits have come, in their order; grows."""
        granted: list[int] = []
        for index, ticket in enumerate(tickets):
            ticket.on_admitted(partial(granted.append, index))
        return granted

    def test_the_first_call_runs_at_once(self, limiter: Limiter) -> None:
        assert limiter.admit(CALL, self.now) is True

    def test_what_is_refused_is_overloaded_and_did_not_run(self, limiter: Limiter) -> None:
        self.fill(limiter)
        refused = limiter.admit(CALL, self.now)
        assert isinstance(refused, Failure)
        assert (refused.kind, refused.executed) == ("overloaded", "no")

    @pytest.mark.parametrize(
        ("outcome", "seconds"), [(WELL, 0.01), (None, 0.0)], ids=["success", "no verdict"]
    )
    def test_calls_one_after_the_other_never_wait(
        self, limiter: Limiter, outcome: Success | None, seconds: float
    ) -> None:
        for _ in range(CROWD):
            assert limiter.admit(CALL, self.now) is True
            limiter.release(outcome, seconds)

    def test_a_permit_that_is_given_back_goes_to_the_first_that_waits(
        self, limiter: Limiter
    ) -> None:
        _, waiting = self.fill(limiter)
        granted = self.listening(waiting)
        assert granted == []
        for _ in waiting:
            limiter.release(WELL, 0.01)
        assert granted == sorted(granted)
        assert len(granted) >= min(1, len(waiting))

    def test_a_ticket_that_has_left_is_passed_over(self, limiter: Limiter) -> None:
        _, waiting = self.fill(limiter)
        granted = self.listening(waiting)
        left = waiting[::2]
        assert all(ticket.leave() for ticket in left)
        for _ in waiting:
            limiter.release(WELL, 0.01)
        assert all(index % 2 for index in granted)

    def test_who_has_the_permit_already_is_called_back_at_once_and_cannot_leave(
        self, limiter: Limiter
    ) -> None:
        running, waiting = self.fill(limiter)
        for _ in range(running):
            limiter.release(WELL, 0.01)
        for ticket in waiting[:1]:
            called = Event()
            ticket.on_admitted(called.set)
            assert called.is_set()
            assert not ticket.leave()

    def test_where_an_important_call_is_refused_no_lesser_one_is_let_in(
        self, limiter: Limiter
    ) -> None:
        self.fill(limiter)
        for level in ("sheddable_plus", "sheddable"):
            lesser = AnyCall("calc", "add", criticality=level)
            assert isinstance(limiter.admit(lesser, self.now), Failure)

    def test_a_permit_goes_to_the_most_important_call_that_waits(self, limiter: Limiter) -> None:
        running, waiting = self.fill(limiter)
        for ticket in waiting:
            assert ticket.leave()
        granted: list[str] = []
        for level in ("sheddable", "critical_plus"):
            answer = limiter.admit(AnyCall("calc", "add", criticality=level), self.now)
            if answer is True or isinstance(answer, Failure):
                assert not waiting, "a call found no place in an empty queue"
                return
            answer.on_admitted(partial(granted.append, level))
        for _ in range(running):
            limiter.release(WELL, 0.01)
        assert granted[:1] == ["critical_plus"]

    def test_a_permit_that_is_given_back_twice_does_not_widen_the_bound(
        self, limiter: Limiter
    ) -> None:
        """A release that raised is repeated, and its permit may have been back already."""
        running, waiting = self.fill(limiter)
        for ticket in waiting:
            assert ticket.leave()
        for _ in range(running + 3):
            limiter.release(None, 0.0)
        assert self.fill(limiter)[0] == running

    def test_when_all_is_given_back_as_many_run_as_before(self, limiter: Limiter) -> None:
        running, waiting = self.fill(limiter)
        for ticket in waiting:
            assert ticket.leave()
        for _ in range(running):
            limiter.release(WELL, 0.01)
        assert all(limiter.admit(CALL, self.now) is True for _ in range(min(running, 1)))

    def test_many_threads_take_and_give_back_and_nobody_is_forgotten(
        self, limiter: Limiter
    ) -> None:
        most = self.fill(self.make_limiter())[0] if self.bounded else 8
        lock = Lock()
        running = highest = 0

        def call(_: int) -> bool:
            nonlocal running, highest
            answer = limiter.admit(CALL, self.now)
            if isinstance(answer, Failure):
                return True
            if answer is not True:
                turn = Event()
                answer.on_admitted(turn.set)
                if not turn.wait(DEADLINE):
                    return False
                if getattr(answer, "refusal", None) is not None:
                    return True
            with lock:
                running += 1
                highest = max(highest, running)
            with lock:
                running -= 1
            limiter.release(WELL, 0.0)
            return True

        with ThreadPoolExecutor(8) as threads:
            assert all(threads.map(call, range(2000)))
        assert running == 0
        assert 1 <= highest <= max(8, most)
        assert limiter.admit(CALL, self.now) is True

    def test_nobody_is_called_back_under_a_lock_of_the_limiter(self, limiter: Limiter) -> None:
        running, waiting = self.fill(limiter)
        done: list[bool] = []
        with ThreadPoolExecutor(1) as other:

            def asks_from_elsewhere() -> None:
                # On another thread, so that a lock that its owner may take again is found too.
                asked = other.submit(limiter.admit, CALL, self.now)
                with suppress(TimeoutError, FutureTimeout):
                    asked.result(DEADLINE / 5)
                done.append(asked.done())

            for ticket in waiting[:1]:
                ticket.on_admitted(asks_from_elsewhere)
            for _ in range(running):
                limiter.release(WELL, 0.01)
            # Its permit is there already, so this one is called back at once.
            for ticket in waiting[1:2]:
                ticket.on_admitted(asks_from_elsewhere)
        assert all(done), "the limiter held its lock while it called back"

    def test_in_a_forked_child_nothing_runs_and_no_lock_of_the_parent_is_waited_for(
        self, limiter: Limiter
    ) -> None:
        self.fill(limiter)
        answers: list[object] = []

        def use() -> None:
            answers.append(limiter.admit(CALL, self.now))
            limiter.release(WELL, 0.01)

        after_a_fork((limiter,), use)
        assert answers == [True], "the calls that ran and waited are the parent's"
