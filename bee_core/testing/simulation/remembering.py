"""A simulated server that remembers its answers, and the client's half of it.

The memory is the real one (``server/answer_memory.py``). What ``server/deduplication.py`` and
``streams/client/`` do with it is simulated, as far as answers are lost and processes end: a
connection that is late is not there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...server.answer_memory import GONE, AnswerMemory
from ...streams.client.same_process import another_answers
from ...terms.failures import Failure
from ...terms.request import Sent
from .exchange import FATES

if TYPE_CHECKING:
    from ...config.deduplication_model import DeduplicationConfig
    from ...terms.request import Request
    from .exchange import Exchange
    from .world import World


class Remembering:
    """What one server process remembers.

    Args:
        config: The bounds of its memory.
        world: The clock.
        epoch: Names the process.
    """

    __slots__ = ("_memory", "_world", "epoch", "window")

    def __init__(self, config: DeduplicationConfig, world: World, epoch: bytes) -> None:
        self.epoch = epoch
        self.window = config.window
        self._memory = AnswerMemory(config.window, config.count, config.bytes)
        self._world = world

    def knows(self, exchange: Exchange) -> bool:
        """Take a request in; whether it is answered here, or when the first one has its answer."""
        call, sent = exchange.call, exchange.sent
        if sent is None or call.dedupe_key is None:
            return False
        since = sent.at if sent.repeated else None
        found = self._memory.take(call.dedupe_key, call.method, self._world.now, since)
        entry = found.entry
        if found.verdict == "new":
            exchange.entry = entry
            return False
        if entry is None:
            forgotten = Failure("unavailable", "it may be forgotten", "no", "never", "none")
            exchange.answer(self._world, exchange.channel.network, forgotten)
        elif entry.ended is None:
            entry.waiting.append(exchange)
        else:
            self._answer(exchange, entry.answer)
        return True

    def ended(self, exchange: Exchange, outcome: Any) -> None:
        """A request has its answer, whether it arrives or not. None: it was given up."""
        entry, exchange.entry = exchange.entry, None
        if isinstance(outcome, Failure) and outcome.executed == "no":
            self._memory.drop(entry)
        else:
            given_up = Failure("cancelled", "it was given up", "maybe", "never", "none")
            self._memory.end(entry, outcome or given_up, 0, self._world.now)
        waiting, entry.waiting = entry.waiting, []
        for one in waiting:
            self._answer(one, entry.answer or outcome)

    def _answer(self, exchange: Exchange, answer: Any) -> None:
        if answer is GONE:
            answer = Failure("unavailable", "its answer is gone", "yes", "never", "none")
        elif exchange.fate == "reset":
            answer = FATES["reset"]()
        exchange.answer(self._world, exchange.channel.network, answer)


def note_where(call: Request, memory: Remembering | None, now: float) -> Sent | None:
    """Note where a write goes, to a process that remembers its answers; None for other requests."""
    if memory is None or call.idempotent or call.oneway:
        return None
    key: bytes | None = call.dedupe_key or call.new_key()
    if key is None:  # one of the requests of a broadcast
        return None
    call.dedupe_key = key
    call.sent = sent = Sent(memory.epoch, memory.window, b"", now)
    return sent


def may_ask(sent: Sent | None, memory: Remembering | None) -> Failure | None:
    """Why a repetition cannot go to the process that answers; None where it is the right one."""
    right = sent is not None and memory is not None and memory.epoch == sent.epoch
    return None if right else another_answers()
