"""The limiters ``codel`` and ``throttle``, and what all limiters share."""

from __future__ import annotations

from collections import Counter
from functools import partial

import pytest

from bee_core.interfaces import Success
from bee_core.options import OptionError
from bee_core.terms.causes import lost
from bee_core.terms.failures import Failure
from bee_core.testing import AnyCall, LimiterContract
from bee_plugins.limiters.codel import Codel, CodelOptions
from bee_plugins.limiters.fixed import Fixed, FixedOptions
from bee_plugins.limiters.gradient import Gradient, GradientOptions
from bee_plugins.limiters.throttle import Throttle, ThrottleOptions

WELL = Success(b"1")
CALL = AnyCall("calc", "add")
SHEDDABLE = AnyCall("calc", "add", criticality="sheddable")
REFUSED = Failure("overloaded", "full", "no", "same", "none")


def codel(running=1, **options):
    return Codel(CodelOptions(limit=Fixed(FixedOptions(running, max_queue=0)), **options))


class TestCodel(LimiterContract):
    def make_limiter(self):
        return Codel(CodelOptions(limit=Gradient(GradientOptions())))


class TestCodelBeforeFixed(LimiterContract):
    def make_limiter(self):
        return codel(3, max_queue=40)


class TestCodelBeforeALimitWithAQueueOfItsOwn(LimiterContract):
    def make_limiter(self):
        return Codel(CodelOptions(limit=Fixed(FixedOptions(3, max_queue=5)), max_queue=40))


class TestThrottle(LimiterContract):
    bounded = False

    def make_limiter(self):
        return Throttle(ThrottleOptions())


# ── codel ──


class Heard:
    """What becomes of the tickets of some calls."""

    def __init__(self, limiter):
        self.limiter = limiter
        self.order = []

    def ask(self, name, now, request=CALL):
        ticket = self.limiter.admit(request, now)
        if ticket is not True and not isinstance(ticket, Failure):
            ticket.on_admitted(partial(self.hear, name, ticket))
        return ticket

    def hear(self, name, ticket):
        self.order.append(name if ticket.refusal is None else f"{name} refused")


def test_a_burst_may_wait_for_the_interval_and_is_served_in_its_order():
    limiter = codel()
    heard = Heard(limiter)
    assert heard.ask("0", 1.0) is True
    tickets = [heard.ask(name, 1.0 + int(name) / 100) for name in "123"]
    assert [ticket.timeout for ticket in tickets] == [0.1] * 3
    for _ in range(3):
        limiter.release(WELL, 0.01)
    assert heard.order == ["1", "2", "3"]


def test_a_queue_that_was_never_empty_for_an_interval_waits_for_the_target_and_serves_the_newest():
    limiter = codel()
    heard = Heard(limiter)
    heard.ask("0", 1.0)
    heard.ask("old", 1.0)
    heard.ask("older than the interval", 1.05)
    late = heard.ask("late", 1.11)
    assert late.timeout == 0.005
    heard.ask("newest", 1.112)
    limiter.release(WELL, 0.1)
    assert heard.order == ["newest"]


def test_one_that_has_waited_too_long_is_refused_when_its_turn_comes():
    limiter = codel()
    heard = Heard(limiter)
    heard.ask("0", 1.0)
    heard.ask("1", 1.0)
    heard.ask("2", 1.05)
    heard.ask("3", 1.14)  # tells the limiter what time it is
    limiter.release(WELL, 0.1)
    limiter.release(WELL, 0.1)
    limiter.release(WELL, 0.1)
    assert "1 refused" in heard.order
    refused = limiter.admit(CALL, 1.2)
    assert refused is True, "no permit was lost"


def test_a_refused_ticket_says_why_and_has_no_permit_to_give_back():
    limiter = codel()
    assert limiter.admit(CALL, 1.0) is True
    first = limiter.admit(CALL, 1.0)
    limiter.admit(CALL, 1.2)
    limiter.release(WELL, 0.2)
    while first.refusal is None:
        limiter.release(WELL, 0.2)
    assert (first.refusal.kind, first.refusal.executed) == ("overloaded", "no")
    assert first.refusal.retry_after == 0.1
    assert first.leave()


def test_a_backlog_of_lesser_calls_is_no_overload_for_important_ones():
    limiter = codel()
    heard = Heard(limiter)
    heard.ask("0", 1.0)
    heard.ask("s1", 1.0, SHEDDABLE)
    assert heard.ask("s2", 1.2, SHEDDABLE).timeout == 0.005
    assert heard.ask("critical", 1.2).timeout == 0.1
    limiter.release(WELL, 0.2)
    assert heard.order == ["critical"]


def test_more_than_max_queue_are_refused_the_least_important_ones_first():
    limiter = codel(max_queue=10)
    assert limiter.admit(CALL, 1.0) is True
    for _ in range(8):
        limiter.admit(SHEDDABLE, 1.0)
    assert isinstance(limiter.admit(SHEDDABLE, 1.0), Failure)
    assert not isinstance(limiter.admit(CALL, 1.0), Failure)


def test_a_limit_that_has_room_again_by_itself_serves_the_queue_when_the_next_call_comes():
    """No call runs that could end. Without this, a queue that is never empty is never served."""
    limit = Switch()
    heard = Heard(Codel(CodelOptions(limit=limit)))
    for name in ("first", "second"):
        heard.ask(name, 1.0)
    limit.open = True
    assert heard.ask("third", 1.05) is True
    assert heard.order == ["first", "second"]
    assert limit.admitted == 3


class Switch:
    """A limit that is open or closed."""

    open = False
    admitted = 0

    def admit(self, request, now):
        self.admitted += self.open
        return True if self.open else REFUSED

    def release(self, outcome, seconds):
        pass


