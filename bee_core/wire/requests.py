"""The fields of a request: written by clients, parsed and remembered by servers."""

from __future__ import annotations

import struct
from math import ceil
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec

from ..errors import ProtocolError
from ..terms.metadata import NOTHING
from . import fields as f
from .deduplication import Repetition
from .frames import HEADER_FORMAT

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..terms.metadata import Metadata

_REQUEST = frozenset(
    {
        f.METHOD,
        f.TIME_LEFT,
        f.METADATA,
        f.BAGGAGE,
        f.METADATA_BYTES,
        f.BAGGAGE_BYTES,
        f.DEDUPE_KEY,
        f.ONEWAY,
        f.REPETITION,
    }
)
CACHED_BLOCK = 256
"""Bytes of the longest block of fields that a parser remembers. Tests read it."""
CACHED_BLOCKS = 1024
"""Blocks of fields that a parser remembers at most. Tests read it."""


class RequestFields(msgspec.Struct, eq=False):
    """The fields of a request. Treat as immutable: requests with the same fields share them."""

    method: str
    time_left: float | None
    metadata: Metadata
    baggage: Metadata
    dedupe_key: bytes | None
    oneway: bool
    repetition: Repetition | None = None


def request_fields(
    method: str,
    metadata: Metadata = NOTHING,
    baggage: Metadata = NOTHING,
    *,
    oneway: bool = False,
) -> bytes:
    """The fields of a request that are the same for all calls of a method.

    Raises:
        ValueError: A name, key or value is too long.
    """
    return _fitting(
        f.text(f.METHOD, method)
        + f.pairs(f.METADATA, f.METADATA_BYTES, metadata)
        + f.pairs(f.BAGGAGE, f.BAGGAGE_BYTES, baggage)
        + (f.field(f.ONEWAY, b"") if oneway else b"")
    )


def with_metadata(block: bytes, added: Metadata) -> bytes:
    """These fields of a request, with more metadata behind them.

    Raises:
        ValueError: A key or a value is too long, or all together are.
    """
    return _fitting(block + f.pairs(f.METADATA, f.METADATA_BYTES, added))


def _fitting(block: bytes) -> bytes:
    if len(block) > f.MAX_FIELDS - 128:
        raise ValueError(
            f"method name and metadata have {len(block)} bytes; a frame has room for "
            f"{f.MAX_FIELDS - 128}"
        )
    return block


TIME = bytes((f.TIME_LEFT, 0, 4))
"""What stands before the time left: type and length."""
TIME_LEFT_FORMAT = "3sI"
"""The struct format of the field: ``TIME``, milliseconds. The byte order is not in it."""
TIME_LEFT_SIZE = 7
_pack_time_left = struct.Struct(f">{TIME_LEFT_FORMAT}").pack
MAX_MILLISECONDS = 0xFFFF_FFFF
KEY_SIZE = 16
"""Bytes of a deduplication key as bee's clients make it. Others are carried as well."""
KEY = bytes((f.DEDUPE_KEY, 0, KEY_SIZE))
"""What stands before such a key: type and length."""
KEY_FORMAT = f"3s{KEY_SIZE}s"
"""The struct format of the field: ``KEY``, the key."""
KEY_FIELD_SIZE = len(KEY) + KEY_SIZE
PACKERS: dict[int, Callable[..., bytes]] = {}
"""Packs header, fields and time left in one step, by the two bytes of the size of the fields."""
KEY_PACKERS: dict[int, Callable[..., bytes]] = {}
"""The same with a deduplication key behind them."""


def new_packer(fields_size: int) -> Callable[..., bytes]:
    """Make the one that is missing in ``PACKERS``."""
    pack = PACKERS[fields_size] = struct.Struct(
        f"{HEADER_FORMAT}{fields_size - TIME_LEFT_SIZE}s{TIME_LEFT_FORMAT}"
    ).pack
    return pack


def new_key_packer(fields_size: int) -> Callable[..., bytes]:
    """Make the one that is missing in ``KEY_PACKERS``."""
    others = fields_size - TIME_LEFT_SIZE - KEY_FIELD_SIZE
    pack = KEY_PACKERS[fields_size] = struct.Struct(
        f"{HEADER_FORMAT}{others}s{TIME_LEFT_FORMAT}{KEY_FORMAT}"
    ).pack
    return pack


def time_left_field(seconds: float) -> bytes:
    """The field of the time left, in whole milliseconds.

    It is rounded up, so a deadline is not made shorter on its way. A time over 49 days is sent as
    49 days.
    """
    return _pack_time_left(TIME, whole_milliseconds(seconds * 1000))


def whole_milliseconds(milliseconds: float) -> int:
    """The number in the field of the time left: rounded up, and bounded by what fits."""
    if 0 < milliseconds < MAX_MILLISECONDS:
        return ceil(milliseconds)
    return MAX_MILLISECONDS if milliseconds > 0 else 0


TRACEPARENT = "traceparent"
"""The name in the metadata under which the context of a trace travels (W3C Trace Context)."""
TRACEPARENT_SIZE = 55
"""Characters of its value in the version of now, ``00``."""
_TRACE_HEAD = f.pairs(f.METADATA, f.METADATA_BYTES, {TRACEPARENT: "0" * TRACEPARENT_SIZE})[
    :-TRACEPARENT_SIZE
]
_TRACE_FIELD_SIZE = len(_TRACE_HEAD) + TRACEPARENT_SIZE

