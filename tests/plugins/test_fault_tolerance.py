from __future__ import annotations

from random import Random

import pytest

from bee_core.interfaces import Again
from bee_core.terms.causes import lost, refused, reported
from bee_core.testing import FaultToleranceContract
from bee_core.testing.failure_contracts import history
from bee_plugins.fault_tolerance.failfast import FailFast
from bee_plugins.fault_tolerance.failover import FailOver
from bee_plugins.fault_tolerance.failtry import BackoffOptions, FailTry

REFUSED = refused(ConnectionRefusedError(111, "Connection refused"))


class TestFailFastContract(FaultToleranceContract):
    def make_fault_tolerance(self):
        return FailFast()


class TestFailTryContract(FaultToleranceContract):
    def make_fault_tolerance(self):
        return FailTry(BackoffOptions())


class TestFailOverContract(FaultToleranceContract):
    def make_fault_tolerance(self):
        return FailOver(BackoffOptions())


class Largest(Random):
    """Draws what makes every delay its ceiling, or nearly so."""

    def random(self):
        return 1 - 2**-53


def delays(policy, number):
    return [
        policy.next(history(*[REFUSED] * attempts), Largest()).delay
        for attempts in range(1, number + 1)
    ]


def test_failfast_gives_up_after_one_try():
    assert FailFast().next(history(REFUSED), Random(1)) is None


def test_failtry_asks_the_same_node_and_waits_from_the_first_retry_on():
    policy = FailTry(BackoffOptions(base=0.1, cap=0.3))
    assert policy.next(history(REFUSED), Random(1)).where == "same"
    assert delays(policy, 4) == pytest.approx([0.1, 0.2, 0.3, 0.3])


def test_failtry_gives_up_on_what_only_another_node_can_cure():
    assert (
        FailTry(BackoffOptions()).next(history(reported("unavailable", "draining")), Random(1))
        is None
    )


def test_failtry_waits_at_least_as_long_as_the_node_asks():
    failure = lost("end of file")
    failure.retry_after = 2.5
    assert FailTry(BackoffOptions()).next(history(failure), Random(1)) == Again("same", 2.5)


def test_failover_asks_another_node_at_once_and_then_with_back_off():
    policy = FailOver(BackoffOptions(base=0.1, cap=0.3))
    assert policy.next(history(REFUSED), Random(1)) == Again("other", 0.0)
    assert delays(policy, 5) == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.3])


def test_failover_does_not_wait_for_the_node_it_leaves():
    assert FailOver(BackoffOptions()).next(
        history(reported("overloaded", "full", retry_after=9.0)), Random(1)
    ) == Again("other", 0.0)


@pytest.mark.parametrize("options", [{"base": 0.0}, {"cap": -1.0}, {"base": 2.0, "cap": 1.0}])
def test_impossible_back_off_is_refused_when_the_options_are_read(options):
    with pytest.raises(ValueError, match=r"base|cap"):
        BackoffOptions(**options)
