"""The blocking channel against a peer that the test plays by hand, over a socket pair.

The peer writes before the channel waits, so most tests need no thread. Each test runs on both
paths: with the native exchange, and in Python.
"""

from __future__ import annotations

import gc
import os
import socket
import threading
import time
from math import inf

import pytest

from bee_core.errors import MessageTooLarge
from bee_core.streams.client.blocking_connection import BlockingConnection
from bee_core.terms.failures import Failure
from bee_core.terms.request import Request
from bee_core.wire import frames, messages, protocol, requests
from support.stream_peers import (
    MAX_BODY,
    PATHS,
    PairTransport,
    ack,
    channel_on,
    error,
    goaway,
    on_path,
    oneway,
    request,
    response,
)


@pytest.fixture(autouse=True, params=PATHS)
def path(request, monkeypatch):
    on_path(request.param, monkeypatch)


@pytest.fixture
def transport():
    return PairTransport(ack())


@pytest.fixture
def channel(transport):
    made = channel_on(transport)
    yield made
    made.close()


def call(channel, transport, *said):
    """Start a request, let the newest peer speak, and wait."""
    pending = channel.start(request())
    transport.peers[-1].say(*said)
    return pending.wait()


def test_the_hello_and_the_request_arrive_together_and_the_reply_comes_back(channel, transport):
    assert call(channel, transport, response(1)).body == b"3"
    hello, asked = transport.peers[0].heard()
    assert messages.Hello.parse(hello.fields) == messages.Hello("calc", "json", max_body=MAX_BODY)
    assert (asked.kind, asked.id, asked.body) == (frames.REQUEST, 1, b"[1,2]")


def test_a_reply_in_single_bytes_comes_back_whole(channel, transport):
    pending = channel.start(request())
    answer = response(1, b"12345")
    thread = threading.Thread(
        target=lambda: [
            transport.peers[0].say(answer[index : index + 1]) for index in range(len(answer))
        ]
    )
    thread.start()
    assert pending.wait().body == b"12345"
    thread.join()


def test_a_connection_is_used_again(channel, transport):
    call(channel, transport, response(1))
    call(channel, transport, response(2))
    assert len(transport.peers) == 1


def test_two_calls_at_a_time_have_a_connection_each_and_the_one_used_last_is_taken_next(
    channel, transport
):
    first, second = channel.start(request()), channel.start(request())
    for index, pending in [(1, second), (0, first)]:
        transport.peers[index].say(response(1))
        pending.wait()
    channel.start(request())
    assert [len(peer.heard()) for peer in transport.peers] == [3, 2]


@pytest.mark.parametrize("what", ["end", "goaway", "late bytes"])
def test_an_idle_connection_on_which_something_shows_up_is_replaced(channel, transport, what):
    call(channel, transport, response(1))
    if what == "end":
        transport.peers[0].sock.close()
    else:
        transport.peers[0].say(goaway(1) if what == "goaway" else response(1))
    pending = channel.start(request())
    transport.peers[1].say(response(1, b"4"))
    assert pending.wait().body == b"4"


def test_an_error_frame_is_a_failure_and_the_connection_is_used_again(channel, transport):
    outcome = call(channel, transport, error(1))
    assert (outcome.kind, outcome.message, outcome.error_type, outcome.executed) == (
        "remote_error",
        "boom",
        "ValueError",
        "yes",
    )
    assert call(channel, transport, response(2)).ok
    assert len(transport.peers) == 1


def test_an_error_frame_that_cannot_be_read_is_a_protocol_error_and_the_connection_is_closed(
    channel, transport
):
    outcome = call(channel, transport, frames.encode(frames.ERROR, 1, b""))
    assert (outcome.kind, outcome.executed) == ("protocol_error", "maybe")
    assert transport.peers[0].heard()[-1] == "end"


def test_a_pong_instead_of_a_response_is_a_protocol_error(channel, transport):
    assert call(channel, transport, protocol.pong(1, "serving")).kind == "protocol_error"


def test_a_late_answer_to_another_request_is_passed_over(channel, transport):
    call(channel, transport, response(1))
    assert call(channel, transport, response(1, b"old"), response(2, b"new")).body == b"new"


def test_a_read_timeout_blames_the_node_cancels_and_gives_the_connection_up(channel, transport):
    outcome = channel.start(request(read_timeout=0.01)).wait()
    assert (outcome.kind, outcome.executed, outcome.blame) == ("deadline_exceeded", "maybe", "node")
    heard = transport.peers[0].heard()
    assert (heard[2].kind, heard[2].id, heard[3]) == (frames.CANCEL, 1, "end")


