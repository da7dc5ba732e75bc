"""What is counted of a run: latencies, attempts, failures by kind. It has no clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hdrh.histogram import HdrHistogram

from ...errors import RemoteError
from ...terms.printable import printable

if TYPE_CHECKING:
    from ...client.proxies import Reply
    from ...errors import CallError

NANOSECONDS = 1e9
LEAST = 100
"""Nanoseconds: no call over a socket is as quick."""
MOST = 3600 * 10**9
"""Nanoseconds. A call that takes longer counts as an hour."""
DIGITS = 3
"""Significant ones: a percentile is right to 0.1 %. A histogram takes 220 kB, whatever it holds."""
KINDS = 50
"""Kinds of failures that are told apart. A handler may raise a class of its own for each call."""
_LONGEST_EXAMPLE = 300  # characters

FailureKey = tuple[str, str, str]
"""The kind, the class of the handler's exception, and whether the handler ran."""
OTHERS: FailureKey = ("others", "", "")


class Tally:
    """Counts of calls. For one thread at a time.

    Attributes:
        answered: Latencies of the calls that gave a result, in nanoseconds.
        failed: Those of the calls that failed: a time-out is a slow call, a refusal a quick one.
        from_real_start: How long answered calls took once they had begun, in an open loop.
        attempts: Of all calls.
        retried: Calls with more than one attempt.
        degraded: Calls that a fallback answered; they count as answered.
        failures: How many there were of each kind, and the first one's message.
    """

    def __init__(self) -> None:
        self.answered = new_histogram()
        self.failed = new_histogram()
        self.from_real_start = new_histogram()
        self.attempts = 0
        self.retried = 0
        self.degraded = 0
        self.failures: dict[FailureKey, list[Any]] = {}

    @property
    def calls(self) -> int:
        """All calls."""
        return int(self.answered.total_count + self.failed.total_count)

    def add_reply(self, reply: Reply[Any], seconds: float, from_real_start: float | None) -> None:
        """Count a call that gave a result.

        Args:
            reply: What it gave.
            seconds: Its latency.
            from_real_start: In an open loop how long it took once it had begun.
        """
        _record(self.answered, seconds)
        if from_real_start is not None:
            _record(self.from_real_start, from_real_start)
        self.retried += reply.attempts > 1
        self.attempts += reply.attempts
        self.degraded += reply.degraded

    def add_error(self, error: CallError, seconds: float) -> None:
        """Count a call that failed."""
        _record(self.failed, seconds)
        self.attempts += error.attempts
        self.retried += error.attempts > 1
        raised = error.type if isinstance(error, RemoteError) else ""
        key: FailureKey = (error.kind, raised, error.executed)
        if key not in self.failures and len(self.failures) >= KINDS:
            key = OTHERS
        seen = self.failures.setdefault(key, [0, printable(error.message, _LONGEST_EXAMPLE)])
        seen[0] += 1


def new_histogram() -> Any:
    """An empty HdrHistogram of nanoseconds."""
    return HdrHistogram(LEAST, MOST, DIGITS)


def _record(histogram: Any, seconds: float) -> None:
    histogram.record_value(max(LEAST, min(int(seconds * NANOSECONDS), MOST)))
