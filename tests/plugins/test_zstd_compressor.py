from __future__ import annotations

import struct
import sys

import pytest

from bee_core.errors import MessageTooLarge, ProtocolError
from bee_core.testing import CompressorContract
from bee_plugins.compressors.zstd_compressor import ZstdCompressor, ZstdOptions, zstd
from support.compressor_cases import LIMIT, FramedCases

MAGIC = b"\x28\xb5\x2f\xfd"


class TestZstdLevel1(CompressorContract):
    def make_compressor(self):
        return ZstdCompressor(ZstdOptions())


class TestZstdLevel19(CompressorContract):
    def make_compressor(self):
        return ZstdCompressor(ZstdOptions(level=19))


class TestZstd(FramedCases):
    name = "zstd"
    module = "backports"
    magic = MAGIC
    unchecked = len(MAGIC) + 1  # the magic number, and the flag that says if there is a checksum

    def make_compressor(self):
        return ZstdCompressor(ZstdOptions())

    def other_frame(self, body):
        return streamed(body)

    @pytest.mark.skipif(sys.version_info >= (3, 14), reason="Python has it")
    def test_without_its_package_the_error_names_the_extra(self, monkeypatch):
        super().test_without_its_package_the_error_names_the_extra(monkeypatch)


@pytest.fixture
def compressor():
    return ZstdCompressor(ZstdOptions())


def streamed(body):
    """A frame that does not say how large its content is."""
    stream = zstd.ZstdCompressor()
    return stream.compress(body[:1]) + stream.compress(body[1:]) + stream.flush()


def raw_frame(content, declared):
    """A frame of one raw block, with any size of content declared."""
    return (
        MAGIC
        + b"\xe0"
        + struct.pack("<Q", declared)
        + struct.pack("<I", len(content) << 3 | 1)[:3]
        + content
    )


def test_what_is_written_is_a_frame_of_rfc_8878_with_its_size_and_a_checksum(compressor):
    frame = compressor.compress(b"honey" * 100)
    assert frame[:4] == MAGIC
    assert zstd.get_frame_info(frame).decompressed_size == 500
    assert frame[4] & 0b100, "the checksum flag"


def test_other_writers_are_read_also_when_they_state_no_size(compressor):
    frame = streamed(b"honey" * 100)
    assert zstd.get_frame_info(frame).decompressed_size is None
    assert compressor.decompress(frame, LIMIT) == b"honey" * 100
    with pytest.raises(MessageTooLarge):
        compressor.decompress(frame, 499)


def test_a_declared_size_over_the_limit_is_refused_and_one_that_lies_is_an_error(compressor):
    assert compressor.decompress(raw_frame(b"honey", 5), LIMIT) == b"honey"
    with pytest.raises(MessageTooLarge):
        compressor.decompress(raw_frame(b"honey", 1 << 62), LIMIT)
    with pytest.raises(ProtocolError):
        compressor.decompress(raw_frame(b"honey", 4), LIMIT)
    with pytest.raises(ProtocolError):
        compressor.decompress(raw_frame(b"honey", 6), LIMIT)


def test_a_second_frame_that_declares_too_much_is_refused(compressor):
    with pytest.raises((ProtocolError, MessageTooLarge)):
        compressor.decompress(compressor.compress(b"honey") + raw_frame(b"honey", 1 << 40), LIMIT)


def test_a_window_larger_than_the_limit_allows_is_refused(compressor):
    two_gib = MAGIC + b"\x00" + bytes([(31 - 10) << 3]) + b"\x01\x00\x00"
    with pytest.raises(ProtocolError, match="too much memory"):
        compressor.decompress(two_gib, LIMIT)
    sixteen_mib = MAGIC + b"\x00" + bytes([(24 - 10) << 3]) + b"\x01\x00\x00"
    with pytest.raises(ProtocolError, match="too much memory"):
        compressor.decompress(sixteen_mib, LIMIT)
    assert compressor.decompress(sixteen_mib, 16 << 20) == b""
    eight_mib = MAGIC + b"\x00" + bytes([(23 - 10) << 3]) + b"\x01\x00\x00"
    assert compressor.decompress(eight_mib, 0) == b"", "every decoder takes windows of 8 MiB"


def test_a_frame_that_needs_a_dictionary_is_refused(compressor):
    dictionary = zstd.train_dict([b"honey %d bees" % n for n in range(2000)], 2000)
    with pytest.raises(ProtocolError):
        compressor.decompress(zstd.compress(b"honey 7 bees", zstd_dict=dictionary), LIMIT)


@pytest.mark.parametrize("level", [0, 20, -1])
def test_a_level_outside_one_to_nineteen_is_refused(level):
    with pytest.raises(ValueError, match=r"write 1 to 19$"):
        ZstdOptions(level=level)
