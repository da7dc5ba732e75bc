"""Codec ``msgpack``, on msgspec. :mod:`~.msgspec_codec` says how arguments lie in a body.

With a type everything is as in the codec ``json``, with three exceptions: bytes are bytes; keys of
a dict keep their types; a datetime with an offset is MessagePack's timestamp. The timestamp is the
moment, exact to the microsecond, without the offset, so it arrives in UTC. A datetime without an
offset is RFC 3339 text. NaN and infinities are floats like others. Integers have 64 bits. Without
a type, bytes and timestamps arrive as ``bytes`` and ``datetime``. Other extension types are
refused. So is a time of day with seconds in its offset, which text would not keep.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from bee_core.hookspecs import Registrar, hookimpl

from .bounded_decoding import bounded_msgpack
from .invalid_argument import invalid, parts
from .msgspec_codec import MsgspecCodec
from .msgspec_format import Format, plain_subclass
from .offsets import has_odd_offset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bee_core.errors import Executed
    from bee_core.interfaces import Codec

_TIME = re.compile(rb":\d\d(?:\.\d+)?(?:[+-]\d\d:\d\d|Z)")
"""The end of a time of day with an offset. Other text can look like that."""


def _refuse_extension(code: int, _data: Any) -> NoReturn:
    raise msgspec.ValidationError(f"extension type {code} of MessagePack is not known here")


def _without_loss(
    _value: Any,
    body: bytes,
    named: Callable[[], Iterable[tuple[str, Any]]],
    executed: Executed,
    **_kinds: bool,
) -> bytes:
    """The body. :data:`.msgspec_format.Format.without_loss` says more.

    Raises:
        InvalidArgument: A time of day has seconds in its offset.
    """
    if _TIME.search(body):
        for start, whole in named():
            for path, part in parts(whole, start):
                if isinstance(part, dt.time) and has_odd_offset(part):
                    raise invalid(path, "a time of day with seconds in its offset", executed)
    return body


class MsgpackCodec(MsgspecCodec):
    """The codec."""

    format = Format(
        name="msgpack",
        encode=msgspec.msgpack.Encoder(enc_hook=plain_subclass).encode,
        new_decoder=lambda hint, dec_hook: (
            msgspec.msgpack.Decoder(hint, dec_hook=dec_hook, ext_hook=_refuse_extension).decode
        ),
        loss=b"\xc1",  # no type has this byte; data may have it, and nothing is lost then either
        refuse_loss=lambda _value, _named, _executed: None,
        without_loss=_without_loss,
        suspect=b":",  # each time of day has it; to look for it is 20 times as fast as _TIME
        text_keys=False,
        bounded=bounded_msgpack,
        conversion={"builtin_types": (bytes, bytearray, memoryview)},  # text is no base64 here
    )


@hookimpl
def bee_register_codecs(registry: Registrar[Codec]) -> None:
    """Offer ``msgpack``."""
    registry.add("msgpack", MsgpackCodec)
