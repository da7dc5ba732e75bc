"""What the plugins must do that admit a call or refuse it: breakers and limiters."""

from __future__ import annotations

from abc import abstractmethod
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event, Lock
from typing import TYPE_CHECKING

import pytest

from bee_core.terms.causes import cancelled, lost, read_timed_out, reported
from bee_core.terms.failures import Failure, Success

if TYPE_CHECKING:
    from bee_core.contracts.policies import Breaker, Limiter, Ticket

WELL = Success(b"1")
ILL = lost("end of file")
MANY = 2000  # failures in a row after which any breaker has cut the node off
CROWD = 5000  # more calls than any limiter under test lets run and wait together
DEADLINE = 10.0  # seconds that a test waits for a thread

NOT_THE_NODES = (
    reported("remote_error", "division by zero"),
    reported("overloaded", "too many requests"),
    reported("invalid_argument", "a: expected a number"),
    read_timed_out(0.1, full=False),
    cancelled("the caller gave up", sent=True),
)
"""Failures for which the node is not to blame."""


class BreakerContract:
    """Inherit, and say how to make the breaker: from closed to open to half-open, and back.

    With every call a millisecond passes. The suite does not check after how many failures a breaker
    opens, or how often it is probed. These are options of the breaker, so its own tests check them.
    """

    now = 1000.0

    @abstractmethod
    def make_breaker(self) -> Breaker:
        """A new breaker with the options under test."""

    @pytest.fixture
    def breaker(self) -> Breaker:
        """The breaker of one test, closed."""
        return self.make_breaker()

    @pytest.fixture
    def opened(self, breaker: Breaker) -> Breaker:
        """The breaker after failures of the node."""
        self.cut_off(breaker)
        return breaker

    @pytest.fixture
    def half_open(self, opened: Breaker) -> Breaker:
        """The breaker after the node has answered pings again."""
        became = any(opened.probed(True, self.tick()) for _ in range(MANY))
        assert became, f"the breaker is {opened.state} after {MANY} pings that were answered"
        return opened

    def tick(self) -> float:
        """The time."""
        self.now += 0.001
        return self.now

    def one_call(self, breaker: Breaker, outcome: Success | Failure | None) -> bool:
        """A permit and its verdict, as the core does; whether the state changed."""
        permit = breaker.admit(self.tick())
        assert permit is not None
        return breaker.settle(permit, outcome, self.tick())

    def cut_off(self, breaker: Breaker) -> None:
        """Let calls fail until the breaker opens."""
        opened = any(self.one_call(breaker, ILL) for _ in range(MANY))
        assert opened, f"the breaker is {breaker.state} after {MANY} failures in a row"

    def test_a_new_breaker_is_closed_and_gives_permits(self, breaker: Breaker) -> None:
        assert breaker.state == "closed"
        assert all(breaker.admit(self.tick()) is not None for _ in range(50))

    def test_failures_of_the_node_open_it_and_the_change_is_told_once(
        self, opened: Breaker
    ) -> None:
        assert opened.state == "open"

    def test_an_open_breaker_gives_no_permit(self, opened: Breaker) -> None:
        assert opened.admit(self.tick()) is None

    @pytest.mark.parametrize(
        "outcome", [*NOT_THE_NODES, None], ids=lambda outcome: getattr(outcome, "kind", "none")
    )
    def test_what_is_not_the_nodes_fault_never_opens_it(
        self, breaker: Breaker, outcome: Failure | None
    ) -> None:
        assert not any(self.one_call(breaker, outcome) for _ in range(MANY))
        assert breaker.state == "closed"

    def test_a_ping_that_is_not_answered_leaves_it_open(self, opened: Breaker) -> None:
        assert not opened.probed(False, self.tick())
        assert opened.state == "open"

    def test_a_ping_to_a_node_that_is_not_cut_off_changes_nothing(self, breaker: Breaker) -> None:
        assert not breaker.probed(True, self.tick())
        assert not breaker.probed(False, self.tick())
        assert breaker.state == "closed"

    def test_answered_pings_make_it_half_open(self, half_open: Breaker) -> None:
        assert half_open.state == "half-open"

    def test_half_open_it_gives_a_bounded_number_of_permits(self, half_open: Breaker) -> None:
        given = sum(half_open.admit(self.tick()) is not None for _ in range(MANY))
        assert 1 <= given < MANY

    def test_successes_close_a_half_open_breaker(self, half_open: Breaker) -> None:
        assert any(self.one_call(half_open, WELL) for _ in range(MANY))
        assert half_open.state == "closed"

    def test_failures_of_the_node_open_a_half_open_breaker_again(self, half_open: Breaker) -> None:
        self.cut_off(half_open)
        assert half_open.state == "open"
        assert half_open.admit(self.tick()) is None

    def test_permits_that_are_dropped_without_a_verdict_leave_no_place_taken(
        self, half_open: Breaker
    ) -> None:
        for _ in range(MANY):
            self.one_call(half_open, None)
        assert half_open.state == "half-open"
        assert half_open.admit(self.tick()) is not None

    def test_a_verdict_from_before_the_node_was_cut_off_does_not_bring_it_back(
        self, breaker: Breaker
    ) -> None:
        old = breaker.admit(self.tick())
        assert old is not None
        self.cut_off(breaker)
        breaker.settle(old, WELL, self.tick())
        assert breaker.state == "open"

    def test_threads_settle_while_the_state_changes_and_every_change_is_told_once(
        self, breaker: Breaker
    ) -> None:
        def calls(_: int) -> int:
            changes = 0
            for _ in range(500):
                permit = breaker.admit(self.tick())
                if permit is None:
                    changes += breaker.probed(True, self.tick())
                else:
                    changes += breaker.settle(permit, ILL, self.tick())
            return changes

        with ThreadPoolExecutor(4) as threads:
            changes = sum(threads.map(calls, range(4)))
        # It can only have gone closed, open, half-open, open …: after an odd number of changes it
        # is open, after an even one half-open.
        assert changes >= 1
        assert breaker.state == ("open" if changes % 2 else "half-open")


