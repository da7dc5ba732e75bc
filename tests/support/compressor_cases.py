"""What the compressors gzip, lz4 and zstd share, beyond the contract of all compressors."""

from __future__ import annotations

import sys
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bee_core.errors import MessageTooLarge, PluginError, ProtocolError
from bee_core.plugins.hub import PluginHub

LIMIT = 100_000

# Each compressor inherits the tests into a class of its own, which Hypothesis would object to.
of_each_class = settings(deadline=None, suppress_health_check=[HealthCheck.differing_executors])


class CompressorCases:
    """Inherit, and say which compressor it is."""

    name: str
    frames: str = "frames"
    """What the format calls them."""
    checksum_at: int = -1
    """A byte of the checksum."""
    unchecked: int = 0
    """The first bytes of a frame, in which a change may go unnoticed."""

    def make_compressor(self):
        raise NotImplementedError

    def other_frame(self, body):
        """A frame of another writer of the format."""
        return self.make_compressor().compress(body)

    def test_frames_one_behind_the_other_are_one_body_within_one_limit(self):
        compressor = self.make_compressor()
        two = compressor.compress(b"a" * 600) + self.other_frame(b"b" * 600)
        assert compressor.decompress(two, 1200) == b"a" * 600 + b"b" * 600
        with pytest.raises(MessageTooLarge):
            compressor.decompress(two, 1199)

    def test_a_flood_of_empty_frames_is_refused(self):
        compressor = self.make_compressor()
        with pytest.raises(ProtocolError, match=f"more than 16 {self.frames}"):
            compressor.decompress(compressor.compress(b"") * 50_000, LIMIT)

    def test_a_wrong_checksum_is_a_protocol_error(self):
        compressor = self.make_compressor()
        broken = bytearray(compressor.compress(b"honey" * 10))
        broken[self.checksum_at] ^= 1
        with pytest.raises(ProtocolError, match=f"not {self.name}"):
            compressor.decompress(bytes(broken), LIMIT)

    def test_the_message_of_a_bomb_names_the_limit(self):
        compressor = self.make_compressor()
        with pytest.raises(MessageTooLarge, match=r"more than 1000 bytes .*max_inflated"):
            compressor.decompress(compressor.compress(bytes(1001)), 1000)

    @of_each_class
    @given(body=st.binary(max_size=300), position=st.integers(0, 400), byte=st.integers(0, 255))
    def test_mutated_bytes_give_the_body_or_one_of_the_two_errors(self, body, position, byte):
        compressor = self.make_compressor()
        mutated = bytearray(compressor.compress(body))
        mutated[position % len(mutated)] = byte
        with suppress(MessageTooLarge, ProtocolError):
            result = compressor.decompress(bytes(mutated), LIMIT)
            assert result == body or position % len(mutated) < self.unchecked


class FramedCases(CompressorCases):
    """The formats whose frames begin with a magic number, and that may have frames to skip."""

    magic: bytes
    module: str
    """The package without which the compressor cannot be."""

    def test_skippable_frames_are_passed_over(self):
        compressor = self.make_compressor()
        skippable = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"
        honey = compressor.compress(b"honey")
        assert compressor.decompress(skippable + honey, LIMIT) == b"honey"
        assert compressor.decompress(honey + skippable, LIMIT) == b"honey"

    @of_each_class
    @given(st.binary(max_size=200))
    def test_any_bytes_behind_the_magic_number_give_bytes_or_one_of_the_two_errors(self, rest):
        with suppress(MessageTooLarge, ProtocolError):
            assert len(self.make_compressor().decompress(self.magic + rest, 1000)) <= 1000

    def test_without_its_package_the_error_names_the_extra(self, monkeypatch):
        monkeypatch.setitem(sys.modules, self.module, None)
        monkeypatch.delitem(sys.modules, f"bee_plugins.compressors.{self.name}_compressor")
        with pytest.raises(PluginError, match=rf"pip install 'bee-rpc\[{self.name}\]'"):
            PluginHub().load("compressor", self.name)
