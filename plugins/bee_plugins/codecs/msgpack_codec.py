"""Codec ``msgpack``, on msgspec. :mod:`~.msgspec_codec` says how arguments lie in a body.

With a type everything is as in the codec ``json``, with three exceptions: bytes are bytes; keys of
a dict keep their types; a datetime with an offset is MessagePack's timestamp. The timestamp is the
moment, exact to the microsecond, without the offset, so it arrives in UTC. A datetime without an
offset is RFC 3339 text. NaN and infinities are floats like others. Integers have 64 bits. Without
a type, bytes and timestamps arrive as ``bytes`` and ``datetime``. Other extension types are
refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from bee_core.hookspecs import Registrar, hookimpl

from .msgspec_codec import MsgspecCodec
from .msgspec_format import Format, plain_subclass

if TYPE_CHECKING:
    from bee_core.interfaces import Codec


def _refuse_extension(code: int, _data: Any) -> NoReturn:
    raise msgspec.ValidationError(f"extension type {code} of MessagePack is not known here")


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
        text_keys=False,
        conversion={"builtin_types": (bytes, bytearray, memoryview)},  # text is no base64 here
    )


@hookimpl
def bee_register_codecs(registry: Registrar[Codec]) -> None:
    """Offer ``msgpack``."""
    registry.add("msgpack", MsgpackCodec)
