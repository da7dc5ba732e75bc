"""A percentile of the latest latencies: a histogram of fixed size that forgets."""

from __future__ import annotations

from math import ceil, log

_SHORTEST = 1e-5
"""Seconds of the first bucket. No call over a socket is shorter."""
_STEP = 1.05
"""Each bucket is 5 % wider than the one before, so a percentile is right within 5 %."""
_BUCKETS = 360
"""From 10 µs to 400 s, longer than any timeout that somebody waits for."""
_GENERATION = 1000
"""Latencies until the older half is forgotten: a percentile of the last 1,000 to 2,000."""
_FEW = 100
"""Latencies before there is a percentile: of fewer the 95th hangs on a handful."""
_EVERY = 50
"""Latencies between two times that the percentile is worked out: it takes some microseconds."""


class RecentLatency:
    """A percentile of the last 1,000 to 2,000 latencies.

    Two histograms with logarithmic buckets: one is filled, and the one before still counts. When
    the filled one is full, the older one is dropped. Threads use it without a lock: when two of
    them race, a latency may be lost, and that changes no percentile that matters.

    Args:
        percentile: Above 0 and below 100.

    Attributes:
        value: The percentile in seconds; None as long as there are few latencies.
    """

    __slots__ = ("_before", "_counted", "_now", "_share", "value")

    def __init__(self, percentile: float) -> None:
        self._share = percentile / 100
        self._before: list[int] | None = None
        self._now = [0] * _BUCKETS
        self._counted = 0
        self.value: float | None = None

    def add(self, seconds: float) -> None:
        """Count one latency."""
        place = ceil(log(max(seconds, _SHORTEST) / _SHORTEST, _STEP))
        self._now[min(place, _BUCKETS - 1)] += 1
        self._counted += 1
        if self._counted % _EVERY == 0 and (self._before or self._counted >= _FEW):
            self.value = self._percentile()
        if self._counted >= _GENERATION:
            self._before, self._now, self._counted = self._now, [0] * _BUCKETS, 0

    def _percentile(self) -> float:
        before = self._before or [0] * _BUCKETS
        counts = [old + new for old, new in zip(before, self._now, strict=True)]
        above = (1 - self._share) * sum(counts)
        place = _BUCKETS
        while place > 0:
            place -= 1
            above -= counts[place]
            if above < -1e-6:  # 0.1 * 1000 is a little less than 100
                break
        return _SHORTEST * _STEP**place
