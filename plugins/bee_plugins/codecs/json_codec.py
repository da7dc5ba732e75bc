"""Codec ``json``, on msgspec. :mod:`~.msgspec_codec` says how arguments lie in a body.

With a type: dates are RFC 3339 text, bytes are base64 text, ``Decimal`` and ``UUID`` are text,
``timedelta`` is an ISO 8601 duration, enums are their values, sets and tuples are arrays, records
are objects. Without a type a value arrives as what JSON holds: bytes as base64 text, a date as
text, a tuple as a list, the keys of a dict as text. If a key is twice in an object, the last one
counts. NaN and infinities are refused, because JSON has no numbers for them.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import msgspec

from bee_core.hookspecs import Registrar, hookimpl

from .invalid_argument import invalid, parts
from .msgspec_codec import MsgspecCodec
from .msgspec_format import Format, plain_subclass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bee_core.errors import Executed
    from bee_core.interfaces import Codec

_NON_FINITE = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")
"""NaN or an infinity in MessagePack. Other data can look like that, so a match proves nothing."""

_pack = msgspec.msgpack.Encoder(enc_hook=plain_subclass).encode


def _refuse_non_finite(value: Any, named: Iterable[tuple[str, Any]], executed: Executed) -> None:
    """Raise InvalidArgument for a NaN or an infinity anywhere in a value.

    In JSON both NaN and None are ``null``; MessagePack tells them apart. Its encoder is also much
    faster than a walk in Python.
    """
    try:
        if not _NON_FINITE.search(_pack(value)):
            return
    except Exception:  # noqa: S110 - MessagePack cannot hold it, such as an integer over 64 bits
        pass
    for start, whole in named:
        for path, leaf in parts(whole, start):
            if isinstance(leaf, float) and not math.isfinite(leaf):
                raise invalid(path, f"JSON has no number for {leaf}", executed)


class JsonCodec(MsgspecCodec):
    """The codec."""

    format = Format(
        name="json",
        encode=msgspec.json.Encoder(enc_hook=plain_subclass).encode,
        new_decoder=lambda hint, dec_hook: msgspec.json.Decoder(hint, dec_hook=dec_hook).decode,
        conversion={"str_keys": True},
        loss=b"null",  # msgspec writes it for None, and for NaN
        refuse_loss=_refuse_non_finite,
        text_keys=True,
    )


@hookimpl
def bee_register_codecs(registry: Registrar[Codec]) -> None:
    """Offer ``json``."""
    registry.add("json", JsonCodec)
