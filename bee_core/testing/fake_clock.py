"""A clock that moves when it is told to, and randomness that repeats."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class FakeClock:
    """Call it for the time in seconds, as ``time.monotonic``. Not thread-safe.

    It stands in wherever bee takes a ``clock``.

    Args:
        now: Where it begins. Not 0: so a test fails where code takes a time for a truth value.
    """

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """The time."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            ValueError: It would go backwards, which a monotonic clock never does.
        """
        if seconds < 0:
            raise ValueError(f"a monotonic clock cannot be advanced by {seconds} s")
        self.now += seconds


def seeded_random(seed: int = 0) -> Random:
    """What bee takes as ``rng``, the same numbers each time."""
    return Random(seed)  # noqa: S311  # repeatable is the point


def seeded_bytes(seed: int = 0) -> Callable[[int], bytes]:
    """What bee takes as ``random_bytes``, the same bytes each time."""
    return Random(seed).randbytes  # noqa: S311  # repeatable is the point
