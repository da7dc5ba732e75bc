"""Breaker ``outlier``: cuts off the nodes that fail more than the others do.

The algorithms and their defaults are those of gRPC's proposal A50 (outlier detection), which has
them from Envoy. ``docs/decisions/breakers.md`` has the differences.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, NamedTuple

import attrs

from bee_core.hookspecs import Registrar, hookimpl
from bee_core.interfaces import Failure
from bee_core.options import Seconds, at_least, positive

from .ejection import EjectingBreakers, NodeBreaker, Rules, share, share_or_none
from .verdicts import Tally, Verdict, said

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bee_core.interfaces import Breakers, Change, Node, Outcome, Permit


@attrs.frozen
class Deviation:
    """The algorithm *success rate*: a node far below the mean of all is cut off.

    Attributes:
        stdev_factor: Standard deviations below the mean from which on a node is an outlier.
        min_nodes: Nodes with ``min_calls`` without which nothing is decided (``minimum_hosts``).
        min_calls: Calls of an interval without which a node is not looked at (``request_volume``).
        min_failures: Failures of an interval without which a node is no outlier. Among nodes
            without any failure a single one would be far from the mean.
    """

    stdev_factor: float = attrs.field(default=1.9, validator=positive)
    min_nodes: int = attrs.field(default=5, validator=at_least(1))
    min_calls: int = attrs.field(default=100, validator=at_least(1))
    min_failures: int = attrs.field(default=5, validator=at_least(1))


@attrs.frozen
class FailurePercentage:
    """The algorithm *failure percentage*: a node that fails more than a fixed share is cut off.

    Attributes:
        threshold: The share of failed calls above which a node is an outlier.
        min_nodes: As above.
        min_calls: As above.
    """

    threshold: float = attrs.field(default=0.85, validator=share_or_none)
    min_nodes: int = attrs.field(default=5, validator=at_least(1))
    min_calls: int = attrs.field(default=50, validator=at_least(1))


@attrs.frozen
class OutlierOptions:
    """Options of ``outlier``. The defaults are gRPC's (A50) where nothing else is said.

    Attributes:
        interval: Seconds between two looks at the nodes, a millisecond or more. The default is
            10 s.
        success_rate: Options of the algorithm, or null to leave it out.
        failure_percentage: Likewise.
        max_connect_failures: Connections in a row that cannot be made to a node until it is cut off
            at once, or null to leave that out. The default is 5, Envoy's
            ``consecutive_local_origin_failure``. gRPC needs none: it sends no call to an address
            that it cannot connect to.
        max_ejected: The share of the service's nodes that may be cut off at a time, at least one.
            The default is 0.1.
        panic_threshold: The share of the nodes that is never cut off. The default is Envoy's 0.5;
            so the only node of a service always stays.
        base_ejection_time: Seconds that a node is cut off at least, times the number of its
            ejections. The default is 30 s. It is forgiven one ejection an interval.
        max_ejection_time: Seconds that an ejection takes at most. The default is 300 s.
        trials: Calls in a row, one at a time, that a half-open node must answer; gRPC has no
            trials. The default is 3: a node that fails every other call passes one trial in two,
            and three in one of eight.
    """

    interval: Seconds = attrs.field(default=10.0, validator=at_least(0.001))
    success_rate: Deviation | None = attrs.field(factory=Deviation)
    failure_percentage: FailurePercentage | None = attrs.field(factory=FailurePercentage)
    max_connect_failures: int | None = attrs.field(default=5, validator=at_least(1))
    max_ejected: float = attrs.field(default=0.1, validator=share)
    panic_threshold: float = attrs.field(default=0.5, validator=share_or_none)
    base_ejection_time: Seconds = attrs.field(default=30.0, validator=positive)
    max_ejection_time: Seconds = attrs.field(default=300.0, validator=positive)
    trials: int = attrs.field(default=3, validator=at_least(1))


class Sample(NamedTuple):
    """The calls of one node in an interval."""

    breaker: OutlierBreaker
    successes: int
    failures: int

    @property
    def calls(self) -> int:
        """All of them."""
        return self.successes + self.failures

    @property
    def rate(self) -> float:
        """The share that succeeded."""
        return self.successes / self.calls


Found = tuple[Sample, str]
"""A node to cut off, and why."""


def far_from_the_mean(samples: Iterable[Sample], options: Deviation) -> Iterator[Found]:
    """The outliers of the algorithm *success rate*, the worst first. Pure."""
    asked = [one for one in samples if one.calls >= options.min_calls]
    if len(asked) < options.min_nodes:
        return
    mean = sum(one.rate for one in asked) / len(asked)
    stdev = sqrt(sum((one.rate - mean) ** 2 for one in asked) / len(asked))
    least = mean - stdev * options.stdev_factor
    for one in sorted(asked, key=lambda one: one.rate):
        if one.rate >= least:
            return
        if one.failures >= options.min_failures:
            yield (
                one,
                (
                    f"{one.rate:.1%} of {one.calls} calls in an interval succeeded, and {mean:.1%} "
                    f"is the mean of {len(asked)} nodes"
                ),
            )


def mostly_failing(samples: Iterable[Sample], options: FailurePercentage) -> Iterator[Found]:
    """The outliers of the algorithm *failure percentage*, the worst first. Pure."""
    asked = [one for one in samples if one.calls >= options.min_calls]
    if len(asked) < options.min_nodes:
        return
    for one in sorted(asked, key=lambda one: one.rate):
        if one.failures <= options.threshold * one.calls:
            return
        yield (
            one,
            (
                f"{one.failures} of {one.calls} calls in an interval failed, and "
                f"{options.threshold:.0%} may"
            ),
        )


class Outlier(EjectingBreakers["OutlierBreaker"]):
    """The breakers of one service: nodes are compared at each interval. Thread-safe."""

    counting = True

    def __init__(self, options: OutlierOptions) -> None:
        self._options = options
        super().__init__(
            Rules(
                options.max_ejected,
                options.panic_threshold,
                options.base_ejection_time,
                options.max_ejection_time,
                options.interval,
                options.trials,
            )
        )
        self._due: float | None = None

    def make(self, node: Node) -> OutlierBreaker:
        """See :meth:`.ejection.EjectingBreakers.make`."""
        return OutlierBreaker(node, self, self._options.max_connect_failures)

    def sweep(self, now: float) -> tuple[Sequence[Change], float | None]:
        """See :meth:`bee_core.interfaces.Breakers.sweep`."""
        with self.lock:
            if self._due is not None and now < self._due:
                return (), self._due
            self._due = now + self._options.interval
            samples = [one.take() for one in self.breakers.values()]
            return list(self._cut_off(samples, now)), self._due

    def _cut_off(self, samples: Sequence[Sample], now: float) -> Iterator[Change]:
        options = self._options
        found: list[Found] = []
        if options.success_rate is not None:
            found += far_from_the_mean(samples, options.success_rate)
        if options.failure_percentage is not None:
            found += mostly_failing(samples, options.failure_percentage)
        for sample, reason in found:
            closed = sample.breaker.state == "closed"  # both algorithms may name a node
            if closed and (change := sample.breaker.cut_off(reason, now)):
                yield change


class OutlierBreaker(NodeBreaker):
    """Counts the calls of one node; the sweep decides. Thread-safe.

    Only connections that cannot be made are judged at once: no node needs to be compared for that.
    """

    __slots__ = ("_connect_limit", "_succeeded_before", "_taken", "_tally", "_unmade", "succeeded")

    def __init__(self, node: Node, breakers: Outlier, connect_limit: int | None) -> None:
        super().__init__(node, breakers)
        self._connect_limit = connect_limit
        self._unmade = 0  # connections in a row
        self._succeeded_before = 0  # calls, when the first of these failed
        self._tally = Tally()
        self.succeeded = self._tally.succeeded
        self._taken = (0, 0)

    def took(self, verdict: Verdict, permit: Permit) -> bool:
        """See :meth:`.ejection.NodeBreaker.took`."""
        if verdict == "well":
            self.succeeded()
        return verdict != "ill"

    def judge(self, verdict: Verdict, outcome: Outcome | None, now: float) -> str:
        """See :meth:`.ejection.NodeBreaker.judge`."""
        if verdict != "ill":
            self.took(verdict, self._open_to_all)
            return ""
        self._tally.failures += 1
        if self._connect_limit is None or not isinstance(outcome, Failure) or outcome.reached:
            self._unmade = 0
            return ""
        successes = self._tally.successes()
        if successes != self._succeeded_before:
            self._unmade, self._succeeded_before = 0, successes
        self._unmade += 1
        if self._unmade < self._connect_limit:
            return ""
        plural = "" if self._unmade == 1 else "s"
        return f"{self._unmade} connection{plural} in a row cannot be made: {said(outcome)}"

    def begin(self, now: float | None) -> None:
        """See :meth:`.ejection.NodeBreaker.begin`."""
        self._taken = self._tally.successes(), self._tally.failures
        self._unmade = 0

    def take(self) -> Sample:
        """The calls since this was asked last. The caller holds the lock."""
        successes, failures = self._taken
        self._taken = new_successes, new_failures = self._tally.successes(), self._tally.failures
        return Sample(self, new_successes - successes, new_failures - failures)


@hookimpl
def bee_register_breakers(registry: Registrar[Breakers]) -> None:
    """Offer ``outlier``."""
    registry.add("outlier", Outlier, options=OutlierOptions)
