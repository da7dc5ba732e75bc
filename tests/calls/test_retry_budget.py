"""Retries stay a share of the first attempts in a sliding window, plus a floor."""

from __future__ import annotations

import math
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bee_core.calls.retry_budget import BUCKETS, RetryBudget


def granted(budget, now, tries):
    return sum(budget.withdraw(now) for _ in range(tries))


def deposit(budget, now, times):
    for _ in range(times):
        budget.deposit(now)


def test_a_fifth_of_the_first_attempts_may_be_retried():
    budget = RetryBudget(floor_per_second=0)
    deposit(budget, 100.0, 50)
    assert granted(budget, 100.5, 30) == 10


def test_calls_that_may_be_shed_leave_a_part_to_the_others():
    budget = RetryBudget(floor_per_second=0)
    deposit(budget, 100.0, 500)
    assert sum(budget.withdraw(100.5, 0.8) for _ in range(200)) == 80
    assert not budget.withdraw(100.5, 0.8)
    assert sum(budget.withdraw(100.5, 0.9) for _ in range(200)) == 10
    assert granted(budget, 100.5, 200) == 10


def test_without_calls_the_floor_of_a_whole_window_is_there_at_once():
    budget = RetryBudget(floor_per_second=2, window=10)
    assert granted(budget, 0.0, 50) == 20


def test_nothing_is_granted_without_floor_and_calls():
    assert not RetryBudget(floor_per_second=0).withdraw(5.0)


def test_a_fraction_of_a_retry_is_not_granted():
    budget = RetryBudget(floor_per_second=0)
    deposit(budget, 1.0, 4)
    assert not budget.withdraw(1.0)
    budget.deposit(1.0)
    assert budget.withdraw(1.0)


def test_a_share_that_floats_miss_by_a_hair_is_granted_whole():
    budget = RetryBudget(ratio=0.29, floor_per_second=0)
    deposit(budget, 1.0, 100)
    assert granted(budget, 1.0, 100) == 29


def test_deposits_lapse_with_the_window():
    budget = RetryBudget(floor_per_second=0, window=10)
    deposit(budget, 100.0, 50)
    assert budget.balance(109.9) == 10
    assert budget.balance(110.0) == 0


def test_retries_lapse_with_the_window_so_the_floor_comes_back():
    budget = RetryBudget(floor_per_second=1, window=10)
    assert granted(budget, 100.0, 50) == 10
    assert not budget.withdraw(109.9)
    assert granted(budget, 110.0, 50) == 10


def test_the_window_slides_by_tenths():
    budget = RetryBudget(ratio=1, floor_per_second=0, window=10)
    for second in range(100, 110):
        deposit(budget, second + 0.5, second - 99)
    assert [budget.balance(at) for at in (109.5, 110.0, 111.0, 118.0, 119.0)] == [55, 54, 52, 10, 0]


def test_a_long_gap_clears_everything():
    budget = RetryBudget(floor_per_second=0)
    deposit(budget, 1.0, 1000)
    assert budget.balance(1e9) == 0
    deposit(budget, 1e9, 10)
    assert budget.balance(1e9 + 1) == 2


def test_a_time_read_a_little_earlier_than_the_last_counts_as_now():
    budget = RetryBudget(floor_per_second=0)
    deposit(budget, 200.0, 10)
    assert budget.balance(191.0) == 2
    deposit(budget, 191.0, 10)
    assert budget.balance(209.0) == 4


def test_the_balance_is_what_withdrawals_get():
    budget = RetryBudget(floor_per_second=1)
    deposit(budget, 3.0, 17)
    balance = budget.balance(4.0)
    assert balance == 13
    assert granted(budget, 4.0, 100) == balance
    assert budget.balance(4.0) == 0


def test_a_ratio_of_zero_leaves_the_floor():
    budget = RetryBudget(ratio=0, floor_per_second=0.1)
    deposit(budget, 1.0, 100)
    assert granted(budget, 1.0, 10) == 1


@pytest.mark.parametrize(
    "numbers",
    [
        {"ratio": -0.1},
        {"floor_per_second": -1},
        {"window": 0},
        {"window": math.inf},
        {"ratio": math.nan},
    ],
)
def test_impossible_numbers_are_refused(numbers):
    with pytest.raises(ValueError, match="retry budget"):
        RetryBudget(**numbers)


def test_a_forked_child_goes_on_though_the_lock_was_held():
    budget = RetryBudget(floor_per_second=1)
    budget.lock.acquire()  # a thread of the parent that does not exist in the child
    budget.deposit(1.0)  # never blocks
    budget.renew_lock()
    assert budget.withdraw(1.0)


def test_deposits_never_wait_for_a_thread_that_withdraws():
    budget = RetryBudget(floor_per_second=0)
    budget.deposit(1.0)
    with budget.lock:
        deposit(budget, 1.5, 4)
        deposit(budget, 2.5, 5)  # a bucket later, too
    assert budget.balance(2.5) == 2


def test_threads_together_get_no_more_than_the_budget():
    budget = RetryBudget(floor_per_second=10)
    gate = threading.Barrier(8)
    got = []

    def spend():
        gate.wait()
        got.append(granted(budget, 50.0, 200))

    threads = [threading.Thread(target=spend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(got) == 100


# ── the promise, against a plain count of events ─────────────────────────────────────────────────────────────────────

steps = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0, 0.1, 0.5, 1.0, 2.5, 9.0, 10.0, 100.0]),
        st.integers(0, 12),
        st.integers(0, 6),
    ),
    max_size=60,
)
settings = st.fixed_dictionaries(
    {
        "ratio": st.sampled_from([0, 0.1, 0.2, 0.5, 1, 2]),
        "floor_per_second": st.sampled_from([0, 0.1, 0.35, 1]),
        "window": st.sampled_from([1.0, 10.0, 20.0]),
    }
)


@given(settings, steps)
def test_a_retry_is_granted_exactly_when_the_window_that_ends_with_it_allows_one(numbers, steps):
    budget = RetryBudget(**numbers)
    width = numbers["window"] / BUCKETS
    firsts, retries = [], []  # bucket of each event
    now = 1000.0
    for gap, calls, wanted in steps:
        now += gap
        bucket = math.floor(now / width)
        deposit(budget, now, calls)
        firsts += [bucket] * calls
        for _ in range(wanted):
            first = sum(at > bucket - BUCKETS for at in firsts)
            spent = sum(at > bucket - BUCKETS for at in retries)
            allowed = (
                spent + 1
                <= numbers["ratio"] * first + numbers["floor_per_second"] * numbers["window"] + 1e-6
            )
            assert budget.withdraw(now) is allowed
            retries += [bucket] * allowed


@given(settings, steps)
def test_over_any_time_retries_are_the_share_of_all_first_attempts_and_the_floor_of_the_time(
    numbers, steps
):
    budget = RetryBudget(**numbers)
    firsts = retries = 0
    start = now = 1000.0
    for gap, calls, wanted in steps:
        now += gap
        deposit(budget, now, calls)
        firsts += calls
        retries += granted(budget, now, wanted)
        assert (
            retries
            <= numbers["ratio"] * firsts
            + numbers["floor_per_second"] * (now - start + 1.1 * numbers["window"])
            + 1e-6
        )
