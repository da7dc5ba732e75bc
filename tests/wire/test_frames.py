"""Frames in a byte stream.

The invariant: whatever the chunking, the frames and the error are the same; whatever the bytes,
nothing is raised.
"""

from __future__ import annotations

import re
import struct
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bee_core.errors import MessageTooLarge, ProtocolError
from bee_core.wire import frames
from bee_core.wire.frames import HEADER_SIZE, MAX_OVERHEAD, Frame, FrameDecoder, encode, encode_head

MAX_BODY = 200

FRAMES = st.builds(
    Frame,
    st.integers(0, 255),
    st.integers(0, 0xFFFF_FFFF),
    st.binary(max_size=60),
    st.binary(max_size=MAX_BODY),
    st.sampled_from([0, frames.COMPRESSED]),
    st.integers(0, 3),
)


def encoded(frame):
    return encode(frame.kind, frame.id, frame.fields, frame.body, frame.flags, frame.form)


STREAMS = st.lists(FRAMES, max_size=6).map(lambda items: b"".join(map(encoded, items)))


@st.composite
def damaged_streams(draw):
    """A valid stream with some bytes changed, lost or put in.

    What stays close to the format finds more than noise does.
    """
    raw = bytearray(draw(STREAMS))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(raw)))
        what = draw(st.sampled_from(["flip", "cut", "drop", "insert"]))
        if what == "flip" and at < len(raw):
            raw[at] = draw(st.integers(0, 255))
        elif what == "cut":
            del raw[at:]
        elif what == "drop":
            del raw[at : at + draw(st.integers(1, 8))]
        else:
            raw[at:at] = draw(st.binary(max_size=8))
    return bytes(raw)


ANY_BYTES = st.one_of(st.binary(max_size=400), damaged_streams(), STREAMS)


def pieces(raw, cuts):
    edges = [0, *sorted(cut % (len(raw) + 1) for cut in cuts), len(raw)]
    return [raw[start:stop] for start, stop in pairwise(edges)]


def fed(chunks, max_body=MAX_BODY):
    decoder = FrameDecoder(max_body)
    found = [frame for chunk in chunks for frame in decoder.feed(chunk)]
    return found, decoder


def verdict(chunks):
    """All that a decoder says about a stream."""
    found, decoder = fed(chunks)
    return found, type(decoder.error), str(decoder.error), decoder.partial


@given(st.lists(FRAMES, max_size=6), st.lists(st.integers(0, 5000), max_size=8))
def test_frames_are_read_as_they_were_written_whatever_the_chunking(items, cuts):
    raw = b"".join(map(encoded, items))
    found, decoder = fed(pieces(raw, cuts))
    assert found == items
    assert decoder.error is None
    assert not decoder.partial


def check_chunking(raw, cuts):
    whole = verdict([raw])
    assert verdict(pieces(raw, cuts)) == whole
    assert verdict([raw[index : index + 1] for index in range(len(raw))]) == whole
    assert whole[1] in {type(None), ProtocolError, MessageTooLarge}


@given(ANY_BYTES, st.lists(st.integers(0, 5000), max_size=8))
@example(struct.pack(">IB", 5, 2), [4])  # two faults, of which the length comes first
@example(struct.pack(">IBBBBIH", 10, 1, 3, 2, 4, 1, 9), [8])
@example(b"\xff\xff\xff\xff\x02", [4])
@example(b"GET / HTTP/1.1\r\n\r\n", [2, 4])
def test_any_bytes_give_the_same_frames_and_the_same_error_whatever_the_chunking(raw, cuts):
    check_chunking(raw, cuts)


@pytest.mark.slow
@settings(max_examples=5_000, deadline=None)
@given(ANY_BYTES, st.lists(st.integers(0, 5000), max_size=8))
def test_any_bytes_give_the_same_frames_and_the_same_error_in_a_long_run(raw, cuts):
    check_chunking(raw, cuts)


@given(STREAMS, damaged_streams())
def test_what_follows_good_frames_does_not_take_them_back(good, bad):
    assert fed([good + bad])[0][: len(fed([good])[0])] == fed([good])[0]


