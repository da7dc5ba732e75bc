"""How long to wait before a retry: exponential back-off with full jitter, capped.

Without jitter, clients that failed together retry together and fail together again. With *full*
jitter the delay is drawn from zero to the ceiling, not around the ceiling. It costs the least work
and the least time of the variants that are compared in Marc Brooker, "Exponential Backoff and
Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

from math import ldexp
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from random import Random

BASE = 0.025
"""Seconds, the first ceiling.

It is Envoy's default for retries, about ten round trips inside a data centre. So the first retry
comes soon, and a timeout of a second has room for it.
"""

CAP = 1.0
"""Seconds, the last ceiling.

A caller waits for the result; longer pauses are for work that nobody waits for.
"""

_DOUBLINGS = 64  # enough for every cap; more would leave the range of floats


def _positive(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not 0 < value < float("inf"):
        raise ValueError(f"{attribute.name} must be a number of seconds above 0, not {value:g}")


@attrs.frozen
class Backoff:
    """The delays of one policy. Immutable, so safe from any thread.

    Attributes:
        base: Seconds, the ceiling of the first delay; each next ceiling is twice as high.
        cap: Seconds that no delay exceeds.
    """

    base: float = attrs.field(default=BASE, validator=_positive)
    cap: float = attrs.field(default=CAP, validator=_positive)

    def __attrs_post_init__(self) -> None:
        """Refuse a cap that makes the base meaningless."""
        if self.cap < self.base:
            raise ValueError(f"cap ({self.cap:g} s) must not be below base ({self.base:g} s)")

    def ceiling(self, index: int) -> float:
        """The longest delay, in seconds, that :meth:`delay` returns for ``index``."""
        return min(self.cap, ldexp(self.base, min(index, _DOUBLINGS)))

    def delay(self, index: int, rng: Random) -> float:
        """Draw a delay.

        Args:
            index: 0 for the first delay, 1 for the second …
            rng: The source of randomness.

        Returns:
            Seconds, evenly distributed from 0 to the ceiling.
        """
        return rng.random() * self.ceiling(index)