def test_a_deadline_before_the_read_timeout_blames_nobody(channel):
    outcome = channel.start(request(timeout=0.01)).wait()
    assert (outcome.kind, outcome.executed, outcome.blame, outcome.retry) == (
        "deadline_exceeded",
        "maybe",
        "none",
        "never",
    )


def test_a_read_timeout_of_months_and_a_deadline_that_never_comes_can_be_waited_for(
    channel, transport
):
    pending = channel.start(request(timeout=inf, read_timeout=1e8, write_timeout=1e8))
    transport.peers[0].say(response(1))
    assert pending.wait().ok


def test_to_cancel_tells_the_server_and_gives_the_connection_up_once(channel, transport):
    pending = channel.start(request())
    pending.cancel()
    pending.cancel()
    assert [frame if frame == "end" else frame.kind for frame in transport.peers[0].heard()] == [
        frames.HELLO,
        frames.REQUEST,
        frames.CANCEL,
        "end",
    ]


@pytest.mark.parametrize("calls_before", [0, 1])
def test_a_call_that_is_interrupted_while_it_is_written_gets_no_cancel_frame(
    channel, transport, monkeypatch, calls_before
):
    """The server would take the frame for the rest of the request."""
    if not calls_before:
        transport.greet = b""  # what is unread at the end would reset the socket
    for _ in range(calls_before):
        call(channel, transport, response(1))

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(BlockingConnection, "_write", interrupted)
    large = request(b"[" + b"1" * 8_000_000 + b"]")
    with pytest.raises(KeyboardInterrupt):
        channel.start(large)
    peer = transport.peers[-1]
    assert len(transport.peers) == 1
    peer.heard()  # what the system took of it
    large.pending.cancel()
    assert large.pending is None
    assert peer.sock.recv(1) == b"", "the end follows at once"


def test_a_call_that_is_interrupted_while_it_waits_is_cancelled(transport):
    interrupting = []

    def clock():
        if interrupting:
            raise KeyboardInterrupt
        return time.monotonic()

    channel = channel_on(transport, clock=clock)
    waiting = request()
    pending = channel.start(waiting)
    interrupting.append(True)
    with pytest.raises(KeyboardInterrupt):
        pending.wait()
    waiting.pending.cancel()  # as the driver does
    assert waiting.pending is None
    assert [frame if frame == "end" else frame.kind for frame in transport.peers[0].heard()][
        2:
    ] == [frames.CANCEL, "end"]


def test_an_end_without_a_word_may_have_run(channel, transport):
    pending = channel.start(request())
    transport.peers[0].heard()
    transport.peers[0].sock.close()
    outcome = pending.wait()
    assert (outcome.kind, outcome.executed, outcome.blame) == ("unavailable", "maybe", "node")


def test_a_goaway_below_the_id_proves_that_it_did_not_run_and_a_redial_is_free(channel, transport):
    outcome = call(channel, transport, goaway(0))
    assert (outcome.kind, outcome.executed, outcome.unsent, outcome.blame) == (
        "unavailable",
        "no",
        True,
        "none",
    )


def test_a_refusal_carries_its_reason_and_is_no_free_redial():
    transport = PairTransport(goaway(0, "unauthenticated"))
    outcome = channel_on(transport).start(request()).wait()
    assert (outcome.kind, outcome.message, outcome.executed, outcome.unsent) == (
        "unauthenticated",
        "go away",
        "no",
        False,
    )


def test_a_goaway_that_names_the_id_leaves_it_to_be_answered_and_then_the_connection_goes(
    channel, transport
):
    assert call(channel, transport, goaway(1), response(1)).ok
    assert transport.peers[0].heard()[-1] == "end"


@pytest.mark.parametrize(
    "said", [b"\0\0\0\0", b"HTTP/1.1 400 Bad Request", frames.encode(frames.HELLO, 0)]
)
def test_what_is_not_the_protocol_is_a_protocol_error_of_the_node(channel, transport, said):
    outcome = call(channel, transport, said)
    assert (outcome.kind, outcome.executed, outcome.blame) == ("protocol_error", "maybe", "node")
    assert transport.peers[0].heard()[-1] == "end"


