"""Each contract suite fails for a plugin that breaks the contract, in the test that is about it."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from support.patience import PATIENCE

BROKEN = """
import time
from threading import Lock

from bee_core.interfaces import Again, Success
from bee_core.testing import *
from bee_core.testing import held_locks, limiter_contract
from bee_plugins.balancers.round_robin import RoundRobin
from bee_plugins.breakers.consecutive import (
    Consecutive, ConsecutiveBreaker, ConsecutiveOptions,
)
from bee_plugins.fallbacks.last_good import LastGood, LastGoodOptions
from bee_plugins.fault_tolerance.failtry import BackoffOptions, FailTry
from bee_plugins.limiters.fixed import Fixed, FixedOptions

# Seconds. What is broken takes all of them.
held_locks.PATIENCE, limiter_contract.DEADLINE = 0.5, 2.5


class TestPicksTried(BalancerContract):
    class make_balancer(RoundRobin):
        def __init__(self):
            super().__init__()

        def pick(self, key, tried, now, rng):
            return super().pick(key, (), now, rng)


class TestPicksUnknown(BalancerContract):
    class make_balancer(RoundRobin):
        def __init__(self):
            super().__init__()

        def update(self, ready):
            self.rotation = self.rotation or tuple(ready)


class TestBalancerKeepsLock(BalancerContract):
    class make_balancer(RoundRobin):
        def __init__(self):
            super().__init__()
            self.lock = Lock()

        def pick(self, key, tried, now, rng):
            with self.lock:
                return super().pick(key, tried, now, rng)

        def after_fork(self):
            pass


class TestIgnoresRetryAfter(FaultToleranceContract):
    class make_fault_tolerance(FailTry):
        def __init__(self):
            super().__init__(BackoffOptions())

        def next(self, history, rng):
            again = super().next(history, rng)
            return again and Again("same", min(again.delay, 1.0))


class TestIgnoresNever(FaultToleranceContract):
    class make_fault_tolerance:
        def __init__(self):
            pass

        def next(self, history, rng):
            return Again("other")


class TestPausesTenSeconds(FaultToleranceContract):
    class make_fault_tolerance(FailTry):
        def __init__(self):
            super().__init__(BackoffOptions())

        def next(self, history, rng):
            again = super().next(history, rng)
            return again and Again("same", max(again.delay, 10.0))


class TestSleeps(FaultToleranceContract):
    class make_fault_tolerance(FailTry):
        def __init__(self):
            super().__init__(BackoffOptions())

        def next(self, history, rng):
            time.sleep(0.03)
            return super().next(history, rng)


class TestCallsBackUnderItsLock(LimiterContract):
    class make_limiter(Fixed):
        def __init__(self):
            super().__init__(FixedOptions(max_in_flight=1, max_queue=40))
            self.outer = Lock()

        def admit(self, request, now):
            with self.outer:
                return super().admit(request, now)

        def release(self, outcome, seconds):
            with self.outer:
                super().release(outcome, seconds)

        def after_fork(self):
            self.outer = Lock()
            super().after_fork()


class TestLimiterForgetsTheFork(LimiterContract):
    class make_limiter(Fixed):
        def __init__(self):
            super().__init__(FixedOptions())

        def after_fork(self):
            self.lock = Lock()


class TestBreakerKeepsLock(BreakerContract):
    class make_breakers(Consecutive):
        def __init__(self):
            super().__init__(ConsecutiveOptions())

        def after_fork(self):
            pass


class TestBreakerTellsNothing(BreakerContract):
    class make_breakers(Consecutive):
        def __init__(self):
            super().__init__(ConsecutiveOptions())

        def make(self, node):
            return Silent(node, self, 10)


class Silent(ConsecutiveBreaker):
    def settle(self, permit, outcome, seconds, now):
        super().settle(permit, outcome, seconds, now)


class TestBreakerCannotCount(BreakerContract):
    class make_breakers(Consecutive):
        counting = True

        def __init__(self):
            super().__init__(ConsecutiveOptions())


class TestFallbackMixesCallsUp(FallbackContract):
    class make_fallback(LastGood):
        def __init__(self):
            super().__init__(LastGoodOptions())

        def _key(self, request):
            return *super()._key(request)[:2], b""


class TestFallbackKeepsLock(FallbackContract):
    class make_fallback(LastGood):
        def __init__(self):
            super().__init__(LastGoodOptions())

        def after_fork(self):
            pass
"""

FOUND_BY = {
    "PicksTried": "test_a_tried_node_is_never_picked",
    "PicksUnknown": "test_the_nodes_of_the_last_update_are_picked_and_no_others",
    "BalancerKeepsLock": "test_in_a_forked_child_no_lock_of_the_parent_is_waited_for",
    "IgnoresRetryAfter": "test_the_same_node_is_not_asked_again_before_the_time_that_it_asked_for",
    "IgnoresNever": "test_a_failure_that_no_retry_can_help_is_given_up",
    "PausesTenSeconds": "test_no_pause_is_longer_than_its_bound_unless_the_server_asks_for_it",
    "Sleeps": "test_it_decides_and_does_not_wait",
    "CallsBackUnderItsLock": "test_nobody_is_called_back_under_a_lock_of_the_limiter",
    "LimiterForgetsTheFork": "test_in_a_forked_child_nothing_runs_and_no_lock_of_the_parent_is_waited_for",
    "BreakerKeepsLock": "test_in_a_forked_child_no_lock_of_the_parent_is_waited_for",
    "BreakerTellsNothing": "test_a_change_names_the_node_and_the_states",
    "BreakerCannotCount": "test_a_breaker_that_counts_has_what_counts",
    "FallbackMixesCallsUp": "test_what_is_recalled_is_a_result_of_the_same_call",
    "FallbackKeepsLock": "test_in_a_forked_child_no_lock_of_the_parent_is_waited_for",
}


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    """The tests that fail: by the plugin's name."""
    file = tmp_path_factory.mktemp("broken") / "test_broken.py"
    file.write_text(BROKEN)
    wanted = " or ".join(f"(Test{plugin} and {test})" for plugin, test in FOUND_BY.items())
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", wanted]
    run = subprocess.run(
        [*command, "--rootdir", str(file.parent), str(file)],
        capture_output=True,
        text=True,
        timeout=6 * PATIENCE,
        cwd=file.parent,
        check=False,
    )
    found = re.findall(r"FAILED \S*::Test(\w+)::(\w+)", run.stdout)
    assert found, run.stdout + run.stderr
    return {name: {test for plugin, test in found if plugin == name} for name, _ in found}


@pytest.mark.parametrize("plugin", sorted(FOUND_BY))
def test_a_broken_plugin_fails_the_suite(failed, plugin):
    assert FOUND_BY[plugin] in failed.get(plugin, set())
