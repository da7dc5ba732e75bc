"""Statistics of rounds: medians with their spread, ratios within a round, percentiles."""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Sequence


@attrs.frozen
class Spread:
    """What several rounds gave.

    Attributes:
        median: The middle one.
        least: The least.
        most: The most.
    """

    median: float
    least: float
    most: float


def spread(values: Sequence[float]) -> Spread:
    """Median, least and most.

    Raises:
        ValueError: There are no values.
    """
    if not values:
        raise ValueError("no round was measured")
    return Spread(median(values), min(values), max(values))


def ratios(of: Sequence[float | None], to: Sequence[float | None]) -> Spread | None:
    """The ratio of two contenders, taken within each round that both finished.

    A machine that is slow for a while slows both of a round, so ratios differ less than figures.
    None if there is no such round.
    """
    found = [a / b for a, b in zip(of, to, strict=False) if a is not None and b]
    return spread(found) if found else None


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest value that so many per cent do not exceed (nearest rank).

    Raises:
        ValueError: There are no values.
    """
    if not ordered:
        raise ValueError("no call ended")
    rank = math.ceil(len(ordered) * percent / 100 - 1e-9)
    return ordered[min(len(ordered), max(1, rank)) - 1]
