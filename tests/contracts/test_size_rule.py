"""The size rule: compress what is large, refuse what stays too large, bound what is inflated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bee_core.contracts.size_rule import SizeRule
from bee_core.errors import MessageTooLarge, ProtocolError
from bee_core.testing import seeded_bytes
from bee_plugins.compressors.gzip_compressor import GzipCompressor, GzipOptions

GZIP = GzipCompressor(GzipOptions())


def rule(compressor=GZIP, max_size=1000, max_inflated=10_000, compress_above=None):
    return SizeRule(
        compressor,
        max_size=max_size,
        max_inflated=max_inflated,
        compress_above=compress_above,
        name="gzip" if compressor else "",
    )


def test_a_body_within_the_limit_goes_as_it_is():
    assert rule().pack(b"x" * 1000) == (b"x" * 1000, False)


def test_a_body_over_the_limit_is_compressed():
    packed, compressed = rule().pack(b"x" * 1001)
    assert compressed
    assert len(packed) < 1000
    assert rule().unpack(packed) == b"x" * 1001


def test_a_body_that_is_over_the_limit_even_when_compressed_is_refused_with_advice():
    body = seeded_bytes(1)(5000)
    with pytest.raises(
        MessageTooLarge,
        match=r"5000 bytes, \d+ bytes after gzip, is over max_size \(1000 bytes\).*[Ss]plit the interface",
    ):
        rule().pack(body)


def test_without_a_compressor_the_limit_is_the_limit():
    assert rule(None).pack(b"x" * 1000) == (b"x" * 1000, False)
    with pytest.raises(
        MessageTooLarge,
        match=r"1001 bytes is over max_size \(1000 bytes\), and no compressor.*[Ss]plit the interface",
    ):
        rule(None).pack(b"x" * 1001)


def test_a_body_that_could_not_be_inflated_again_is_refused_here():
    with pytest.raises(MessageTooLarge, match=r"max_inflated \(10000 bytes\)"):
        rule().pack(b"x" * 10_001)
    assert rule().pack(b"x" * 10_000)[1]


def test_a_lower_threshold_compresses_earlier():
    assert rule(compress_above=100).pack(b"x" * 101)[1]
    assert not rule(compress_above=100).pack(b"x" * 100)[1]


def test_the_threshold_is_never_above_the_limit():
    assert rule(compress_above=5000).threshold == 1000


def test_a_body_within_the_limit_that_compression_makes_longer_goes_as_it_is():
    body = seeded_bytes(1)(200)
    assert rule(compress_above=100).pack(body) == (body, False)


def test_the_receivers_limit_counts_where_it_is_lower():
    with pytest.raises(MessageTooLarge, match=r"over max_size \(500 bytes\)"):
        rule(None).pack(b"x" * 501, peer_limit=500)
    assert rule().pack(b"x" * 501, peer_limit=500)[1]
    assert rule().pack(b"x" * 1000, peer_limit=5000) == (b"x" * 1000, False)


def test_another_threshold_is_another_rule_and_the_same_threshold_is_the_same():
    one = rule()
    assert one.with_threshold(None) is one
    assert one.with_threshold(100).threshold == 100
    assert one.with_threshold(100).pack(b"x" * 200)[1]
    assert one.threshold == 1000


def test_a_bomb_is_not_inflated():
    with pytest.raises(MessageTooLarge):
        rule().unpack(GZIP.compress(b"x" * 10_001))


def test_a_compressed_body_without_a_compressor_is_a_breach_of_the_protocol():
    with pytest.raises(ProtocolError, match="without a compressor"):
        rule(None).unpack(b"anything")


def test_what_is_not_of_the_format_is_a_breach_of_the_protocol():
    with pytest.raises(ProtocolError):
        rule().unpack(b"not gzip at all")


@given(
    body=st.binary(max_size=300).map(lambda part: part * 20),
    max_size=st.integers(1, 3000),
    max_inflated=st.integers(1, 6000),
    compress_above=st.none() | st.integers(0, 3000),
    peer_limit=st.none() | st.integers(1, 3000),
    has_compressor=st.booleans(),
)
def test_what_is_packed_fits_and_comes_back(
    body, max_size, max_inflated, compress_above, peer_limit, has_compressor
):
    tested = rule(GZIP if has_compressor else None, max_size, max_inflated, compress_above)
    try:
        packed, compressed = tested.pack(body, peer_limit)
    except MessageTooLarge:
        assert len(body) > min(
            tested.threshold, max_size if peer_limit is None else min(max_size, peer_limit)
        )
        return
    assert len(packed) <= min(max_size, peer_limit or max_size)
    assert (tested.unpack(packed) if compressed else packed) == body
