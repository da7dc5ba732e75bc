"""The limiter ``fixed``."""

from __future__ import annotations

import pytest

from bee_core.terms.failures import Failure
from bee_core.testing import AnyCall, LimiterContract
from bee_plugins.limiters.fixed import Fixed, FixedOptions


class TestFixed(LimiterContract):
    def make_limiter(self):
        return Fixed(FixedOptions())


class TestFixedWithOneAtATime(LimiterContract):
    def make_limiter(self):
        return Fixed(FixedOptions(max_in_flight=1, max_queue=40))


class TestFixedWithoutAQueue(LimiterContract):
    def make_limiter(self):
        return Fixed(FixedOptions(max_in_flight=3, max_queue=0))


CALL = AnyCall("calc", "add")


def limiter(running=1, queue=2, timeout=None):
    return Fixed(FixedOptions(running, queue, timeout))


def queued(fixed, order, name):
    ticket = fixed.admit(CALL, 0.0)
    ticket.on_admitted(lambda: order.append(name))
    return ticket


def test_as_many_wait_as_run_by_default():
    fixed = Fixed(FixedOptions(max_in_flight=3))
    answers = [fixed.admit(CALL, 0.0) for _ in range(7)]
    assert answers[:3] == [True] * 3
    assert not any(answer is True or isinstance(answer, Failure) for answer in answers[3:6])
    assert isinstance(answers[6], Failure)


def test_a_full_queue_says_which_limits_are_reached_and_not_when_to_come_back():
    fixed = limiter()
    refused = [fixed.admit(CALL, 0.0) for _ in range(4)][-1]
    assert refused.kind == "overloaded"
    assert refused.retry_after is None
    assert "1 calls are in flight and 2 wait" in refused.message
    assert "max_queue" in refused.message


def test_turns_come_in_the_order_of_arrival():
    fixed, order = limiter(), []
    fixed.admit(CALL, 0.0)
    queued(fixed, order, "first")
    queued(fixed, order, "second")
    fixed.release(None, 0.0)
    assert order == ["first"]
    fixed.release(None, 0.0)
    assert order == ["first", "second"]


def test_who_leaves_makes_room_in_the_queue_and_is_passed_over():
    fixed, order = limiter(), []
    fixed.admit(CALL, 0.0)
    first = queued(fixed, order, "first")
    queued(fixed, order, "second")
    assert first.leave()
    queued(fixed, order, "third")
    fixed.release(None, 0.0)
    fixed.release(None, 0.0)
    assert order == ["second", "third"]


def test_a_permit_handed_on_is_still_taken():
    fixed, order = limiter(), []
    fixed.admit(CALL, 0.0)
    queued(fixed, order, "first")
    fixed.release(None, 0.0)
    assert fixed.admit(CALL, 0.0) is not True


def test_a_ticket_carries_the_queues_timeout():
    fixed = limiter(timeout=0.25)
    fixed.admit(CALL, 0.0)
    assert fixed.admit(CALL, 0.0).timeout == 0.25


def test_a_forked_child_begins_with_nothing_in_flight():
    fixed = limiter()
    fixed.admit(CALL, 0.0)
    fixed.admit(CALL, 0.0)
    fixed.lock.acquire()
    fixed.after_fork()
    assert fixed.admit(CALL, 0.0) is True
    fixed.release(None, 0.0)
    fixed.release(None, 0.0)  # that of the call which forked
    assert fixed.admit(CALL, 0.0) is True
    assert fixed.admit(CALL, 0.0) is not True


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_in_flight": 0}, "max_in_flight: 0 is impossible here; write 1 or more"),
        ({"max_queue": -1}, "max_queue: -1 is impossible here; write 0 or more"),
        ({"queue_timeout": 0.0}, "queue_timeout: 0.0 is impossible here; write more than 0"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        FixedOptions(**options)
