"""Limiter ``codel``: a queue in front of a limit, which stays short under overload.

A queue is good where it takes up a burst, and bad where it stands: then every call waits, and those
that are served have little of their deadlines left. CoDel (Nichols and Jacobson, "Controlling
Queue Delay", ACM Queue 10(5), 2012) tells the two apart by the time since the queue was last empty.
Here it is used as at Facebook (Maurer, "Fail at Scale", ACM Queue 13(8), 2015):

- The queue was empty within the last ``interval``: a call may wait for ``interval``.
- It was not, so it is overloaded: a call may wait for ``target`` only, and the newest call is
  served first. The old ones have waited in vain, and their callers may have gone.

The queue has the most important calls first. What stands behind a call does not delay it, so each
level has its own view of the queue: that of its own calls and of those above it.
"""

from __future__ import annotations

from threading import Lock
from typing import Annotated, Any, Literal

import attrs

from bee_core.hookspecs import Registrar, hookimpl
from bee_core.interfaces import (
    CRITICALITIES,
    AnyRequest,
    Criticality,
    Failure,
    Limiter,
    Outcome,
    Ticket,
    local,
    part_of,
)
from bee_core.options import OptionError, Plugin, Seconds, at_least, positive

from .queueing import QueuedCall, WaitingLine, level_of


@attrs.frozen
class CodelOptions:
    """Options of ``codel``.

    Attributes:
        limit: The limiter that the calls wait for. It has no queue of its own: ``gradient``, or
            ``fixed`` with ``max_queue: 0``. The default needs no number.
        target: Seconds that a call may wait while the queue is overloaded: 5 ms, as in "Fail at
            Scale" and in RFC 8289.
        interval: Seconds that a call may wait otherwise, and after which a queue that was never
            empty is overloaded: 100 ms, likewise.
        max_queue: Calls that may wait; one more fails at once. 1000: with 100 ms each, a service of
            10,000 calls a second never meets it, and it bounds the memory.
    """

    limit: Annotated[Limiter, Plugin("limiter")] = "gradient"  # type: ignore[assignment]  # made by bee
    target: Seconds = attrs.field(default=0.005, validator=positive)
    interval: Seconds = attrs.field(default=0.1, validator=positive)
    max_queue: int = attrs.field(default=1000, validator=at_least(1))


