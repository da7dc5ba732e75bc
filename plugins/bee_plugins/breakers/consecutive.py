"""Breaker ``consecutive``: cuts a node off after a number of failures in a row."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Literal

import attrs

from bee_core.hookspecs import Registrar, hookimpl
from bee_core.interfaces import Breakers, BreakerState, Change, Failure, Node, Outcome, Permit
from bee_core.options import at_least

if TYPE_CHECKING:
    from collections.abc import Sequence


@attrs.frozen
class ConsecutiveOptions:
    """Options of ``consecutive``.

    Attributes:
        max_error_count: Failures in a row, all of them the node's fault, that cut it off. The
            default is 10: a few failed calls do no harm, and a dead node costs at most ten calls.
    """

    max_error_count: int = attrs.field(default=10, validator=at_least(1))


class Consecutive:
    """The breakers of one service: each node is judged by itself. Thread-safe."""

    def __init__(self, options: ConsecutiveOptions) -> None:
        self._limit = options.max_error_count

    def node(self, node: Node) -> ConsecutiveBreaker:
        """See :meth:`bee_core.interfaces.Breakers.node`."""
        return ConsecutiveBreaker(node, self._limit)

    def sweep(self, now: float) -> tuple[Sequence[Change], float | None]:
        """See :meth:`bee_core.interfaces.Breakers.sweep`. Time alone decides nothing here."""
        return (), None


class ConsecutiveBreaker:
    """The circuit breaker of Nygard's *Release It!*. Thread-safe.

    It counts as Finagle's ``consecutiveFailures`` does.

    ========= ====================================================================================
    state     meaning
    ========= ====================================================================================
    closed    every call gets a permit
    open      no call gets one; the core pings the node
    half-open a ping was answered; one call at a time may try the node. Its success closes the
              breaker, its failure opens it again
    ========= ====================================================================================

    Only a failure whose blame is the node counts. A success sets the count to 0. So does an error
    that the handler raised, because the node did its work. Overload, the caller's own deadline and
    a call that was given up change nothing.

    A permit is the token of the period in which it was given. When a call ends after its period
    (it began before the node was cut off, for example), its outcome is ignored.
    """

    __slots__ = (
        "_errors",
        "_limit",
        "_node",
        "_open_to_all",
        "_trial",
        "lock",
        "standing",
        "state",
    )

    def __init__(self, node: Node, limit: int) -> None:
        self.state: BreakerState = "closed"
        self._node = node
        self._limit = limit
        self._errors = 0
        self.lock = Lock()
        # The token of a closed period, the same for all its calls.
        self._open_to_all: Permit | None = object()
        # The same while no failure is counted: see :class:`bee_core.interfaces.Breaker`.
        self.standing = self._open_to_all
        # The token of the one call in flight while half-open.
        self._trial: Permit | None = None

    def admit(self, now: float) -> Permit | None:
        """See :meth:`bee_core.interfaces.Breaker.admit`.

        It takes no lock while the breaker is closed, which is nearly always.
        """
        permit = self._open_to_all
        if permit is not None or self.state == "open":
            return permit
        trial: Permit | None = None
        try:
            with self.lock:
                if self.state != "half-open":
                    return self._open_to_all
                if self._trial is not None:
                    return None
                trial = self._trial = object()
                return trial
        except BaseException:
            # A handler of signals raised before anybody heard of the trial.
            if trial is not None and self._trial is trial:
                self._trial = None
            raise

    def settle(
        self, permit: Permit, outcome: Outcome | None, seconds: float, now: float
    ) -> Change | None:
        """See :meth:`bee_core.interfaces.Breaker.settle`."""
        verdict = _verdict(outcome)
        if verdict == "well" and self._errors == 0 and permit is self._open_to_all:
            return None  # nearly every call: nothing changes, so no lock is needed
        with self.lock:
            if permit is self._trial:
                self._trial = None
                return self._end_trial(verdict)
            if permit is self._open_to_all:
                return self._count(verdict)
            return None

    def probed(self, ok: bool, now: float) -> Change | None:
        """See :meth:`bee_core.interfaces.Breaker.probed`.

        A ping shows that the node is there. Only a call shows that it works, so the breaker becomes
        half-open and not closed.
        """
        with self.lock:
            if self.state != "open" or not ok:
                return None
            return self._change("half-open")

    def after_fork(self) -> None:
        """See :mod:`bee_core.interfaces`.

        The state stays. The lock and the trial may belong to a thread that the child does not have.
        """
        self.lock = Lock()
        self._trial = None

    def _count(self, verdict: str) -> Change | None:
        if verdict == "well":
            self._errors = 0
            self.standing = self._open_to_all
        elif verdict == "ill":
            self.standing = None
            self._errors += 1
            if self._errors >= self._limit:
                return self._cut_off()
        return None

    def _end_trial(self, verdict: str) -> Change | None:
        if verdict == "well":
            self._errors = 0
            self.standing = self._open_to_all = object()
            return self._change("closed")
        return self._cut_off() if verdict == "ill" else None

    def _cut_off(self) -> Change:
        self.standing = self._open_to_all = None
        return self._change("open")

    def _change(self, after: BreakerState) -> Change:
        change = Change(self._node, self.state, after)
        self.state = after
        return change


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
def bee_register_breakers(registry: Registrar[Breakers]) -> None:
    """Offer ``consecutive``."""
    registry.add("consecutive", Consecutive, options=ConsecutiveOptions)
