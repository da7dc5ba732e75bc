"""The virtual clock and the events: a heap, and nothing that waits."""

from __future__ import annotations

from array import array
from functools import partial
from hashlib import blake2b
from heapq import heappop, heappush
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Act = Callable[[Any], object]

START = 1000.0
"""The clock's first reading. Not 0: so a run fails where code takes a time for a truth value."""

_BATCH = 30_000  # numbers of the log that are hashed together

ATTEMPT, OUTCOME, CALL_ENDED, BREAKER, PING, LISTED, TROUBLE = range(7)
"""What the log of events tells apart; see :meth:`World.note`."""


class World:
    """A clock that jumps from one event to the next. For one thread.

    Events of one moment happen in the order in which they were planned. So a run repeats exactly:
    no set is iterated over, and no id or hash decides anything.

    Attributes:
        now: Seconds.
        clock: Returns ``now``; what bee takes as a clock. It is made of C functions only, because
            each call reads it several times.
        events: How many have happened.
    """

    __slots__ = ("_digest", "_heap", "_log", "_planned", "clock", "events", "now")

    def __init__(self) -> None:
        self.now = START
        self.clock: Callable[[], float] = partial(attrgetter("now"), self)
        self.events = 0
        self._heap: list[tuple[float, int, Act, Any]] = []
        self._planned = 0
        self._log = array("d")
        self._digest = blake2b(digest_size=16)

    def at(self, when: float, act: Act, what: Any = None) -> None:
        """Have ``act(what)`` happen at a moment; now at the earliest."""
        self._planned = number = self._planned + 1
        heappush(self._heap, (when, number, act, what))

    def next_at(self) -> float:
        """When the next event happens; infinity where none is planned."""
        return self._heap[0][0] if self._heap else float("inf")

    def run_until(self, when: float) -> None:
        """Let everything happen that is planned before a moment, and let it be that moment."""
        heap = self._heap
        events = 0
        while heap and heap[0][0] < when:
            moment, _, act, what = heappop(heap)
            if moment > self.now:  # noqa: PLR1730  # quicker than max()
                self.now = moment
            events += 1
            act(what)
        self.events += events
        self.now = max(self.now, when)

    def step(self) -> bool:
        """Let the next event happen; False where none is planned."""
        if not self._heap:
            return False
        moment, _, act, what = heappop(self._heap)
        self.now = max(self.now, moment)
        self.events += 1
        act(what)
        return True

    def note(self, kind: int, number: float) -> None:
        """Write an event into the log of which :meth:`digest` is made, with the time.

        Args:
            kind: One of the constants above.
            number: Says what it is about: a node, an outcome, a call.
        """
        log = self._log
        log.extend((self.now, kind, number))
        if len(log) > _BATCH:
            self._digest.update(log.tobytes())
            del log[:]

    def digest(self) -> str:
        """A digest of all events so far: two runs with one digest were the same."""
        self._digest.update(self._log.tobytes())
        del self._log[:]
        return self._digest.hexdigest()
