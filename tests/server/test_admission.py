"""What a server refuses at once: a full pool, what would be late, a loop that lags."""

from __future__ import annotations

import pytest

from bee_core.config import ServerConfig
from bee_core.server.admission import Admission
from bee_core.server.answers import Unfinished
from bee_core.terms.causes import local
from bee_core.testing import AnyCall, FakeClock


class Pool:
    """A pool as the admission sees it."""

    def __init__(self, size=4, waiting=None):
        self.size, self.waiting = size, waiting


class Lag:
    def __init__(self, late=0.0):
        self.late = late

    def seconds(self):
        return self.late


def admission(pool, lag=None, clock=None, **settings):
    config = ServerConfig(name="calc", **settings)
    return Admission(config, pool, lag or Lag(), clock or FakeClock(1000.0))


def call(method="add", left=None, level="critical"):
    deadline = None if left is None else 1000.0 + left
    return AnyCall("calc", method, deadline=deadline, criticality=level)


def measured(admission, clock, method, seconds, times=30):
    for _ in range(times):
        job = admission.timed(method, lambda: clock.advance(seconds))
        job()
    clock.now = 1000.0


# ── in flight ──


@pytest.mark.parametrize(("level", "most"), [("critical", 10), ("sheddable", 8)])
def test_one_more_than_max_in_flight_is_refused_the_least_important_first(level, most):
    full = admission(Pool(), max_in_flight=10)
    assert full.gate == 8, "below it nothing is asked"
    assert full.refusal(call(level=level), most - 1) is None
    refused = full.refusal(call(level=level), most)
    assert (refused.kind, refused.executed) == ("overloaded", "no")
    assert "max_in_flight is 10" in refused.message


# ── threads ──


def test_while_a_thread_is_free_nothing_is_refused():
    clock = FakeClock(1000.0)
    full = admission(Pool(), clock=clock, max_pool_queue=0)
    measured(full, clock, "add", 5.0)
    assert full.of_thread(call(left=0.001)) is None


def test_one_more_than_max_pool_queue_is_refused_the_least_important_first():
    pool = Pool(waiting=8)
    full = admission(pool, max_pool_queue=10)
    assert full.of_thread(call()) is None
    assert "max_pool_queue is 10" in full.of_thread(call(level="sheddable")).message
    pool.waiting = 10
    refused = full.of_thread(call())
    assert (refused.kind, refused.executed) == ("overloaded", "no")
    assert refused.retry_after is not None


def test_what_cannot_make_its_deadline_is_refused_by_the_times_of_what_waits_before_it():
    clock = FakeClock(1000.0)
    pool = Pool(size=2, waiting=0)
    busy = admission(pool, clock=clock)
    measured(busy, clock, "add", 0.1)
    measured(busy, clock, "slow", 1.0)
    for _ in range(6):
        busy.timed("add", lambda: None)  # 0.6 s of work for two threads
    pool.waiting = 6
    assert busy.of_thread(call(left=0.45)) is None
    refused = busy.of_thread(call(left=0.35))
    assert refused.kind == "overloaded"
    assert refused.retry_after == pytest.approx(0.3, rel=0.2)
    assert busy.of_thread(call("slow", left=0.9)) is not None
    assert busy.of_thread(call("slow", left=1.5)) is None
    assert busy.of_thread(call()) is None, "a call without a deadline may wait"


def test_a_job_that_has_begun_does_not_count_as_waiting():
    clock = FakeClock(1000.0)
    pool = Pool(size=1, waiting=1)
    busy = admission(pool, clock=clock)
    measured(busy, clock, "add", 0.1)
    jobs = [busy.timed("add", lambda: clock.advance(0.1)) for _ in range(5)]
    assert busy.of_thread(call(left=0.55)) is not None
    for job in jobs:
        job()
    clock.now = 1000.0
    assert busy.of_thread(call(left=0.15)) is None


def test_one_call_that_takes_long_changes_the_time_of_its_method_by_a_tenth():
    clock = FakeClock(1000.0)
    busy = admission(Pool(size=1, waiting=1), clock=clock)
    measured(busy, clock, "add", 0.1)
    measured(busy, clock, "add", 1.1, times=1)
    assert busy.of_thread(call(left=0.19)) is not None
    assert busy.of_thread(call(left=0.21)) is None


def test_no_estimate_refuses_a_call_that_nobody_waits_before():
    clock = FakeClock(1000.0)
    idle = admission(Pool(waiting=0), clock=clock)
    measured(idle, clock, "add", 5.0)
    assert idle.of_thread(call(left=0.1)) is None


@pytest.mark.parametrize(
    "nothing",
    [local("deadline_exceeded", "late"), Unfinished(again=print)],
    ids=["late when its thread was free", "put off until its caller reads"],
)
def test_a_job_whose_handler_did_not_run_says_nothing_of_the_time_that_a_method_takes(nothing):
    clock = FakeClock(1000.0)
    busy = admission(Pool(size=1, waiting=1), clock=clock)
    measured(busy, clock, "add", 1.0)
    for _ in range(50):
        busy.timed("add", lambda: nothing)()
    assert busy.of_thread(call(left=0.5)) is not None
    assert busy.of_thread(call(left=1.5)) is None


# ── lag ──


def test_a_loop_that_lags_refuses_and_sheds_the_least_important_first():
    lag = Lag(0.9)
    late = admission(Pool(), lag, max_lag=1.0)
    assert late.gate < 0, "each request is looked at"
    assert late.refusal(call(), 0) is None
    assert late.refusal(call(level="sheddable"), 0) is not None
    lag.late = 1.5
    refused = late.refusal(call(level="critical_plus"), 0)
    assert (refused.kind, refused.executed, refused.retry_after) == ("overloaded", "no", 1.5)
    assert "max_lag is 1 s" in refused.message


def test_without_max_lag_nobody_is_asked_before_the_server_is_nearly_full():
    plain = admission(Pool(), Lag(60.0), max_in_flight=10)
    assert plain.gate == 8
    assert plain.refusal(call(), 9) is None
    assert plain.refusal(call(), 10) is not None
