"""Several limiters as one: all must admit, and no permit is lost whatever one of them does."""

from __future__ import annotations

from functools import partial
from threading import Barrier, Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bee_core.contracts import combined_limiter
from bee_core.contracts.combined_limiter import CombinedLimiter, combined
from bee_core.interfaces import Success
from bee_core.terms.causes import local
from bee_core.terms.failures import Failure
from bee_core.testing import AnyCall, FakeClock, LimiterContract
from bee_plugins.limiters.codel import Codel, CodelOptions
from bee_plugins.limiters.fixed import Fixed, FixedOptions
from support.every_line import EveryLine, Injected

CALL = AnyCall("calc", "add")
WELL = Success(b"")


class Bug(Exception):
    """What a broken limiter raises."""


class Said:
    """Takes what is said of plugins."""

    def __init__(self):
        self.faults = []

    def __call__(self, plugin, doing, error):
        self.faults.append((doing, type(error)))
        return local("plugin_fault", f"{doing} raised")


def fixed(running, queue=0, timeout=None):
    return Fixed(FixedOptions(running, queue, timeout))


def together(*limiters, said=None, clock=None):
    return CombinedLimiter(limiters, clock or FakeClock(), said or Said())


def in_flight(limiter):
    return limiter._in_flight  # noqa: SLF001  # what a test wants to know


class TestTwo(LimiterContract):
    def make_limiter(self):
        return together(fixed(5, 10), fixed(3, 20), clock=lambda: self.now)


class TestOneThatQueuesBeforeOneThatRefuses(LimiterContract):
    def make_limiter(self):
        return together(fixed(2, 5), fixed(2, 0), clock=lambda: self.now)


class TestWithCodel(LimiterContract):
    def make_limiter(self):
        return together(fixed(50, 100), Codel(CodelOptions(limit=fixed(3))), clock=lambda: self.now)


def test_none_is_none_and_one_is_itself():
    one = fixed(1)
    assert combined([], FakeClock(), Said()) is None
    assert combined([one], FakeClock(), Said()) is one


def test_the_permit_of_the_first_goes_back_if_the_second_refuses():
    first, second = fixed(5), fixed(1)
    both = together(first, second)
    assert both.admit(CALL, 0.0) is True
    refused = both.admit(CALL, 0.0)
    assert isinstance(refused, Failure)
    assert (in_flight(first), in_flight(second)) == (1, 1)
    both.release(WELL, 0.1)
    assert (in_flight(first), in_flight(second)) == (0, 0)


def test_a_permit_that_goes_back_unused_has_no_verdict():
    told = []

    class Listening(Fixed):
        def release(self, outcome, seconds):
            told.append(outcome)
            super().release(outcome, seconds)

    both = together(Listening(FixedOptions(5, 0)), fixed(1))
    both.admit(CALL, 0.0)
    both.admit(CALL, 0.0)
    assert told == [None]
    both.release(WELL, 0.1)
    assert told == [None, WELL]


def test_a_call_waits_for_one_before_the_next_is_asked():
    first, second = fixed(1, 5), fixed(1, 5)
    both, turns = together(first, second), []
    assert both.admit(CALL, 0.0) is True
    for name in "ab":
        both.admit(CALL, 0.0).on_admitted(partial(turns.append, name))
    assert (in_flight(second), second.line.size) == (1, 0)
    both.release(WELL, 0.0)
    assert turns == ["a"]
    both.release(WELL, 0.0)
    assert turns == ["a", "b"]
    both.release(WELL, 0.0)
    assert (in_flight(first), in_flight(second)) == (0, 0)


