"""A budget that keeps retries a small share of the calls.

So retries do not add much load to a service that has trouble already. Each first attempt of a call
pays a share (20 %) of a retry in, and each retry takes one out. Both lapse after a window (10 s).
A floor keeps retries possible when there are few calls. The model is Finagle's ``RetryBudget``
(https://twitter.github.io/finagle/guide/Clients.html#retries): a token bucket with a share, a time
to live and a reserve a second.

The window has ten buckets. It slides in steps of a tenth, and the oldest bucket lapses whole. The
budget promises this, with ``first`` and ``retries`` counted over the window (up to ten buckets)
that ends with a granted retry::

    retries <= ratio * first + floor_per_second * window

A retry that would break this is refused, any other is granted. Windows that end with a retry and
do not overlap cover all retries. So after T seconds altogether
``retries <= ratio * first + floor_per_second * (T + 1.1 * window)``.

Calls that may be shed leave a part of it alone; see ``SHARES`` in ``terms/criticality.py``. A
retry of such a call is granted only where ``retries`` stays within its share of the bound. So the
retries of refused batch jobs do not use up those of the calls that matter.
"""

from __future__ import annotations

import math
from threading import Lock

BUCKETS = 10
"""Steps of the sliding window: of one second each with the window of ten seconds."""

# 0.1 * 30 is a little over 3 and 0.29 * 100 a little under 29: a retry is not lost to that.
_ROUNDING = 1e-9


class RetryBudget:
    """The retries that the calls of one service may spend together.

    Each service has one object, and all threads share it. Its memory does not grow.

    ``deposit`` takes no lock, because every call makes one. When threads race, a deposit can be
    lost, and each lost one costs a fifth of a retry. No deposit can be counted twice: the counter
    of deposits never goes back to zero.
    """

    __slots__ = (
        "_bucket",
        "_bucket_end",
        "_closed",
        "_deposits",
        "_paid",
        "_reserve",
        "_taken",
        "_width",
        "lock",
        "ratio",
        "window",
    )

    def __init__(
        self, ratio: float = 0.2, floor_per_second: float = 10.0, window: float = 10.0
    ) -> None:
        """Start with the floor alone.

        Args:
            ratio: Retries for each first attempt. 0.2, as in Finagle and Linkerd: the worst case is
                a fifth more load.
            floor_per_second: Retries a second that are always there, available at once for a whole
                window. 10, as in Finagle and Linkerd: little load to a service, and enough for a
                client of few calls to fail over.
            window: Seconds until a payment lapses. 10, as in Finagle and Linkerd: longer than a
                burst, shorter than an outage.

        Raises:
            ValueError: A number is negative or not finite, or the window is zero.
        """
        if not (
            0 <= ratio < math.inf and 0 <= floor_per_second < math.inf and 0 < window < math.inf
        ):
            raise ValueError(
                "a retry budget takes finite numbers, ratio and floor_per_second from 0 and window"
                f" above 0, not {ratio=}, {floor_per_second=}, {window=}"
            )
        self.ratio = ratio
        self.window = window
        self._reserve = floor_per_second * window
        self._width = window / BUCKETS
        self._paid = [0] * BUCKETS
        self._taken = [0] * BUCKETS
        self._bucket = -(1 << 62)  # the number of the current bucket on the clock: none yet
        self._bucket_end = -math.inf
        self._deposits = 0  # since ever
        self._closed = 0  # of these, how many lie in buckets that are over
        self.lock = Lock()

    def deposit(self, now: float) -> None:
        """Pay in for a first attempt at ``now``, seconds of a monotonic clock. Never blocks."""
        # Once a bucket. If another thread has the lock, it does this work. Then the deposit of this
        # thread falls into the old or the new bucket.
        if now >= self._bucket_end and self.lock.acquire(blocking=False):
            try:
                self._advance(now)
            finally:
                self.lock.release()
        self._deposits += 1

    def withdraw(self, now: float, share: float = 1.0) -> bool:
        """Take one retry out at ``now``; False when there is none to take.

        Args:
            now: Seconds of a monotonic clock.
            share: The part of the budget that calls of this level may use, above 0 and up to 1.
        """
        with self.lock:
            self._advance(now)
            if self._left(share) < 1 - _ROUNDING:
                return False
            self._taken[self._bucket % BUCKETS] += 1
            return True

    def failed(self, now: float) -> None:
        """An attempt has failed. This budget counts retries, whatever fails."""

    def balance(self, now: float) -> int:
        """How many retries could be taken out at ``now``."""
        with self.lock:
            self._advance(now)
            return max(0, math.floor(self._left() + _ROUNDING))

    def renew_lock(self) -> None:
        """In a forked child: forget a lock that a thread of the parent may hold."""
        self.lock = Lock()

    def _left(self, share: float = 1.0) -> float:
        paid = sum(self._paid) + self._deposits - self._closed
        return share * (self.ratio * paid + self._reserve) - sum(self._taken)

    def _advance(self, now: float) -> None:
        """Close the current bucket when it is over, and clear those that left the window.

        After a long silence these are all. The caller holds the lock.
        """
        bucket = math.floor(now / self._width)
        steps = bucket - self._bucket
        if steps <= 0:  # still the same, or a thread that is late with the time it read
            return
        deposits = self._deposits
        self._paid[self._bucket % BUCKETS] = deposits - self._closed
        self._closed = deposits
        for step in range(1, min(steps, BUCKETS) + 1):
            self._paid[(bucket - step + 1) % BUCKETS] = 0
            self._taken[(bucket - step + 1) % BUCKETS] = 0
        self._bucket = bucket
        self._bucket_end = (bucket + 1) * self._width
