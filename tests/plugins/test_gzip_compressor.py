from __future__ import annotations

import gzip
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bee_core.errors import MessageTooLarge, ProtocolError
from bee_core.testing import CompressorContract
from bee_plugins.compressors.gzip_compressor import GzipCompressor, GzipOptions

LIMIT = 100_000


class TestGzipLevel1(CompressorContract):
    def make_compressor(self):
        return GzipCompressor(GzipOptions())


class TestGzipLevel9(CompressorContract):
    def make_compressor(self):
        return GzipCompressor(GzipOptions(level=9))


@pytest.fixture
def compressor():
    return GzipCompressor(GzipOptions())


def test_other_implementations_read_it_and_are_read(compressor):
    assert gzip.decompress(compressor.compress(b"honey" * 100)) == b"honey" * 100
    assert compressor.decompress(gzip.compress(b"honey" * 100), LIMIT) == b"honey" * 100


def test_equal_bodies_give_equal_bytes_at_any_time(compressor):
    assert compressor.compress(b"honey")[4:8] == bytes(4), "the header's time stamp"


def test_concatenated_members_are_one_body_within_one_limit(compressor):
    two = compressor.compress(b"a" * 600) + compressor.compress(b"b" * 600)
    assert compressor.decompress(two, 1200) == b"a" * 600 + b"b" * 600
    with pytest.raises(MessageTooLarge):
        compressor.decompress(two, 1199)


def test_a_flood_of_empty_members_is_refused(compressor):
    with pytest.raises(ProtocolError, match="members"):
        compressor.decompress(compressor.compress(b"") * 50_000, LIMIT)


def test_a_wrong_checksum_is_a_protocol_error(compressor):
    broken = bytearray(compressor.compress(b"honey" * 10))
    broken[-5] ^= 1
    with pytest.raises(ProtocolError, match="not gzip"):
        compressor.decompress(bytes(broken), LIMIT)


def test_bare_zlib_is_not_gzip(compressor):
    with pytest.raises(ProtocolError, match="not gzip"):
        compressor.decompress(zlib.compress(b"honey"), LIMIT)


def test_the_message_of_a_bomb_names_the_limit(compressor):
    with pytest.raises(MessageTooLarge, match=r"more than 1000 bytes .*max_inflated"):
        compressor.decompress(compressor.compress(bytes(1001)), 1000)


@given(body=st.binary(max_size=300), position=st.integers(0, 400), byte=st.integers(0, 255))
def test_mutated_bytes_give_the_body_or_one_of_the_two_errors(body, position, byte):
    compressor = GzipCompressor(GzipOptions())
    mutated = bytearray(compressor.compress(body))
    mutated[position % len(mutated)] = byte
    with suppress(MessageTooLarge, ProtocolError):
        assert compressor.decompress(bytes(mutated), LIMIT) == body


@pytest.mark.parametrize("level", [0, 10, -1])
def test_a_level_outside_one_to_nine_is_refused(level):
    with pytest.raises(ValueError, match="level"):
        GzipOptions(level=level)