@given(STREAMS, st.data())
def test_a_stream_that_is_cut_is_partial_and_no_error(raw, data):
    cut = data.draw(st.integers(0, len(raw)))
    found, decoder = fed([raw[:cut]])
    assert decoder.error is None
    assert decoder.partial == (sum(len(encoded(frame)) for frame in found) < cut)


def test_after_an_error_everything_is_ignored():
    decoder = FrameDecoder(MAX_BODY)
    decoder.feed(b"\xff\xff\xff\xff")
    error = decoder.error
    assert decoder.feed(encode(frames.PING, 1)) == []
    assert decoder.feed(b"\0\0\0\0") == []
    assert decoder.error is error
    assert not decoder.partial


def test_frames_before_an_error_in_the_same_chunk_are_returned():
    found, decoder = fed([encode(frames.PING, 1) + b"\0\0\0\0"])
    assert [frame.id for frame in found] == [1]
    assert isinstance(decoder.error, ProtocolError)


# How early bad input is noticed.


def error_after(raw, size):
    decoder = FrameDecoder(MAX_BODY)
    decoder.feed(raw[: size - 1])
    assert decoder.error is None
    decoder.feed(raw[size - 1 : size])
    return decoder.error


def header(length, *, version=1, kind=3, flags=0, form=0, fields_size=0):
    return struct.pack(">IBBBBIH", length, version, kind, flags, form, 1, fields_size)


@pytest.mark.parametrize(
    ("raw", "size", "kind", "message"),
    [
        (
            header(0xFFFF_FFFF),
            4,
            MessageTooLarge,
            "a frame of 4294967295 bytes, with at most 200 bytes of body",
        ),
        (header(MAX_OVERHEAD + MAX_BODY + 1), 4, MessageTooLarge, "max_size"),
        (header(9), 4, ProtocolError, "a frame of 9 bytes cannot hold its header"),
        (bytes.fromhex("160301020001"), 4, MessageTooLarge, "these bytes are TLS"),
        (bytes.fromhex("15030300020246"), 4, ProtocolError, "these bytes are TLS"),
        (b"SSH-2.0-OpenSSH", 4, ProtocolError, "they begin with the text 'SSH-'"),
        (header(10, version=2), 5, ProtocolError, "protocol version 2; this side speaks version 1"),
        (header(10, flags=2), 14, ProtocolError, "unknown flags 0x02"),
        (header(10, form=4), 14, ProtocolError, "unknown form 4"),
        (
            header(12, fields_size=3),
            14,
            ProtocolError,
            "a frame of 12 bytes cannot hold its header and 3 bytes of fields",
        ),
        (header(10 + MAX_BODY + 1), 14, MessageTooLarge, "a body of 201 bytes, with at most 200"),
        (header(10 + 5 + MAX_BODY + 1, fields_size=5), 14, MessageTooLarge, "a body of 201 bytes"),
    ],
)
def test_a_bad_header_is_refused_at_the_first_byte_that_shows_it(raw, size, kind, message):
    error = error_after(raw, size)
    assert type(error) is kind
    assert re.search(re.escape(message), str(error))


@pytest.mark.parametrize("fields_size", [0, 5, 0xFFFF])
def test_a_body_of_just_max_body_passes_whatever_the_fields(fields_size):
    found, decoder = fed([encode(frames.REQUEST, 1, bytes(fields_size), bytes(MAX_BODY))])
    assert decoder.error is None
    assert len(found[0].body) == MAX_BODY


def test_nothing_is_allocated_for_a_frame_that_is_too_long():
    decoder = FrameDecoder(1 << 40)
    small = FrameDecoder(MAX_BODY)
    tracemalloc.start()
    try:
        decoder.feed(header(0xFFFF_FFFF))  # allowed here, and not yet there
        small.feed(header(0xFFFF_FFFF))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert decoder.error is None
    assert decoder.partial
    assert isinstance(small.error, MessageTooLarge)
    assert peak < 100_000


class CountedBytes(bytes):
    """Counts the bytes that are copied out of chunks by slicing."""

    copied = 0

    def __getitem__(self, index):
        part = super().__getitem__(index)
        if isinstance(index, slice):
            type(self).copied += len(part)
        return part