def test_a_new_call_does_not_overtake_one_that_waits_though_the_limit_has_grown():
    limit = Fixed(FixedOptions(1, max_queue=0))
    limiter = Codel(CodelOptions(limit=limit))
    heard = Heard(limiter)
    heard.ask("0", 1.0)
    heard.ask("1", 1.0)
    limit._max_in_flight = 3  # noqa: SLF001  # as one that adapts
    assert heard.ask("2", 1.0) is True
    assert heard.order == ["1"], "it began first"


def test_a_limit_that_grows_takes_several_from_the_queue():
    limit = Fixed(FixedOptions(1, max_queue=0))
    limiter = Codel(CodelOptions(limit=limit))
    heard = Heard(limiter)
    for name in "0123":
        heard.ask(name, 1.0)
    limit._max_in_flight = 3  # noqa: SLF001  # as one that adapts
    limiter.release(WELL, 0.01)
    assert heard.order == ["1", "2", "3"]


# ── throttle ──


def sent(throttle, number, accepts, *, now=0.0, request=CALL):
    """Make calls, of which the servers accept some; how many went out."""
    out = 0
    for _ in range(number):
        if throttle.admit(request, now) is True:
            out += 1
            throttle.release(WELL if accepts() else REFUSED, 0.01)
    return out


def test_while_servers_accept_everything_goes_out():
    throttle = Throttle(ThrottleOptions())
    assert sent(throttle, 1000, lambda: True) == 1000


def test_half_of_the_calls_may_be_refused_before_one_is_kept_back():
    throttle, turns = Throttle(ThrottleOptions()), iter(range(10_000))
    assert sent(throttle, 1000, lambda: next(turns) % 2) == 1000


def test_about_k_calls_go_out_for_each_that_is_accepted():
    for k in (1.5, 2.0, 4.0):
        throttle, turns = Throttle(ThrottleOptions(k=k)), iter(range(1_000_000))
        budget = [0.0]

        def accepts(budget=budget, turns=turns):
            next(turns)
            budget[0] -= 1
            return budget[0] >= 0

        out = 0
        for _ in range(2000):  # 10 calls for each one that the servers can take
            budget[0] = min(budget[0], 0.0) * 0 + 1.0
            out += sent(throttle, 10, accepts)
        assert out == pytest.approx(2000 * k, rel=0.1)


def test_it_hears_that_the_servers_are_well_again_within_the_window():
    throttle = Throttle(ThrottleOptions(window=12.0))
    sent(throttle, 1000, lambda: False, now=1.0)
    assert sent(throttle, 100, lambda: False, now=2.0) < 10
    assert sent(throttle, 100, lambda: True, now=20.0) == 100


def overloaded():
    """A throttle whose servers have room for one of six calls, at the time 1.0."""
    throttle, room = Throttle(ThrottleOptions(window=12.0)), 0.0
    for _ in range(1000):
        room = min(2.0, room + 1 / 6)
        if throttle.admit(CALL, 1.0) is True:
            accepted = room >= 1
            room -= accepted
            throttle.release(WELL if accepted else REFUSED, 0.01)
    return throttle


def test_what_was_refused_is_forgotten_once_the_servers_accept_all_that_goes_out():
    throttle = overloaded()
    assert sent(throttle, 100, lambda: True, now=2.5) < 50, "the step in which all are accepted"
    assert sent(throttle, 100, lambda: True, now=3.5) == 100


def test_one_refusal_or_few_calls_are_enough_to_remember():
    throttle, few = overloaded(), overloaded()
    for step in range(2, 8):
        turns = iter(range(1000))
        assert sent(throttle, 100, lambda turns=turns: next(turns) % 5, now=step + 0.5) < 70
    for _ in range(3):
        few.release(WELL, 0.01)
    assert sent(few, 100, lambda: True, now=5.5) < 50


def test_what_failed_otherwise_was_accepted():
    throttle = Throttle(ThrottleOptions())
    for _ in range(1000):
        assert throttle.admit(CALL, 0.0) is True
        throttle.release(lost("gone"), 0.01)


def test_calls_under_way_are_no_sign_of_anything():
    throttle = Throttle(ThrottleOptions())
    assert all(throttle.admit(CALL, 0.0) is True for _ in range(1000))


def test_lesser_calls_are_kept_back_as_long_as_there_are_enough_of_them():
    throttle, out = Throttle(ThrottleOptions()), Counter()
    room = 0.0  # at the servers: for 8 of 20 calls
    for _ in range(2000):
        room = min(room + 0.8, 1.8)
        for request in (CALL, SHEDDABLE):
            if throttle.admit(request, 0.0) is True:
                out[request.criticality] += 1
                accepted = room >= 1
                room -= accepted
                throttle.release(WELL if accepted else REFUSED, 0.01)
    assert out["critical"] >= 1990
    assert out["sheddable"] < 1500


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gradient(GradientOptions(min_limit=9, max_limit=3)), "min_limit is above"),
        (lambda: GradientOptions(tolerance=0.5), "from 1 to 10"),
        (lambda: GradientOptions(smoothing=0.0), "more than 0, at most 1"),
        (lambda: codel(target=1.0), "target is above interval"),
        (lambda: CodelOptions(max_queue=0), "1 or more"),
        (lambda: ThrottleOptions(k=0.5), "from 1 to 100"),
        (lambda: ThrottleOptions(window=1e-320), "0.001 or more"),
    ],
)
def test_impossible_options_are_refused(make, message):
    with pytest.raises((ValueError, OptionError), match=message):
        make()
