"""The block of type-length-value fields in a frame.

Each field is ``type`` (1 byte), ``length`` (2 bytes, big-endian), ``value``. Fields carry what a
receiver needs before it can understand a body: the method, the time left, an error code. No codec
takes part in their form. A receiver ignores types below 0x80 that it does not know. Types from 0x80
on are critical: a receiver that does not know one must refuse the frame.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from ..errors import ProtocolError
from ..terms import metadata
from ..terms.metadata import NOTHING

if TYPE_CHECKING:
    from ..terms.metadata import Metadata, Value

METHOD = 0x01
TIME_LEFT = 0x02
METADATA = 0x03
BAGGAGE = 0x04
DEDUPE_KEY = 0x05
METADATA_BYTES = 0x06
BAGGAGE_BYTES = 0x07
ONEWAY = 0x81
REPETITION = 0x82

ERROR_CODE = 0x10
MESSAGE = 0x11
EXECUTED = 0x12
RETRY_AFTER = 0x13
ERROR_TYPE = 0x14
PATH = 0x15
TRACEBACK = 0x16
APPLICATION_CODE = 0x17

SERVICE = 0x20
CODEC = 0x21
COMPRESSOR = 0x22
TOKEN = 0x23
SERVICE_VERSION = 0x24
EPOCH = 0x25
MAX_BODY = 0x26
WORKERS = 0x27
LOAD_WANTED = 0x28
DEDUPLICATION = 0x29

LAST_ID = 0x30
STATUS = 0x31
LOAD = 0x32

NAMES = {
    value: name.lower()
    for name, value in list(globals().items())
    if type(value) is int and name.isupper()
}
REPEATABLE = frozenset({METADATA, BAGGAGE, METADATA_BYTES, BAGGAGE_BYTES})
CRITICAL = 0x80
"""Types from here on must be known to the receiver."""

MAX_FIELDS = 0xFFFF
"""Bytes that the fields of one frame may have: what its 2-byte length can say."""
MAX_VALUE = 0xFFFF
_HEAD = 3


def field(kind: int, value: bytes) -> bytes:
    """One encoded field.

    Raises:
        ValueError: The value is longer than a field can be.
    """
    if len(value) > MAX_VALUE:
        raise ValueError(
            f"the field {NAMES.get(kind, hex(kind))} has {len(value)} bytes, more than the "
            f"{MAX_VALUE} that a field can have"
        )
    return kind.to_bytes(1, "big") + len(value).to_bytes(2, "big") + value


def text(kind: int, value: str) -> bytes:
    """One encoded field of text.

    A text that UTF-8 cannot carry (lone surrogates) is sent with replacements.
    """
    return field(kind, value.encode("utf-8", "replace"))


def clipped(kind: int, value: str, limit: int) -> bytes:
    """One encoded field of text for people, cut to ``limit`` bytes at a character's boundary."""
    raw = value.encode("utf-8", "replace")
    if len(raw) > limit:
        raw = raw[: limit - 3].decode("utf-8", "ignore").encode() + b"..."
    return field(kind, raw)


def number(kind: int, value: int, size: int = 4) -> bytes:
    """One encoded field of an unsigned number of ``size`` bytes.

    A number that is too large is sent as the largest one, and a negative one as 0.
    """
    return field(kind, min(max(value, 0), (1 << (8 * size)) - 1).to_bytes(size, "big"))


def pairs(texts: int, data: int, items: Metadata) -> bytes:
    """One field for each pair: key length (1 byte), key, value.

    Args:
        texts: The type of a field whose value is text.
        data: The type of a field whose value is bytes.
        items: The pairs.

    Raises:
        ValueError: A key is empty or longer than 255 bytes, or a value does not fit into a field.
    """
    block = b""
    for key, value in items.items():
        raw = key.encode("utf-8", "replace")
        if not 0 < len(raw) <= metadata.MAX_NAME:
            raise ValueError(f"the key {key!r} must have 1 to {metadata.MAX_NAME} bytes")
        head = len(raw).to_bytes(1, "big") + raw
        if isinstance(value, bytes):
            block += field(data, head + value)
        else:
            block += field(texts, head + value.encode("utf-8", "replace"))
    return block


def parse(block: bytes, known: frozenset[int]) -> dict[int, list[bytes]]:
    """Split a block into its values by type.

    Args:
        block: The fields of one frame.
        known: The types that this kind of frame may carry; others are passed over unless they are
            critical.

    Raises:
        ProtocolError: A length that does not fit, a critical field that is not known, a field that
            is there twice and may not be.
    """
    found: dict[int, list[bytes]] = {}
    position, end = 0, len(block)
    while position < end:
        start = position + _HEAD
        if start > end:
            raise ProtocolError("a field's head is cut short")
        kind = block[position]
        position = start + (block[position + 1] << 8 | block[position + 2])
        if position > end:
            raise ProtocolError(f"the field {NAMES.get(kind, hex(kind))} is longer than its frame")
        if kind in known:
            if kind not in found:
                found[kind] = [block[start:position]]
            elif kind in REPEATABLE:
                found[kind].append(block[start:position])
            else:
                raise ProtocolError(f"the field {NAMES.get(kind, hex(kind))} is there twice")
        elif kind >= CRITICAL:
            raise ProtocolError(
                f"the critical field {hex(kind)} is not known to this version of bee"
            )
    return found


def get_text(found: dict[int, list[bytes]], kind: int, default: str = "") -> str:
    """A field of text.

    Raises:
        ProtocolError: It is not UTF-8.
    """
    values = found.get(kind)
    return default if values is None else _decode(values[0], kind)


def get_number(found: dict[int, list[bytes]], kind: int, size: int = 4) -> int | None:
    """A field of a number.

    Raises:
        ProtocolError: It does not have ``size`` bytes.
    """
    values = found.get(kind)
    if values is None:
        return None
    if len(values[0]) != size:
        raise ProtocolError(
            f"the field {NAMES.get(kind, hex(kind))} has {len(values[0])} bytes, not {size}"
        )
    return int.from_bytes(values[0], "big")


def get_pairs(found: dict[int, list[bytes]], texts: int, data: int) -> Metadata:
    """The pairs of two fields, one for texts and one for bytes.

    Of a key that is there twice the last one counts, and one of bytes before one of text.

    Raises:
        ProtocolError: A key length that does not fit, or text that is not UTF-8.
    """
    items: dict[str, Value] = {}
    for kind in (texts, data):
        for value in found.get(kind, ()):
            size = value[0] if value else 0
            if not 0 < size < len(value):
                raise ProtocolError(f"a pair in {NAMES[kind]} has a key length that does not fit")
            rest = value[size + 1 :]
            items[_decode(value[1 : size + 1], kind)] = (
                rest if kind == data else _decode(rest, kind)
            )
    return MappingProxyType(items) if items else NOTHING


def _decode(raw: bytes, kind: int) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise ProtocolError(f"the field {NAMES.get(kind, hex(kind))} is not UTF-8") from error
