from __future__ import annotations

import lz4.frame
import pytest

from bee_core.errors import MessageTooLarge, ProtocolError
from bee_core.testing import CompressorContract
from bee_plugins.compressors.lz4_compressor import Lz4Compressor, Lz4Options
from support.compressor_cases import LIMIT, FramedCases

MAGIC = b"\x04\x22\x4d\x18"


class TestLz4Level0(CompressorContract):
    def make_compressor(self):
        return Lz4Compressor(Lz4Options())


class TestLz4Level12(CompressorContract):
    def make_compressor(self):
        return Lz4Compressor(Lz4Options(level=12))


class TestLz4(FramedCases):
    name = module = "lz4"
    magic = MAGIC
    unchecked = len(MAGIC)  # it may become the magic number of a frame to skip

    def make_compressor(self):
        return Lz4Compressor(Lz4Options())


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


@pytest.mark.parametrize("level", [-1, 13])
def test_a_level_outside_zero_to_twelve_is_refused(level):
    with pytest.raises(ValueError, match=r"write 0 to 12$"):
        Lz4Options(level=level)