def test_a_reply_over_the_limit_is_refused_before_it_is_read(channel, transport):
    outcome = call(channel, transport, frames.encode_head(frames.RESPONSE, 1, b"", MAX_BODY + 1))
    assert (outcome.kind, outcome.executed, outcome.retry) == (
        "message_too_large",
        "maybe",
        "never",
    )


def test_a_request_over_the_limit_of_the_server_is_not_sent(transport):
    transport.greet = ack(max_body=10)
    channel = channel_on(transport)
    call(channel, transport, response(1))
    transport.peers[0].heard()
    outcome = channel.start(request(bytes(11)))
    assert (outcome.kind, outcome.executed, outcome.retry) == ("message_too_large", "no", "never")
    assert "over the server's max_size (10 bytes)" in outcome.message
    assert transport.peers[0].heard() == ["end"]


def test_a_compressed_reply_is_inflated(transport):
    channel = channel_on(transport, compressor="reverse", decompress=lambda body, most: body[::-1])
    assert call(channel, transport, response(1, b"abc", compressed=True)).body == b"cba"


def test_a_reply_that_inflates_to_too_much_has_run(transport):
    def bomb(body, most):
        raise MessageTooLarge("a bomb")

    outcome = call(
        channel_on(transport, compressor="bomb", decompress=bomb),
        transport,
        response(1, compressed=True),
    )
    assert (outcome.kind, outcome.executed) == ("message_too_large", "yes")


def test_a_compressed_reply_without_a_compressor_is_a_protocol_error_that_has_run(
    channel, transport
):
    outcome = call(channel, transport, response(1, compressed=True))
    assert (outcome.kind, outcome.executed) == ("protocol_error", "yes")


# Writing.

LARGE = bytes(4 << 20)  # more than a socket buffers


def test_a_large_request_arrives_while_the_peer_reads(channel, transport):
    got = []

    def read():
        peer = transport.peers[0]
        peer.sock.setblocking(True)
        while not got:
            got.extend(
                frame.body
                for frame in peer.decoder.feed(peer.sock.recv(1 << 16))
                if frame.kind == frames.REQUEST
            )
        peer.say(response(2))

    call(channel, transport, response(1))
    transport.peers[0].heard()
    thread = threading.Thread(target=read)
    thread.start()
    pending = channel.start(request(LARGE))
    assert pending.wait().ok
    thread.join()
    assert got == [LARGE]


@pytest.mark.parametrize(
    ("bounds", "blame"), [({"write_timeout": 0.01}, "node"), ({"timeout": 0.01}, "none")]
)
def test_a_peer_that_does_not_read_did_not_run_it(channel, transport, bounds, blame):
    outcome = channel.start(request(LARGE, **bounds))
    assert (outcome.kind, outcome.executed, outcome.blame) == ("deadline_exceeded", "no", blame)
    heard = transport.peers[0].heard()
    assert [frame if frame == "end" else frame.kind for frame in heard] == [
        frames.HELLO,
        "end",
    ]  # half a frame is not left behind on an open connection


@pytest.mark.parametrize(
    ("said", "kind"), [(goaway(0, "message_too_large"), "message_too_large"), (b"", "unavailable")]
)
def test_a_peer_that_hangs_up_while_it_is_written_to_did_not_run_it_and_its_reason_is_heard(
    transport, said, kind
):
    readings = []

    def clock():
        readings.append(1)
        if len(readings) == 3:  # before the dial, before the first bytes, when the socket is full
            transport.peers[0].say(said)
            transport.peers[0].sock.shutdown(socket.SHUT_RDWR)
        return time.monotonic()

    outcome = channel_on(transport, clock=clock).start(request(LARGE))
    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.executed) == (kind, "no")


# Connecting.


@pytest.mark.parametrize(
    ("error", "kind", "blame"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "unavailable", "node"),
        (TimeoutError(), "unavailable", "node"),
        (ValueError("no such scheme"), "unavailable", "node"),
    ],
)
def test_a_dial_that_fails_did_not_run_and_is_the_nodes_fault(
    channel, transport, error, kind, blame
):
    transport.error = error
    outcome = channel.start(request())
    assert (outcome.kind, outcome.executed, outcome.blame) == (kind, "no", blame)


@pytest.mark.parametrize(("timeout", "blame"), [(0.05, "none"), (1.0, "node")])
def test_a_dial_that_the_deadline_cut_short_blames_the_node_unless_it_was_short(
    channel, transport, timeout, blame
):
    transport.error = TimeoutError()
    outcome = channel.start(request(timeout=timeout, connect_timeout=5.0))
    assert (outcome.kind, outcome.blame) == ("deadline_exceeded", blame)
    assert (outcome.executed, outcome.retry, outcome.reached) == ("no", "never", False)


