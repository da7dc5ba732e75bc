from __future__ import annotations

import gzip
import zlib

import pytest

from bee_core.errors import ProtocolError
from bee_core.testing import CompressorContract
from bee_plugins.compressors.gzip_compressor import GzipCompressor, GzipOptions
from support.compressor_cases import LIMIT, CompressorCases


class TestGzipLevel1(CompressorContract):
    def make_compressor(self):
        return GzipCompressor(GzipOptions())


class TestGzipLevel9(CompressorContract):
    def make_compressor(self):
        return GzipCompressor(GzipOptions(level=9))


class TestGzip(CompressorCases):
    name = "gzip"
    frames = "members"
    checksum_at = -5

    def make_compressor(self):
        return GzipCompressor(GzipOptions())


@pytest.fixture
def compressor():
    return GzipCompressor(GzipOptions())


def test_other_implementations_read_it_and_are_read(compressor):
    assert gzip.decompress(compressor.compress(b"honey" * 100)) == b"honey" * 100
    assert compressor.decompress(gzip.compress(b"honey" * 100), LIMIT) == b"honey" * 100


def test_equal_bodies_give_equal_bytes_at_any_time(compressor):
    assert compressor.compress(b"honey")[4:8] == bytes(4), "the header's time stamp"


def test_bare_zlib_is_not_gzip(compressor):
    with pytest.raises(ProtocolError, match="not gzip"):
        compressor.decompress(zlib.compress(b"honey"), LIMIT)


@pytest.mark.parametrize("level", [0, 10, -1])
def test_a_level_outside_one_to_nine_is_refused(level):
    with pytest.raises(ValueError, match=r"write 1 to 9$"):
        GzipOptions(level=level)
