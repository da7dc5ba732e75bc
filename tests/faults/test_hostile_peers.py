"""Peers that do not speak the protocol, speak it slowly, or ask for too much.

The server goes on for everybody else.
"""

from __future__ import annotations

import functools
import random
import socket
import zlib

import pytest

from bee_core.errors import MessageTooLarge, ProtocolError, Unavailable
from bee_core.wire import frames
from faults.rawpeer import RawClient, RawServer, hello, request, send_mutated_frames
from faults.services import max_size, serving

GZIP = 16 + zlib.MAX_WBITS


@functools.cache
def bomb(size):
    """Gzip of that many zero bytes, made without having them."""
    stream = zlib.compressobj(1, zlib.DEFLATED, GZIP)
    return b"".join(stream.compress(bytes(1 << 20)) for _ in range(size >> 20)) + stream.flush()


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH_9.0\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
        bytes(64),
        b"\xff" * 64,
    ],
    ids=["ssh", "tls", "zeros", "ones"],
)
def test_garbage_is_refused_at_once_while_others_are_served(server, users, garbage):
    user = users(server.address)
    assert user.call("add", 1, 2) == 3
    with RawClient(server.address) as peer:
        peer.send(garbage)
        assert peer.goaway().kind in {"protocol_error", "message_too_large"}
        assert peer.closed_within(5)
    assert user.call("add", 3, 4) == 7


def test_random_bytes_never_stop_the_server(server, users):
    rng = random.Random(7)
    for _ in range(50):
        with RawClient(server.address) as peer:
            peer.send(rng.choice([b"", hello()]), rng.randbytes(rng.randrange(1, 400)))
    assert users(server.address).call("add", 1, 2) == 3


def test_mutated_frames_never_stop_the_server(server, users):
    send_mutated_frames(server.address)
    assert users(server.address).call("add", 1, 2) == 3


def test_a_frame_length_of_4_gib_is_refused_at_once_and_nothing_is_allocated(processes):
    server = processes()
    before = server.peak_memory()
    with RawClient(server.url) as peer:
        peer.send(hello(), b"\xff\xff\xff\xff", b"\x01\x03\x00\x00")
        goaway = peer.goaway()
        assert goaway.kind == "message_too_large"
        assert goaway.last_id == 0
    assert server.peak_memory() - before < 4 << 20


def test_half_a_frame_and_then_silence_is_cut_off_after_read_timeout(calculator, users):
    with serving(calculator, read_timeout=0.2) as server, RawClient(server.address) as peer:
        peer.send(hello(), request(1, "add", b"[1,2]")[:20])
        goaway = peer.goaway()
        assert goaway.last_id == 0
        assert "read_timeout" in goaway.message
        assert peer.closed_within(5)
        assert users(server.address).call("add", 1, 2) == 3
    assert calculator.runs == 1


def test_a_frame_that_trickles_in_is_cut_off_though_bytes_keep_coming(calculator):
    with serving(calculator, read_timeout=0.3) as server, RawClient(server.address) as peer:
        peer.send(hello())
        peer.expect(frames.HELLO_ACK)
        whole = request(1, "size", b'["' + b"a" * 200_000 + b'"]')
        peer.sock.settimeout(0.02)
        position, refusal = 0, b""
        while not refusal and position < len(whole):
            peer.sock.sendall(whole[position : position + 100])
            position += 100
            try:
                refusal = peer.sock.recv(4096)
            except TimeoutError:
                continue
        assert b"read_timeout" in refusal
    assert calculator.runs == 0


@pytest.mark.parametrize("start", [b"", hello()[:5]], ids=["nothing", "half a hello"])
def test_a_connection_without_a_hello_is_cut_off_after_read_timeout(calculator, start):
    with serving(calculator, read_timeout=0.2) as server, RawClient(server.address) as peer:
        peer.send(start)
        assert "hello" in peer.goaway().message
        assert peer.closed_within(5)


def test_an_idle_connection_that_said_hello_stays(calculator):
    with (
        serving(calculator, read_timeout=0.2) as server,
        RawClient(server.address) as idle,
        RawClient(server.address) as slow,
    ):
        idle.send(hello())
        slow.goaway()  # another one was cut off meanwhile, for saying nothing
        assert slow.closed_within(5)
        idle.send(request(1, "add", b"[1,2]"))
        assert idle.expect(frames.RESPONSE).body == b"3"


