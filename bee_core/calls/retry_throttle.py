"""Retries that stop while many attempts fail: the throttle of gRPC (proposal A6).

A service has so many tokens. Each attempt that fails takes one, each one that succeeds gives
``ratio`` back. Retries are made only while more than half of the tokens are there. So the throttle
looks at the share of failures, and not at how many retries were made: with ``ratio`` 0.1 retries
stop while more than about a tenth of the attempts fail.

A6 is at https://github.com/grpc/proposal/blob/master/A6-client-retries.md, "Throttling Retry
Attempts and Hedged RPCs".
"""

from __future__ import annotations

import math
from threading import Lock

from .retry_budget import RetryBudget


class RetryThrottle:
    """The tokens of one service. Each service has one object, and all threads share it.

    An attempt counts as a success when it begins, and that is taken back when it fails. So a call
    that succeeds tells nobody, and a service without failures takes no lock.

    Args:
        tokens: The tokens at the start, and at most.
        ratio: What a success gives back.
    """

    __slots__ = ("_most", "_tokens", "lock", "ratio")

    def __init__(self, tokens: float, ratio: float) -> None:
        self._most = self._tokens = tokens
        self.ratio = ratio
        self.lock = Lock()

    def deposit(self, now: float) -> None:
        """A first attempt begins."""
        if self._tokens < self._most:
            with self.lock:
                self._give()

    def failed(self, now: float) -> None:
        """An attempt has failed that a retry may help."""
        with self.lock:
            self._tokens = max(0.0, self._tokens - self.ratio - 1.0)

    def withdraw(self, now: float, share: float = 1.0) -> bool:
        """Whether a retry may be made now; it begins then.

        Args:
            now: Seconds of a monotonic clock.
            share: The part of the upper half of the tokens that calls of this level may use.
        """
        with self.lock:
            if self._tokens <= self._most * (1 - share / 2):
                return False
            self._give()
            return True

    def balance(self, now: float) -> int:
        """How many attempts may fail until there are no retries any more."""
        return max(0, math.ceil(self._tokens - self._most / 2))

    def renew_lock(self) -> None:
        """In a forked child: forget a lock that a thread of the parent may hold."""
        self.lock = Lock()

    def _give(self) -> None:
        self._tokens = min(self._most, self._tokens + self.ratio)


def make_budget(
    ratio: float, floor: float, tokens: float | None = None
) -> RetryBudget | RetryThrottle:
    """The budget that a configuration states: a throttle where it has tokens."""
    return RetryBudget(ratio, floor) if tokens is None else RetryThrottle(tokens, ratio)