def test_one_that_refuses_after_a_wait_ends_the_wait_and_nothing_is_held():
    first, second = fixed(1, 5), fixed(1)
    both, turns = together(first, second), []
    assert both.admit(CALL, 0.0) is True
    ticket = both.admit(CALL, 0.0)
    ticket.on_admitted(partial(turns.append, "decided"))
    assert second.admit(CALL, 0.0) is not True
    first.release(None, 0.0)  # its permit alone: the second one is still full
    assert turns == ["decided"]
    assert ticket.refusal.kind == "overloaded"
    assert ticket.leave()
    assert in_flight(first) == 0
    second.release(None, 0.0)
    assert both.admit(CALL, 0.0) is True


def test_a_permit_that_comes_after_the_second_queues_own_timeout_goes_back():
    clock = FakeClock(0.0)
    first, second = fixed(1, 5), fixed(1, 5, timeout=1.0)
    both, turns = together(first, second, clock=clock), []
    assert second.admit(CALL, 0.0) is True
    assert first.admit(CALL, 0.0) is True
    ticket = both.admit(CALL, 0.0)
    ticket.on_admitted(partial(turns.append, "decided"))
    first.release(None, 0.0)
    assert turns == []
    clock.advance(2.0)
    second.release(None, 0.0)
    assert turns == ["decided"]
    assert "1 s" in ticket.refusal.message
    assert (in_flight(first), in_flight(second)) == (0, 0)


def test_who_leaves_while_it_waits_for_the_second_gives_the_first_back():
    first, second = fixed(1, 5), fixed(1, 5)
    both = together(first, second)
    assert second.admit(CALL, 0.0) is True
    ticket = both.admit(CALL, 0.0)
    ticket.on_admitted(lambda: None)
    assert in_flight(first) == 1
    assert ticket.leave()
    assert (in_flight(first), second.line.size) == (0, 0)


# ── whatever raises ──

METHODS = ["admit", "release", "leave", "on_admitted", "timeout"]


class Broken:
    """A limiter of which one method raises, before or after its work."""

    def __init__(self, inner, method, *, late):
        self.inner, self.method, self.late = inner, method, late
        self.on = True

    def run(self, name, action):
        bad = self.on and name == self.method
        if bad and not self.late:
            raise Bug(name)
        result = action()
        if bad and name != "admit":  # what admit() has taken and not told, nobody can give back
            raise Bug(name)
        return result

    def admit(self, request, now):
        answer = self.run("admit", lambda: self.inner.admit(request, now))
        if answer is True or isinstance(answer, Failure):
            return answer
        return BrokenTicket(self, answer)

    def release(self, outcome, seconds):
        if outcome is None:
            self.inner.release(outcome, seconds)
        else:
            self.run("release", lambda: self.inner.release(outcome, seconds))


class BrokenTicket:
    """A ticket of it."""

    def __init__(self, limiter, ticket):
        self.limiter, self.ticket = limiter, ticket

    @property
    def timeout(self):
        return self.limiter.run("timeout", lambda: None)

    @property
    def refusal(self):
        return self.ticket.refusal

    def on_admitted(self, callback):
        self.limiter.run("on_admitted", lambda: self.ticket.on_admitted(callback))

    def leave(self):
        return self.limiter.run("leave", self.ticket.leave)


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("busy", [None, 0, 1, 2], ids=["free", "0 full", "1 full", "2 full"])
def test_whatever_one_of_them_does_no_permit_of_the_others_is_lost(place, method, late, busy):
    inner = [fixed(1, 3) for _ in range(3)]
    broken = Broken(inner[place], method, late=late)
    said = Said()
    both = together(*[broken if n == place else one for n, one in enumerate(inner)], said=said)
    if busy is not None:
        assert inner[busy].admit(CALL, 0.0) is True
    decided = []
    answer = both.admit(CALL, 0.0)
    if answer is True:
        both.release(WELL, 0.0)
    elif not isinstance(answer, Failure):
        try:
            answer.on_admitted(partial(decided.append, "decided"))
        except Bug:
            pass  # the core gives up the ticket
        else:
            inner[busy].release(None, 0.0)
            busy = None
            assert decided == ["decided"]
        if answer.leave() is False:
            both.release(WELL, 0.0)
    broken.on = False
    if busy is not None:
        inner[busy].release(None, 0.0)
    for number, one in enumerate(inner):
        if number != place or method not in {"leave", "timeout"}:
            assert in_flight(one) == 0, f"{number} of 3"
            assert one.line.size == 0
    assert all(error is Bug for _, error in said.faults)