def looks(body_size, chunk_size):
    """How many times a decoder reads a header while a frame of that size comes in such chunks."""
    count = 0
    unpack = frames.unpack_header

    def counting(data, position):
        nonlocal count
        count += 1
        return unpack(data, position)

    raw = encode(frames.REQUEST, 1, b"", bytes(body_size))
    decoder = FrameDecoder(body_size)
    frames.unpack_header = counting
    try:
        found = [
            frame
            for start in range(0, len(raw), chunk_size)
            for frame in decoder.feed(raw[start : start + chunk_size])
        ]
    finally:
        frames.unpack_header = unpack
    assert [len(frame.body) for frame in found] == [body_size]
    return count


@pytest.mark.parametrize("chunk_size", [1, 1000, 64 * 1024])
def test_a_large_frame_in_chunks_is_looked_at_twice_and_not_once_a_chunk(chunk_size):
    assert looks(1 << 18, chunk_size) == 2
    assert looks(1 << 19, chunk_size) == 2


@pytest.mark.slow
def test_a_frame_of_2_mib_byte_by_byte_is_looked_at_twice():
    assert looks(2 << 20, 1) == 2


def test_one_frame_in_one_chunk_is_copied_once():
    raw = CountedBytes(encode(frames.RESPONSE, 1, b"fields", b"body"))
    CountedBytes.copied = 0
    assert FrameDecoder(MAX_BODY).feed(raw)[0].body == b"body"
    assert CountedBytes.copied == len(b"fields") + len(b"body")


def test_a_frame_whose_body_goes_separately_is_the_same_bytes():
    assert encode_head(frames.REQUEST, 7, b"abc", 4, 1, 2) + b"body" == encode(
        frames.REQUEST, 7, b"abc", b"body", 1, 2
    )


def test_fields_that_are_too_long_for_a_frame_are_refused_before_they_are_sent():
    with pytest.raises(ValueError, match="shorten the metadata"):
        encode(frames.REQUEST, 1, bytes(0x1_0000))


def test_frames_are_equal_part_by_part():
    frame = Frame(frames.PING, 1, b"f", b"b")
    assert frame == Frame(frames.PING, 1, b"f", b"b")
    assert frame != Frame(frames.PING, 1, b"f", b"c")
    assert frame != "ping"


def test_the_text_of_a_frame_leaves_its_body_out():
    assert (
        repr(Frame(frames.REQUEST, 3, b"ff", bytes(1000)))
        == "Frame(request #3, 2 B fields, 1000 B body, flags=0, form=0)"
    )


def test_the_header_has_14_bytes():
    assert len(encode(frames.PING, 1)) == HEADER_SIZE == 14


SOLE = st.builds(
    lambda id_, body: encode(frames.RESPONSE, id_, b"", body),
    st.integers(0, 3),
    st.binary(max_size=MAX_BODY + 20),
)


@given(SOLE | STREAMS | damaged_streams() | ANY_BYTES, st.integers(0, 3))
@example(encode(frames.RESPONSE, 1, b"", b"3"), 1)
@example(encode(frames.RESPONSE, 1, b"", b"3", frames.COMPRESSED), 1)
@example(encode(frames.RESPONSE, 1, b"", b"3") + b"\x00", 1)
@example(encode(frames.RESPONSE, 1, b"", b"x" * (MAX_BODY + 1)), 1)
def test_the_short_way_takes_a_plain_response_alone_and_nothing_else(raw, id_):
    body = FrameDecoder(MAX_BODY).sole_response(id_, raw)
    found, decoder = fed([raw])
    plain = (
        len(found) == 1
        and found[0] == Frame(frames.RESPONSE, id_, b"", found[0].body)
        and not decoder.partial
        and decoder.error is None
    )
    assert body == (found[0].body if plain else None)


