"""Breaker ``success-rate``: cuts a node off when too few of its last calls succeed."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import attrs

from bee_core.hookspecs import Registrar, hookimpl
from bee_core.options import Seconds, at_least, positive

from .ejection import EjectingBreakers, NodeBreaker, Rules, share, share_or_none
from .verdicts import Tally, Verdict, said

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bee_core.interfaces import Breakers, Change, Node, Outcome, Permit

BUCKETS = 10
"""Parts of the window. With ten of them it is at most a tenth longer than stated (Hystrix)."""


@attrs.frozen
class SuccessRateOptions:
    """Options of ``success-rate``.

    Attributes:
        window: Seconds of calls that are looked at, a millisecond or more. The default is
            Hystrix's 10 s.
        min_calls: Calls in the window without which nothing is decided. The default is Hystrix's
            20: with fewer, chance alone can make a bad rate.
        min_success_rate: The share of the calls that must succeed. The default is Finagle's 0.8.
        max_ejected: The share of the service's nodes that may be cut off at a time, at least one.
            The default is 0.1, as Envoy's and gRPC's: where more fail, the fault is not the nodes'.
        panic_threshold: The share of the nodes that is never cut off. The default is Envoy's 0.5;
            so the only node of a service always stays.
        base_ejection_time: Seconds that a node is cut off at least, times the number of its
            ejections. The default is Hystrix's 5 s.
        max_ejection_time: Seconds that an ejection takes at most. The default is gRPC's (A50).
        trials: Calls in a row, one at a time, that a half-open node must answer. The default is 3:
            a node that fails every other call passes one trial in two, and three in one of eight.
    """

    window: Seconds = attrs.field(default=10.0, validator=at_least(0.001))
    min_calls: int = attrs.field(default=20, validator=at_least(1))
    min_success_rate: float = attrs.field(default=0.8, validator=share)
    max_ejected: float = attrs.field(default=0.1, validator=share)
    panic_threshold: float = attrs.field(default=0.5, validator=share_or_none)
    base_ejection_time: Seconds = attrs.field(default=5.0, validator=positive)
    max_ejection_time: Seconds = attrs.field(default=300.0, validator=positive)
    trials: int = attrs.field(default=3, validator=at_least(1))


class SuccessRate(EjectingBreakers["SuccessRateBreaker"]):
    """The breakers of one service: each node is judged by itself. Thread-safe.

    A sweep ends a bucket of every window. Only a failure can cut a node off, so only failures look
    at the rate, and a success is one step of a counter.
    """

    counting = True

    def __init__(self, options: SuccessRateOptions) -> None:
        self._options = options
        base = options.base_ejection_time
        super().__init__(
            Rules(
                options.max_ejected,
                options.panic_threshold,
                base,
                options.max_ejection_time,
                base,
                options.trials,
            )
        )
        self._now = 0.0

    def make(self, node: Node) -> SuccessRateBreaker:
        """See :meth:`.ejection.EjectingBreakers.make`."""
        return SuccessRateBreaker(node, self, self._options, self._now)

    def sweep(self, now: float) -> tuple[Sequence[Change], float | None]:
        """See :meth:`bee_core.interfaces.Breakers.sweep`. It only ends buckets."""
        with self.lock:
            self._now = now
            for breaker in self.breakers.values():
                breaker.advance(now)
        return (), now + self._options.window / BUCKETS


class SuccessRateBreaker(NodeBreaker):
    """A window in time, like Hystrix's and resilience4j's. Thread-safe.

    The counters only grow. A mark is what they were at a moment, and the calls of the window are
    the difference to the newest mark that is older than the window.
    """

    __slots__ = ("_options", "_tally", "marks", "succeeded")

    def __init__(
        self, node: Node, breakers: SuccessRate, options: SuccessRateOptions, now: float
    ) -> None:
        super().__init__(node, breakers)
        self._options = options
        self._tally = Tally()
        self.succeeded = self._tally.succeeded
        self.marks = deque([(now, 0, 0)])  # (time, successes, failures)

    def took(self, verdict: Verdict, permit: Permit) -> bool:
        """See :meth:`.ejection.NodeBreaker.took`."""
        if verdict == "well":
            self.succeeded()
        return verdict != "ill"

    def judge(self, verdict: Verdict, outcome: Outcome | None, now: float) -> str:
        """See :meth:`.ejection.NodeBreaker.judge`."""
        options = self._options
        if verdict != "ill":
            self.took(verdict, self._open_to_all)
            return ""
        self._tally.failures += 1
        self.advance(now)
        since, successes, failures = self.marks[0]
        failed = self._tally.failures - failures
        calls = self._tally.successes() - successes + failed
        rate = 1 - failed / calls
        if calls < options.min_calls or rate >= options.min_success_rate:
            return ""
        return (
            f"{rate:.0%} of {calls} calls in {now - since:.0f} s succeeded, and "
            f"{options.min_success_rate:.0%} must; the last failure: {said(outcome)}"
        )

    def begin(self, now: float | None) -> None:
        """See :meth:`.ejection.NodeBreaker.begin`."""
        at = self.marks[-1][0] if now is None else now
        self.marks.clear()
        self.marks.append((at, self._tally.successes(), self._tally.failures))

    def advance(self, now: float) -> None:
        """End a bucket that is over, and drop marks that no window needs. Under the lock."""
        window, marks = self._options.window, self.marks
        if now - marks[-1][0] >= window / BUCKETS:
            marks.append((now, self._tally.successes(), self._tally.failures))
        while len(marks) > 1 and now - marks[1][0] >= window:
            marks.popleft()


@hookimpl
def bee_register_breakers(registry: Registrar[Breakers]) -> None:
    """Offer ``success-rate``."""
    registry.add("success-rate", SuccessRate, options=SuccessRateOptions)
