"""What every compressor must do: the same bytes come back, and nothing foreign is taken for them.

The suite checks bounds of memory with bombs. It does not check speed, or how small a body gets
beyond one that repeats itself.
"""

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
MIB = 1024 * 1024


class CompressorContract:
    """Inherit, and say how to make the compressor."""

    @abstractmethod
    def make_compressor(self) -> Compressor:
        """A compressor with the options under test."""

    @pytest.fixture
    def compressor(self) -> Compressor:
        """The compressor of one test."""
        return self.make_compressor()

    @pytest.mark.parametrize("body", BODIES, ids=len)
    def test_what_was_compressed_comes_back(self, compressor: Compressor, body: bytes) -> None:
        assert compressor.decompress(compressor.compress(body), len(body)) == body

    def test_a_body_that_repeats_itself_gets_smaller(self, compressor: Compressor) -> None:
        body = b"bee" * 10_000
        assert len(compressor.compress(body)) < len(body) // 10

    @pytest.mark.parametrize("body", BODIES[1:], ids=len)
    def test_one_byte_over_the_limit_is_too_large(
        self, compressor: Compressor, body: bytes
    ) -> None:
        with pytest.raises(MessageTooLarge):
            compressor.decompress(compressor.compress(body), len(body) - 1)

    def test_a_bomb_costs_no_more_memory_than_the_limit(self, compressor: Compressor) -> None:
        bomb = compressor.compress(bytes(16 * MIB))
        assert refusal_peak(compressor, bomb, MessageTooLarge) < 4 * MIB + len(bomb)

    def test_a_bomb_of_several_parts_costs_no_more_memory_than_the_limit(
        self, compressor: Compressor
    ) -> None:
        bomb = compressor.compress(bytes(MIB // 2)) * 64
        peak = refusal_peak(compressor, bomb, MessageTooLarge, ProtocolError)
        assert peak < 4 * MIB + len(bomb)

    def test_a_bomb_that_is_cut_short_is_refused_as_well(self, compressor: Compressor) -> None:
        bomb = compressor.compress(bytes(8 * MIB))
        with pytest.raises((MessageTooLarge, ProtocolError)):
            compressor.decompress(bomb[: len(bomb) // 2], 1000)

    def test_two_bodies_in_one_are_both_or_a_protocol_error(self, compressor: Compressor) -> None:
        two = compressor.compress(b"honey") + compressor.compress(b"comb")
        try:
            assert compressor.decompress(two, 9) == b"honeycomb"
        except ProtocolError:
            return
        with pytest.raises(MessageTooLarge):
            compressor.decompress(two, 8)

    def test_a_body_that_is_cut_short_is_a_protocol_error_wherever_it_is_cut(
        self, compressor: Compressor
    ) -> None:
        whole = compressor.compress(b"honey" * 20)
        for length in range(len(whole)):
            with pytest.raises(ProtocolError):
                compressor.decompress(whole[:length], 1000)

    @pytest.mark.parametrize(
        "garbage", [b"garbage", b"\x00", bytes(100)], ids=["text", "a zero", "zeros"]
    )
    def test_what_follows_the_end_is_a_protocol_error(
        self, compressor: Compressor, garbage: bytes
    ) -> None:
        with pytest.raises(ProtocolError):
            compressor.decompress(compressor.compress(b"honey") + garbage, 1000)

    @pytest.mark.parametrize(
        "body", [b"{}", b"\x00" * 100, b"not compressed at all", bytes(range(256))]
    )
    def test_foreign_bytes_are_a_protocol_error(self, compressor: Compressor, body: bytes) -> None:
        with pytest.raises(ProtocolError):
            compressor.decompress(body, 10_000)

    def test_threads_share_one_compressor(self, compressor: Compressor) -> None:
        bodies = [bytes([number]) * 20_000 for number in range(32)]
        with ThreadPoolExecutor(8) as threads:
            results = threads.map(
                lambda body: compressor.decompress(compressor.compress(body), 20_000), bodies
            )
        assert list(results) == bodies


def refusal_peak(compressor: Compressor, bomb: bytes, *errors: type[Exception]) -> int:
    """The bytes of memory that it takes to refuse a bomb where a body may have 1 MiB."""
    tracemalloc.start()
    try:
        with pytest.raises(errors):
            compressor.decompress(bomb, MIB)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
