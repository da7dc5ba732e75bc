"""Frames: how they lie in the byte stream.

::

    0        4    5    6    7    8        12       14
    +--------+----+----+----+----+--------+--------+----------+---------+
    | length | v  |kind|flag|form|   id   | fields | fields … | body …  |
    +--------+----+----+----+----+--------+--------+----------+---------+
     4 bytes  1    1    1    1    4 bytes  2 bytes

``length`` counts what follows it. All numbers are big-endian and unsigned. No I/O happens here.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from ..errors import CallError, MessageTooLarge, ProtocolError
from .large_bodies import keep_memory

VERSION: Final = 1

HELLO: Final = 1
HELLO_ACK: Final = 2
REQUEST: Final = 3
RESPONSE: Final = 4
ERROR: Final = 5
CANCEL: Final = 6
PING: Final = 7
PONG: Final = 8
GOAWAY: Final = 9
KIND_NAMES: Final = {
    1: "hello",
    2: "hello-ack",
    3: "request",
    4: "response",
    5: "error",
    6: "cancel",
    7: "ping",
    8: "pong",
    9: "goaway",
}

COMPRESSED: Final = 0x01
"""Flag: the body went through the compressor that the hello named."""
_KNOWN_FLAGS: Final = COMPRESSED
_LAST_FORM: Final = 3

MAX_ID: Final = 0x7FFF_FFFF
"""Ids of requests grow from 1 to this; then the connection has to be replaced."""

HEADER_FORMAT: Final = ">IBBBBIH"
_HEADER: Final = struct.Struct(HEADER_FORMAT)
HEADER_SIZE: Final = _HEADER.size
_LENGTH_SIZE: Final = 4
_REST: Final = HEADER_SIZE - _LENGTH_SIZE
_PRINTABLE: Final = frozenset(range(0x20, 0x7F))
# An alert, which a client gets that calls a TLS server; a handshake, whose error was a frame that
# is too large before there was a word about TLS, and which the vectors hold.
_TLS_RECORDS: Final[dict[int, type[CallError]]] = {0x15: ProtocolError, 0x16: MessageTooLarge}
_TLS_MAJOR: Final = 3  # of every version of TLS
_CHUNK: Final = 4096
"""Bytes of a part of a frame that is kept as it came. The object around it then costs 1 %."""
MAX_OVERHEAD: Final = _REST + 0xFFFF
"""Bytes of a frame that are not its body: the most that there can be."""

pack_header: Final = _HEADER.pack
"""Packs a header: length, version, kind, flags, form, id, size of the fields."""
unpack_header = _HEADER.unpack_from
"""Reads a header at a position; tests put a counter in its place."""


def foreign(start: bytes) -> CallError | None:
    """The error for the first four bytes of another protocol's stream, or None."""
    if _PRINTABLE.issuperset(start):
        return ProtocolError(
            f"these bytes are not bee's protocol: they begin with the text {start.decode()!r}, "
            "as those of another protocol would"
        )
    if start[0] in _TLS_RECORDS and start[1] == _TLS_MAJOR:
        return _TLS_RECORDS[start[0]](
            "these bytes are TLS, and this side does not speak it here; use tls:// on both "
            "sides, or tcp:// on both"
        )
    return None


class Frame(msgspec.Struct, gc=False):  # every message makes one: a struct is made in C
    """One frame. Treat as immutable. Equal when every part is equal."""

    kind: int
    id: int
    fields: bytes
    body: bytes
    flags: int = 0
    form: int = 0

    def __repr__(self) -> str:
        """Short: bodies can be megabytes."""
        return (
            f"Frame({KIND_NAMES.get(self.kind, self.kind)} #{self.id}, "
            f"{len(self.fields)} B fields, {len(self.body)} B body, "
            f"flags={self.flags}, form={self.form})"
        )


def encode_head(
    kind: int, id_: int, fields: bytes, body_size: int, flags: int = 0, form: int = 0
) -> bytes:
    """Header and fields of a frame. The body follows apart, so that a large one is not copied.

    Raises:
        ValueError: The fields are longer than 65,535 bytes.
    """
    size = len(fields)
    if size > 0xFFFF:
        raise ValueError(
            f"the fields of a frame have {size} bytes, more than 65535: shorten the metadata"
        )
    return pack_header(_REST + size + body_size, VERSION, kind, flags, form, id_, size) + fields


def encode(
    kind: int, id_: int, fields: bytes = b"", body: bytes = b"", flags: int = 0, form: int = 0
) -> bytes:
    """A whole frame."""
    return encode_head(kind, id_, fields, len(body), flags, form) + body


