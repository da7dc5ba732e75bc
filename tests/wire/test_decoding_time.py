"""How the time of each decoder grows with inputs that were made to be slow (``tests/fuzz/hostile.py``)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from fuzz.hostile import attempt, inputs

if TYPE_CHECKING:
    from collections.abc import Callable

SMALL, LARGE = 25_000, 400_000
"""Bytes."""
MOST_GROWTH = 120
"""16 times the bytes take 16 times the time where it is linear, 256 times where it is quadratic."""
UNNOTICED = 0.02
"""Seconds that are too few to measure a growth by."""
MOST_PER_BYTE = 4e-6
"""Seconds. The slowest of these takes a third of it on a busy machine: YAML, which is read in
Python. What is quadratic takes a hundred times as long."""

INPUTS = inputs()


def seconds(read: Callable[[Any], Any], data: Any, enough: float) -> float:
    """The processor's time, the least of several tries: what else runs does not count.

    A try below ``enough`` is the last one.
    """
    tries = []
    for _ in range(3):
        start = time.process_time()
        attempt(read, data)
        tries.append(time.process_time() - start)
        if tries[-1] < enough:
            break
    return min(tries)


@pytest.mark.parametrize("name", INPUTS)
def test_time_is_in_proportion_to_the_input(name: str) -> None:
    read, make = INPUTS[name]
    attempt(read, make(1000))  # what is made at the first use
    small, large = make(SMALL), make(LARGE)
    assert len(large) > 4 * len(small)
    growth = MOST_GROWTH * max(seconds(read, small, UNNOTICED / 4), UNNOTICED / 4)
    most = min(growth, MOST_PER_BYTE * len(large))
    assert seconds(read, large, most) < most