def test_a_client_that_never_reads_its_replies_is_cut_off_after_write_timeout(calculator, users):
    with serving(calculator, write_timeout=0.3) as server, RawClient(server.address) as peer:
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.sock.setblocking(False)
        peer.send(hello())
        ended, number = False, 0
        peer.sock.settimeout(5)
        try:
            while not ended:
                number += 1
                peer.send(request(number, "letters", b"[100000]"))
        except (BrokenPipeError, ConnectionResetError):
            ended = True
        assert ended
        assert users(server.address).call("add", 1, 2) == 3


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"service": "other"}, "this is the service 'calc'"),
        ({"codec": "morse"}, "the codec 'morse' is not offered"),
        ({"compressor": "snow"}, "the compressor 'snow'"),
    ],
)
def test_a_hello_that_does_not_fit_is_refused_with_the_reason_and_nothing_runs(
    server, calculator, words, says
):
    with RawClient(server.address) as peer:
        peer.send(hello(**words), request(1, "add", b"[1,2]"))
        goaway = peer.goaway()
        assert says in goaway.message
        assert goaway.last_id == 0
        assert peer.closed_within(5)
    assert calculator.runs == 0


def test_a_client_that_calls_the_wrong_service_is_told_so(server, users, calculator):
    user = users(server.address, service="shop")
    with pytest.raises(ProtocolError, match="this is the service 'calc', not 'shop'") as caught:
        user.call("add", 1, 2)
    assert caught.value.executed == "no"
    assert calculator.runs == 0


def test_a_gzip_bomb_in_a_request_is_refused_before_it_inflates(processes, users):
    body = bomb(128 << 20)
    server = processes(macher=max_size("2m", max_inflated="8m"))
    assert users(server.url).call("echo", 1) == 1
    before = server.peak_memory()
    with RawClient(server.url) as peer:
        peer.send(hello(), request(1, "echo", body, flags=frames.COMPRESSED))
        failure = peer.failure()
        assert failure.kind == "message_too_large"
        assert failure.executed == "no"
    assert server.peak_memory() - before < 48 << 20
    assert users(server.url).call("echo", 1) == 1


def test_a_gzip_bomb_in_a_reply_is_refused(users):
    body = bomb(128 << 20)

    def answer(send, frame):
        send(frames.encode(frames.RESPONSE, frame.id, b"", body, frames.COMPRESSED))

    with RawServer(answer) as server:
        with pytest.raises(MessageTooLarge) as caught:
            users(server.url, codec=max_size("2m", max_inflated="8m")).call("letters", 1)
        assert caught.value.executed == "yes"


@pytest.mark.parametrize(
    "body", [b"not gzip at all", bomb(1 << 20)[:-4]], ids=["garbage", "cut short"]
)
def test_a_compressed_body_that_is_none_is_refused_and_the_connection_goes_on(
    server, calculator, body
):
    with RawClient(server.address) as peer:
        peer.send(
            hello(), request(1, "size", body, flags=frames.COMPRESSED), request(2, "add", b"[1,2]")
        )
        failure = peer.failure()
        assert failure.kind == "protocol_error"
        assert failure.executed == "no"
        assert peer.expect(frames.RESPONSE).id == 2
    assert calculator.runs == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[1,2", b"\xff\xfe", b"[" * 100_000, b"[1," + b"9" * 10_000 + b"]", b"[NaN, 1]"],
)
def test_arguments_that_are_not_json_are_refused_and_the_connection_goes_on(
    server, calculator, body
):
    with RawClient(server.address) as peer:
        peer.send(hello(), request(1, "add", body), request(2, "add", b"[1,2]"))
        failure = peer.failure()
        assert failure.kind == "invalid_argument"
        assert failure.executed == "no"
        assert peer.expect(frames.RESPONSE).body == b"3"
    assert calculator.runs == 1


def test_ids_that_do_not_grow_are_an_error_of_the_peer(server, calculator):
    with RawClient(server.address) as peer:
        peer.send(hello(), request(5, "add_here", b"[1,2]"), request(5, "add_here", b"[1,2]"))
        assert peer.goaway().last_id == 5
    assert calculator.runs == 1


@pytest.mark.parametrize(
    "reply",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(64), b"\xff" * 64],
    ids=["http", "zeros", "ones"],
)
def test_a_server_that_does_not_speak_the_protocol_leaves_open_whether_it_ran(users, reply):
    with RawServer(lambda send, frame: send(reply)) as server:
        with pytest.raises((ProtocolError, MessageTooLarge)) as caught:
            users(server.url, retries=0).call("add", 1, 2)
        assert caught.value.executed == "maybe"


def test_a_reply_of_4_gib_is_refused_at_once(users):
    with RawServer(lambda send, frame: send(b"\xff\xff\xff\xff\x01\x04\x00\x00")) as server:
        with pytest.raises(MessageTooLarge) as caught:
            users(server.url, retries=0).call("add", 1, 2)
        assert caught.value.executed == "maybe"


def test_nobody_listening_is_unavailable_and_did_not_run(users):
    with socket.create_server(("127.0.0.1", 0)) as door:
        url = f"tcp://127.0.0.1:{door.getsockname()[1]}"
    with pytest.raises(Unavailable, match="refused") as caught:
        users(url, retries=0).call("add", 1, 2)
    assert caught.value.executed == "no"
    assert caught.value.node.url == url
