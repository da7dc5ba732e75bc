from __future__ import annotations

import sys
from contextlib import suppress

import lz4.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bee_core.errors import MessageTooLarge, PluginError, ProtocolError
from bee_core.plugins.hub import PluginHub
from bee_core.testing import CompressorContract
from bee_plugins.compressors.lz4_compressor import Lz4Compressor, Lz4Options

LIMIT = 100_000
MAGIC = b"\x04\x22\x4d\x18"


class TestLz4Level0(CompressorContract):
    def make_compressor(self):
        return Lz4Compressor(Lz4Options())


class TestLz4Level12(CompressorContract):
    def make_compressor(self):
        return Lz4Compressor(Lz4Options(level=12))


@pytest.fixture
def compressor():
    return Lz4Compressor(Lz4Options())


def test_what_is_written_is_an_lz4_frame_with_its_size_and_a_checksum(compressor):
    frame = compressor.compress(b"honey" * 100)
    assert frame[:4] == MAGIC
    info = lz4.frame.get_frame_info(frame)
    assert (info["content_size"], info["content_checksum"]) == (500, True)


@pytest.mark.parametrize("block_size", [lz4.frame.BLOCKSIZE_MAX64KB, lz4.frame.BLOCKSIZE_MAX4MB])
@pytest.mark.parametrize("linked", [True, False])
def test_other_writers_are_read(compressor, block_size, linked):
    body = bytes(range(256)) * 4000
    frame = lz4.frame.compress(
        body, block_size=block_size, block_linked=linked, store_size=False, block_checksum=True
    )
    assert compressor.decompress(frame, len(body)) == body
    with pytest.raises(MessageTooLarge):
        compressor.decompress(frame, len(body) - 1)


def test_skippable_frames_are_passed_over(compressor):
    skippable = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"
    assert compressor.decompress(skippable + compressor.compress(b"honey"), LIMIT) == b"honey"
    assert compressor.decompress(compressor.compress(b"honey") + skippable, LIMIT) == b"honey"


def test_frames_one_behind_the_other_are_one_body_within_one_limit(compressor):
    two = compressor.compress(b"a" * 600) + compressor.compress(b"b" * 600)
    assert compressor.decompress(two, 1200) == b"a" * 600 + b"b" * 600
    with pytest.raises(MessageTooLarge):
        compressor.decompress(two, 1199)


def test_a_flood_of_empty_frames_is_refused(compressor):
    with pytest.raises(ProtocolError, match="more than 16 frames"):
        compressor.decompress(compressor.compress(b"") * 50_000, LIMIT)


@pytest.mark.parametrize(
    "declared", [499, 501, 1, 1 << 62], ids=["one less", "one more", "far less", "forged"]
)
def test_a_declared_size_that_lies_is_an_error_and_allocates_nothing(compressor, declared):
    frame = bytearray(lz4.frame.compress(b"honey" * 100))
    context = lz4.frame.create_compression_context()
    forged = lz4.frame.compress_begin(context, source_size=declared)
    assert len(forged) == 15
    frame[:15] = forged
    with pytest.raises((ProtocolError, MessageTooLarge)):
        compressor.decompress(bytes(frame), LIMIT)


def test_the_legacy_format_is_refused(compressor):
    with pytest.raises(ProtocolError, match="not lz4"):
        compressor.decompress(b"\x02\x21\x4c\x18" + bytes(20), LIMIT)


def test_a_wrong_checksum_is_a_protocol_error(compressor):
    broken = bytearray(compressor.compress(b"honey" * 10))
    broken[-1] ^= 1
    with pytest.raises(ProtocolError, match="not lz4"):
        compressor.decompress(bytes(broken), LIMIT)


def test_the_message_of_a_bomb_names_the_limit(compressor):
    with pytest.raises(MessageTooLarge, match=r"more than 1000 bytes .*max_inflated"):
        compressor.decompress(compressor.compress(bytes(1001)), 1000)


@given(body=st.binary(max_size=300), position=st.integers(0, 400), byte=st.integers(0, 255))
def test_mutated_bytes_give_the_body_or_one_of_the_two_errors(body, position, byte):
    compressor = Lz4Compressor(Lz4Options())
    mutated = bytearray(compressor.compress(body))
    mutated[position % len(mutated)] = byte
    with suppress(MessageTooLarge, ProtocolError):
        # The magic number, which is not covered by a checksum, may become that of a frame to be skipped.
        assert compressor.decompress(bytes(mutated), LIMIT) == body or position % len(mutated) < 4


@given(st.binary(max_size=200))
def test_any_bytes_behind_the_magic_number_give_bytes_or_one_of_the_two_errors(rest):
    with suppress(MessageTooLarge, ProtocolError):
        assert len(Lz4Compressor(Lz4Options()).decompress(MAGIC + rest, 1000)) <= 1000


@pytest.mark.parametrize("level", [-1, 13])
def test_a_level_outside_zero_to_twelve_is_refused(level):
    with pytest.raises(ValueError, match="level"):
        Lz4Options(level=level)


def test_without_its_package_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "lz4", None)
    monkeypatch.delitem(sys.modules, "bee_plugins.compressors.lz4_compressor")
    with pytest.raises(PluginError, match=r"pip install 'bee-rpc\[lz4\]'"):
        PluginHub().load("compressor", "lz4")