_TIME = struct.Struct(f">{TIME_LEFT_FORMAT}")
_TIME_AND_KEY_SIZE = TIME_LEFT_SIZE + KEY_FIELD_SIZE
_unpack_time_and_key = struct.Struct(f">{TIME_LEFT_FORMAT}{KEY_FORMAT}").unpack_from


class RequestParser:
    """Parses the fields of requests, and remembers what it parsed.

    The time left and the deduplication key differ from call to call, and clients write them last.
    So does the ``traceparent`` of a traced call, which stands before them. What stands before all
    of these is the same for most requests of a method, so this part is remembered. The memory is
    bounded: it keeps short blocks only, and is emptied when it is full. For one thread.

    Args:
        repetitions: Whether the server remembers its answers. One that does not must refuse the
            repetition of a request, so it does not know that field.
    """

    __slots__ = ("_fields", "_known")

    def __init__(self, *, repetitions: bool = False) -> None:
        self._known: dict[bytes, RequestFields] = {}
        self._fields = _REQUEST if repetitions else _REQUEST - {f.REPETITION}

    @property
    def remembered(self) -> int:
        """How many blocks it remembers; for tests and tools."""
        return len(self._known)

    def parse(self, block: bytes) -> RequestFields:
        """The fields of one request.

        Raises:
            ProtocolError: They are not well-formed, or no method is named.
        """
        end = len(block) - _TIME_AND_KEY_SIZE
        if end > 0:
            time_head, milliseconds, key_head, key = _unpack_time_and_key(block, end)
            if time_head == TIME and key_head == KEY:
                known = self._known.get(block[:end])
                if known is None:
                    return self._parse(block, block[:end], milliseconds / 1000, key)
                return RequestFields(  # the hot path: what `_parse` does, without the call
                    known.method,
                    milliseconds / 1000,
                    known.metadata,
                    known.baggage,
                    key,
                    known.oneway,
                )
        end = len(block) - _TIME.size
        if end > 0:
            time_head, milliseconds = _TIME.unpack_from(block, end)
            if time_head == TIME:
                return self._parse(block, block[:end], milliseconds / 1000, None)
        return self._parse(block, block, None, None)

    def _parse(
        self, block: bytes, lasting: bytes, time_left: float | None, key: bytes | None
    ) -> RequestFields:
        """Put what is known of the lasting part together with the time and the key behind it."""
        known = self._known.get(lasting) or self._learn(lasting)
        if known is None:
            return self._parse_all(block)
        if time_left is None:
            return known
        return RequestFields(
            known.method, time_left, known.metadata, known.baggage, key, known.oneway
        )

    def _learn(self, lasting: bytes) -> RequestFields | None:
        """The fields of a part; None where the whole block has to be looked at.

        The end of a long value may look like a field. Then the part before it is cut short.
        """
        end = len(lasting) - _TRACE_FIELD_SIZE
        if end > 0 and lasting.startswith(_TRACE_HEAD, end):
            before = lasting[:end]
            known = self._known.get(before) or self._remember(before)
            if known is not None and TRACEPARENT not in known.metadata:
                return _traced(known, lasting[-TRACEPARENT_SIZE:])
        return self._remember(lasting)

    def _remember(self, lasting: bytes) -> RequestFields | None:
        try:
            parsed = self._parse_all(lasting)
        except ProtocolError:
            return None
        if parsed.time_left is not None or parsed.dedupe_key is not None:
            return None  # they stand elsewhere, or are there twice
        if parsed.repetition is not None:
            return None  # it differs from request to request
        if len(lasting) <= CACHED_BLOCK:
            if len(self._known) >= CACHED_BLOCKS:
                self._known.clear()
            self._known[lasting] = parsed
        return parsed

    def _parse_all(self, block: bytes) -> RequestFields:
        found = f.parse(block, self._fields)
        if f.METHOD not in found:
            raise ProtocolError("a request must name a method")
        left = f.get_number(found, f.TIME_LEFT)
        oneway = f.ONEWAY in found
        if oneway and found[f.ONEWAY] != [b""]:
            raise ProtocolError("the field oneway must be empty")
        repeated = found.get(f.REPETITION)
        return RequestFields(
            f.get_text(found, f.METHOD),
            None if left is None else left / 1000,
            f.get_pairs(found, f.METADATA, f.METADATA_BYTES),
            f.get_pairs(found, f.BAGGAGE, f.BAGGAGE_BYTES),
            found.get(f.DEDUPE_KEY, [None])[0],
            oneway,
            None if repeated is None else Repetition.parse(repeated[0]),
        )


def _traced(known: RequestFields, traceparent: bytes) -> RequestFields | None:
    """Known fields with the context of a trace in their metadata; None if that is no text."""
    if not traceparent.isascii():
        return None
    metadata = MappingProxyType({**known.metadata, TRACEPARENT: traceparent.decode()})
    return RequestFields(known.method, None, metadata, known.baggage, None, known.oneway)
