"""Breaker ``consecutive``: cuts a node off after a number of failures in a row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from bee_core.hookspecs import Registrar, hookimpl
from bee_core.options import Seconds, at_least

from .ejection import EjectingBreakers, NodeBreaker, Rules, share
from .verdicts import Verdict, said

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bee_core.interfaces import Breakers, Change, Node, Outcome, Permit


@attrs.frozen
class ConsecutiveOptions:
    """Options of ``consecutive``.

    Attributes:
        max_error_count: Failures in a row, all of them the node's fault, that cut it off. The
            default is 10: a few failed calls do no harm, and a dead node costs at most ten calls.
        max_ejected: The share of the service's nodes that may be cut off at a time, at least one.
            The default is 1, all of them: so many failures in a row are no matter of chance.
        base_ejection_time: Seconds that a node is cut off at least, times the number of its
            ejections. The default is 0: the first ping that is answered decides, and pings of a
            node that fails again become rarer.
        max_ejection_time: Seconds that an ejection takes at most. The default is gRPC's (A50).
        trials: Calls in a row, one at a time, that a half-open node must answer. The default is 1,
            Nygard's.
    """

    max_error_count: int = attrs.field(default=10, validator=at_least(1))
    max_ejected: float = attrs.field(default=1.0, validator=share)
    base_ejection_time: Seconds = attrs.field(default=0.0, validator=at_least(0))
    max_ejection_time: Seconds = attrs.field(default=300.0, validator=at_least(0))
    trials: int = attrs.field(default=1, validator=at_least(1))


class Consecutive(EjectingBreakers["ConsecutiveBreaker"]):
    """The breakers of one service: each node is judged by itself. Thread-safe."""

    def __init__(self, options: ConsecutiveOptions) -> None:
        self._limit = options.max_error_count
        base = options.base_ejection_time
        super().__init__(
            Rules(options.max_ejected, 0.0, base, options.max_ejection_time, base, options.trials)
        )

    def make(self, node: Node) -> ConsecutiveBreaker:
        """See :meth:`.ejection.EjectingBreakers.make`."""
        return ConsecutiveBreaker(node, self, self._limit)

    def sweep(self, now: float) -> tuple[Sequence[Change], float | None]:
        """See :meth:`bee_core.interfaces.Breakers.sweep`. Time alone decides nothing here."""
        return (), None


class ConsecutiveBreaker(NodeBreaker):
    """The circuit breaker of Nygard's *Release It!*. Thread-safe.

    It counts as Finagle's ``consecutiveFailures`` does: a success sets the count to 0. So its
    permit stands while no failure is counted, and a success costs a call nothing then.
    """

    __slots__ = ("_errors", "_limit")

    def __init__(self, node: Node, breakers: Consecutive, limit: int) -> None:
        super().__init__(node, breakers)
        self._limit = limit
        self._errors = 0

    def took(self, verdict: Verdict, permit: Permit) -> bool:
        """See :meth:`.ejection.NodeBreaker.took`. Nearly every call: nothing changes."""
        return verdict == "well" and self._errors == 0

    def judge(self, verdict: Verdict, outcome: Outcome | None, now: float) -> str:
        """See :meth:`.ejection.NodeBreaker.judge`."""
        if verdict == "well":
            self._errors = 0
            self.standing = self._open_to_all
        elif verdict == "ill":
            self.standing = None
            self._errors += 1
            if self._errors >= self._limit:
                plural = "" if self._errors == 1 else "s"
                return f"{self._errors} failure{plural} in a row, the last: {said(outcome)}"
        return ""

    def begin(self, now: float | None) -> None:
        """See :meth:`.ejection.NodeBreaker.begin`."""
        self._errors = 0


@hookimpl
def bee_register_breakers(registry: Registrar[Breakers]) -> None:
    """Offer ``consecutive``."""
    registry.add("consecutive", Consecutive, options=ConsecutiveOptions)
