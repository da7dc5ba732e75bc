"""A body that is dear to compress: the asyncio client compresses it off its loop."""

from __future__ import annotations

import asyncio
import threading

import pytest

import bee_core
from bee_core.contracts.size_rule import HEAVY
from bee_core.errors import CallError
from bee_core.hookspecs import hookimpl
from bee_plugins.codecs.json_codec import JsonCodec
from bee_plugins.compressors.gzip_compressor import GzipCompressor, GzipOptions


class Counting:
    """A codec and a compressor that say who used them."""

    def __init__(self):
        self.encoded = 0
        self.compressed_on = []

    @hookimpl
    def bee_register_codecs(self, registry):
        registry.add("counting", self.make_codec)

    @hookimpl
    def bee_register_compressors(self, registry):
        registry.add("noting", self.make_compressor)

    def make_codec(self):
        outer = self

        class Codec(JsonCodec):
            def bind(self, signature):
                bound = super().bind(signature)
                encode = bound.encode_args

                class Bound:
                    decode_args, encode_result = bound.decode_args, bound.encode_result
                    decode_result = bound.decode_result

                    def encode_args(self, args, kwargs):
                        outer.encoded += 1
                        return encode(args, kwargs)

                return Bound()

        return Codec()

    def make_compressor(self):
        outer = self

        class Compressor(GzipCompressor):
            def compress(self, body):
                outer.compressed_on.append(threading.current_thread())
                return super().compress(body)

        return Compressor(GzipOptions())


def size(text):
    return len(text)


def test_it_is_encoded_once_and_compressed_on_another_thread():
    counting = Counting()
    server = bee_core.build_server(
        {
            "bee": {
                "rpc": {
                    "server": {
                        "name": "calc",
                        "address": "127.0.0.1:0",
                        "codecs": "json",
                    }
                }
            }
        }
    )
    server.add(size)

    async def call(address, length):
        service = {"address": address, "codec": "counting", "compress": "noting"}
        config = {"bee": {"rpc": {"client": {"calc": {**service, "compress_above": 1000}}}}}
        async with bee_core.build_async_client(config, plugins=[counting]) as client:
            return await client.service("calc").size("x" * length)

    with server.in_thread():
        for length in (2000, 2 * HEAVY):
            counting.encoded = 0
            counting.compressed_on = []
            # The server knows neither name and refuses: only what the client did counts here.
            with pytest.raises(CallError):
                asyncio.run(call(server.address, length))
            assert counting.encoded == 1
            (thread,) = counting.compressed_on
            assert (thread is threading.main_thread()) == (length < HEAVY)
