"""Requests on a server's connection: one that is answered, and one that nobody waits for."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from ...contracts.endpoint import InboundCall, Peer, Running
from ...terms.loggers import logger
from ...terms.printable import printable
from ...wire import frames, protocol
from ...wire.messages import answer_fields, error_fields

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...contracts.memory_bound import MemoryShare, Turn
    from ...terms.failures import Failure, Load
    from ...wire.requests import RequestFields

log = logger("bee.server")

_COMPRESSED, _VERSION, _RESPONSE = frames.COMPRESSED, frames.VERSION, frames.RESPONSE
_HEADER_REST = frames.HEADER_SIZE - 4  # without the length itself
_LONGEST_METHOD, _LONGEST_MESSAGE = 128, 1024  # characters in the log
_SAID = frozenset({"remote_error", "plugin_fault"})
_DROPPED = frozenset({"overloaded", "deadline_exceeded"})  # if rejected before the handler began


class Owner(Protocol):
    """What a request needs of its connection."""

    service: str
    clock: Callable[[], float]
    memory: MemoryShare
    held_up: bool

    def when_room(self, go_on: Callable[[], None]) -> None:
        """Call back once it is not held up any more."""

    def packs(self, size: int) -> None:
        """Count a result that waits for a compressor."""

    def crowded(self) -> None:
        """A request was refused, because others take all places."""

    def finish(self, id_: int, answer: bytes) -> None:
        """Send an answer, unless the client gave the request up."""

    def load(self) -> Load:
        """How busy the server is."""


class ServedCall(InboundCall):
    """One request on a connection."""

    __slots__ = ("_connection", "_inflated", "held", "running")

    def __init__(
        self, connection: Owner, caller: Peer, frame: frames.Frame, fields: RequestFields
    ) -> None:
        # All attributes of the base class are set here: one constructor less on the hot path.
        self._connection = connection
        self.id = frame.id
        self.form = frame.form
        self.body = frame.body
        self.compressed = bool(frame.flags & _COMPRESSED)
        self.method = fields.method
        self.granted = fields.time_left
        self._metadata = fields.metadata
        self._reply_metadata = None
        self.baggage = fields.baggage
        self.dedupe_key = fields.dedupe_key
        self.caller = caller
        self.peer = caller.address
        self.service = connection.service
        self._clock = connection.clock
        self.deadline = None
        self.cancelled = False
        self.held = self._inflated = 0
        self.running: Running | None = None

    @property
    def held_up(self) -> bool:
        """See :class:`bee_core.interfaces.InboundCall`."""
        return self._connection.held_up

    def when_room(self, go_on: Callable[[], None]) -> None:
        """See :class:`bee_core.interfaces.InboundCall`."""
        self._connection.when_room(go_on)

    def inflates(self, size: int, go_on: Callable[[], None]) -> Turn | None:
        """See :class:`bee_core.interfaces.InboundCall`."""

        def granted() -> None:
            self._count_body(size)
            go_on()

        turn = self._connection.memory.reserve(size, granted, inflating=True)
        if turn is None:
            self._count_body(size)
        return turn

    def _count_body(self, size: int) -> None:
        self.held += size - self._inflated
        self._inflated = size

    def becomes(self, size: int) -> None:
        """See :class:`bee_core.interfaces.InboundCall`."""
        less = self._inflated - size
        self._count_body(size)
        self._connection.memory.give_back(less, inflating=True)

    def packs(self, size: int) -> None:
        """See :class:`bee_core.interfaces.InboundCall`."""
        self._connection.packs(size)

    def let_go(self) -> None:
        """See :class:`bee_core.interfaces.InboundCall`."""
        self.becomes(0)
        held, self.held = self.held, 0
        self._connection.memory.give_back(held)

    def reply(self, body: bytes, compressed: bool) -> None:  # as the protocol class has it
        """Send the result."""
        id_ = self.id
        if compressed or self._reply_metadata is not None or self.caller.load_wanted:
            answer = protocol.response(id_, body, compressed=compressed, fields=self._beside())
        else:  # the hot path: what response() does, without the call
            size = _HEADER_REST + len(body)
            answer = frames.pack_header(size, _VERSION, _RESPONSE, 0, 0, id_, 0) + body
        self._connection.finish(id_, answer)

    def fail(self, failure: Failure) -> None:
        """Send an error."""
        if failure.kind == "overloaded":
            self._connection.crowded()
        fields = error_fields(failure) + self._beside()
        answer = frames.encode(frames.ERROR, self.id, fields, failure.details)
        self._connection.finish(self.id, answer)

    def drop(self) -> None:
        """Send nothing. The connection does not count the request any more."""
        self._connection.finish(self.id, b"")

    def _beside(self) -> bytes:
        """The fields that say more than the answer itself."""
        load = self._connection.load() if self.caller.load_wanted else None
        return answer_fields(self.answer_metadata(), load)


class OnewayCall(ServedCall):
    """A request without an answer. Its failure can only be told in the log: the caller is gone."""

    __slots__ = ("_over",)

    oneway = True
    held_up = False

    def __init__(
        self, connection: Owner, caller: Peer, frame: frames.Frame, fields: RequestFields
    ) -> None:
        super().__init__(connection, caller, frame, fields)
        self._over = False

    def reply(self, body: bytes, compressed: bool) -> None:
        """Send nothing: nobody waits for a result."""
        self._over = True

    def drop(self) -> None:
        """Send nothing, and write no log: nobody is to hear of it."""
        self._over = True

    def fail(self, failure: Failure) -> None:
        """Write the log, once.

        ===================================== ======= =============================================
        the handler or a plugin raised        debug   that was said, where it was raised
        dropped before the handler began      debug   dropping load must cost nothing
        any other failure                     warning the caller or the operator must change a thing
        ===================================== ======= =============================================
        """
        dropped = failure.executed == "no" and failure.kind in _DROPPED
        level = logging.DEBUG if dropped or failure.kind in _SAID else logging.WARNING
        # A handler that goes on after its deadline has failed once already.
        over, self._over = self._over, True
        if over or not log.isEnabledFor(level):
            return
        message = failure.message
        if failure.error_type:
            message = f"{failure.error_type}: {message}"
        method = printable(self.method, _LONGEST_METHOD)
        message = printable(message, _LONGEST_MESSAGE)
        text = f"oneway {self.service}.{method} from {self.peer}: {message}"
        fields = {
            "service": self.service,
            "method": method,
            "peer": self.peer,
            "kind": failure.kind,
            "executed": failure.executed,
        }
        log.log(
            level,
            "%s",
            text,
            extra={"bee_event": "oneway_failed", "bee_fields": fields},
        )
