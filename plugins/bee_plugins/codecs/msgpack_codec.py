"""Codec ``msgpack``, on msgspec. How arguments lie in a body stands in :mod:`bee_plugins.codecs.method_codecs`.

Where the type is known, all is as in the codec ``json``, except that bytes are bytes, keys of a dict keep their types, and a datetime with an offset is MessagePack's timestamp:
the moment, exact to the microsecond, without the offset, so it arrives in UTC. One without an offset is RFC 3339 text. NaN and infinities are floats like others. Integers have 64
bits. Without a type what is bytes or a timestamp on the wire arrives as ``bytes`` or ``datetime``. Extension types other than the timestamp are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from bee_core.hookspecs import hookimpl

from .formats import Format, plain_subclass
from .msgspec_codec import MsgspecCodec

if TYPE_CHECKING:
    from bee_core.hookspecs import Registrar
    from bee_core.interfaces import Codec


def _refuse_extension(code: int, _data: Any) -> NoReturn:
    raise msgspec.ValidationError(f"extension type {code} of MessagePack is not known here")


MSGPACK = Format(
    name="msgpack",
    encode=msgspec.msgpack.Encoder(enc_hook=plain_subclass).encode,
    new_decoder=lambda hint, dec_hook: (
        msgspec.msgpack.Decoder(hint, dec_hook=dec_hook, ext_hook=_refuse_extension).decode
    ),
    loss=b"\xc1",  # a byte that no type has; where it is in data nothing is lost either
    refuse_loss=lambda _value, _named, _executed: None,
    text_keys=False,
    conversion={"builtin_types": (bytes, bytearray, memoryview)},  # text is no base64 of bytes here
)


class MsgpackCodec(MsgspecCodec):
    """The codec."""

    format = MSGPACK


@hookimpl
def bee_register_codecs(registry: Registrar[Codec]) -> None:
    """Offer ``msgpack``."""
    registry.add("msgpack", MsgpackCodec)
