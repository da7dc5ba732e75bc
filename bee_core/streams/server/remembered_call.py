"""A request on a connection of a server that remembers its answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ...terms.failures import Failure
from .inbound_call import Owner, ServedCall

if TYPE_CHECKING:
    from ...contracts.endpoint import Peer
    from ...terms.metadata import ReplyMetadata
    from ...wire.deduplication import Repetition
    from ...wire.frames import Frame
    from ...wire.requests import RequestFields


class Remembered(NamedTuple):
    """A result as it went out.

    Attributes:
        body: The encoded result.
        compressed: Whether the caller's compressor was used.
        metadata: What the handler sent along, or None.
        coding: The codec and the compressor of the caller.
    """

    body: bytes
    compressed: bool
    metadata: ReplyMetadata | None
    coding: tuple[str, str | None]

    @property
    def size(self) -> int:
        """Bytes that it takes, about."""
        beside = 0 if self.metadata is None else self.metadata.size
        return len(self.body) + beside


class RememberedCall(ServedCall):
    """See :class:`bee_core.interfaces.InboundCall`.

    Attributes:
        repetition: What its caller says of the request before it, or None.
        kept: Whether its answer is to be remembered. The endpoint sets it.
        answer: The last answer that it was given, once there is one.
    """

    __slots__ = ("answer", "deduplicated", "kept", "repeated", "repetition")

    def __init__(
        self, connection: Owner, caller: Peer, frame: Frame, fields: RequestFields
    ) -> None:
        super().__init__(connection, caller, frame, fields)
        self.repetition: Repetition | None = fields.repetition
        self.repeated = fields.repetition is not None
        self.deduplicated = False
        self.kept = False
        self.answer: Remembered | Failure | None = None

    @property
    def outlives(self) -> bool:
        """See :class:`bee_core.interfaces.InboundCall`. Without a deadline it would have no end."""
        return self.kept and self.deadline is not None

    @property
    def coding(self) -> tuple[str, str | None]:
        """The codec and the compressor of the caller: who has others cannot read the answer."""
        return self.caller.codec, self.caller.compressor

    def reply(self, body: bytes, compressed: bool) -> None:
        """Send the result."""
        if self.kept:
            self.answer = Remembered(body, compressed, self._reply_metadata, self.coding)
        super().reply(body, compressed)

    def fail(self, failure: Failure) -> None:
        """Send an error."""
        if self.kept:
            self.answer = failure
        super().fail(failure)

    def reply_again(self, answer: Remembered | Failure) -> None:
        """Send what another request with the same key was answered."""
        if isinstance(answer, Failure):
            self.fail(answer)
        elif answer.coding != self.coding or (
            self.caller.max_body is not None and len(answer.body) > self.caller.max_body
        ):
            self.fail(gone())
        else:
            self._reply_metadata = answer.metadata
            self.reply(answer.body, answer.compressed)


def gone() -> Failure:
    """The call ran, and there is no answer to be had of it."""
    message = "the call ran before, and its answer is not kept any more"
    return Failure("unavailable", message, "yes", "never", "none")