class LimiterContract:
    """Inherit, and say how to make the limiter: a bound, a fair queue, and no permit that is lost.

    It must let some calls run, and refuse a call while 5,000 others are not over. The suite does
    not check how large the bound or the queue is, or how a limiter adapts its bound.
    """

    now = 1000.0

    @abstractmethod
    def make_limiter(self) -> Limiter:
        """A new limiter with the options under test."""

    @pytest.fixture
    def limiter(self) -> Limiter:
        """The limiter of one test."""
        return self.make_limiter()

    def fill(self, limiter: Limiter) -> tuple[int, list[Ticket]]:
        """Ask until it refuses: how many run, and the tickets of those that wait."""
        running = 0
        waiting: list[Ticket] = []
        for _ in range(CROWD):
            answer = limiter.admit(self.now)
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
        assert limiter.admit(self.now) is True

    def test_what_is_refused_is_overloaded_and_did_not_run(self, limiter: Limiter) -> None:
        self.fill(limiter)
        refused = limiter.admit(self.now)
        assert isinstance(refused, Failure)
        assert (refused.kind, refused.executed) == ("overloaded", "no")

    @pytest.mark.parametrize(
        ("outcome", "seconds"), [(WELL, 0.01), (None, 0.0)], ids=["success", "no verdict"]
    )
    def test_calls_one_after_the_other_never_wait(
        self, limiter: Limiter, outcome: Success | None, seconds: float
    ) -> None:
        for _ in range(CROWD):
            assert limiter.admit(self.now) is True
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

    def test_when_all_is_given_back_as_many_run_as_before(self, limiter: Limiter) -> None:
        running, waiting = self.fill(limiter)
        for ticket in waiting:
            assert ticket.leave()
        for _ in range(running):
            limiter.release(WELL, 0.01)
        assert all(limiter.admit(self.now) is True for _ in range(min(running, 1)))

    def test_many_threads_take_and_give_back_and_nobody_is_forgotten(
        self, limiter: Limiter
    ) -> None:
        most, _ = self.fill(self.make_limiter())
        lock = Lock()
        running = highest = 0

        def call(_: int) -> bool:
            nonlocal running, highest
            answer = limiter.admit(self.now)
            if isinstance(answer, Failure):
                return True
            if answer is not True:
                turn = Event()
                answer.on_admitted(turn.set)
                if not turn.wait(DEADLINE):
                    return False
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
        assert limiter.admit(self.now) is True
