"""The fields of a request: written by clients, parsed and remembered by servers."""

from __future__ import annotations

import struct
from math import ceil
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec

from ..errors import ProtocolError
from . import fields as f

if TYPE_CHECKING:
    from collections.abc import Mapping

_NONE: Mapping[str, str] = MappingProxyType({})
_REQUEST = frozenset({f.METHOD, f.TIME_LEFT, f.METADATA, f.BAGGAGE, f.DEDUPE_KEY, f.ONEWAY})
CACHED_BLOCK = 256
"""Bytes of the longest block of fields that a parser remembers. Tests read it."""
CACHED_BLOCKS = 1024
"""Blocks of fields that a parser remembers at most. Tests read it."""


class RequestFields(msgspec.Struct, eq=False):
    """The fields of a request. Treat as immutable: requests with the same fields share them."""

    method: str
    time_left: float | None
    metadata: Mapping[str, str]
    baggage: Mapping[str, str]
    dedupe_key: bytes | None
    oneway: bool


def request_fields(
    method: str,
    metadata: Mapping[str, str] = _NONE,
    baggage: Mapping[str, str] = _NONE,
    *,
    oneway: bool = False,
) -> bytes:
    """The fields of a request that are the same for all calls of a method.

    Raises:
        ValueError: A name, key or value is too long.
    """
    block = (
        f.text(f.METHOD, method)
        + f.pairs(f.METADATA, metadata)
        + f.pairs(f.BAGGAGE, baggage)
        + (f.field(f.ONEWAY, b"") if oneway else b"")
    )
    if len(block) > f.MAX_FIELDS - 128:
        raise ValueError(
            f"method name and metadata have {len(block)} bytes; a frame has room for "
            f"{f.MAX_FIELDS - 128}"
        )
    return block


TIME_LEFT_FORMAT = "BHI"
"""The struct format of the field: type, length, milliseconds. The byte order is not in it."""
TIME_LEFT_SIZE = 7
_pack_time_left = struct.Struct(f">{TIME_LEFT_FORMAT}").pack
MAX_MILLISECONDS = 0xFFFF_FFFF


def time_left_field(seconds: float) -> bytes:
    """The field of the time left, in whole milliseconds.

    It is rounded up, so a deadline is not made shorter on its way. A time over 49 days is sent as
    49 days.
    """
    return _pack_time_left(f.TIME_LEFT, 4, whole_milliseconds(seconds * 1000))


def whole_milliseconds(milliseconds: float) -> int:
    """The number in the field of the time left: rounded up, and bounded by what fits."""
    if 0 < milliseconds < MAX_MILLISECONDS:
        return ceil(milliseconds)
    return MAX_MILLISECONDS if milliseconds > 0 else 0


class RequestParser:
    """Parses the fields of requests, and remembers what it parsed.

    Most requests of a method have the very same fields. The memory is bounded: it keeps short
    blocks only, and is emptied when it is full. For one thread.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[bytes, RequestFields] = {}

    @property
    def remembered(self) -> int:
        """How many blocks it remembers; for tests and tools."""
        return len(self._known)

    def parse(self, block: bytes) -> RequestFields:
        """The fields of one request.

        Raises:
            ProtocolError: They are not well-formed, or no method is named.
        """
        known = self._known.get(block)
        if known is not None:
            return known
        parsed = _parse_request(block)
        if len(block) <= CACHED_BLOCK:
            if len(self._known) >= CACHED_BLOCKS:
                self._known.clear()
            self._known[block] = parsed
        return parsed


def _parse_request(block: bytes) -> RequestFields:
    found = f.parse(block, _REQUEST)
    if f.METHOD not in found:
        raise ProtocolError("a request must name a method")
    left = f.get_number(found, f.TIME_LEFT)
    metadata = (
        MappingProxyType(f.get_pairs(found[f.METADATA], f.METADATA))
        if f.METADATA in found
        else _NONE
    )
    baggage = (
        MappingProxyType(f.get_pairs(found[f.BAGGAGE], f.BAGGAGE)) if f.BAGGAGE in found else _NONE
    )
    oneway = f.ONEWAY in found
    if oneway and found[f.ONEWAY] != [b""]:
        raise ProtocolError("the field oneway must be empty")
    return RequestFields(
        f.get_text(found, f.METHOD),
        None if left is None else left / 1000,
        metadata,
        baggage,
        found.get(f.DEDUPE_KEY, [None])[0],
        oneway,
    )
