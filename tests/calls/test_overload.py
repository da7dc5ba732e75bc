"""Overload in virtual time: what the limiters keep of a server's capacity, and what is lost without.

No YAML has a number in any of these. ``support/overload.py`` is the model.
"""

from __future__ import annotations

import pytest

from bee_core.calls.retry_budget import RetryBudget
from bee_plugins.limiters.codel import Codel, CodelOptions
from bee_plugins.limiters.gradient import Gradient, GradientOptions
from bee_plugins.limiters.throttle import Throttle, ThrottleOptions
from support.overload import Overload


def codel():
    """``limiter: codel``."""
    return Codel(CodelOptions(limit=Gradient(GradientOptions())))


def at(load, seconds=6.0, **options):
    return Overload(load, **{"budget": RetryBudget(), **options}).run(seconds)


@pytest.mark.parametrize("load", [2, 6])
def test_without_a_limiter_an_overload_leaves_little_of_the_capacity(load):
    assert at(load, budget=None).goodput < 0.3
    assert at(load).goodput < 0.3, "the budget alone does not help"


@pytest.mark.parametrize("load", [2, 6])
def test_gradient_and_codel_keep_nine_tenths_of_the_capacity(load):
    run = at(load, limiter=codel())
    assert run.goodput >= 0.9
    assert run.late == 0, "no thread works for a caller that has gone"


def test_a_load_that_the_server_can_bear_is_not_touched():
    run = at(0.7, limiter=codel())
    assert run.success("critical") >= 0.999


@pytest.mark.parametrize("load", [2, 6])
def test_critical_calls_hardly_notice_an_overload_of_lesser_ones(load):
    critical = 0.4 / load  # two fifths of the capacity
    run = at(load, limiter=codel(), mix={"critical": critical, "sheddable": 1 - critical})
    assert run.success("critical") >= 0.999
    assert run.success("sheddable") < 0.9 / load * 1.2
    assert run.goodput >= 0.9


@pytest.mark.parametrize("load", [2, 6])
def test_refused_batch_jobs_do_not_use_up_the_retries_of_critical_calls(load):
    critical = 0.8 / load  # four fifths of the capacity
    run = at(load, limiter=codel(), mix={"critical": critical, "sheddable": 1 - critical})
    assert run.success("critical") >= 0.999
    assert run.goodput >= 0.9


def test_retries_stay_within_the_budget():
    run = at(6, limiter=codel())
    first = run.rate * 6.0
    assert run.sent <= first * 1.05 + 0.2 * first + 10 * (6.0 + 11.0)


def test_a_throttle_at_the_clients_keeps_most_of_the_refused_calls_away_from_the_server():
    without, throttled = at(6, limiter=codel()), None
    throttled = at(6, limiter=codel(), client=Throttle(ThrottleOptions()))
    assert throttled.goodput >= 0.9
    assert throttled.sent < 0.6 * without.sent


def test_a_server_whose_capacity_halves_keeps_nine_tenths_of_what_is_left():
    run = Overload(2, limiter=codel(), budget=RetryBudget())
    run.at(run.now + 1.0, setattr, run, "service", 2 * run.service)
    run.run(8.0)
    assert run.goodput >= 0.45
    assert run.late == 0


def test_the_same_seed_gives_the_same_run():
    runs = [at(2, 2.0, limiter=codel()) for _ in range(2)]
    assert (runs[0].good, runs[0].sent) == (runs[1].good, runs[1].sent)
