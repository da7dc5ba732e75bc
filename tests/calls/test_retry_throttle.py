"""Retries that stop while many attempts fail, and what the configuration says of the budget."""

from __future__ import annotations

import threading

import pytest

import bee_core
from bee_core.calls.retry_budget import RetryBudget
from bee_core.calls.retry_throttle import RetryThrottle, make_budget
from bee_core.config import load_config
from bee_core.config.retry_budget_model import RetryBudgetConfig
from bee_core.errors import ConfigError
from bee_core.interfaces import Again
from bee_core.terms.causes import lost, refused, reported
from faults.users import client_config
from support.call_harness import SUCCESS, Harness

BUSY = reported("overloaded", "too many requests", retry_after=4.0)


def test_half_of_the_tokens_may_fail_before_retries_stop():
    throttle = RetryThrottle(10, 0.1)
    granted = 0
    while True:
        throttle.deposit(0.0)
        throttle.failed(0.0)
        if not throttle.withdraw(0.0):
            break
        throttle.failed(0.0)
        granted += 1
    assert granted == 2
    assert throttle.balance(0.0) == 0


def test_retries_of_calls_that_may_be_shed_stop_first():
    throttle = RetryThrottle(10, 0.1)
    for _ in range(4):
        throttle.failed(0.0)  # 5.6 tokens are left
    assert not throttle.withdraw(0.0, 0.8)
    assert throttle.withdraw(0.0)


def test_successes_bring_retries_back():
    throttle = RetryThrottle(4, 0.5)
    for _ in range(10):
        throttle.failed(0.0)
    assert not throttle.withdraw(0.0)
    for _ in range(4):
        throttle.deposit(0.0)
    assert not throttle.withdraw(0.0)  # half is not more than half
    throttle.deposit(0.0)
    assert throttle.withdraw(0.0)


def test_a_retry_that_succeeds_gives_as_much_back_as_a_first_attempt():
    throttle = RetryThrottle(10, 1.0)
    throttle.failed(0.0)  # 8 are left
    assert throttle.balance(0.0) == 3
    assert throttle.withdraw(0.0)
    assert throttle.balance(0.0) == 4


def test_tokens_never_exceed_their_number_and_never_fall_below_none():
    throttle = RetryThrottle(4, 0.5)
    for _ in range(100):
        throttle.deposit(0.0)
    assert throttle.balance(0.0) == 2
    for _ in range(100):
        throttle.failed(0.0)
    for _ in range(5):
        throttle.deposit(0.0)
    assert throttle.withdraw(0.0)


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_with_a_ratio_of_a_tenth_retries_stop_where_more_than_a_tenth_fails(share):
    throttle = RetryThrottle(100, 0.1)
    granted = []
    for number in range(5000):
        throttle.deposit(0.0)
        if number % round(1 / share) == 0:
            throttle.failed(0.0)
            granted.append(throttle.withdraw(0.0))
    assert all(granted) if share < 0.1 else not any(granted[-100:])


def test_threads_lose_no_failure():
    throttle = RetryThrottle(1000, 0.0)

    def fail():
        for _ in range(100):
            throttle.failed(0.0)

    threads = [threading.Thread(target=fail) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert throttle.balance(0.0) == 100


class Over:
    def next(self, history, rng):
        return Again("other")


def test_a_call_is_not_retried_while_the_throttle_is_closed():
    harness = Harness("ab", fail=Over(), idempotent=True)
    harness.service.budget = RetryThrottle(2, 0.1)
    assert harness.run(lost("end of file")).error is not None
    assert harness.run(refused(ConnectionRefusedError(111, "x")), SUCCESS).value == 3, (
        "a node that was not reached costs no token"
    )


def test_an_error_of_the_handler_takes_no_token():
    harness = Harness("a", fail=Over())
    harness.service.budget = RetryThrottle(10, 0.1)
    harness.run(reported("remote_error", "boom"))
    assert harness.service.budget.balance(0.0) == 5


# ── the server's push-back ──


class Hasty:
    def next(self, history, rng):
        return Again("same", 0.0)


def test_no_policy_comes_back_sooner_than_the_server_asks_and_not_all_at_once():
    pauses = set()
    harness = Harness("a", fail=Hasty(), timeout=60.0)
    for _ in range(20):
        (pause,) = harness.run(BUSY, SUCCESS).pauses
        assert 4.0 <= pause <= 4.4
        pauses.add(pause)
    assert len(pauses) == 20


def test_a_push_back_beyond_the_deadline_ends_the_call_at_once():
    result = Harness("a", fail=Hasty(), timeout=3.0).run(BUSY)
    assert result.pauses == []
    assert "no time was left" in str(result.error)


# ── the configuration ──


def stated(value):
    return load_config(client_config("127.0.0.1:1", retry_budget=value)).client("calc").retry_budget


def test_what_the_file_says_makes_the_budget():
    budget = make_budget(*RetryBudgetConfig().numbers)
    assert isinstance(budget, RetryBudget)
    assert (budget.ratio, budget.balance(0.0)) == (0.2, 100)
    assert make_budget(*stated({"ratio": 0.1, "floor": 2}).numbers).balance(0.0) == 20
    throttle = make_budget(*stated({"tokens": 20}).numbers)
    assert isinstance(throttle, RetryThrottle)
    assert (throttle.ratio, throttle.balance(0.0)) == (0.1, 10)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"ratio": 1.5}, "retry_budget.ratio"),
        ({"ratio": -0.1}, "retry_budget.ratio"),
        ({"floor": -1}, "retry_budget.floor"),
        ({"floor": 100_000}, "retry_budget.floor"),
        ({"tokens": 0}, "retry_budget.tokens"),
        ({"tokens": 1001}, "retry_budget.tokens"),
        ({"tokens": 10, "floor": 3}, "retry_budget"),
        ({"share": 0.1}, "retry_budget.share"),
        ({"ratio": "much"}, "retry_budget.ratio"),
        ("plenty", "retry_budget"),
    ],
)
def test_a_budget_out_of_range_is_an_error_with_its_path(value, path):
    with pytest.raises(ConfigError) as caught:
        stated(value)
    assert caught.value.path == f"bee.rpc.client.calc.{path}"


def test_explain_shows_the_budget():
    config = client_config("127.0.0.1:1", retry_budget={"tokens": 20})
    with bee_core.build_client(config) as client:
        told = client.explain("calc")
        assert told.setting("retry_budget").value == "{ratio: 0.1, tokens: 20}"
        assert told.retries_left == 10
