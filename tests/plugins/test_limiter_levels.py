"""What all limiters share: the least important calls go first, and no permit is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bee_core.interfaces import CRITICALITIES, Success, part_of
from bee_core.terms.failures import Failure
from bee_core.testing import AnyCall
from bee_plugins.limiters.codel import Codel, CodelOptions
from bee_plugins.limiters.fixed import Fixed, FixedOptions
from bee_plugins.limiters.gradient import Gradient, GradientOptions

WELL = Success(b"1")
CALL = AnyCall("calc", "add")
SHEDDABLE = AnyCall("calc", "add", criticality="sheddable")


def codel(running=1, **options):
    return Codel(CodelOptions(limit=Fixed(FixedOptions(running, max_queue=0)), **options))


# ── levels ──


@pytest.mark.parametrize(
    "make",
    [
        lambda: Fixed(FixedOptions(10, max_queue=0)),
        lambda: Gradient(GradientOptions(initial=10)),
        lambda: Codel(CodelOptions(limit=Fixed(FixedOptions(10, 0)), max_queue=1)),
    ],
    ids=["fixed", "gradient", "codel"],
)
def test_a_level_fills_its_part_of_the_limit_and_leaves_the_rest_to_those_above_it(make):
    for level, part in zip(CRITICALITIES, (10, 10, 9, 8), strict=True):
        limiter = make()
        call = AnyCall("calc", "add", criticality=level)
        answers = [limiter.admit(call, 0.0) for _ in range(12)]
        assert answers.count(True) == part, level
        if part < 10:
            assert limiter.admit(AnyCall("c", "m", criticality="critical_plus"), 0.0) is True


def test_a_lesser_call_in_the_queue_gets_no_more_than_its_part():
    fixed, order = Fixed(FixedOptions(10)), []
    for _ in range(10):
        assert fixed.admit(CALL, 0.0) is True
    fixed.admit(SHEDDABLE, 0.0).on_admitted(lambda: order.append("sheddable"))
    fixed.release(WELL, 0.0)
    fixed.release(WELL, 0.0)
    assert order == []
    fixed.release(WELL, 0.0)
    assert order == ["sheddable"]
    for _ in range(8):
        fixed.release(WELL, 0.0)
    assert [fixed.admit(CALL, 0.0) for _ in range(10)] == [True] * 10


# ── against a plain model ──

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["admit", "release", "leave", "wait"]),
        st.sampled_from(CRITICALITIES),
        st.integers(0, 20),
    ),
    max_size=80,
)


@pytest.mark.parametrize("kind", ["fixed", "codel"])
@given(steps=STEPS, limit=st.integers(1, 6), places=st.integers(1, 6))
def test_no_sequence_loses_a_permit_or_gives_one_too_many(kind, steps, limit, places):
    if kind == "fixed":
        limiter = Fixed(FixedOptions(limit, max_queue=places))
    else:
        limiter = codel(limit, max_queue=places)
    model = Model(limiter, limit, places)
    for step, level, number in steps:
        model.step(step, level, number)
        assert model.running <= limit
    model.end()
    assert [limiter.admit(CALL, model.now + 10) for _ in range(limit)] == [True] * limit
    assert limiter.admit(CALL, model.now + 10) is not True


class Model:
    """A number of permits, and who holds one or waits."""

    def __init__(self, limiter, limit, places):
        self.limiter, self.limit, self.places = limiter, limit, places
        self.now, self.running, self.waiting = 1000.0, 0, []

    def step(self, step, level, number):
        if step == "admit":
            self.admit(level)
        elif step == "release" and self.running:
            self.running -= 1
            self.limiter.release(WELL, 0.01)
        elif step == "leave" and self.waiting:
            if not self.waiting.pop(number % len(self.waiting)).leave():
                self.limiter.release(None, 0.0)
        elif step == "wait":
            self.now += number / 100
        for ticket in [one for one in self.waiting if one.granted or one.refusal is not None]:
            self.waiting.remove(ticket)
            self.running += ticket.granted

    def admit(self, level):
        answer = self.limiter.admit(AnyCall("c", "m", criticality=level), self.now)
        if answer is True:
            self.running += 1
            assert self.running <= part_of(self.limit, level)
        elif isinstance(answer, Failure):
            assert len(self.waiting) >= part_of(self.places, level)
        else:
            self.waiting.append(answer)

    def end(self):
        for ticket in self.waiting:
            if not ticket.leave():
                self.limiter.release(None, 0.0)
        for _ in range(self.running):
            self.limiter.release(WELL, 0.01)


@given(
    steps=st.lists(st.tuples(st.booleans(), st.floats(0.0001, 3.0), st.floats(0, 1)), max_size=300)
)
def test_whatever_it_sees_the_limit_of_gradient_stays_between_its_bounds(steps):
    gradient = Gradient(GradientOptions(initial=8, min_limit=2, max_limit=32, window=0.01))
    now, running = 0.0, 0
    for begins, seconds, passed in steps:
        now += passed
        if begins:
            running += gradient.admit(CALL, now) is True
        elif running:
            running -= 1
            gradient.release(WELL, seconds)
        assert 1 <= gradient.limit <= 32
        assert running <= 32
    for _ in range(running):
        gradient.release(None, 0.0)
    taken = 0
    while gradient.admit(CALL, now) is True:
        taken += 1
    assert taken == int(gradient.limit)