def test_a_dial_ends_early_where_the_request_leaves_time_for_another_node(channel, transport):
    seconds = []

    class Hasty(Request):
        __slots__ = ()

        def may_connect(self, now):
            return 0.5

    def dial(url, timeout):
        seconds.append(timeout)
        raise TimeoutError

    transport.dial = dial
    whole = request(timeout=2.0, connect_timeout=5.0)
    hasty = Hasty(
        whole.head, 0, b"", False, whole.deadline, 5.0, whole.write_timeout, whole.read_timeout
    )
    outcome = channel.start(hasty)
    assert seconds == [0.5]
    assert (outcome.kind, outcome.retry, outcome.blame) == ("unavailable", "same", "node")
    assert "half of what was left (connect_timeout is 5 s)" in outcome.message


def test_without_time_left_there_is_no_dial(channel, transport):
    assert channel.start(request(timeout=-1.0)).kind == "deadline_exceeded"
    assert transport.peers == []


# Ping.


@pytest.mark.parametrize("status", ["serving", "draining"])
def test_a_ping_goes_out_on_a_connection_of_its_own(transport, status):
    transport.greet = ack() + protocol.pong(1, status)
    assert channel_on(transport).ping(1.0) == status
    assert [frame if frame == "end" else frame.kind for frame in transport.peers[0].heard()] == [
        frames.HELLO,
        frames.PING,
        "end",
    ]


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (response(1), "protocol_error"),
        (goaway(0, "overloaded"), "overloaded"),
        (b"\0\0\0\0", "protocol_error"),
    ],
)
def test_a_ping_that_gets_something_else_fails(transport, said, kind):
    transport.greet = ack() + said
    assert channel_on(transport).ping(1.0).kind == kind


def test_a_ping_without_an_answer_times_out(channel):
    assert channel.ping(0.01).kind == "deadline_exceeded"


# Close, retire, fork.


def test_close_ends_a_call_that_waits_and_tells_the_server(transport):
    channel = channel_on(transport)
    pending = channel.start(request())
    outcomes = []
    thread = threading.Thread(target=lambda: outcomes.append(pending.wait()))
    thread.start()
    channel.close()
    thread.join()
    assert (outcomes[0].kind, outcomes[0].executed) == ("cancelled", "maybe")
    assert [frame if frame == "end" else frame.kind for frame in transport.peers[0].heard()][
        2:
    ] == [frames.CANCEL, "end"]


def test_after_close_nothing_is_sent(transport):
    channel = channel_on(transport)
    channel.close()
    outcome = channel.start(request())
    assert (outcome.kind, outcome.executed) == ("cancelled", "no")
    assert all(peer.heard() == ["end"] for peer in transport.peers)


def test_a_retired_channel_closes_what_is_idle_now_and_the_rest_when_its_call_ends(transport):
    channel = channel_on(transport)
    busy, idle = channel.start(request()), channel.start(request())
    transport.peers[1].say(response(1))
    idle.wait()
    channel.retire()
    assert transport.peers[1].heard()[-1] == "end"
    assert transport.peers[0].heard()[-1] != "end"
    transport.peers[0].say(response(1))
    assert busy.wait().ok
    assert transport.peers[0].heard()[-1] == "end"


def test_a_forked_child_lets_go_without_a_byte_and_without_ending_the_parents_connection(transport):
    channel = channel_on(transport)
    channel.start(request())
    # After a fork the parent still has the descriptor.
    parents = os.dup(transport.dialed[0].fileno())
    transport.peers[0].heard()
    channel.discard_after_fork()
    assert transport.peers[0].heard() == []
    assert transport.dialed[0].fileno() == -1
    os.close(parents)
    assert transport.peers[0].heard() == ["end"]


# ── oneway ──


def test_a_oneway_request_ends_when_it_is_written_and_its_connection_serves_the_next_call(
    channel, transport
):
    assert channel.start(oneway()).wait().ok
    assert channel.start(oneway()).wait().ok
    assert call(channel, transport, response(3)).body == b"3"
    (peer,) = transport.peers
    hello, *asked = peer.heard()
    assert hello.kind == frames.HELLO
    assert [requests.RequestParser().parse(frame.fields).oneway for frame in asked] == [
        True,
        True,
        False,
    ]