class Codel:
    """See the module. Thread-safe: one lock. The limit is asked under it, nobody called back."""

    __slots__ = (
        "_interval",
        "_last_empty",
        "_limit",
        "_max_queue",
        "_now",
        "_target",
        "line",
        "lock",
    )

    def __init__(self, options: CodelOptions) -> None:
        if options.target > options.interval:
            raise OptionError("target", "target is above interval; it is the shorter one")
        self._limit = options.limit
        self._target = options.target
        self._interval = options.interval
        self._max_queue = options.max_queue
        self.lock = Lock()
        self.line = WaitingLine()
        self._now = 0.0  # the time of the last call
        # When no call of a level or above it waited, as far as new calls have seen.
        self._last_empty: dict[Criticality, float] = {}

    def admit(self, request: AnyRequest, now: float) -> Ticket | Literal[True] | Failure:
        """See :meth:`bee_core.interfaces.Limiter.admit`."""
        taken: QueuedCall | Literal[True] | None = None
        served: list[QueuedCall] = []
        try:
            with self.lock:
                self._now = now
                level = level_of(request)
                before = self._look(level, now)
                if before and self._waits(self._next()):
                    # Mostly in vain: what ends serves the queue. But a limit may have room again by
                    # itself, and an interruption may have come between an end and what follows it.
                    self._serve(served)
                    before = self.line.before(level)
                taken = (not before and self._ask(request, now)) or None
                if taken is None and self.line.size < part_of(self._max_queue, level):
                    wait = self._target if self._overloaded(level) else self._interval
                    taken = QueuedCall(self, request, wait, now + wait)
                    self.line.add(taken)
            _tell(served)
            if taken is not None:
                return taken
        except BaseException:
            # A handler of signals raised before anybody heard of the permit.
            if taken is True or (taken is not None and not taken.leave()):
                self.release(None, 0.0)
            raise
        return local(
            "overloaded",
            f"{self._max_queue} calls wait: the limit of the limiter 'codel' (max_queue)",
            retry_after=self._interval,
        )

    def release(self, outcome: Outcome | None, seconds: float) -> None:
        """See :meth:`bee_core.interfaces.Limiter.release`."""
        served: list[QueuedCall] = []
        back = False
        try:
            with self.lock:
                limit: Any = self._limit
                # One line: no handler of signals runs between the end and the note of it.
                back = limit.release(outcome, seconds) is None
                self._serve(served)
        except BaseException as error:
            # A handler of signals raised before the permit was back. After an Exception, which may
            # be the limit's, the caller releases once more.
            if not back and not isinstance(error, Exception):
                self.release(None, 0.0)
            raise
        finally:
            _tell(served)

    def after_fork(self) -> None:
        """See :mod:`bee_core.interfaces`. The calls in flight and in the queue are the parent's."""
        self.lock = Lock()
        self.line.clear()
        renew = getattr(self._limit, "after_fork", None)
        if renew is not None:
            renew()

    def _ask(self, request: AnyRequest, now: float) -> bool:
        """Whether the limit has a permit. Under the lock."""
        answer: Ticket | Literal[True] | Failure | None = None
        try:
            answer = self._limit.admit(request, now)
            # A limit with a queue of its own: the call waits here and not there.
            return answer is True or not (isinstance(answer, Failure) or answer.leave())
        except BaseException:
            # A handler of signals raised before anybody heard of the answer.
            if answer is True or not (
                answer is None or isinstance(answer, Failure) or answer.leave()
            ):
                self._limit.release(None, 0.0)
            raise

    def _serve(self, served: list[QueuedCall]) -> None:
        """Let calls of the queue go on as far as the limit lets them. Under the lock.

        Args:
            served: Gets those that are to be told.
        """
        while (queued := self._next()) is not None:
            if not self._waits(queued):
                queued.refusal = _waited(queued, self._interval)
            elif not self._grant(queued):
                return
            served.append(queued)
            self.line.drop(queued)

    def _waits(self, queued: QueuedCall | None) -> bool:
        """Whether the time of a call in the queue is not over."""
        return queued is not None and (queued.until is None or queued.until >= self._now)

    def _grant(self, queued: QueuedCall) -> bool:
        """Give a call of the queue its permit, if there is one. Once."""
        queued.granted = queued.granted or self._ask(queued.request, self._now)
        return queued.granted

    def _look(self, level: Criticality, now: float) -> int:
        """How many calls wait before a new one; notes for which levels none does."""
        before = 0
        for known in CRITICALITIES:
            here = self.line.before(known)
            if not here:
                self._last_empty[known] = now
            if known == level:
                before = here
        return before

    def _overloaded(self, level: Criticality) -> bool:
        """Whether some call of a level, or above it, has waited all through the last interval."""
        return self._now - self._last_empty.get(level, self._now) > self._interval

    def _next(self) -> QueuedCall | None:
        """Whose turn it is: of the highest level the oldest, or under overload the newest."""
        first = self.line.first()
        if first is not None and self._overloaded(first.level):
            return self.line.first(newest=True)
        return first


def _tell(served: list[QueuedCall]) -> None:
    """Call back those that were served. Never under the lock."""
    while served:
        callback = served.pop(0).callback
        if callback is not None:
            callback()


def _waited(queued: QueuedCall, retry_after: float) -> Failure:
    return local(
        "overloaded",
        f"no turn within {queued.timeout:g} s at the limiter 'codel'",
        retry_after=retry_after,
    )


@hookimpl
def bee_register_limiters(registry: Registrar[Limiter]) -> None:
    """Offer ``codel``."""
    registry.add("codel", Codel, options=CodelOptions)
