"""What the plugins must do that cut nodes off: breakers."""

from __future__ import annotations

from abc import abstractmethod
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from bee_core.terms.causes import cancelled, lost, read_timed_out, reported
from bee_core.terms.failures import Failure, Success
from bee_core.terms.node import Node

from .held_locks import after_a_fork

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bee_core.contracts.policies import Breaker, Breakers, Change

NODE = Node("a", "tcp://10.0.0.1:9000")
OTHER = Node("b", "tcp://10.0.0.2:9000")
WELL = Success(b"1")
ILL = lost("end of file")
MANY = 2000  # failures in a row after which any breaker has cut the node off

NOT_THE_NODES = (
    reported("remote_error", "division by zero"),
    reported("overloaded", "too many requests"),
    reported("invalid_argument", "a: expected a number"),
    read_timed_out(0.1, full=False),
    cancelled("the caller gave up", sent=True),
)
"""Failures for which the node is not to blame."""


class BreakerContract:
    """Inherit, and say how to make the breakers: from closed to open to half-open, and back.

    With every call a millisecond passes, and every call takes one. The suite does not check after
    how many failures a breaker opens, or how often it is probed. These are options of the breaker,
    so its own tests check them.

    Breakers that compare nodes need others: with ``others`` set, so many nodes more are in the
    list, and each of them answers a call whenever a call to ``NODE`` fails. Sweeps are made when
    they are due. Choose options with which 2000 calls are enough to cut a node off, and the two
    seconds of 2000 pings to try it again.
    """

    now = 1000.0
    others = 0
    """Nodes that answer while ``NODE`` fails."""
    beside: Sequence[Breaker] = ()
    """Their breakers."""
    due: float | None = None
    """When the next sweep is due."""

    @abstractmethod
    def make_breakers(self) -> Breakers:
        """The breakers of a new service with the options under test."""

    @pytest.fixture
    def breakers(self) -> Breakers:
        """The breakers of one test."""
        breakers = self.make_breakers()
        resize = getattr(breakers, "resize", None)
        if resize is not None:
            resize(self.others + 2)
        self.due = breakers.sweep(self.now)[1]
        nodes = [Node(str(index), f"tcp://10.0.1.{index}:9000") for index in range(self.others)]
        self.beside = [breakers.node(node) for node in nodes]
        return breakers

    @pytest.fixture
    def breaker(self, breakers: Breakers) -> Breaker:
        """The breaker of the node ``NODE``, closed."""
        return breakers.node(NODE)

    @pytest.fixture
    def opened(self, breakers: Breakers, breaker: Breaker) -> Breaker:
        """The breaker after failures of the node."""
        self.cut_off(breakers, breaker)
        return breaker

    @pytest.fixture
    def half_open(self, opened: Breaker) -> Breaker:
        """The breaker after the node has answered pings again."""
        became = any(opened.probed(True, self.tick()) is not None for _ in range(MANY))
        assert became, f"the breaker is {opened.state} after {MANY} pings that were answered"
        return opened

    def tick(self) -> float:
        """The time."""
        self.now += 0.001
        return self.now

    def one_call(self, breaker: Breaker, outcome: Success | Failure | None) -> Change | None:
        """A permit and its verdict, as the core does; the change of the state."""
        permit = getattr(breaker, "standing", None)
        if permit is not None and isinstance(outcome, Success):
            getattr(breaker, "succeeded", bool)()
            return None  # a success under a standing permit is counted, if at all, and not told
        permit = permit or breaker.admit(self.tick())
        assert permit is not None
        return breaker.settle(permit, outcome, 0.001, self.tick())

    def failing(self, breakers: Breakers, breaker: Breaker) -> Change | None:
        """Let calls fail until the breaker opens, and others succeed. The change, if there is one.

        A sweep may make changes of its own, so it is asked each time that it is due.
        """
        for _ in range(MANY):
            for other in self.beside:
                self.one_call(other, WELL)
            if (change := self.one_call(breaker, ILL)) is not None:
                return change
            if self.due is not None and self.due <= self.now:
                changes, self.due = breakers.sweep(self.now)
                if changes:
                    (change,) = changes
                    return change
        return None

    def cut_off(self, breakers: Breakers, breaker: Breaker) -> None:
        """Let calls fail until the breaker opens."""
        opened = self.failing(breakers, breaker) is not None
        assert opened, f"the breaker is {breaker.state} after {MANY} failures in a row"

    def test_a_new_breaker_is_closed_and_gives_permits(self, breaker: Breaker) -> None:
        assert breaker.state == "closed"
        assert all(breaker.admit(self.tick()) is not None for _ in range(50))

    def test_no_permit_stands_where_the_node_is_cut_off(self, opened: Breaker) -> None:
        assert getattr(opened, "standing", None) is None

    def test_no_permit_stands_where_the_node_is_tried(self, half_open: Breaker) -> None:
        assert getattr(half_open, "standing", None) is None

    def test_failures_of_the_node_open_it_and_the_change_is_told_once(
        self, opened: Breaker
    ) -> None:
        assert opened.state == "open"

    def test_a_change_names_the_node_and_the_states(
        self, breakers: Breakers, breaker: Breaker
    ) -> None:
        assert self.failing(breakers, breaker) == (NODE, "closed", "open")
        probed = next(
            change for _ in range(MANY) if (change := breaker.probed(True, self.tick())) is not None
        )
        assert probed == (NODE, "open", "half-open")

    def test_each_node_has_a_breaker_of_its_own(self, breakers: Breakers) -> None:
        first, second = breakers.node(NODE), breakers.node(OTHER)
        assert first is not second
        self.cut_off(breakers, first)
        assert second.state == "closed"
        assert second.admit(self.tick()) is not None

    def test_a_sweep_tells_changes_and_when_the_next_one_is_due(self, breakers: Breakers) -> None:
        self.cut_off(breakers, breakers.node(NODE))
        breakers.node(OTHER)
        now = self.tick()
        changes, next_at = breakers.sweep(now)
        assert not changes, "it has been told already"
        assert next_at is None or next_at > now

    def test_in_a_forked_child_no_lock_of_the_parent_is_waited_for(
        self, breakers: Breakers
    ) -> None:
        breaker = breakers.node(NODE)

        def use() -> None:
            if (permit := breaker.admit(self.tick())) is not None:
                breaker.settle(permit, ILL, 0.001, self.tick())
            breaker.probed(False, self.tick())
            breakers.sweep(self.tick())
            breakers.node(OTHER)

        for _ in range(3):
            use()
        after_a_fork((breakers, breaker), use)

    def test_an_open_breaker_gives_no_permit(self, opened: Breaker) -> None:
        assert opened.admit(self.tick()) is None

    @pytest.mark.parametrize(
        "outcome", [*NOT_THE_NODES, None], ids=lambda outcome: getattr(outcome, "kind", "none")
    )
    def test_what_is_not_the_nodes_fault_never_opens_it(
        self, breaker: Breaker, outcome: Failure | None
    ) -> None:
        assert not any(self.one_call(breaker, outcome) is not None for _ in range(MANY))
        assert breaker.state == "closed"

    def test_a_ping_that_is_not_answered_leaves_it_open(self, opened: Breaker) -> None:
        assert opened.probed(False, self.tick()) is None
        assert opened.state == "open"

    def test_a_ping_to_a_node_that_is_not_cut_off_changes_nothing(self, breaker: Breaker) -> None:
        assert breaker.probed(True, self.tick()) is None
        assert breaker.probed(False, self.tick()) is None
        assert breaker.state == "closed"

    def test_answered_pings_make_it_half_open(self, half_open: Breaker) -> None:
        assert half_open.state == "half-open"

    def test_half_open_it_gives_a_bounded_number_of_permits(self, half_open: Breaker) -> None:
        given = sum(half_open.admit(self.tick()) is not None for _ in range(MANY))
        assert 1 <= given < MANY

    def test_successes_close_a_half_open_breaker(self, half_open: Breaker) -> None:
        assert any(self.one_call(half_open, WELL) is not None for _ in range(MANY))
        assert half_open.state == "closed"

    def test_failures_of_the_node_open_a_half_open_breaker_again(
        self, breakers: Breakers, half_open: Breaker
    ) -> None:
        self.cut_off(breakers, half_open)
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
        self, breakers: Breakers, breaker: Breaker
    ) -> None:
        old = breaker.admit(self.tick())
        assert old is not None
        self.cut_off(breakers, breaker)
        breaker.settle(old, WELL, 0.001, self.tick())
        assert breaker.state == "open"

    def test_a_breaker_that_counts_has_what_counts(self, breakers: Breakers) -> None:
        if getattr(breakers, "counting", False):
            assert callable(getattr(breakers.node(OTHER), "succeeded", None))

    def test_why_is_said_while_the_node_is_cut_off(self, opened: Breaker) -> None:
        why = getattr(opened, "why", None)
        assert why is None or why(self.now)

    def test_no_reason_is_given_while_it_is_closed(self, breaker: Breaker) -> None:
        why = getattr(breaker, "why", None)
        assert why is None or why(self.now) == ""

    def test_a_node_that_left_and_came_back_begins_anew(
        self, breakers: Breakers, opened: Breaker
    ) -> None:
        forget = getattr(breakers, "forget", None)
        if forget is not None:
            forget(NODE)
        assert breakers.node(NODE).state == "closed"

    def test_threads_settle_while_the_state_changes_and_every_change_is_told_once(
        self, breaker: Breaker
    ) -> None:
        def calls(_: int) -> int:
            changes = 0
            for _ in range(500):
                permit = breaker.admit(self.tick())
                if permit is None:
                    changes += breaker.probed(True, self.tick()) is not None
                else:
                    changes += breaker.settle(permit, ILL, 0.001, self.tick()) is not None
            return changes

        with ThreadPoolExecutor(4) as threads:
            changes = sum(threads.map(calls, range(4)))
        # It can only have gone closed, open, half-open, open …: after an odd number of changes it
        # is open, after an even one half-open, and without any it waits for a sweep.
        states = ("half-open", "open") if changes else ("closed",)
        assert breaker.state == states[changes % 2 if changes else 0]
