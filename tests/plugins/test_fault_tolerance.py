from __future__ import annotations

from random import Random

import pytest

from bee_core.interfaces import Again, Node, Success
from bee_core.terms.causes import lost, refused, reported
from bee_core.testing import FaultToleranceContract
from bee_core.testing.failure_contracts import history
from bee_plugins.fault_tolerance.broadcast import Broadcast, BroadcastOptions
from bee_plugins.fault_tolerance.failbackup import FailBackup, FailBackupOptions
from bee_plugins.fault_tolerance.failfast import FailFast
from bee_plugins.fault_tolerance.failover import FailOver
from bee_plugins.fault_tolerance.failtry import BackoffOptions, FailTry
from bee_plugins.fault_tolerance.recent_latency import RecentLatency

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


class TestFailBackupContract(FaultToleranceContract):
    def make_fault_tolerance(self):
        return FailBackup(FailBackupOptions(budget=0.1))


class TestFailBackupWithADelayContract(FaultToleranceContract):
    most_hedged = 0.01

    def make_fault_tolerance(self):
        return FailBackup(FailBackupOptions(delay=0.1, budget=0.01))


class TestBroadcastContract(FaultToleranceContract):
    def make_fault_tolerance(self):
        return Broadcast(BroadcastOptions(fail_percent=50))


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


def test_failbackup_retries_as_failover_does():
    backup, over = FailBackup(FailBackupOptions()), FailOver(BackoffOptions())
    for attempts in ([REFUSED], [REFUSED] * 3, [reported("unauthenticated", "no")]):
        assert backup.next(history(*attempts), Random(1)) == over.next(
            history(*attempts), Random(1)
        )


def test_failbackup_hedges_after_its_delay_or_after_the_percentile():
    assert FailBackup(FailBackupOptions(delay=0.25)).hedge((), 0.0) == 0.25
    policy = FailBackup(FailBackupOptions(percentile=90))
    assert policy.hedge((), 0.0) is None, "nothing is known yet"
    for number in range(1000):
        policy.settle(Success(b""), 0.001 if number % 10 else 1.0, 0.0)
    assert policy.hedge((), 0.0) < 0.0011
    policy = FailBackup(FailBackupOptions(percentile=95))
    for number in range(1000):
        policy.settle(Success(b""), 0.001 if number % 10 else 1.0, 0.0)
    assert policy.hedge((), 0.0) == pytest.approx(1.0, rel=0.06)


def test_failbackup_counts_attempts_that_were_given_up_and_no_failures():
    policy = FailBackup(FailBackupOptions())
    for number in range(1000):
        policy.settle(
            None if number % 10 == 0 else Success(b""), 1.0 if number % 10 == 0 else 0.001, 0
        )
        policy.settle(REFUSED, 30.0, 0.0)
    assert policy.hedge((), 0.0) == pytest.approx(1.0, rel=0.06)


def test_a_call_pays_in_once_and_its_retries_nothing():
    policy = FailBackup(FailBackupOptions(delay=0.1, budget=0.10))
    assert policy.may_hedge(0.0), "the first is there from the start"
    for _ in range(9):
        policy.hedge((), 0.0)
        for number in (1, 2, 3):
            policy.hedge(history(*[REFUSED] * number), 0.0)
    assert not policy.may_hedge(0.0)


def test_of_few_latencies_there_is_no_percentile():
    latency = RecentLatency(95)
    for _ in range(99):
        latency.add(0.010)
    assert latency.value is None
    latency.add(0.010)
    assert latency.value == pytest.approx(0.010, rel=0.06)


@pytest.mark.parametrize("budget", [0.01, 0.05, 0.1])
def test_failbackup_hedges_no_more_than_its_budget(budget):
    policy = FailBackup(FailBackupOptions(delay=0.001, budget=budget))
    granted = 0
    for _ in range(10_000):
        policy.hedge((), 0.0)
        granted += policy.may_hedge(0.0)
    assert budget * 10_000 - 1 <= granted <= budget * 10_000 + 1


def test_failbackup_saves_ten_second_attempts_at_most():
    policy = FailBackup(FailBackupOptions(delay=0.001, budget=0.1))
    for _ in range(10_000):
        policy.hedge((), 0.0)
    granted = 0
    while policy.may_hedge(0.0):
        granted += 1
    assert granted == 10


def test_failbackup_takes_a_new_lock_in_a_forked_child():
    policy = FailBackup(FailBackupOptions(delay=0.001))
    with policy._lock:  # noqa: SLF001  # held by a thread of the parent
        policy.after_fork()
        assert policy.may_hedge(0.0)


@pytest.mark.parametrize("percentile", [50, 90, 99])
def test_a_percentile_is_right_within_a_bucket(percentile):
    latency, rng = RecentLatency(percentile), Random(7)
    drawn = [rng.lognormvariate(-6, 1) for _ in range(1000)]
    for seconds in drawn:
        latency.add(seconds)
    assert latency.value == pytest.approx(sorted(drawn)[percentile * 10 - 1], rel=0.08)


def test_latencies_of_long_ago_are_forgotten():
    latency = RecentLatency(95)
    for seconds in [10.0] * 1000 + [0.001] * 2000:
        latency.add(seconds)
    assert latency.value < 0.0011


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e-9, 1e9])
def test_a_strange_latency_is_counted_at_an_end(seconds):
    latency = RecentLatency(50)
    for _ in range(100):
        latency.add(seconds)
    assert latency.value is not None


def test_broadcast_goes_to_every_ready_node_and_stays_there():
    policy = Broadcast(BroadcastOptions())
    ready = [Node(name, f"tcp://{name}:1", weight=weight) for name, weight in (("a", 1), ("b", 0))]
    assert policy.targets(ready, Random(1)) == ["a", "b"]
    assert policy.next(history(REFUSED), Random(1)).where == "same"


@pytest.mark.parametrize(
    ("percent", "failed", "of", "tolerated"),
    [
        (0, 1, 100, False),
        (1, 1, 100, True),
        (50, 1, 2, True),
        (49, 1, 2, False),
        (100, 2, 2, False),
    ],
)
def test_fail_percent_bounds_the_nodes_that_may_fail(percent, failed, of, tolerated):
    assert Broadcast(BroadcastOptions(fail_percent=percent)).tolerates(failed, of) is tolerated
