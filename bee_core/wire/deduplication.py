"""What a server and a client say to each other about answers that are remembered.

A server says in its hello-ack how long it remembers, and gives the connection a number. A client
marks the repetition of a request. It names the connection that the first one went out on, and says
how long ago that was.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, NamedTuple

from ..errors import ProtocolError
from ..terms.request import Sent
from . import fields as f

if TYPE_CHECKING:
    from ..terms.request import Request

NUMBER_SIZE = 8
"""Bytes of the number of a connection."""
_TIME_SIZE = 4
_SIZE = _TIME_SIZE + NUMBER_SIZE
_MOST = 0xFFFF_FFFF


class Deduplication(NamedTuple):
    """That a server remembers the answers to requests with a key.

    Attributes:
        window: Seconds that it remembers an answer, unless it has to forget it sooner.
        connection: The number that it gave to this connection; no other of the process has it.
    """

    window: float
    connection: bytes

    def encode(self) -> bytes:
        """The value of the field."""
        return _encode(self.window, self.connection)

    @classmethod
    def parse(cls, value: bytes) -> Deduplication:
        """The inverse.

        Raises:
            ProtocolError: It does not have the right size.
        """
        return cls(*_parse(value, "deduplication"))


class Repetition(NamedTuple):
    """That a request was sent before, and that it is unknown whether it ran.

    Attributes:
        age: Seconds from the moment before the first one was written until this one was. The
            hello-ack of this one's connection had come by then.
        connection: The number of the connection that the first one went out on.
    """

    age: float
    connection: bytes

    def encode(self) -> bytes:
        """The value of the field. The age is rounded up, so it never says too little."""
        return _encode(self.age, self.connection)

    @classmethod
    def parse(cls, value: bytes) -> Repetition:
        """The inverse.

        Raises:
            ProtocolError: It does not have the right size.
        """
        return cls(*_parse(value, "repetition"))


def _encode(seconds: float, connection: bytes) -> bytes:
    milliseconds = min(max(ceil(seconds * 1000), 0), _MOST)
    return milliseconds.to_bytes(_TIME_SIZE, "big") + connection


def _parse(value: bytes, name: str) -> tuple[float, bytes]:
    if len(value) != _SIZE:
        raise ProtocolError(f"the field {name} has {len(value)} bytes, not {_SIZE}")
    return int.from_bytes(value[:_TIME_SIZE], "big") / 1000, value[_TIME_SIZE:]


def note_sent(
    request: Request, deduplication: Deduplication | None, epoch: bytes | None, now: float
) -> bytes:
    """A request is about to be written to a server that remembers its answers.

    A call that must not run twice gets a key, and notes where it goes.

    Args:
        request: The request.
        deduplication: What the hello-ack of the connection said.
        epoch: Likewise.
        now: Seconds of the clock of the request's deadline.

    Returns:
        The field that marks a repetition; empty for any other request.
    """
    if deduplication is None or not epoch or request.idempotent or request.oneway:
        return b""
    sent = request.where_sent
    if sent is not None and sent.repeated:
        return f.field(f.REPETITION, Repetition(now - sent.at, sent.connection).encode())
    if request.dedupe_key is None:
        request.dedupe_key = request.new_key()
    if request.dedupe_key is not None:
        request.sent = Sent(epoch, deduplication.window, deduplication.connection, now)
    return b""
