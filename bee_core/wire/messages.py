"""What the frames say: each kind's fields, both ways, as plain objects.

Parsing takes any bytes: the result is the object or a :class:`~bee_core.errors.ProtocolError`.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Literal

import attrs

from ..errors import Executed, ProtocolError
from ..terms.causes import reported
from ..terms.failures import Failure, Load
from ..terms.metadata import NOTHING
from . import fields as f
from .deduplication import Deduplication

if TYPE_CHECKING:
    from ..terms.metadata import Metadata

ERROR_CODES: dict[str, int] = {
    "remote_error": 1,
    "method_not_found": 2,
    "invalid_argument": 3,
    "unavailable": 4,
    "deadline_exceeded": 5,
    "overloaded": 6,
    "message_too_large": 7,
    "cancelled": 8,
    "unauthenticated": 9,
    "protocol_error": 10,
    "plugin_fault": 11,
}
"""Numbers on the wire for the kinds of failure that a server reports."""
_KINDS = {code: kind for kind, code in ERROR_CODES.items()}
_EXECUTED: tuple[Executed, ...] = ("no", "maybe", "yes")
# Bytes. A longer text helps nobody, and a handler's exception can carry megabytes.
_MAX_MESSAGE = 8 * 1024
_MAX_TRACEBACK = 32 * 1024
_MOST = 0xFFFF  # of the two numbers of a load

_HELLO = frozenset({f.SERVICE, f.CODEC, f.COMPRESSOR, f.TOKEN, f.MAX_BODY, f.LOAD_WANTED})
_HELLO_ACK = frozenset(
    {f.SERVICE, f.SERVICE_VERSION, f.EPOCH, f.MAX_BODY, f.WORKERS, f.DEDUPLICATION}
)

ANY_SERVICE = "*"
"""In place of a hello's service: whichever lives there. For probes, which know only an address."""


@attrs.frozen
class Hello:
    """The first frame of a client: what it wants and what it can take.

    Attributes:
        service: The service it thinks it calls; ``ANY_SERVICE`` for whichever is there.
        codec: Name of the codec of all bodies on this connection.
        compressor: Name of the compressor of bodies flagged as compressed, or None.
        token: Shared secret, or None.
        max_body: Bytes that a reply's body may have, or None for no word on it.
        load_wanted: Whether each answer is to say how busy the server is.
    """

    service: str
    codec: str
    compressor: str | None = None
    token: str | None = attrs.field(default=None, repr=False)
    max_body: int | None = None
    load_wanted: bool = False

    def encode(self) -> bytes:
        """The fields."""
        block = f.text(f.SERVICE, self.service) + f.text(f.CODEC, self.codec)
        if self.compressor is not None:
            block += f.text(f.COMPRESSOR, self.compressor)
        if self.token is not None:
            block += f.text(f.TOKEN, self.token)
        if self.max_body is not None:
            block += f.number(f.MAX_BODY, self.max_body)
        return block + f.field(f.LOAD_WANTED, b"") if self.load_wanted else block

    @classmethod
    def parse(cls, block: bytes) -> Hello:
        """The inverse."""
        found = f.parse(block, _HELLO)
        if f.SERVICE not in found or f.CODEC not in found:
            raise ProtocolError("a hello must name a service and a codec")
        return cls(
            f.get_text(found, f.SERVICE),
            f.get_text(found, f.CODEC),
            f.get_text(found, f.COMPRESSOR) or None,
            f.get_text(found, f.TOKEN) if f.TOKEN in found else None,
            f.get_number(found, f.MAX_BODY),
            f.LOAD_WANTED in found,
        )