def test_a_oneway_request_waits_until_a_new_server_has_accepted_the_connection():
    transport = PairTransport()
    channel = channel_on(transport)
    outcomes = []
    thread = threading.Thread(target=lambda: outcomes.append(channel.start(oneway()).wait()))
    thread.start()
    while not transport.peers or not (heard := transport.peers[0].heard()):
        pass
    assert [frame.kind for frame in heard] == [frames.HELLO]
    transport.peers[0].say(ack())
    thread.join(10)
    assert outcomes[0].ok
    assert [frame.kind for frame in transport.peers[0].heard()] == [frames.REQUEST]
    channel.close()


@pytest.mark.parametrize("kind", ["unauthenticated", "protocol_error", "overloaded", "unavailable"])
def test_a_refused_connection_fails_a_oneway_request_which_did_not_run(kind):
    transport = PairTransport(goaway(0, kind))
    channel = channel_on(transport)
    outcome = channel.start(oneway())
    assert (outcome.kind, outcome.executed, outcome.message) == (kind, "no", "go away")
    assert [frame if frame == "end" else frame.kind for frame in transport.peers[0].heard()] == [
        frames.HELLO,
        "end",
    ]
    assert len(transport.peers) == 1


def test_a_peer_that_answers_no_hello_costs_a_oneway_request_its_connect_timeout():
    transport = PairTransport()
    channel = channel_on(transport)
    outcome = channel.start(oneway(connect_timeout=0.1))
    assert (outcome.kind, outcome.executed, outcome.blame, outcome.reached) == (
        "unavailable",
        "no",
        "node",
        False,
    )
    outcome = channel.start(oneway(timeout=0.1))
    assert (outcome.kind, outcome.executed, outcome.blame) == ("deadline_exceeded", "no", "none")
    assert [peer.heard()[-1] for peer in transport.peers] == ["end", "end"]


def test_a_peer_that_hangs_up_or_speaks_something_else_fails_a_oneway_request_which_did_not_run():
    channel = channel_on(PairTransport(b"HTTP/1.1 400 Bad Request"))
    outcome = channel.start(oneway())
    assert (outcome.kind, outcome.executed) == ("protocol_error", "no")

    class HangingUp(PairTransport):
        def dial(self, url, timeout):
            sock = super().dial(url, timeout)
            self.peers[-1].sock.close()
            return sock

    outcome = channel_on(HangingUp()).start(oneway())
    assert (outcome.kind, outcome.executed, outcome.blame) == ("unavailable", "no", "node")


def test_a_body_that_the_server_would_not_take_is_refused_on_a_new_connection_too():
    transport = PairTransport(ack(max_body=10))
    channel = channel_on(transport)
    assert channel.start(oneway(body=b"x" * 11)).kind == "message_too_large"
    assert [frame if frame == "end" else frame.kind for frame in transport.peers[0].heard()] == [
        frames.HELLO,
        "end",
    ]


def test_closing_ends_a_oneway_request_that_waits_for_the_hello_ack():
    transport = PairTransport()
    channel = channel_on(transport)
    outcomes = []
    thread = threading.Thread(target=lambda: outcomes.append(channel.start(oneway())))
    thread.start()
    while not transport.peers or not transport.peers[0].heard():
        pass
    channel.close()
    thread.join(10)
    assert (outcomes[0].kind, outcomes[0].executed) == ("cancelled", "no")


def test_an_answer_that_an_older_server_gives_all_the_same_costs_the_connection_and_no_call(
    channel, transport
):
    channel.start(oneway()).wait()
    transport.peers[0].say(error(1))
    pending = channel.start(request())
    transport.peers[1].say(response(1))
    assert pending.wait().ok


class InUse:
    """A connection of another thread, which knows nothing of its server yet."""

    ack = None


def test_a_collection_of_garbage_lets_other_threads_call_while_one_connects(channel):
    """They come and go with each collection; one may come with each allocation."""
    others = [InUse() for _ in range(100)]
    channel.active.update(others)

    def others_go_on(phase, _):
        known = others.pop()
        (channel.active.discard if known in channel.active else channel.active.add)(known)
        others.insert(0, known)

    before = gc.get_threshold()
    gc.callbacks.append(others_go_on)
    gc.set_threshold(1)
    try:
        made = [channel.start(request()) for _ in range(20)]
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(others_go_on)
        channel.active.difference_update(others)
    assert channel.active == set(made)
