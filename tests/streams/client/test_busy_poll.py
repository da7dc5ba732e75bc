"""When a call looks for its reply instead of sleeping.

The policy by itself, then a connection whose polls are watched.
"""

from __future__ import annotations

import os
import time

import pytest

from bee_core.errors import ConfigError
from bee_core.streams.client import busy_poll
from bee_core.streams.client.busy_poll import FIRST, MISSES, MOST, BusyPoll, usable_window
from support.stream_peers import PairTransport, ack, channel_on, request, response

WINDOW = 5.0
"""Seconds, so long that no test depends on the speed of the machine: a reply that is there is found
in it, and no test looks so long for one that is not."""


def looking(policy):
    for _ in range(MOST + 1):
        if policy.worth_it:
            return policy
        policy.slept(0.0)
    raise AssertionError("it never looks")


def test_quick_replies_in_a_row_make_it_look():
    policy = BusyPoll(1.0)
    for _ in range(FIRST - 1):
        policy.slept(1.9)
    assert not policy.worth_it
    policy.slept(1.9)
    assert policy.worth_it


def test_a_slow_reply_begins_the_row_anew():
    policy = BusyPoll(1.0)
    for _ in range(10):
        for _ in range(FIRST - 1):
            policy.slept(0.1)
        policy.slept(2.1)
    assert not policy.worth_it


def row_of(policy):
    """How many quick replies in a row make it look."""
    for number in range(1, MOST + 1):
        policy.slept(0.0)
        if policy.worth_it:
            return number
    raise AssertionError("it never looks")


def give_up(policy):
    for _ in range(MISSES):
        assert policy.worth_it
        policy.missed()
    assert not policy.worth_it


def test_a_hit_between_misses_keeps_it_looking():
    policy = looking(BusyPoll(1.0))
    for _ in range(5):
        for _ in range(MISSES - 1):
            policy.missed()
        policy.found()
    assert policy.worth_it


def test_each_time_it_gives_up_it_asks_for_a_longer_row_up_to_a_bound_and_hits_forgive():
    policy = looking(BusyPoll(1.0))
    rows = []
    for _ in range(12):
        give_up(policy)
        rows.append(row_of(policy))
    assert rows[:3] == [2 * FIRST, 4 * FIRST, 8 * FIRST]
    assert rows[-1] == MOST
    for _ in range(MOST):
        policy.found()
    give_up(policy)
    assert row_of(policy) == 2 * FIRST


class WatchedPoll:
    """Stands before a connection's poll object and notes how long each poll may sleep."""

    def __init__(self, poll):
        self._poll = poll
        self.waits = []

    def poll(self, milliseconds):
        self.waits.append(milliseconds)
        return self._poll.poll(milliseconds)


@pytest.fixture
def channel():
    transport = PairTransport(ack())
    transport.busy_poll = WINDOW
    made = channel_on(transport)
    assert made.busy_poll is not None
    made.transport = transport
    yield made
    made.close()
    assert busy_poll.waiting == set()


def call(channel, number):
    """A call whose answer is there before the wait; returns how long its polls could sleep."""
    pending = channel.start(request())
    watched = pending.pollin = WatchedPoll(getattr(pending.pollin, "_poll", pending.pollin))
    channel.transport.peers[-1].say(response(number))
    assert pending.wait().body == b"3"
    return list(watched.waits)  # the next call looks at the idle connection


def test_a_thread_that_calls_alone_sleeps_first_and_looks_after_some_quick_replies(channel):
    waits = [call(channel, number) for number in range(1, FIRST + 4)]
    assert (waits[:FIRST], waits[FIRST:]) == ([[5000]] * FIRST, [[0]] * 3)


def test_while_another_thread_waits_for_a_reply_nobody_looks(channel):
    for number in range(1, FIRST + 1):
        call(channel, number)
    assert channel.busy_poll.worth_it
    somebody = object()
    busy_poll.waiting.add(somebody)
    try:
        (slept,) = call(channel, FIRST + 1)
    finally:
        busy_poll.waiting.discard(somebody)
    assert slept > 0
    rows = [call(channel, number) for number in range(FIRST + 2, 2 * FIRST + 3)]
    assert rows == [[5000]] * FIRST + [[0]], "alone again, for as many replies as at first"


def test_a_reply_that_does_not_come_in_the_window_is_waited_for_asleep_until_its_own_bound(channel):
    for number in range(1, FIRST + 1):
        call(channel, number)
    channel.busy_poll.window = 0.02
    for _ in range(MISSES - 1):
        channel.busy_poll.missed()
    began = time.monotonic()
    assert channel.start(request(read_timeout=0.1)).wait().kind == "deadline_exceeded"
    assert time.monotonic() - began >= 0.1
    assert not channel.busy_poll.worth_it


def test_looking_never_goes_beyond_the_bound_of_the_attempt(channel):
    for number in range(1, FIRST + 1):
        call(channel, number)
    began = time.monotonic()
    assert channel.start(request(read_timeout=0.05)).wait().kind == "deadline_exceeded"
    assert time.monotonic() - began < WINDOW


def test_a_forked_child_does_not_count_what_its_parents_threads_wait_for():
    somebody = object()
    busy_poll.waiting.add(somebody)
    try:
        child = os.fork()
        if child == 0:
            os._exit(len(busy_poll.waiting))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert busy_poll.waiting == {somebody}
    finally:
        busy_poll.waiting.discard(somebody)


def test_a_transport_that_wants_none_has_none_and_so_has_a_machine_with_one_processor(monkeypatch):
    assert channel_on(PairTransport()).busy_poll is None
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert usable_window(1.0) == 0.0
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert usable_window(1.0) == 1.0


@pytest.mark.parametrize("scheme", ["tcp", "unix"])
def test_the_option_is_checked_and_named(scheme):
    import bee_core

    service = {
        "address": "tcp://127.0.0.1:9000",
        "transport": {"name": scheme, "options": {"busy_poll": 1}},
    }
    with pytest.raises(ConfigError, match="busy_poll") as caught:
        bee_core.build_client({"bee": {"rpc": {"client": {"calc": service}}}})
    assert "bee.rpc.client.calc.transport" in caught.value.path
    service["transport"]["options"]["busy_poll"] = 0
    bee_core.build_client({"bee": {"rpc": {"client": {"calc": service}}}}).close()
