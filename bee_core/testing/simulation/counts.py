"""What is counted while a run goes on: as little as the figures need."""

from __future__ import annotations

from array import array
from collections import Counter

STEP = 0.25
"""Seconds: how exactly the time to detect a trouble is known."""
WINDOWS = 120
"""Points of the picture."""


class KindCounts:
    """The calls of one kind.

    Attributes:
        calls, answered, degraded: How many. ``degraded`` of the answers came from the fallback.
        idempotent: Whether they may run twice.
        everyone: Whether every node must hear of each.
        heard: How many nodes have heard of them, all calls together.
        latencies: Of those that were answered, for a kind with a latency of its own; else None.
    """

    __slots__ = (
        "answered",
        "calls",
        "degraded",
        "everyone",
        "heard",
        "idempotent",
        "latencies",
        "method",
    )

    def __init__(
        self, method: str, *, idempotent: bool, everyone: bool = False, apart: bool = False
    ) -> None:
        self.method = method
        self.idempotent = idempotent
        self.everyone = everyone
        self.heard = 0
        self.latencies = array("d") if apart else None
        self.calls = 0
        self.answered = 0
        self.degraded = 0


class Counts:
    """Counts of a run. Times are those of the world's clock.

    Args:
        start: When calls begin.
        seconds: For how long.

    Attributes:
        attempts, bad: Attempts by steps of time: all of them, and those to bad nodes.
        latencies: Of answered calls, by the window in which they began.
        calls: Calls that began, by window.
        failed: Calls that failed, by the window in which they began.
        finished: Answered calls, by the window in which they ended.
        sent: Attempts, by window.
        total: All attempts.
        unsent: Calls without any attempt, by the window in which they began.
        failures: Failed calls by kind.
        untrue: Calls that said that nothing ran although something did.
        opened: When the first breaker of a bad node cut it off, or None.
    """

    __slots__ = (
        "_last",
        "_start",
        "_step_last",
        "_width",
        "attempts",
        "bad",
        "calls",
        "failed",
        "failures",
        "finished",
        "kinds",
        "latencies",
        "opened",
        "sent",
        "total",
        "unsent",
        "untrue",
        "width",
    )

    def __init__(self, start: float, seconds: float) -> None:
        self._start = start
        self.width = seconds / WINDOWS
        self._width = WINDOWS / seconds
        self._last = WINDOWS - 1
        steps = max(1, round(seconds / STEP))
        self._step_last = steps - 1
        self.attempts = [0] * steps
        self.bad = [0] * steps
        self.calls = [0] * WINDOWS
        self.failed = [0] * WINDOWS
        self.finished = [0] * WINDOWS
        self.sent = [0] * WINDOWS
        self.unsent = [0] * WINDOWS
        self.latencies = [array("d") for _ in range(WINDOWS)]
        self.kinds: list[KindCounts] = []
        self.total = 0
        self.failures: Counter[str] = Counter()
        self.untrue = 0
        self.opened: float | None = None

    def window(self, when: float) -> int:
        """The window of a moment; what comes after the end counts for the last one."""
        return min(int((when - self._start) * self._width), self._last)

    def attempt(self, now: float, bad: bool) -> None:
        """An attempt begins."""
        self.total += 1
        passed = now - self._start
        step = int(passed * 4)  # 1 / STEP
        if step <= self._step_last:
            self.attempts[step] += 1
            if bad:
                self.bad[step] += 1
            self.sent[min(int(passed * self._width), self._last)] += 1

    def answered(self, kind: KindCounts, began: float, now: float) -> None:
        """A call has its result."""
        kind.answered += 1
        if kind.latencies is not None:
            kind.latencies.append(now - began)
        window = int((began - self._start) * self._width)
        self.latencies[min(self._last, window)].append(now - began)
        ended = int((now - self._start) * self._width)
        if ended <= self._last:
            self.finished[ended] += 1

    def failed_call(self, began: float, kind: str) -> None:
        """A call has failed."""
        self.failed[self.window(began)] += 1
        self.failures[kind] += 1
