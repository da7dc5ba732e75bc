"""One method of one parameter, bound by json, msgpack and protobuf, for tests of types."""

from __future__ import annotations

import re
from typing import Any

import pytest

from bee_core.errors import InvalidArgument
from bee_core.methods.signatures import Parameter, Signature
from bee_plugins.codecs.json_codec import JsonCodec
from bee_plugins.codecs.msgpack_codec import MsgpackCodec
from bee_plugins.codecs.protobuf_codec import ProtobufCodec

with_all_codecs = pytest.mark.parametrize(
    "codec", [JsonCodec(), MsgpackCodec(), ProtobufCodec()], ids=["json", "msgpack", "protobuf"]
)


def named(part: Any, length: int = 60) -> str:
    """A name for a value in the id of a test, the same in every process.

    No addresses, and sets in order.
    """
    if isinstance(part, (set, frozenset)):
        part = sorted(part, key=str)
    return re.sub(r" at 0x[0-9a-f]+", "", str(part))[:length]


def taking(codec: Any, hint: Any, result: Any = Any) -> Any:
    """The method ``f(p: hint) -> result``."""
    return codec.bind(Signature("f", (Parameter("p", hint=hint),), result))


def sent(codec: Any, hint: Any, value: Any) -> Any:
    """A plain value as a client without types sends it, read by a server that knows the type."""
    return taking(codec, hint).decode_args(
        *codec.bind(Signature.dynamic("f")).encode_args((value,), {})
    )[0][0]


def check_round_trip(codec: Any, hint: Any, value: Any) -> None:
    """As an argument by position and by name, and as a result.

    The same value, of the same class.
    """
    method = taking(codec, hint, hint)
    arrived = [method.decode_result(method.encode_result(value))]
    for args, kwargs in (((value,), {}), ((), {"p": value})):
        got, named = method.decode_args(*method.encode_args(args, kwargs))
        arrived += [*got, *named.values()]
    assert arrived == [value, value, value]
    assert {type(one) for one in arrived} == {type(value)}


def refusal(function: Any, *args: Any) -> str:
    """The message of the InvalidArgument that a call raises. It begins with the path."""
    with pytest.raises(InvalidArgument) as caught:
        function(*args)
    assert str(caught.value).startswith(f"{caught.value.path}: ")
    return str(caught.value)
