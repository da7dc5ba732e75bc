"""An endpoint that remembers its answers, so that a client may ask again for one that was lost.

What is decided of a key is in :mod:`.answer_memory`. Here the requests come and go::

    request with a key ─┬─ new ──────> runs as any other; its answer is remembered
                        ├─ known ────> gets the answer, or waits for it
                        ├─ again ────> runs once more: its client says that it may
                        ├─ unsure ───> refused, executed "no": it may have run before
                        └─ other ────> refused: the key belongs to another request

A method that the interface marks idempotent may run twice, so its answers take no place here.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs

from ..config.deduplication_model import DeduplicationConfig
from ..contracts.connection_numbers import ConnectionNumbers
from ..streams.server.remembered_call import Remembered, RememberedCall, gone
from ..terms.causes import local
from ..terms.failures import Failure
from ..wire.deduplication import NUMBER_SIZE, Deduplication
from .answer_memory import GONE, AnswerMemory, Entry, judge
from .answers import SUCCESS
from .endpoint import ServiceEndpoint
from .hooked_call import HookedCall
from .in_flight import InFlight
from .recording import record

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..config.deduplication_model import Deduplicate
    from ..contracts.endpoint import InboundCall, Running
    from ..errors import Executed
    from ..wire.messages import HelloAck
    from .in_flight import Watched

_REFUSED = {
    "unsure": "a repetition, and the server may have forgotten the call: it has forgotten keys of"
    " that age",
    "late": "the call was repeated on another connection before this request came",
    "crowded": "a repetition, and too many keys are barred on the connection of the first request",
}
MOST_KEY = 64
"""Bytes of a key that is remembered. A request with a longer one runs as any other, and cannot be
repeated."""
_OTHER = "the dedupe key belongs to another request; each call needs a key of its own"


class RememberingFlight(InFlight):
    """Counts the calls in flight, and says when one ends whose answer is to be remembered.

    Attributes:
        settled: Is told of such a call, and whether its handler had begun.
    """

    __slots__ = ("settled",)

    settled: Callable[[RememberedCall, bool], None]

    def ended(self, running: Watched) -> None:
        """See :class:`InFlight`."""
        super().ended(running)
        call: Any = running.call
        if getattr(call, "kept", False):
            self.settled(call, running.begun)

    def unheard(self, running: Watched) -> None:
        """See :class:`InFlight`. A repetition runs as any other request."""
        call: Any = running.call
        if getattr(call, "kept", False):
            self.settled(call, False)


class RememberingEndpoint(ServiceEndpoint):
    """See :class:`.endpoint.ServiceEndpoint`. Its ack says that it remembers.

    Args:
        config: The bounds of its memory.
        ack: As there.
        *args: As there.
        **more: As there.
    """

    flight_type = RememberingFlight

    def __init__(self, config: DeduplicationConfig, ack: HelloAck, *args: Any, **more: Any) -> None:
        said = Deduplication(config.window, b"")  # each connection has a number of its own
        super().__init__(attrs.evolve(ack, deduplication=said), *args, **more)
        self.numbers = ConnectionNumbers(partial(os.urandom, NUMBER_SIZE), self.clock)
        self.memory = AnswerMemory(config.window, config.count, config.bytes)
        self.flight.settled = self._settled  # type: ignore[attr-defined]  # of flight_type
        self._running: dict[RememberedCall, Entry] = {}
        self._repeatable = frozenset(one.name for one in self._methods if one.idempotent)

    def begin(self, call: InboundCall) -> Running | None:
        """See :meth:`bee_core.interfaces.Endpoint.begin`."""
        key = call.dedupe_key
        line = call.caller.line
        if (
            key is None
            or line is None
            or not isinstance(call, RememberedCall)
            or call.method in self._repeatable
        ):
            return super().begin(call)
        if len(key) > MOST_KEY:
            if call.repetition is None:
                return super().begin(call)
            self._refuse(call, _refusal(f"a repetition with a key of over {MOST_KEY} bytes"))
            return None
        now = self.clock()
        what = call.caller.identity, call.method, call.form, call.compressed, hash(call.body)
        verdict, entry = judge(self.memory, self.numbers, line, key, what, call.repetition, now)
        if verdict == "again":
            return super().begin(call)
        if entry is None:
            why = _REFUSED.get(verdict)
            self._refuse(call, _refusal(why) if why else local("invalid_argument", _OTHER))
            return None
        if verdict == "known":
            return self._again(call, entry, now)
        call.kept = True
        self._running[call] = entry
        running = super().begin(call)
        if running is None and call in self._running:
            self._settled(call, True)
        return running

    def _settled(self, call: RememberedCall, begun: bool) -> None:
        """A call that is kept has ended: remember its answer, and tell those that wait for it."""
        entry = self._running.pop(call, None)
        if entry is None:
            return
        call.kept = False
        answer = call.answer
        if answer is None:
            executed: Executed = "maybe" if begun else "no"
            given_up = "the first request was given up before it had an answer"
            answer = Failure("cancelled", given_up, executed, "never", "none")
        if isinstance(answer, Failure) and answer.executed == "no":
            self.memory.drop(entry)
        else:
            self.memory.end(entry, answer, _size(answer), self.clock())
        waiting, entry.waiting = entry.waiting, []
        for duplicate in waiting:
            duplicate.answer(answer)

    def _again(self, call: RememberedCall, entry: Entry, now: float) -> Running | None:
        """Answer a request whose key is known, now or when the first one has its answer."""
        running = entry.ended is None
        if running and self.flight.count >= self._admission.gate:
            refusal = self._admission.refusal(call, self.flight.count)
            if refusal is not None:
                self._refuse(call, refusal)
                return None
        if call.granted is not None:
            call.deadline = now + call.granted
        call.accepted = now
        call.repeated = call.deduplicated = True
        duplicate = Duplicate(self._answers, call, entry)
        if not running:
            duplicate.answer(entry.answer)
            return None
        entry.waiting.append(duplicate)
        self.flight.watch(duplicate)
        return duplicate


class Duplicate:
    """A request that gets the answer of another one with the same key. In flight while it waits.

    Attributes:
        call: The request.
        begun: Its handler never begins.
    """

    begun = False

    def __init__(self, answers: Any, call: RememberedCall, entry: Entry) -> None:
        self.call: InboundCall = call
        self._request = call
        self._answers = answers
        self._entry = entry
        self._over = False
        self._hooked: HookedCall | None = None
        answers.flight.count += 1
        if answers.hooked:
            self._hooked = HookedCall(answers, call, answers.context.copy())
            self._hooked.started()

    def answer(self, answer: Any) -> None:
        """Send it."""
        if self._over:
            return
        if answer is GONE:
            answer = gone()
        try:
            self._request.reply_again(answer)
        except Exception as error:  # a bug of bee
            answer = self._answers.faults.fault(None, "reply_again", self.call, error, "maybe")
            self._answers.send(self.call, answer)
        self._end(answer)

    def stop(self, kind: str, message: str) -> None:
        """See :class:`.in_flight.Watched`. The first request goes on."""
        if not self._over:
            failure = Failure(kind, message, "maybe", "never", "none")
            self._answers.send(self.call, failure)
            self._end(failure)

    def cancel(self) -> None:
        """See :class:`bee_core.interfaces.Running`."""
        if not self._over:
            self.call.cancelled = True
            self._end(None)

    def _end(self, answer: Any) -> None:
        self._over = True
        if self in self._entry.waiting:
            self._entry.waiting.remove(self)
        if self._hooked is not None:
            self._hooked.ended(SUCCESS if isinstance(answer, Remembered) else answer)
        recorder = self._answers.recorder
        if recorder is not None:
            told = (answer.body, answer.compressed) if isinstance(answer, Remembered) else answer
            record(recorder, self.call, told)
        self._answers.flight.ended(self)


def _size(answer: Remembered | Failure) -> int:
    if isinstance(answer, Remembered):
        return answer.size
    return len(answer.details) + len(answer.message) + len(answer.traceback or "")


def _refusal(message: str) -> Failure:
    """Nothing was done for this request. What became of the one before it stays open."""
    return Failure("unavailable", message, "no", "never", "none")


def endpoint_type(config: Deduplicate) -> Callable[..., ServiceEndpoint]:
    """What makes the endpoint of a server, by its key ``deduplicate``."""
    if isinstance(config, DeduplicationConfig):
        return partial(RememberingEndpoint, config)
    return ServiceEndpoint