def test_an_exception_of_a_signal_at_any_line_loses_no_permit():
    lines, at = EveryLine("contracts/combined_limiter.py"), 0
    while True:
        first, second = fixed(1, 3), fixed(1, 3)
        both = together(first, second)

        tickets = []
        assert second.admit(CALL, 0.0) is True

        def make_a_call(both=both, tickets=tickets, second=second):
            tickets.append(both.admit(CALL, 0.0))
            tickets[0].on_admitted(lambda: None)
            second.release(None, 0.0)
            tickets.append("released")

        reached = lines.run(make_a_call, at)
        if tickets[1:] != ["released"] and (not tickets or second.line.size):
            second.release(None, 0.0)
        # As the core does: what a call has of the limiter goes back at its end.
        if tickets and not tickets[0].leave():
            both.release(None, 0.0)
        assert (in_flight(first), in_flight(second)) == (0, 0), lines.passed[at:][:1]
        if not reached:
            break
        at += 1
    assert at > 20
    assert combined_limiter.__file__.endswith("contracts/combined_limiter.py")
    assert issubclass(Injected, BaseException)


def test_an_interruption_of_one_release_gives_the_others_back():
    class Interrupted(Fixed):
        def release(self, outcome, seconds):
            super().release(outcome, seconds)
            raise KeyboardInterrupt

    first, last = fixed(1), fixed(1)
    both = together(first, Interrupted(FixedOptions(1, 0)), last)
    assert both.admit(CALL, 0.0) is True
    with pytest.raises(KeyboardInterrupt):
        both.release(WELL, 0.0)
    assert (in_flight(first), in_flight(last)) == (0, 0)


@given(st.lists(st.sampled_from(["ask", "release", "leave"]), max_size=60), st.integers(1, 3))
def test_any_sequence_leaves_all_permits_there(steps, limit):
    first, second = fixed(limit, 3), fixed(2, 2)
    both = together(first, second)
    running, waiting = [0], []
    for step in steps:
        if step == "ask":
            answer = both.admit(CALL, 0.0)
            if answer is True:
                running[0] += 1
            elif not isinstance(answer, Failure):
                waiting.append(answer)

                def decided(ticket=answer):
                    waiting.remove(ticket)
                    running[0] += ticket.refusal is None

                answer.on_admitted(decided)
        elif step == "release" and running[0]:
            running[0] -= 1
            both.release(WELL, 0.0)
        elif step == "leave" and waiting:
            assert waiting.pop(0).leave()
        assert running[0] <= min(limit, 2)
        assert in_flight(second) >= running[0]
    while waiting:
        assert waiting.pop(0).leave()
    for _ in range(running[0]):
        both.release(WELL, 0.0)
    assert (in_flight(first), in_flight(second)) == (0, 0)


def test_a_ticket_that_is_left_on_one_thread_and_granted_on_another_is_given_back_once():
    for _ in range(200):
        first, second = fixed(1, 3), fixed(1, 3)
        both = together(first, second)
        assert both.admit(CALL, 0.0) is True
        ticket = both.admit(CALL, 0.0)
        ticket.on_admitted(lambda: None)
        barrier, left = Barrier(2), []

        def leave(ticket=ticket, barrier=barrier, left=left):
            barrier.wait()
            left.append(ticket.leave())

        thread = Thread(target=leave)
        thread.start()
        barrier.wait()
        both.release(WELL, 0.0)
        thread.join()
        if not left[0]:
            both.release(None, 0.0)
        assert (in_flight(first), in_flight(second)) == (0, 0)
