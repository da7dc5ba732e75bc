"""Each compressor over real sockets.

The size rule as it is documented, and bodies that are not what they say.
"""

from __future__ import annotations

import functools
import zlib

import lz4.frame
import pytest

from bee_core.errors import MessageTooLarge
from bee_core.testing import seeded_bytes
from bee_core.wire import frames
from bee_plugins.compressors.zstd_compressor import zstd
from faults.rawpeer import RawClient, RawServer, hello, request
from faults.services import max_size, serving

MIB = 1 << 20
NAMES = ("gzip", "zstd", "lz4")


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@functools.cache
def bomb(name, size=128 * MIB):
    """That many zero bytes, made without having them, in one frame that does not say how many."""
    piece = bytes(MIB)
    if name == "gzip":
        stream = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
        return b"".join(stream.compress(piece) for _ in range(size >> 20)) + stream.flush()
    if name == "zstd":
        stream = zstd.ZstdCompressor()
        return b"".join(stream.compress(piece) for _ in range(size >> 20)) + stream.flush()
    with lz4.frame.LZ4FrameCompressor(block_size=lz4.frame.BLOCKSIZE_MAX4MB) as stream:
        return (
            stream.begin()
            + b"".join(stream.compress(piece) for _ in range(size >> 20))
            + stream.flush()
        )


def random_text(size):
    """Text that no compressor makes much smaller than three quarters."""
    return seeded_bytes(size)(size).translate(bytes(range(48, 112)) * 4).decode()


# The rule.


def test_a_body_over_two_mib_is_compressed_and_arrives_in_both_directions(calculator, users, name):
    with serving(calculator, compressors=name) as server:
        user = users(server.address, compress=name)
        text = "honey" * 500_000
        assert user.call("size", text) == len(text)
        assert user.call("letters", 3 * MIB) == "a" * 3 * MIB
        assert user.call("echo", text) == text


def test_a_body_of_two_mib_goes_as_it_is_and_one_byte_more_does_not(server, users):
    user = users(server.address, compress=None)
    most = 2 * MIB - len('[""]')
    assert user.call("size", "x" * most) == most
    with pytest.raises(MessageTooLarge, match="no compressor is configured") as caught:
        user.call("size", "x" * (most + 1))
    assert caught.value.executed == "no"
    assert caught.value.attempts == 0


def test_a_body_that_stays_over_two_mib_is_refused_before_it_is_sent_with_advice(
    calculator, users, name
):
    with serving(calculator, compressors=name) as server:
        with pytest.raises(
            MessageTooLarge,
            match=rf"bytes after {name}, is over max_size \(2097152 bytes\)\. Split the interface",
        ) as caught:
            users(server.address, compress=name).call("size", random_text(4 * MIB))
        assert caught.value.executed == "no"
        assert caught.value.attempts == 0
    assert calculator.runs == 0


def test_a_result_that_stays_over_two_mib_is_refused_by_the_server_with_the_same_advice(
    users, name
):
    class Noise:
        def noise(self) -> str:
            return random_text(4 * MIB)

    with serving(Noise(), compressors=name) as server:
        with pytest.raises(MessageTooLarge, match="Split the interface") as caught:
            users(server.address, compress=name).call("noise")
        assert caught.value.executed == "yes"


def test_compress_above_compresses_what_max_size_would_let_through(users, name):
    seen = []

    def answer(send, frame):
        seen.append((frame.flags & frames.COMPRESSED, len(frame.body)))
        send(frames.encode(frames.RESPONSE, frame.id, b"", b"1"))

    with RawServer(answer) as server:
        user = users(server.url, compress=name, compress_above="10k")
        user.call("size", "x" * 10_000)
        user.call("size", "x" * 20_000)
        users(server.url, compress=name).call("size", "x" * 20_000)
    assert seen[0] == (0, 10_004)
    assert seen[1][0] == frames.COMPRESSED
    assert seen[1][1] < 1000
    assert seen[2] == (0, 20_004), "not above max_size"


def test_what_compressing_would_make_larger_is_sent_as_it_is(users, name):
    seen = []

    def answer(send, frame):
        seen.append(frame.flags)
        send(frames.encode(frames.RESPONSE, frame.id, b"", b"1"))

    with RawServer(answer) as server:
        users(server.url, compress=name, compress_above=0).call("size", "")
    assert seen == [0]


def test_a_compressor_that_the_server_does_not_offer_is_refused_with_those_that_it_does(
    calculator, users
):
    with serving(calculator, compressors=["gzip", "lz4"]) as server:
        with pytest.raises(
            Exception, match="the compressor 'zstd' is not offered here; offered: gzip, lz4"
        ):
            users(server.address, compress="zstd").call("add", 1, 2)
        assert users(server.address, compress="lz4").call("add", 1, 2) == 3


# Bodies that are not what they say.


def test_a_bomb_in_a_request_is_refused_before_it_inflates(processes, users, name):
    body = bomb(name)
    server = processes(macher=max_size("4m", max_inflated="8m"), compressors=name)
    user = users(server.url, compress=name)
    assert user.call("echo", "x" * 3 * MIB, options={"timeout": 20}) == "x" * 3 * MIB
    before = server.peak_memory()
    with RawClient(server.url) as peer:
        peer.send(hello(compressor=name), request(1, "echo", body, flags=frames.COMPRESSED))
        failure = peer.failure()
        assert (failure.kind, failure.executed) == ("message_too_large", "no")
    assert server.peak_memory() - before < 48 * MIB
    assert user.call("echo", 1) == 1


def test_a_bomb_of_many_frames_in_a_request_is_refused_too(processes, users, name):
    body = bomb(name, MIB) * 64
    server = processes(macher=max_size("4m", max_inflated="8m"), compressors=name)
    before = server.peak_memory()
    with RawClient(server.url) as peer:
        peer.send(hello(compressor=name), request(1, "echo", body, flags=frames.COMPRESSED))
        assert peer.failure().kind in {"message_too_large", "protocol_error"}
    assert server.peak_memory() - before < 48 * MIB


def test_a_bomb_in_a_reply_is_refused(users, name):
    body = bomb(name)

    def answer(send, frame):
        send(frames.encode(frames.RESPONSE, frame.id, b"", body, frames.COMPRESSED))

    with RawServer(answer) as server:
        with pytest.raises(MessageTooLarge) as caught:
            users(server.url, compress=name, codec=max_size("4m", max_inflated="8m")).call(
                "letters", 1
            )
        assert caught.value.executed == "yes"


@pytest.mark.parametrize("broken", ["garbage", "cut short", "something behind it"])
def test_a_body_that_is_not_of_the_format_fails_its_own_request_alone(calculator, name, broken):
    whole = bomb(name, MIB)
    body = {
        "garbage": b"not compressed at all",
        "cut short": whole[:-4],
        "something behind it": whole + b"garbage",
    }[broken]
    with serving(calculator, compressors=name) as server, RawClient(server.address) as peer:
        peer.send(
            hello(compressor=name),
            request(1, "size", body, flags=frames.COMPRESSED),
            request(2, "add", b"[1,2]"),
        )
        failure = peer.failure()
        assert (failure.kind, failure.executed) == ("protocol_error", "no")
        assert peer.expect(frames.RESPONSE).id == 2
    assert calculator.runs == 1
