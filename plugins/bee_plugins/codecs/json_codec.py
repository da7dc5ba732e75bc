"""Codec ``json``, on msgspec. How arguments lie in a body stands in :mod:`bee_plugins.codecs.method_codecs`.

Where the type is known, dates are RFC 3339 text, bytes are base64 text, ``Decimal`` and ``UUID`` are text, ``timedelta`` is an ISO 8601 duration, enums are their values, sets
and tuples are arrays, records are objects. Without a type they arrive as what JSON holds: bytes as base64 text, a date as text, a tuple as a list, the keys of a dict as text.
Of a key that stands twice in an object the last one counts. NaN and infinities are refused, since JSON has no numbers for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from bee_core.hookspecs import hookimpl

from .formats import Format, plain_subclass
from .invalid import refuse_non_finite
from .msgspec_codec import MsgspecCodec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bee_core.errors import Executed
    from bee_core.hookspecs import Registrar
    from bee_core.interfaces import Codec

_pack = msgspec.msgpack.Encoder(enc_hook=plain_subclass).encode


def _refuse_non_finite(value: Any, named: Iterable[tuple[str, Any]], executed: Executed) -> None:
    refuse_non_finite(value, lambda: named, _pack, executed)


JSON = Format(
    name="json",
    encode=msgspec.json.Encoder(enc_hook=plain_subclass).encode,
    new_decoder=lambda hint, dec_hook: msgspec.json.Decoder(hint, dec_hook=dec_hook).decode,
    conversion={"str_keys": True},
    loss=b"null",  # msgspec writes it for None, and for NaN
    refuse_loss=_refuse_non_finite,
    text_keys=True,
)


class JsonCodec(MsgspecCodec):
    """The codec."""

    format = JSON


@hookimpl
def bee_register_codecs(registry: Registrar[Codec]) -> None:
    """Offer ``json``."""
    registry.add("json", JsonCodec)