class FrameDecoder:
    """Turns chunks of a byte stream into frames. Whatever the chunking, the frames are the same.

    Bad input does not raise: it sets :attr:`error`, after the frames before it were returned, and
    everything later is ignored. Not thread-safe.

    Args:
        max_body: Bytes that a body may have. A longer one is an error as soon as its header is
            there. A frame that is too long whatever its fields is an error as soon as its length is
            there. Nothing is allocated for them.

    Attributes:
        error: ``MessageTooLarge`` or ``ProtocolError`` once the stream is unusable.
        partial: Whether a frame has begun and is not complete.
        held: Bytes that have come of it.
        needed: Bytes that it will have, 0 while its header is not complete.
    """

    __slots__ = ("_buffer", "_chunks", "_max_body", "error", "held", "needed", "partial")

    def __init__(self, max_body: int) -> None:
        self._max_body = max_body
        # What has come of a frame: chunks, and behind them what is too short to be one. A large
        # body is so copied once, when its last chunk is there.
        self._chunks: list[bytes] = []
        self._buffer = bytearray()
        self.held = 0
        self.needed = 0
        self.partial = False
        self.error: CallError | None = None

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next chunk and return the frames that it completes."""
        frames: list[Frame] = []
        if self.held:
            self.held += len(data)
            if self.held < self.needed:
                self._hold(data)
                return frames
            data = self._large(data, frames) if self._chunks else self._joined(data)
            self.partial = False
        if self.error is not None:
            return frames
        self.needed = 0
        max_body = self._max_body
        position, end = 0, len(data)
        while end - position >= HEADER_SIZE:
            length, version, kind, flags, form, id_, fields_size = unpack_header(data, position)
            if (
                version != VERSION
                or not 0 <= length - _REST - fields_size <= max_body
                or flags & ~_KNOWN_FLAGS
                or form > _LAST_FORM
            ):
                self.error = self._explain(length, version, flags, form, fields_size)
                return frames
            stop = position + _LENGTH_SIZE + length
            if stop > end:
                self.needed = stop - position
                break
            start = position + HEADER_SIZE
            split = start + fields_size
            frames.append(Frame(kind, id_, data[start:split], data[split:stop], flags, form))
            position = stop
        else:
            # Less than a header: judge the parts that are there, so that garbage is not waited for.
            if position < end and (error := self._judge_start(data[position:])):
                self.error = error
                return frames
        if position < end:
            self.held = end - position
            self._hold(data[position:] if position else data)
            self.partial = True
        return frames

    def _hold(self, data: bytes) -> None:
        buffer = self._buffer
        if len(data) < _CHUNK:
            buffer += data  # an object of its own would cost more than these bytes
            return
        if buffer:
            self._chunks.append(bytes(buffer))
            buffer.clear()
        self._chunks.append(data)

    def _joined(self, data: bytes) -> bytes:
        """All that is held, and the chunk behind it. Nothing is held any more."""
        self.held = 0
        buffer, chunks = self._buffer, self._chunks
        if chunks:
            self._chunks = []
            joined = b"".join((*chunks, buffer, data))
        else:
            buffer += data
            joined = bytes(buffer)
        buffer.clear()
        return joined

    def _large(self, data: bytes, frames: list[Frame]) -> bytes:
        """Add the frame whose last chunk this is; what comes behind it.

        Its body is copied once. Its header was looked at when its length became known.
        """
        keep_memory()
        first = self._chunks[0]
        _, _, kind, flags, form, id_, fields_size = unpack_header(first, 0)
        split = HEADER_SIZE + fields_size
        if len(first) < split:
            return self._joined(data)
        stop = len(data) - (self.held - self.needed)
        last = data[:stop] if stop < len(data) else data
        body = b"".join((memoryview(first)[split:], *self._chunks[1:], self._buffer, last))
        frames.append(Frame(kind, id_, first[HEADER_SIZE:split], body, flags, form))
        self.held, self._chunks = 0, []
        self._buffer.clear()
        return data[stop:]

    def sole_response(self, id_: int, data: bytes) -> bytes | None:
        """The body, where a chunk is the whole plain response to this request and nothing else.

        Nearly every chunk is, where one request is under way. Else None: the chunk is for ``feed``.
        """
        size = len(data) - HEADER_SIZE
        if self.partial or self.error is not None or not 0 <= size <= self._max_body:
            return None
        return (
            data[HEADER_SIZE:]
            if data.startswith(pack_header(_REST + size, VERSION, RESPONSE, 0, 0, id_, 0))
            else None
        )

    def sole_answer(self, id_: int, data: bytes, fields_size: int) -> tuple[bytes, bytes] | None:
        """As :meth:`sole_response`, with fields of a known size: the fields and the body."""
        start = HEADER_SIZE + fields_size
        size = len(data) - start
        if self.partial or self.error is not None or not 0 <= size <= self._max_body:
            return None
        head = pack_header(_REST + fields_size + size, VERSION, RESPONSE, 0, 0, id_, fields_size)
        return (data[HEADER_SIZE:start], data[start:]) if data.startswith(head) else None

    def _judge_start(self, start: bytes) -> CallError | None:
        if len(start) >= _LENGTH_SIZE:
            length = int.from_bytes(start[:_LENGTH_SIZE], "big")
            version = start[4] if len(start) > _LENGTH_SIZE else VERSION
            if length > self._max_body + MAX_OVERHEAD or length < _REST or version != VERSION:
                return self._explain(length, version, 0, 0, 0)
        return None

    def _explain(
        self, length: int, version: int, flags: int, form: int, fields_size: int
    ) -> CallError:
        """What is wrong with a header: its first fault, however much of it has come."""
        limit = self._max_body
        if length > limit + MAX_OVERHEAD:
            start = length.to_bytes(_LENGTH_SIZE, "big")
            return foreign(start) or MessageTooLarge(
                f"a frame of {length} bytes, with at most {limit} bytes of body allowed here "
                "(max_size); nothing of it was read"
            )
        if length < _REST:
            return ProtocolError(f"a frame of {length} bytes cannot hold its header")
        if version != VERSION:
            return ProtocolError(
                f"a frame of protocol version {version}; this side speaks version {VERSION}"
            )
        if flags & ~_KNOWN_FLAGS:
            return ProtocolError(f"a frame with unknown flags {flags:#04x}")
        if form > _LAST_FORM:
            return ProtocolError(f"a frame with the unknown form {form}")
        if length < _REST + fields_size:
            return ProtocolError(
                f"a frame of {length} bytes cannot hold its header and {fields_size} bytes of "
                "fields"
            )
        return MessageTooLarge(
            f"a body of {length - _REST - fields_size} bytes, with at most {limit} bytes "
            "allowed here (max_size); nothing of it was read"
        )
