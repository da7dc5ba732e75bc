"""What every fault tolerance must do: an answer for every history, which depends on nothing else.

The suite does not check the bounds of retries. They are the core's and hold for every plugin:
``retries``, the deadline, the retry budget, and that a call may have to run once at most.
"""

from __future__ import annotations

from abc import abstractmethod
from math import isfinite
from typing import TYPE_CHECKING

import pytest

from bee_core.contracts.policies import Tried
from bee_core.terms.causes import lost, refused, reported
from bee_core.terms.node import Node

from .fake_clock import seeded_random

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bee_core.contracts.policies import FaultTolerance
    from bee_core.terms.failures import Failure

FAILURES = (
    refused(ConnectionRefusedError(111, "Connection refused")),
    lost("end of file"),
    reported("overloaded", "too many requests"),
    reported("overloaded", "too many requests", retry_after=2.0),
    reported("unavailable", "draining"),
)


def history(*failures: Failure, nodes: Sequence[str] | None = None) -> list[Tried]:
    """Attempts that failed so, each on a node of its own where ``nodes`` names no ids."""
    ids = nodes or [str(index) for index in range(len(failures))]
    return [
        Tried(Node(name, f"tcp://{name}:9000"), failure)
        for name, failure in zip(ids, failures, strict=True)
    ]


class FaultToleranceContract:
    """Inherit, and say how to make the fault tolerance."""

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
