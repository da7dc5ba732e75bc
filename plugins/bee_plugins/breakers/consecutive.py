"""Breaker ``consecutive``: a node that fails so many times in a row is cut off."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Literal

import attrs

from bee_core.hookspecs import hookimpl
from bee_core.interfaces import Failure

if TYPE_CHECKING:
    from bee_core.hookspecs import Registrar
    from bee_core.interfaces import Breaker, BreakerState, Outcome, Permit


def _at_least_one(_: object, attribute: attrs.Attribute[int], value: int) -> None:
    if value < 1:
        raise ValueError(f"{attribute.name} must be 1 or more, not {value}")


@attrs.frozen
class ConsecutiveOptions:
    """Options of ``consecutive``.

    Attributes:
        max_error_count: Failures in a row, all of them the node's fault, that cut it off. 10: a blip of a few calls passes, a dead node costs no more than ten.
    """

    max_error_count: int = attrs.field(default=10, validator=_at_least_one)


class Consecutive:
    """The circuit breaker of Nygard's *Release It!* with the count of Finagle's ``consecutiveFailures``. Thread-safe.

    *Closed*: every call has a permit. *Open*: none has; the core pings the node. *Half-open*, once a ping was answered: one call at a time may try the node; its
    success closes the breaker, its failure opens it again.

    What counts against the node is a failure whose blame is the node. A success ends the row, and so does an error that the handler itself raised: the node did its work.
    Overload, a caller's own deadline, a call that was given up say nothing and change nothing.

    A permit is the token of the period in which it was given, so the verdict of a call that outlives its period (begun before the node was cut off, say) is ignored.
    """

    __slots__ = ("_errors", "_limit", "_lock", "_open_to_all", "_trial", "state")

    def __init__(self, options: ConsecutiveOptions) -> None:
        self.state: BreakerState = "closed"
        self._limit = options.max_error_count
        self._errors = 0
        self._lock = Lock()
        self._open_to_all: Permit | None = (
            object()
        )  # the token of a closed period, the same for all calls
        self._trial: Permit | None = None  # the token of the one call under way while half-open

    def admit(self, now: float) -> Permit | None:
        """See :meth:`bee_core.interfaces.Breaker.admit`. Takes no lock while closed: that is nearly always."""
        permit = self._open_to_all
        if permit is not None or self.state == "open":
            return permit
        with self._lock:
            if self.state != "half-open":
                return self._open_to_all
            if self._trial is not None:
                return None
            self._trial = object()
            return self._trial

    def settle(self, permit: Permit, outcome: Outcome | None, now: float) -> bool:
        """See :meth:`bee_core.interfaces.Breaker.settle`."""
        verdict = _verdict(outcome)
        if verdict == "well" and self._errors == 0 and permit is self._open_to_all:
            return False  # nearly every call: nothing to change, so no lock
        with self._lock:
            if permit is self._trial:
                self._trial = None
                return self._end_trial(verdict)
            if permit is self._open_to_all:
                return self._count(verdict)
            return False

    def probed(self, ok: bool, now: float) -> bool:
        """See :meth:`bee_core.interfaces.Breaker.probed`. A ping shows that the node is there, and only a call that it works: so half-open and not closed."""
        with self._lock:
            if self.state != "open" or not ok:
                return False
            self.state = "half-open"
            return True

    def after_fork(self) -> None:
        """See :mod:`bee_core.interfaces`. The state stays; the lock and the trial may be those of a thread that the child does not have."""
        self._lock = Lock()
        self._trial = None

    def _count(self, verdict: str) -> bool:
        if verdict == "well":
            self._errors = 0
        elif verdict == "ill":
            self._errors += 1
            if self._errors >= self._limit:
                self._cut_off()
                return True
        return False

    def _end_trial(self, verdict: str) -> bool:
        if verdict == "well":
            self._errors = 0
            self._open_to_all = object()
            self.state = "closed"
        elif verdict == "ill":
            self._cut_off()
        return verdict != "unknown"

    def _cut_off(self) -> None:
        self.state = "open"
        self._open_to_all = None


def _verdict(outcome: Outcome | None) -> Literal["well", "ill", "unknown"]:
    """What an outcome says of the node."""
    if outcome is None:
        return "unknown"
    if not isinstance(outcome, Failure):
        return "well"
    if outcome.blame == "node":
        return "ill"
    return "well" if outcome.executed == "yes" else "unknown"


@hookimpl
def bee_register_breakers(registry: Registrar[Breaker]) -> None:
    """Offer ``consecutive``."""
    registry.add("consecutive", Consecutive, options=ConsecutiveOptions)