@attrs.frozen
class HelloAck:
    """The server's answer to a hello.

    Attributes:
        service: The service that it is.
        version: The service's version.
        epoch: Random bytes of the server process. Another epoch behind the same address is another
            process.
        max_body: Bytes that a request's body may have.
        workers: How many processes serve behind the address. Each has an epoch of its own.
        deduplication: How long the process remembers its answers, or None where it does not.
    """

    service: str
    version: str
    epoch: bytes
    max_body: int | None = None
    workers: int = 1
    deduplication: Deduplication | None = None

    def encode(self) -> bytes:
        """The fields."""
        block = (
            f.text(f.SERVICE, self.service)
            + f.text(f.SERVICE_VERSION, self.version)
            + f.field(f.EPOCH, self.epoch)
        )
        if self.max_body is not None:
            block += f.number(f.MAX_BODY, self.max_body)
        if self.workers != 1:
            block += f.number(f.WORKERS, self.workers, 2)
        if self.deduplication is not None:
            block += f.field(f.DEDUPLICATION, self.deduplication.encode())
        return block

    @classmethod
    def parse(cls, block: bytes) -> HelloAck:
        """The inverse."""
        found = f.parse(block, _HELLO_ACK)
        return cls(
            f.get_text(found, f.SERVICE),
            f.get_text(found, f.SERVICE_VERSION),
            found.get(f.EPOCH, [b""])[0],
            f.get_number(found, f.MAX_BODY),
            f.get_number(found, f.WORKERS, 2) or 1,
            Deduplication.parse(found[f.DEDUPLICATION][0]) if f.DEDUPLICATION in found else None,
        )


_ANSWER = frozenset({f.METADATA, f.METADATA_BYTES, f.LOAD})
_LOAD_START = f.LOAD.to_bytes(1, "big") + (4).to_bytes(2, "big")
LOAD_SIZE = len(_LOAD_START) + 4
"""Bytes of the fields of an answer that says how busy the server is, and nothing else."""
_ERROR = _ANSWER | {
    f.ERROR_CODE,
    f.MESSAGE,
    f.EXECUTED,
    f.RETRY_AFTER,
    f.ERROR_TYPE,
    f.PATH,
    f.TRACEBACK,
    f.APPLICATION_CODE,
}
_GOAWAY = frozenset({f.LAST_ID, f.ERROR_CODE, f.MESSAGE})
_PONG = frozenset({f.STATUS})


def answer_fields(metadata: Metadata, load: Load | None) -> bytes:
    """What a response or an error says beside its result.

    Args:
        metadata: What the handler sends along; its size was bounded as it was written.
        load: How busy the server is, or None where the client did not ask.
    """
    block = f.pairs(f.METADATA, f.METADATA_BYTES, metadata) if metadata else b""
    if load is None:
        return block
    in_flight = min(load.in_flight, _MOST)
    lag = min(max(round(load.lag * 1000), 0), _MOST)
    return block + _LOAD_START + (in_flight << 16 | lag).to_bytes(4, "big")


def parse_answer(block: bytes) -> tuple[Metadata, Load | None]:
    """The metadata and the load in the fields of a response.

    Raises:
        ProtocolError: The fields are not well-formed.
    """
    if len(block) == LOAD_SIZE and block.startswith(_LOAD_START):  # it says nothing else
        said = int.from_bytes(block[-4:], "big")
        return NOTHING, Load(said >> 16, (said & _MOST) / 1000)
    return _beside(f.parse(block, _ANSWER))


def _beside(found: dict[int, list[bytes]]) -> tuple[Metadata, Load | None]:
    said = f.get_number(found, f.LOAD)
    load = None if said is None else Load(said >> 16, (said & _MOST) / 1000)
    return f.get_pairs(found, f.METADATA, f.METADATA_BYTES), load


