"""One timer for many deadlines, run by hand: a loop whose clock moves when the test says so."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bee_core.streams.deadline_timer import DeadlineTimer


class HandLoop:
    """The part of an event loop that a timer needs."""

    def __init__(self):
        self.now = 0.0
        self.timers = []
        self.set = 0

    def time(self):
        return self.now

    def call_later(self, delay, callback):
        handle = Handle(self, self.now + delay, callback)
        self.timers.append(handle)
        self.set += 1
        return handle

    def advance(self, until):
        while due := [timer for timer in self.timers if timer.when <= until]:
            first = min(due, key=lambda timer: timer.when)
            self.timers.remove(first)
            self.now = max(self.now, first.when)
            first.callback()
        self.now = until


class Handle:
    def __init__(self, loop, when, callback):
        self.loop, self.when, self.callback = loop, when, callback

    def cancel(self):
        self.loop.timers.remove(self)


class Deadlines:
    """What a sweep works on."""

    def __init__(self):
        self.loop = HandLoop()
        self.waiting = []
        self.ended = []
        self.timer = DeadlineTimer(self.loop, self.loop.time, self.sweep)

    def add(self, until):
        self.waiting.append(until)
        self.timer.watch(until)

    def sweep(self, now):
        self.ended += [(until, now) for until in self.waiting if until <= now]
        self.waiting = [until for until in self.waiting if until > now]
        return min(self.waiting, default=None)


@pytest.fixture
def deadlines():
    return Deadlines()


def test_calls_with_the_same_timeout_share_one_timer(deadlines):
    for moment in range(100):
        deadlines.loop.advance(moment / 100)
        deadlines.add(moment / 100 + 10)
    assert deadlines.loop.set == 1


def test_an_earlier_deadline_replaces_the_timer(deadlines):
    deadlines.add(10.0)
    deadlines.add(1.0)
    assert [timer.when for timer in deadlines.loop.timers] == [1.0]


def test_after_a_sweep_the_earliest_that_is_left_is_watched(deadlines):
    for until in (3.0, 1.0, 2.0):
        deadlines.add(until)
    deadlines.loop.advance(1.5)
    assert deadlines.ended == [(1.0, 1.0)]
    assert [timer.when for timer in deadlines.loop.timers] == [2.0]


def test_without_deadlines_there_is_no_timer(deadlines):
    deadlines.add(1.0)
    deadlines.loop.advance(2.0)
    assert deadlines.loop.timers == []


def test_a_deadline_that_has_passed_is_swept_at_once(deadlines):
    deadlines.loop.advance(5.0)
    deadlines.add(3.0)
    deadlines.loop.advance(5.0)
    assert deadlines.ended == [(3.0, 5.0)]


def test_a_deadline_that_never_comes_sets_no_timer(deadlines):
    deadlines.add(inf)
    assert deadlines.loop.set == 0


def test_a_closed_timer_sweeps_nothing_and_can_be_used_again(deadlines):
    deadlines.add(1.0)
    deadlines.timer.close()
    assert deadlines.loop.timers == []
    deadlines.add(2.0)
    deadlines.loop.advance(3.0)
    assert deadlines.ended == [(1.0, 2.0), (2.0, 2.0)]


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5)), max_size=30))
def test_every_deadline_is_swept_when_it_comes_and_not_before(steps):
    deadlines = Deadlines()
    added = []
    for wait, timeout in steps:
        deadlines.loop.advance(deadlines.loop.now + wait)
        until = deadlines.loop.now + timeout
        deadlines.add(until)
        added.append(until)
    deadlines.loop.advance(1000.0)
    assert sorted(until for until, _ in deadlines.ended) == sorted(added)
    assert [moment for _, moment in deadlines.ended] == pytest.approx(
        [until for until, _ in deadlines.ended]
    )  # a delay and a moment add up to it but for rounding
