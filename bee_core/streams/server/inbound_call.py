"""Requests on a server's connection: one that is answered, and one that nobody waits for."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from ...contracts.transport import InboundCall, Peer, Running
from ...wire import frames, protocol
from ...wire.messages import error_fields

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...terms.failures import Failure
    from ...wire.requests import RequestFields

log = logging.getLogger("bee.server")

_COMPRESSED = frames.COMPRESSED
_LONGEST_METHOD, _LONGEST_MESSAGE = 128, 1024  # characters in the log
_DROPPED = frozenset({"overloaded", "deadline_exceeded"})  # if rejected before the handler began


class Owner(Protocol):
    """What a request needs of its connection."""

    service: str
    clock: Callable[[], float]

    def finish(self, id_: int, answer: bytes) -> None:
        """Send an answer, unless the client gave the request up."""


class ServedCall(InboundCall):
    """One request on a connection."""

    __slots__ = ("_connection", "id", "running")

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
        self.baggage = fields.baggage
        self.dedupe_key = fields.dedupe_key
        self.caller = caller
        self.peer = caller.address
        self.service = connection.service
        self._clock = connection.clock
        self.deadline = None
        self.cancelled = False
        self.running: Running | None = None

    def reply(self, body: bytes, compressed: bool) -> None:  # as the protocol class has it
        """Send the result."""
        self._connection.finish(self.id, protocol.response(self.id, body, compressed=compressed))

    def fail(self, failure: Failure) -> None:
        """Send an error."""
        self._connection.finish(
            self.id, frames.encode(frames.ERROR, self.id, error_fields(failure))
        )


class OnewayCall(ServedCall):
    """A request without an answer. Its failure can only be told in the log: the caller is gone."""

    __slots__ = ("_over",)

    oneway = True

    def __init__(
        self, connection: Owner, caller: Peer, frame: frames.Frame, fields: RequestFields
    ) -> None:
        super().__init__(connection, caller, frame, fields)
        self._over = False

    def reply(self, body: bytes, compressed: bool) -> None:
        """Send nothing: nobody waits for a result."""
        self._over = True

    def fail(self, failure: Failure) -> None:
        """Write the log, once.

        ===================================== ======= =============================================
        the handler raised                    error   with its traceback
        dropped before the handler began      debug   dropping load must cost nothing
        any other failure                     warning the caller or the operator must change a thing
        ===================================== ======= =============================================
        """
        level = logging.ERROR if failure.kind == "remote_error" else logging.WARNING
        if failure.executed == "no" and failure.kind in _DROPPED:
            level = logging.DEBUG
        # A handler that goes on after its deadline has failed once already.
        over, self._over = self._over, True
        if over or not log.isEnabledFor(level):
            return
        message = failure.message
        if failure.error_type:
            message = f"{failure.error_type}: {message}"
        method = _shown(self.method, _LONGEST_METHOD)
        text = (
            f"oneway {self.service}.{method} from {self.peer}: {_shown(message, _LONGEST_MESSAGE)}"
        )
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
            text if failure.traceback is None else f"{text}\n{failure.traceback}",
            extra={"bee_event": "oneway_failed", "bee_fields": fields},
        )


def _shown(text: str, longest: int) -> str:
    """A peer's text as a part of one line. A peer must not write lines of its own into the log."""
    text = text if len(text) <= longest else f"{text[:longest]}…"
    return text if text.isprintable() else text.encode("unicode_escape").decode()