@given(
    st.builds(
        lambda id_, fields, body, more: encode(frames.RESPONSE, id_, fields, body) + more,
        st.integers(0, 3),
        st.binary(max_size=9),
        st.binary(max_size=MAX_BODY + 20),
        st.sampled_from([b"", b"", b"\x00"]),
    )
    | SOLE
    | STREAMS
    | damaged_streams()
    | ANY_BYTES,
    st.integers(0, 3),
    st.integers(1, 9),
)
@example(encode(frames.RESPONSE, 1, b"\x32\x00\x04abcd", b"3"), 1, 7)
@example(encode(frames.RESPONSE, 1, b"\x32\x00\x04abcd", b"3", frames.COMPRESSED), 1, 7)
@example(encode(frames.RESPONSE, 1, b"\x32\x00\x04abcd", b"3") + b"\x00", 1, 7)
@example(encode(frames.RESPONSE, 1, b"\x32\x00\x04abcd", b"x" * (MAX_BODY + 1)), 1, 7)
def test_the_short_way_takes_a_response_with_fields_of_one_size(raw, id_, size):
    answer = FrameDecoder(MAX_BODY).sole_answer(id_, raw, size)
    found, decoder = fed([raw])
    plain = (
        len(found) == 1
        and found[0] == Frame(frames.RESPONSE, id_, found[0].fields, found[0].body)
        and len(found[0].fields) == size
        and not decoder.partial
        and decoder.error is None
    )
    assert answer == ((found[0].fields, found[0].body) if plain else None)


def test_the_short_way_takes_nothing_in_the_middle_of_a_frame_or_after_an_error():
    response = encode(frames.RESPONSE, 1, b"", b"3")
    _, middle = fed([response[:5]])
    assert middle.sole_response(1, response) is None
    assert middle.sole_answer(1, encode(frames.RESPONSE, 1, b"abcd", b"3"), 4) is None
    assert middle.feed(response[5:]) == [Frame(frames.RESPONSE, 1, b"", b"3")]
    _, broken = fed([b"GET / HTTP/1.1\r\n\r\n"])
    assert broken.sole_response(1, response) is None
    assert broken.sole_answer(1, encode(frames.RESPONSE, 1, b"abcd", b"3"), 4) is None


LARGE_BODIES = st.integers(0, 40_000).map(lambda size: bytes(range(256)) * (size // 256) + b"x")


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.binary(max_size=300), LARGE_BODIES), min_size=1, max_size=3),
    st.lists(st.integers(0, 130_000), max_size=12),
    st.sampled_from([1 << 20, 65_536, 5000, 4096, 4095, 1000]),
)
def test_large_frames_are_read_as_they_were_written_whatever_the_chunking(parts, cuts, most):
    items = [Frame(3, number, fields, body) for number, (fields, body) in enumerate(parts)]
    raw = b"".join(map(encoded, items))
    chunks = [
        piece[start : start + most]
        for piece in pieces(raw, cuts)
        for start in range(0, max(1, len(piece)), most)
    ]
    found, decoder = fed(chunks, 1 << 20)
    assert found == items
    assert all(type(frame.body) is type(frame.fields) is bytes for frame in found)
    assert (decoder.error, decoder.partial, decoder.held) == (None, False, 0)


def test_what_is_held_is_counted_and_takes_about_its_own_memory():
    body = bytes(1 << 20)
    whole = encode(3, 1, b"", body)
    for size in (64, 4095, 4096, 65_536):
        decoder = FrameDecoder(1 << 21)
        tracemalloc.start()
        try:
            for start in range(0, 1 << 18, size):
                assert decoder.feed(bytes(whole[start : start + size])) == []
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        sent = -(-(1 << 18) // size) * size
        assert (decoder.held, decoder.needed) == (sent, len(whole))
        assert held < 1.2 * sent + 4096


def test_a_frame_behind_a_large_one_in_its_last_chunk_is_read_too():
    first, second = Frame(3, 1, b"abc", bytes(20_000)), Frame(5, 2, b"d", b"e")
    raw = encoded(first) + encoded(second)
    for cut in (14, 17, 18, 5000, 20_016):
        found, decoder = fed([raw[:cut], raw[cut : cut + 4096], raw[cut + 4096 :]], 30_000)
        assert found == [first, second], cut
        assert decoder.held == 0
