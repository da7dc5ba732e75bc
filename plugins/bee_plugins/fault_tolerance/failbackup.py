"""Fault tolerance ``failbackup``: a second attempt at another node beside a slow first one.

"The Tail at Scale" (Jeffrey Dean, Luiz André Barroso, CACM 56, 2013) shows that it cuts the slowest
calls at a few percent more load. Finagle, Envoy, brpc and gRPC have it as hedging or backup
requests.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

import attrs

from bee_core.hookspecs import Registrar, hookimpl
from bee_core.options import Seconds, positive, validator

from .failover import FailOver
from .failtry import BackoffOptions
from .recent_latency import RecentLatency

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from bee_core.interfaces import Again, FaultTolerance, Outcome, Tried

_SAVED = 10.0
"""Second attempts that a quiet time saves up: enough for a moment's trouble of one node, and too
few to hurt another one."""

_percentile = validator(lambda value: "" if 50 <= value < 100 else "from 50 to below 100")
_budget = validator(lambda value: "" if 0.01 <= value <= 0.10 else "a share from 0.01 to 0.10")


@attrs.frozen(kw_only=True)
class FailBackupOptions(BackoffOptions):
    """The options of ``failbackup``, and those of the back-off of ``failover``.

    Attributes:
        delay: Seconds without a reply until the second attempt begins. None: ``percentile`` says.
        percentile: Of the latencies of the service: the second attempt begins once the first has
            taken longer than so many percent of attempts do. 95, as in "The Tail at Scale": one
            call in twenty is hedged, and that is what the budget pays for. None with a ``delay``.
        budget: Second attempts as a share of the calls, at most. 0.05: what the 95th percentile
            needs; so a service that is slow as a whole gets a twentieth more load.
    """

    delay: Seconds | None = attrs.field(default=None, validator=positive)
    percentile: float | None = attrs.field(default=None, validator=_percentile)
    budget: float = attrs.field(default=0.05, validator=_budget)

    def __attrs_post_init__(self) -> None:
        """Refuse two answers to one question."""
        super().__attrs_post_init__()
        if self.delay is not None and self.percentile is not None:
            raise ValueError("delay and percentile exclude each other: keep one of them")


PERCENTILE = 95.0
"""Where neither ``delay`` nor ``percentile`` is stated."""


class FailBackup:
    """Hedges slow attempts, and then retries as ``failover`` does. Thread-safe.

    Each call pays ``budget`` of a second attempt in, and each second attempt takes one out. At most
    ten are saved up, and the first is there from the start. So of ``n`` calls no more than
    ``1 + budget * n`` are hedged.

    An attempt that was given up counts with the time that it had taken: without that the slow calls
    would be missing, and the percentile would fall and fall.
    """

    def __init__(self, options: FailBackupOptions) -> None:
        self._failover = FailOver(options)
        self._delay = options.delay
        self._latency = (
            None if options.delay is not None else RecentLatency(options.percentile or PERCENTILE)
        )
        self._share = options.budget
        self._saved = 1.0
        self._lock = Lock()

    def next(self, history: Sequence[Tried], rng: Random) -> Again | None:
        """See :meth:`bee_core.interfaces.FaultTolerance.next`."""
        return self._failover.next(history, rng)

    def hedge(self, history: Sequence[Tried], now: float) -> float | None:
        """See :class:`bee_core.interfaces.FaultTolerance`."""
        if not history and self._saved < _SAVED:
            with self._lock:
                self._saved = min(_SAVED, self._saved + self._share)
        return self._delay if self._latency is None else self._latency.value

    def may_hedge(self, now: float) -> bool:
        """See :class:`bee_core.interfaces.FaultTolerance`."""
        with self._lock:
            if self._saved < 1.0:
                return False
            self._saved -= 1.0
            return True

    def settle(self, outcome: Outcome | None, seconds: float, now: float) -> None:
        """See :class:`bee_core.interfaces.FaultTolerance`."""
        if self._latency is not None and (outcome is None or outcome.ok):
            self._latency.add(seconds)

    def after_fork(self) -> None:
        """Renew the lock: a thread of the parent may have held it."""
        self._lock = Lock()


@hookimpl
def bee_register_fault_tolerances(registry: Registrar[FaultTolerance]) -> None:
    """Offer ``failbackup``."""
    registry.add("failbackup", FailBackup, options=FailBackupOptions)
