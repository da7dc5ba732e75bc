"""The suite for codecs fails a codec that breaks the contract."""

from __future__ import annotations

import pytest

from bee_core.testing.codec_contract import CodecContract
from bee_plugins.codecs.json_codec import JsonCodec


class Lenient:
    """A method that reads the first value of a body and leaves the rest."""

    def __init__(self, inner):
        self.inner = inner
        self.encode_args, self.encode_result = inner.encode_args, inner.encode_result

    def decode_args(self, form, body):
        return self.inner.decode_args(form, first_value(body))

    def decode_result(self, body):
        return self.inner.decode_result(first_value(body))


def first_value(body):
    """The shortest beginning that is balanced, as a decoder finds it that does not look further."""
    depth = 0
    for index, byte in enumerate(body):
        depth += (byte in b"[{") - (byte in b"]}")
        if not depth:
            return body[: index + 1]
    return body


class TakesTrailingBytes(CodecContract):
    def make_codec(self):
        class Codec:
            def bind(self, signature):
                return Lenient(JsonCodec().bind(signature))

        return Codec()


@pytest.mark.parametrize("tail", [b"\x00", b"]}"])
def test_a_codec_that_accepts_trailing_bytes_fails(tail):
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        TakesTrailingBytes().test_bytes_after_the_arguments_or_the_result_are_refused(tail)
