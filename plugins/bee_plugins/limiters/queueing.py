"""The queue of a limiter: the most important calls first, and each call can leave at any time."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol

from bee_core.interfaces import CRITICALITIES, AnyRequest, Criticality

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Lock

    from bee_core.interfaces import Failure

_USUAL: Criticality = "critical"


def level_of(request: AnyRequest | None) -> Criticality:
    """How important a call is. A call that does not say so is as important as most calls are."""
    return _USUAL if request is None else request.criticality


class Queueing(Protocol):
    """A limiter whose calls wait in a :class:`WaitingLine`.

    Attributes:
        lock: Guards the line and what else the limiter counts.
        line: The line.
    """

    lock: Lock
    line: WaitingLine


class QueuedCall:
    """The ticket of a call in the queue. It changes only under the limiter's lock.

    Args:
        limiter: Whose ticket it is.
        request: The call.
        timeout: Seconds that it may wait, or None.
        until: The moment at which that is over, or None.

    Attributes:
        granted: Whether it has its permit.
        refusal: Why it was turned away after it had waited, or None.
        callback: Waits to hear of either.
    """

    __slots__ = (
        "_limiter",
        "callback",
        "granted",
        "level",
        "refusal",
        "request",
        "timeout",
        "until",
    )

    def __init__(
        self,
        limiter: Queueing,
        request: AnyRequest,
        timeout: float | None,
        until: float | None = None,
    ) -> None:
        self._limiter = limiter
        self.request = request
        self.level: Criticality = level_of(request)
        self.timeout = timeout
        self.until = until
        self.callback: Callable[[], None] | None = None
        self.granted = False
        self.refusal: Failure | None = None

    def on_admitted(self, callback: Callable[[], None]) -> None:
        """See :meth:`bee_core.interfaces.Ticket.on_admitted`."""
        with self._limiter.lock:
            self.callback = callback
            decided = self.granted or self.refusal is not None
        if decided:
            callback()

    def leave(self) -> bool:
        """See :meth:`bee_core.interfaces.Ticket.leave`."""
        with self._limiter.lock:
            self._limiter.line.drop(self)
            return not self.granted


class WaitingLine:
    """Calls that wait. Every step costs the same, however many wait. Under the limiter's lock."""

    __slots__ = ("_levels", "size")

    def __init__(self) -> None:
        # Ordered dicts: a call leaves in one step, wherever it stands.
        self._levels: dict[Criticality, OrderedDict[QueuedCall, None]] = {
            level: OrderedDict() for level in CRITICALITIES
        }
        self.size = 0

    def add(self, call: QueuedCall) -> None:
        """Take a call in, behind the others of its level."""
        self._levels[call.level][call] = None
        self._count()

    def first(self, *, newest: bool = False) -> QueuedCall | None:
        """Whose turn it is: the oldest call of the highest level, or the newest one there."""
        for calls in self._levels.values():
            if calls:
                return next(reversed(calls) if newest else iter(calls))
        return None

    def drop(self, call: QueuedCall) -> None:
        """Take a call out, if it is there."""
        calls = self._levels[call.level]
        if call in calls:
            del calls[call]
            self._count()

    def before(self, level: Criticality) -> int:
        """How many calls wait whose turn comes before that of a new call of this level."""
        if not self.size:
            return 0
        found = 0
        for known, calls in self._levels.items():
            found += len(calls)
            if known == level:
                break
        return found

    def _count(self) -> None:
        """Count anew: an interruption between a change and its count is made good by the next."""
        self.size = sum(map(len, self._levels.values()))

    def clear(self) -> None:
        """Forget all of them."""
        for calls in self._levels.values():
            calls.clear()
        self.size = 0
