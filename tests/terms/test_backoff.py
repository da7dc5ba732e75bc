from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bee_core.terms.backoff import Backoff


class Highest(Random):
    """Draws the largest number there is below 1."""

    def random(self) -> float:
        return 1 - 2**-53


@given(
    base=st.floats(0.001, 10),
    factor=st.floats(1, 1000),
    index=st.integers(0, 10_000),
    seed=st.integers(),
)
def test_a_delay_is_never_negative_and_never_above_the_cap(base, factor, index, seed):
    backoff = Backoff(base, base * factor)
    assert 0 <= backoff.delay(index, Random(seed)) <= backoff.cap


def test_ceilings_double_up_to_the_cap():
    assert [Backoff(0.1, 1.0).ceiling(index) for index in range(6)] == [
        0.1,
        0.2,
        0.4,
        0.8,
        1.0,
        1.0,
    ]


def test_the_jitter_is_full():
    backoff = Backoff(1.0, 1.0)
    delays = [backoff.delay(0, Random(seed)) for seed in range(500)]
    assert min(delays) < 0.05
    assert 0.45 < sum(delays) / len(delays) < 0.55
    assert backoff.delay(0, Highest()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("base", "cap", "words"),
    [
        (0, 1, "base must be"),
        (-1, 1, "base must be"),
        (1, float("inf"), "cap must be"),
        (float("nan"), 1, "base"),
        (2, 1, "below base"),
    ],
)
def test_impossible_numbers_are_refused_with_the_reason(base, cap, words):
    with pytest.raises(ValueError, match=words):
        Backoff(base, cap)
