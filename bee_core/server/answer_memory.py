"""What a server remembers of requests with a key: which ran, and what they were answered.

Pure: times are handed in. Three bounds hold: a count of keys, bytes of answers, and a time. What
they cost differs:

==================== =====================================================================
over ``size``        The oldest answer is dropped. Its key stays, as **ran, answer gone**.
over ``count``       The oldest key that has its answer is forgotten.
after ``window``     A key is forgotten so long after its answer.
==================== =====================================================================

**Forgotten** is not lost without a trace. The memory keeps one moment, the **horizon**: the latest
time at which a request was accepted whose key it does not have any more. A repetition says when the
first request was sent. If that is after the horizon and the key is unknown, then the first one
never ran. If it is not after the horizon, nobody can tell, so the repetition is refused.

A request that was rejected before its handler began is not remembered: nothing ran.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, final

if TYPE_CHECKING:
    from ..contracts.connection_numbers import ConnectionNumbers, Line
    from ..wire.deduplication import Repetition

Verdict = Literal["new", "known", "again", "unsure", "other", "late", "crowded"]
"""``new``: it did not run yet. ``known``: it runs, or it ran. ``again``: it may run twice, and
there is no answer to give. ``unsure``: it may have run. ``other``: the key belongs to another
request. ``late``: the call was repeated elsewhere before. ``crowded``: the first request cannot be
kept from running. The last four are refused."""
GONE = "gone"
"""In place of an answer: the request ran, and its answer was dropped."""
CLOCKS_APART = 1.01
"""By how much a client's clock may be slower than the server's: an age is taken as longer by this.
Clocks of computers differ by less than 0.1 %."""
_SHARE = 8
"""One answer may take this part of ``size`` at most."""


@final
class Entry:
    """One key.

    Attributes:
        key: The key.
        what: What makes requests with this key the same one.
        accepted: When the first one was accepted.
        ended: When it had its answer; None while it runs.
        answer: What it was answered; :data:`GONE` where that was dropped.
        waiting: Requests with the same key that wait for the answer; for the endpoint.
    """

    __slots__ = ("accepted", "answer", "ended", "key", "size", "waiting", "what")

    def __init__(self, key: bytes, what: object, accepted: float) -> None:
        self.key = key
        self.what = what
        self.accepted = accepted
        self.ended: float | None = None
        self.answer: Any = None
        self.size = 0
        self.waiting: list[Any] = []

    @property
    def has_answer(self) -> bool:
        """Whether there is an answer that says what became of the request."""
        if self.ended is None or self.answer is GONE:
            return False
        return getattr(self.answer, "executed", "yes") != "maybe"


@final
class Found(NamedTuple):
    """What the memory says of a request.

    Attributes:
        verdict: See :data:`Verdict`.
        entry: Its entry, where it is new or known.
    """

    verdict: Verdict
    entry: Entry | None = None


class AnswerMemory:
    """Remembers requests by their keys. Not thread-safe.

    Args:
        window: Seconds that an answer is remembered.
        count: Keys that are remembered at most.
        size: Bytes of all answers at most.

    Attributes:
        horizon: See the module.
        held: Bytes of the answers that it has.
    """

    def __init__(self, window: float, count: int, size: int) -> None:
        self._window = window
        self._count = count
        self._size = size
        self._entries: dict[bytes, Entry] = {}
        self._ended: deque[Entry] = deque()  # in the order of their ends
        self._with_answer: deque[Entry] = deque()
        self.horizon = float("-inf")
        self.held = 0

    def __len__(self) -> int:
        """How many keys it has."""
        return len(self._entries)

    def take(self, key: bytes, what: object, now: float, sent: float | None = None) -> Found:
        """A request with a key has come. If it is new it begins now, and :meth:`end` follows.

        Args:
            key: The key.
            what: What makes two requests with one key the same request.
            now: When it came.
            sent: Of a repetition: no later than when the first request was sent.
        """
        self._forget_old(now)
        entry = self._entries.get(key)
        if entry is not None:
            return Found("known", entry) if entry.what == what else Found("other")
        if sent is not None and sent <= self.horizon:
            return Found("unsure")
        entry = Entry(key, what, now)
        while len(self._entries) >= self._count and self._ended:
            self._forget(self._ended.popleft())
        if len(self._entries) >= self._count:
            self.horizon = max(self.horizon, now)  # all of them run: this one is not remembered
        else:
            self._entries[key] = entry
        return Found("new", entry)

    def knows(self, key: bytes) -> bool:
        """Whether it has a key."""
        return key in self._entries

    def end(self, entry: Entry, answer: Any, size: int, now: float) -> None:
        """A request has its answer.

        Args:
            entry: As :meth:`take` gave it.
            answer: What it was answered, not None.
            size: Bytes that the answer takes.
            now: The time.
        """
        entry.answer, entry.ended = answer, now
        if self._entries.get(entry.key) is not entry:
            return
        self._ended.append(entry)
        if size > self._size // _SHARE:
            entry.answer = GONE
            return
        entry.size = size
        self.held += size
        self._with_answer.append(entry)
        while self.held > self._size:
            self._drop_answer(self._with_answer.popleft())

    def drop(self, entry: Entry) -> None:
        """A request that was new did not run, and will not."""
        if self._entries.get(entry.key) is entry:
            del self._entries[entry.key]

    def _drop_answer(self, entry: Entry) -> None:
        self.held -= entry.size
        entry.answer, entry.size = GONE, 0

    def _forget_old(self, now: float) -> None:
        ended = self._ended
        while ended and now - (ended[0].ended or 0.0) >= self._window:
            self._forget(ended.popleft())

    def _forget(self, entry: Entry) -> None:
        del self._entries[entry.key]
        self.horizon = max(self.horizon, entry.accepted)
        # Answers are in the order of the ends as well, so it is the first one, if it has one.
        if self._with_answer and self._with_answer[0] is entry:
            self._drop_answer(self._with_answer.popleft())


def judge(
    memory: AnswerMemory,
    numbers: ConnectionNumbers,
    line: Line,
    key: bytes,
    what: object,
    repetition: Repetition | None,
    now: float,
) -> Found:
    """Decide about a request with a key. If it is new it begins now.

    The age of the first request counts from the greeting of this connection, and not from now. The
    client had the greeting when it stated the age. So the first request was sent no earlier,
    however long this one was on its way.

    Args:
        memory: What is remembered.
        numbers: All connections.
        line: The one that the request came on.
        key: Its key.
        what: See :meth:`AnswerMemory.take`.
        repetition: What its caller says of the first request, or None.
        now: The time.
    """
    if key in line.barred and not memory.knows(key):
        return Found("late")
    sent = None if repetition is None else line.greeted - repetition.age * CLOCKS_APART
    found = memory.take(key, what, now, sent)
    if found.verdict == "known" and repetition is None and key not in line.barred:
        # Not marked, and no late one: a client sends this again only if it may run twice.
        return found if found.entry is None or found.entry.has_answer else Found("again")
    if found.verdict == "new" and found.entry is not None and repetition is not None:
        first = numbers.find(repetition.connection)
        if first is not None and first is not line and not first.bar(key):
            memory.drop(found.entry)
            return Found("crowded")
    return found
