"""An exception of a signal at any line of a limiter loses no permit, and no turn for good."""

from __future__ import annotations

import pytest

from bee_core.interfaces import Failure
from bee_core.testing import AnyCall
from bee_plugins.limiters.codel import Codel, CodelOptions
from bee_plugins.limiters.fixed import Fixed, FixedOptions
from bee_plugins.limiters.gradient import Gradient, GradientOptions
from support.every_line import EveryLine

FILES = ("limiters/codel.py", "limiters/fixed.py", "limiters/gradient.py", "limiters/queueing.py")
CALL = AnyCall("calc", "add")


def fixed(queue=0):
    return Fixed(FixedOptions(1, queue))


def gradient():
    return Gradient(GradientOptions(initial=1, min_limit=1, max_limit=1))


def codel(limit):
    return Codel(CodelOptions(limit=limit))


LIMITERS = {
    "fixed": lambda: fixed(queue=5),
    "gradient": gradient,
    "codel of fixed": lambda: codel(fixed()),
    "codel of fixed with a queue": lambda: codel(fixed(queue=5)),
    "codel of gradient": lambda: codel(gradient()),
}


def each_line(make, action):
    """Yield a limiter and what ``action`` left, after an exception at one line after the other."""
    lines, at = EveryLine(*FILES), 0
    while True:
        limiter, left = make(), []
        reached = lines.run(lambda limiter=limiter, left=left: action(limiter, left), at)
        yield limiter, left, lines.passed[at:][:1]
        if not reached:
            break
        at += 1
    assert at > 2


@pytest.mark.parametrize("make", LIMITERS.values(), ids=LIMITERS)
def test_a_permit_that_nobody_heard_of_is_given_back(make):
    for limiter, left, line in each_line(make, lambda one, left: left.append(one.admit(CALL, 0.0))):
        if left:
            limiter.release(None, 0.0)
        assert limiter.admit(CALL, 0.0) is True, line


@pytest.mark.parametrize("make", LIMITERS.values(), ids=LIMITERS)
def test_one_that_was_asked_while_it_is_full_keeps_its_count(make):
    def ask(limiter, left):
        limiter.admit(CALL, 0.0)
        left.append(limiter.admit(CALL, 0.0))
        left.append(limiter.admit(CALL, 0.0))

    for limiter, left, line in each_line(make, ask):
        # As the core does: what a call has of the limiter goes back at its end.
        for ticket in left:
            assert isinstance(ticket, Failure) or ticket.leave(), line
        line_of_calls = getattr(limiter, "line", None)
        assert line_of_calls is None or line_of_calls.size == 0, line


@pytest.mark.parametrize(
    ("make", "first_lines"),
    # Of release(): there the call has the permit still, and releases it.
    [(make, 1 if make is gradient else 2) for make in LIMITERS.values()],
    ids=LIMITERS,
)
def test_a_turn_that_is_interrupted_leaves_a_limiter_that_works(make, first_lines):
    """Permits that were handed on go back once, and those who wait or come get one."""
    waiting = []

    def ready():
        limiter = make()
        assert limiter.admit(CALL, 0.0) is True
        waiting[:] = [limiter.admit(CALL, 0.0) for _ in range(3)]
        return limiter

    def end(limiter, left):
        limiter.release(None, 0.0)

    for number, (limiter, _, line) in enumerate(each_line(ready, end)):
        if number < first_lines:
            limiter.release(None, 0.0)
        for ticket in waiting:
            if not isinstance(ticket, Failure) and not ticket.leave():
                limiter.release(None, 0.0)
        assert limiter.admit(CALL, 0.0) is True, line
        limiter.release(None, 0.0)
        assert limiter.admit(CALL, 0.0) is True, line
        assert limiter.admit(CALL, 0.0) is not True, line
