"""The limiter ``gradient``."""

from __future__ import annotations

import pytest

from bee_core.interfaces import Success
from bee_core.terms.causes import lost
from bee_core.terms.failures import Failure
from bee_core.testing import AnyCall, LimiterContract
from bee_plugins.limiters.gradient import Gradient, GradientOptions

WELL = Success(b"1")
CALL = AnyCall("calc", "add")
REFUSED = Failure("overloaded", "full", "no", "same", "none")


class TestGradient(LimiterContract):
    def make_limiter(self):
        return Gradient(GradientOptions())


class TestGradientOfOne(LimiterContract):
    def make_limiter(self):
        return Gradient(GradientOptions(initial=1, min_limit=1, max_limit=1))


def ride(gradient, seconds, latency, *, now, concurrency=None, outcome=WELL):
    """Calls that fill the limit (or ``concurrency``) for a while and take ``latency`` seconds."""
    until = now + seconds
    while now < until:
        running = 0
        while running < (concurrency or 10_000) and gradient.admit(CALL, now) is True:
            running += 1
        now += latency(running) if callable(latency) else latency
        for _ in range(running):
            gradient.release(outcome, latency(running) if callable(latency) else latency)
    return now


def queueing(servers, service):
    """How long calls take where so many can run at once."""
    return lambda running: service * max(1.0, running / servers)


def test_the_limit_grows_while_calls_take_as_long_as_usual():
    gradient = Gradient(GradientOptions())
    ride(gradient, 5, 0.02, now=0.0)
    assert gradient.limit > 200


def test_the_limit_stays_where_it_is_while_nobody_needs_it():
    gradient = Gradient(GradientOptions())
    ride(gradient, 20, 0.02, now=0.0, concurrency=3)
    assert gradient.limit == 20


def test_the_limit_settles_where_calls_begin_to_wait():
    gradient = Gradient(GradientOptions())
    now = ride(gradient, 5, 0.02, now=0.0, concurrency=4)
    for _ in range(4):
        now = ride(gradient, 10, queueing(16, 0.02), now=now)
        assert 16 <= gradient.limit <= 3 * 16


def test_a_service_that_has_become_faster_is_known_under_load_too():
    gradient = Gradient(GradientOptions())
    now = ride(gradient, 5, 0.2, now=0.0, concurrency=4)
    assert gradient.usual == pytest.approx(0.2)
    ride(gradient, 10, 0.02, now=now)
    assert gradient.usual == pytest.approx(2 * 0.02, rel=0.06)


def test_a_try_in_which_the_calls_still_wait_teaches_nothing():
    gradient = Gradient(GradientOptions(queue=100))
    now = ride(gradient, 5, 0.02, now=0.0, concurrency=4)
    ride(gradient, 100, queueing(16, 0.02), now=now)
    assert gradient.limit > 4 * 16, "half of it waits as well"
    assert gradient.usual == pytest.approx(0.02)


def test_an_overload_that_lasts_does_not_become_usual():
    """Gradient2 as published takes every call into its long average, and drifts to its maximum."""
    gradient = Gradient(GradientOptions())
    now = ride(gradient, 5, 0.02, now=0.0, concurrency=4)
    ride(gradient, 300, queueing(16, 0.02), now=now)
    assert gradient.usual == pytest.approx(0.02)
    assert gradient.limit <= 3 * 16


def test_a_service_that_has_become_slower_for_good_gets_its_limit_back():
    gradient = Gradient(GradientOptions())
    now = ride(gradient, 20, queueing(32, 0.02), now=0.0)
    now = ride(gradient, 5, queueing(32, 0.2), now=now)
    low = gradient.limit
    ride(gradient, 120, queueing(32, 0.2), now=now)
    assert low < 32
    assert gradient.limit >= 32


def test_what_did_not_run_and_what_was_given_up_are_no_samples():
    gradient = Gradient(GradientOptions())
    ride(gradient, 5, 0.02, now=0.0, outcome=REFUSED)
    ride(gradient, 5, 0.02, now=5.0, outcome=None)
    assert gradient.usual is None
    ride(gradient, 5, 0.02, now=10.0)
    assert gradient.usual == pytest.approx(0.02)


@pytest.mark.parametrize("failed", [lost("gone"), Failure("raised", "", "yes", "never", "none")])
def test_failures_that_come_quickly_are_not_how_long_calls_take(failed):
    """A service whose first calls fail at once is not throttled when its calls take their time."""
    gradient = Gradient(GradientOptions())
    now = ride(gradient, 5, 0.001, now=0.0, outcome=failed)
    assert gradient.usual is None
    now = ride(gradient, 5, 0.1, now=now)
    usual, limit = gradient.usual, gradient.limit
    assert usual == pytest.approx(0.1)
    assert limit > 100
    ride(gradient, 5, 0.001, now=now, outcome=failed)
    assert (gradient.usual, gradient.limit) == (usual, limit)


def test_failures_that_take_longer_than_usual_lower_the_limit():
    gradient = Gradient(GradientOptions())
    now = ride(gradient, 5, 0.02, now=0.0)
    limit = gradient.limit
    ride(gradient, 5, 0.2, now=now, outcome=lost("gone"))
    assert gradient.limit < limit / 2


def test_a_refusal_says_when_a_call_is_usually_over():
    gradient = Gradient(GradientOptions(initial=4, max_limit=4))
    ride(gradient, 2, 0.02, now=0.0)
    refused = [gradient.admit(CALL, 2.0) for _ in range(5)][-1]
    assert refused.retry_after == pytest.approx(0.02)
    assert "4 calls are in flight" in refused.message
