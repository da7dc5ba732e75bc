"""What every compressor must do."""

from __future__ import annotations

import tracemalloc
from abc import abstractmethod
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from bee_core.errors import MessageTooLarge, ProtocolError

if TYPE_CHECKING:
    from bee_core.contracts.codec import Compressor

BODIES = (b"", b"x", b"bee" * 1000, bytes(range(256)) * 64, b'{"id": 1, "name": "n"}' * 5000)


class CompressorContract:
    """Inherit, and say how to make the compressor."""

    @abstractmethod
    def make_compressor(self) -> Compressor:
        """A compressor with the options under test."""

    @pytest.mark.parametrize("body", BODIES, ids=len)
    def test_what_was_compressed_comes_back(self, body: bytes) -> None:
        compressor = self.make_compressor()
        assert compressor.decompress(compressor.compress(body), len(body)) == body

    def test_a_body_that_repeats_itself_gets_smaller(self) -> None:
        body = b"bee" * 10_000
        assert len(self.make_compressor().compress(body)) < len(body) // 10

    @pytest.mark.parametrize("body", BODIES[1:], ids=len)
    def test_one_byte_over_the_limit_is_too_large(self, body: bytes) -> None:
        compressor = self.make_compressor()
        with pytest.raises(MessageTooLarge):
            compressor.decompress(compressor.compress(body), len(body) - 1)

    def test_a_bomb_costs_no_more_memory_than_the_limit(self) -> None:
        compressor = self.make_compressor()
        bomb = compressor.compress(bytes(64 * 1024 * 1024))
        limit = 1024 * 1024
        tracemalloc.start()
        try:
            with pytest.raises(MessageTooLarge):
                compressor.decompress(bomb, limit)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 4 * limit + len(bomb)

    def test_a_bomb_of_several_parts_costs_no_more_memory_than_the_limit(self) -> None:
        compressor = self.make_compressor()
        limit = 1024 * 1024
        bomb = compressor.compress(bytes(limit // 2)) * 64
        tracemalloc.start()
        try:
            with pytest.raises((MessageTooLarge, ProtocolError)):
                compressor.decompress(bomb, limit)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 4 * limit + len(bomb)

    def test_a_bomb_that_is_cut_short_is_refused_as_well(self) -> None:
        compressor = self.make_compressor()
        bomb = compressor.compress(bytes(8 * 1024 * 1024))
        with pytest.raises((MessageTooLarge, ProtocolError)):
            compressor.decompress(bomb[: len(bomb) // 2], 1000)

    def test_two_bodies_in_one_are_both_or_a_protocol_error(self) -> None:
        compressor = self.make_compressor()
        two = compressor.compress(b"honey") + compressor.compress(b"comb")
        try:
            assert compressor.decompress(two, 9) == b"honeycomb"
        except ProtocolError:
            return
        with pytest.raises(MessageTooLarge):
            compressor.decompress(two, 8)

    def test_a_body_that_is_cut_short_is_a_protocol_error_wherever_it_is_cut(self) -> None:
        compressor = self.make_compressor()
        whole = compressor.compress(b"honey" * 20)
        for length in range(len(whole)):
            with pytest.raises(ProtocolError):
                compressor.decompress(whole[:length], 1000)

    @pytest.mark.parametrize(
        "garbage", [b"garbage", b"\x00", bytes(100)], ids=["text", "a zero", "zeros"]
    )
    def test_what_follows_the_end_is_a_protocol_error(self, garbage: bytes) -> None:
        compressor = self.make_compressor()
        with pytest.raises(ProtocolError):
            compressor.decompress(compressor.compress(b"honey") + garbage, 1000)

    @pytest.mark.parametrize(
        "body", [b"{}", b"\x00" * 100, b"not compressed at all", bytes(range(256))]
    )
    def test_foreign_bytes_are_a_protocol_error(self, body: bytes) -> None:
        with pytest.raises(ProtocolError):
            self.make_compressor().decompress(body, 10_000)

    def test_threads_share_one_compressor(self) -> None:
        compressor = self.make_compressor()
        bodies = [bytes([number]) * 20_000 for number in range(32)]
        with ThreadPoolExecutor(8) as threads:
            results = threads.map(
                lambda body: compressor.decompress(compressor.compress(body), 20_000), bodies
            )
        assert list(results) == bodies
