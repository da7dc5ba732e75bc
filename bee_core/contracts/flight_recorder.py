"""The flight recorder: what a client or a server remembers of its last calls.

It is on in every process, so it costs a call little: one tuple of references that exist already,
and one look at the clock. Everything is made readable only when somebody asks.

============ ============ ====================================================================
ring         holds        what
============ ============ ====================================================================
``last``     1,000        every call, as a tuple
``failed``   200          those that failed or that a fallback answered, with their steps
``retried``  50           those that have a result, after more than one attempt or request
``refused``  100          requests that a server rejected before any work
slow         2 x 50       the slowest of this period of five minutes and of the one before
============ ============ ====================================================================

So a failure stays while thousands of ordinary calls go by. Texts are cut as they come in, which
bounds the memory: about 0.3 MB when the rings are full of ordinary calls, 3 MB at most.

Nothing here has arguments, results, metadata or tokens.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from heapq import heappush, heappushpop
from threading import Lock
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ..terms.metadata import Metadata

    Entry = tuple[Any, ...]
    """Service, method, where (a ``Node``, or the peer's address), when it began and ended; and for
    one that failed the kind of its failure."""

LAST, FAILED, RETRIED, REFUSED, SLOW = 1000, 200, 50, 100, 50
PERIOD = 300.0
"""Seconds after which the slowest calls are looked for anew. A call stays for two of them."""
MOST_STEPS = 12
"""Steps of a call that are kept: the first ones. Retries are few, so more are a fault."""
LONGEST = 200
"""Characters of a text that is kept."""
LISTEN_AFTER = 1.0
"""Seconds after which somebody may want to ask: a program that ends sooner opens no socket."""

_TRACEPARENT = 55
_TRACE = slice(3, 35)


@attrs.frozen
class Kept:
    """A call that is kept longer than others.

    Attributes:
        service: The service's name.
        method: The method's name.
        where: The url of its last node, or the address of the peer; empty where there was none.
        began, ended: Seconds of the recorder's clock.
        kind: The kind of the failure; empty for a result.
        message: What the failure says.
        executed: Whether the handler ran, for a failure.
        error_type: The class of the handler's exception.
        attempts: Attempts that count.
        fallback: The fallback that answered; empty without one.
        steps: What it waited for, in order, ready for JSON.
        deduplicated: It got the answer of an earlier request with the same key, at a server.
        trace: The id of its trace, or None.
    """

    service: str
    method: str
    where: str
    began: float
    ended: float
    kind: str = ""
    message: str = ""
    executed: str = ""
    error_type: str = ""
    attempts: int = 1
    fallback: str = ""
    steps: tuple[Mapping[str, Any], ...] = ()
    trace: str | None = None
    deduplicated: bool = False

    @property
    def number(self) -> int:
        """Names the call among those of its process: microseconds of the clock at its start."""
        return int(self.began * 1e6)


class FlightRecorder:
    """The last calls of a client, or the last requests of a server.

    Thread-safe, and never waits: of two slow calls that end at the very same moment on two threads,
    one may be missed among the slow ones.

    Args:
        clock: Seconds, monotonic.

    Attributes:
        last, failed, retried, refused: The rings, oldest first.
        append: Takes an ordinary call into ``last``, as a tuple. The hot path calls it, and then
            :meth:`slow` where that is due, without a function of its own between.
        slow_above: Seconds from which a call is one of the slowest.
        listen: Opens the socket where others ask; called once, from any thread, when a call is kept
            and the recorder is a second old. None where there is no socket, or once it was called.
    """

    __slots__ = (
        "_before",
        "_lock",
        "_slow",
        "append",
        "clock",
        "failed",
        "last",
        "listen",
        "listen_at",
        "refused",
        "retried",
        "slow_above",
        "turns_at",
    )

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.listen: Callable[[], object] | None = None
        self.clear()

    def clear(self) -> None:
        """Forget everything: a forked child does, since the calls are its parent's."""
        self.last: deque[Entry] = deque(maxlen=LAST)
        self.append = self.last.append
        self.failed: deque[Kept] = deque(maxlen=FAILED)
        self.retried: deque[Kept] = deque(maxlen=RETRIED)
        self.refused: deque[Kept] = deque(maxlen=REFUSED)
        self._slow: list[tuple[float, int, Kept]] = []
        self._before: list[tuple[float, int, Kept]] = []
        self._lock = Lock()
        self.slow_above = 0.0
        self.turns_at = self.clock() + PERIOD
        self.listen_at = self.clock() + LISTEN_AFTER

    def slow(
        self, service: str, method: str, where: Any, began: float, ended: float, metadata: Metadata
    ) -> None:
        """An ordinary call that :attr:`append` was told of took longer than :attr:`slow_above`.

        Args:
            service: The service's name.
            method: The method's name.
            where: The node, or the peer's address.
            began: When it began, seconds of the clock.
            ended: When it ended.
            metadata: Of the request, for its trace.
        """
        self._keep_slow(Kept(service, method, place(where), began, ended, trace=trace_of(metadata)))
        self._look()

    def keep(self, kept: Kept) -> None:
        """A call that has more to tell than that it went well."""
        self.append((kept.service, kept.method, kept.where, kept.began, kept.ended, kept.kind))
        if kept.kind or kept.fallback:
            self.failed.append(kept)
        else:
            self.retried.append(kept)
        if kept.ended - kept.began > self.slow_above or kept.ended > self.turns_at:
            self._keep_slow(kept)
        self._look()

    def refuse(self, kept: Kept) -> None:
        """A request was rejected before any work. Those have a ring of their own: they are many."""
        self.refused.append(kept)
        self._look()

    def turn(self) -> None:
        """Look for the slowest calls anew, if it is time. Whoever answers questions does it."""
        if self.clock() > self.turns_at and self._lock.acquire(blocking=False):
            try:
                self._turn(self.clock())
            finally:
                self._lock.release()

    def _turn(self, now: float) -> None:
        # After a long time without any slow call those of before are too old as well.
        self._before = self._slow if now <= self.turns_at + PERIOD else []
        self._slow = []
        self.slow_above, self.turns_at = 0.0, now + PERIOD

    def _keep_slow(self, kept: Kept) -> None:
        if not self._lock.acquire(blocking=False):  # a handler of signals must not wait for itself
            return
        try:
            if kept.ended > self.turns_at:
                self._turn(kept.ended)
            # Two may have taken the same time, and a heap must tell them apart.
            item = (kept.ended - kept.began, id(kept), kept)
            if len(self._slow) < SLOW:
                heappush(self._slow, item)
            else:
                heappushpop(self._slow, item)
            if len(self._slow) == SLOW:
                self.slow_above = self._slow[0][0]
        finally:
            self._lock.release()

    def _look(self) -> None:
        if self.listen is not None and self.clock() >= self.listen_at:
            listen, self.listen = self.listen, None
            if listen is not None:  # else another thread has just done it
                with suppress(Exception):  # the call goes on
                    listen()

    # Reading.

    def recent(self, want: str = "last", service: str = "") -> list[Kept]:
        """What is remembered, oldest first; of ``slow`` the slowest last.

        Args:
            want: ``last``, ``failed`` or ``slow``.
            service: Only its calls; empty for those of all services.
        """
        found: list[Kept]
        if want == "slow":
            both = {one.began: one for _, _, one in [*self._before, *self._slow]}
            found = sorted(both.values(), key=_slowness)
        elif want == "failed":
            found = sorted([*self.failed, *self.refused], key=_end)
        else:
            known = {one.began: one for one in self._kept()}
            for entry in list(self.last):
                known.setdefault(entry[3], _readable(entry))
            found = sorted(known.values(), key=_end)
        return [one for one in found if not service or one.service == service]

    def find(self, number: int) -> Kept | None:
        """The call of a number; None where it is forgotten."""
        return next((one for one in self.recent() if one.number == number), None)

    def _kept(self) -> Iterator[Kept]:
        for _, _, kept in [*self._before, *self._slow]:
            yield kept
        # Afterwards, since these know more of a call than the slow ones do.
        yield from [*self.retried, *self.failed, *self.refused]


def trace_of(metadata: Metadata) -> str | None:
    """The trace id in the ``traceparent`` (W3C Trace Context) of a call's metadata, or None."""
    parent = metadata.get("traceparent")
    if type(parent) is not str or len(parent) != _TRACEPARENT:
        return None
    return parent[_TRACE]


def place(where: Any) -> str:
    """Where a call went or came from, as a text."""
    return str(getattr(where, "url", where) or "")[:LONGEST]


def _slowness(kept: Kept) -> float:
    return kept.ended - kept.began


def _end(kept: Kept) -> float:
    return kept.ended


def _readable(entry: Entry) -> Kept:
    service, method, where, began, ended, *kind = entry
    return Kept(service, method, place(where), began, ended, *kind)
