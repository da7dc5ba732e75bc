"""How long a handler takes: numbers drawn in batches, since each call needs one."""

from __future__ import annotations

from math import exp, log
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

    from .scenario import Latency, Scenario

_BATCH = 1024


class Durations:
    """Draws durations of handlers, in seconds. Repeats with the seed of ``rng``."""

    __slots__ = ("_latency", "_left", "_rng")

    def __init__(self, latency: Latency, rng: Random) -> None:
        self._latency = latency
        self._rng = rng
        self._left: list[float] = []

    def draw(self) -> float:
        """The next one."""
        if not self._left:
            self._left = self._batch()
        return self._left.pop()

    def _batch(self) -> list[float]:
        latency, rng = self._latency, self._rng
        if latency.kind == "fixed":
            return [latency.median] * _BATCH
        if latency.kind == "bimodal":
            draw, share = rng.random, latency.slow_share
            return [latency.slow if draw() < share else latency.median for _ in range(_BATCH)]
        gauss, middle, sigma = rng.gauss, log(latency.median), latency.sigma
        return [exp(gauss(middle, sigma)) for _ in range(_BATCH)]


def mean_of_calls(scenario: Scenario) -> float:
    """The mean of a scenario's calls, by their shares, in seconds. No cache helps them."""
    whole = sum(kind.share for kind in scenario.calls)
    return sum(
        kind.share / whole * mean_of(kind.latency or scenario.latency) for kind in scenario.calls
    )


def mean_of(latency: Latency) -> float:
    """The mean, in seconds."""
    if latency.kind == "fixed":
        return latency.median
    if latency.kind == "bimodal":
        return latency.slow_share * latency.slow + (1 - latency.slow_share) * latency.median
    return latency.median * exp(latency.sigma**2 / 2)
