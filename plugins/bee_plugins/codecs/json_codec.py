"""Codec ``json``, on msgspec. :mod:`~.msgspec_codec` says how arguments lie in a body.

With a type: dates are RFC 3339 text, bytes are base64 text, ``Decimal`` and ``UUID`` are text,
``timedelta`` is an ISO 8601 duration, enums are their values, sets and tuples are arrays, records
are objects. Without a type a value arrives as what JSON holds: bytes as base64 text, a date as
text, a tuple as a list, the keys of a dict as text. Keys that are the same text (``1`` and ``"1"``)
are refused. If a body of others has a key twice in an object, the last one counts. NaN and
infinities are refused, because JSON has no numbers for them. A moment with seconds in its offset
is written in UTC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from bee_core.hookspecs import Registrar, hookimpl

from .bounded_decoding import bounded_json
from .json_losses import KEY_OR_OFFSET, encode, refuse_non_finite, without_loss
from .msgspec_codec import MsgspecCodec
from .msgspec_format import Format
from .plain_values import is_plain

if TYPE_CHECKING:
    from bee_core.interfaces import Codec


class JsonCodec(MsgspecCodec):
    """The codec.

    Attributes:
        native: Whether the native look at plain values is used; ``bee --version`` says so.
    """

    native = is_plain is not None
    format = Format(
        name="json",
        encode=encode,
        new_decoder=lambda hint, dec_hook: msgspec.json.Decoder(hint, dec_hook=dec_hook).decode,
        conversion={"str_keys": True},
        loss=b"null",  # msgspec writes it for None, and for NaN
        refuse_loss=refuse_non_finite,
        without_loss=without_loss,
        suspect=KEY_OR_OFFSET,
        is_plain=is_plain,
        text_keys=True,
        bounded=bounded_json,
    )


@hookimpl
def bee_register_codecs(registry: Registrar[Codec]) -> None:
    """Offer ``json``."""
    registry.add("json", JsonCodec)