def error_fields(failure: Failure) -> bytes:
    """The fields of an error frame. Its body is ``failure.details``."""
    block = (
        f.number(f.ERROR_CODE, ERROR_CODES.get(failure.kind, ERROR_CODES["remote_error"]), 2)
        + f.number(f.EXECUTED, _EXECUTED.index(failure.executed), 1)
        + f.clipped(f.MESSAGE, failure.message, _MAX_MESSAGE)
    )
    if failure.retry_after is not None:
        # Rounded up, but not because of the product's error: 16.027 * 1000 is 16027.000000000002.
        block += f.number(
            f.RETRY_AFTER, ceil(round(min(failure.retry_after * 1000, 0xFFFF_FFFF), 3))
        )
    if failure.error_type:
        block += f.clipped(f.ERROR_TYPE, failure.error_type, 255)
    if failure.path:
        block += f.clipped(f.PATH, failure.path, 1024)
    if failure.traceback is not None:
        block += f.clipped(f.TRACEBACK, failure.traceback, _MAX_TRACEBACK)
    return block + f.clipped(f.APPLICATION_CODE, failure.code, 255) if failure.code else block


def parse_error(block: bytes, details: bytes = b"") -> Failure:
    """What a server says about a request, classed.

    Args:
        block: The fields of an error frame.
        details: Its body.

    Raises:
        ProtocolError: The fields are not well-formed.
    """
    found = f.parse(block, _ERROR)
    code = f.get_number(found, f.ERROR_CODE, 2)
    if code is None:
        raise ProtocolError("an error must have a code")
    executed = f.get_number(found, f.EXECUTED, 1)
    if executed is not None and executed >= len(_EXECUTED):
        raise ProtocolError(f"an error with the unknown value {executed} for executed")
    retry_after = f.get_number(found, f.RETRY_AFTER)
    failure = reported(
        _KINDS.get(code, f"error code {code}"),
        f.get_text(found, f.MESSAGE),
        executed=None if executed is None else _EXECUTED[executed],
        retry_after=None if retry_after is None else retry_after / 1000,
        error_type=f.get_text(found, f.ERROR_TYPE),
        code=f.get_text(found, f.APPLICATION_CODE),
        details=details,
        path=f.get_text(found, f.PATH),
        traceback=f.get_text(found, f.TRACEBACK) if f.TRACEBACK in found else None,
    )
    failure.metadata, failure.load = _beside(found)
    return failure


@attrs.frozen
class Goaway:
    """The server takes no more requests on this connection.

    Attributes:
        last_id: The last request that it accepted; later ones did not run and will not.
        kind: ``unavailable`` for a drain; otherwise why it refuses: ``overloaded``,
            ``unauthenticated``, ``protocol_error``, ``message_too_large``.
        message: For people.
    """

    last_id: int
    kind: str = "unavailable"
    message: str = "the server is shutting down"

    @property
    def drain(self) -> bool:
        """Whether what the server accepted is still answered. Else the connection is over."""
        return self.kind == "unavailable"

    def encode(self) -> bytes:
        """The fields."""
        return (
            f.number(f.LAST_ID, self.last_id)
            + f.number(f.ERROR_CODE, ERROR_CODES[self.kind], 2)
            + f.clipped(f.MESSAGE, self.message, _MAX_MESSAGE)
        )

    @classmethod
    def parse(cls, block: bytes) -> Goaway:
        """The inverse; an unknown code (a newer server) is taken as ``unavailable``."""
        found = f.parse(block, _GOAWAY)
        last_id = f.get_number(found, f.LAST_ID)
        if last_id is None:
            raise ProtocolError("a goaway must name the last accepted id")
        code = f.get_number(found, f.ERROR_CODE, 2)
        return cls(last_id, _KINDS.get(code or 0, "unavailable"), f.get_text(found, f.MESSAGE))


Status = Literal["serving", "draining"]
_STATUS: tuple[Status, ...] = ("serving", "draining")


def pong_fields(status: Status) -> bytes:
    """The fields of a pong."""
    return f.number(f.STATUS, _STATUS.index(status), 1)


def parse_pong(block: bytes) -> Status:
    """The server's health. An unknown status (a newer server) is ``draining``: no new calls."""
    status = f.get_number(f.parse(block, _PONG), f.STATUS, 1)
    if status is None:
        raise ProtocolError("a pong must have a status")
    return _STATUS[status] if status < len(_STATUS) else "draining"
