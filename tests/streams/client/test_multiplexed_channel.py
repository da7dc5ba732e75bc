"""The asyncio channel against a peer that the test plays by hand.

Many requests share one connection, and answers come in any order.
"""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from bee_core.contracts.size_rule import HEAVY, MOST_HERE
from bee_core.errors import MessageTooLarge
from bee_core.streams import StreamTransport
from bee_core.terms.failures import Failure
from bee_core.terms.node import Node
from bee_core.wire import frames, messages, protocol, requests
from support.stream_peers import (
    ack,
    channel_settings,
    goaway,
    oneway,
    request,
    response,
    run,
    until,
)

MAX_BODY = 1 << 20


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.setblocking(False)
        self.decoder = frames.FrameDecoder(1 << 24)
        self.chunks = 0

    async def hear(self, count):
        """Wait for so many frames; the end of the stream counts as one."""
        found = []
        while len(found) < count:
            data = await asyncio.get_running_loop().sock_recv(self.sock, 1 << 16)
            self.chunks += 1
            found += self.decoder.feed(data) if data else ["end"]
        return found

    async def hear_kinds(self, count):
        return [
            frame if frame == "end" else frames.KIND_NAMES[frame.kind]
            for frame in await self.hear(count)
        ]

    async def say(self, *parts):
        await asyncio.get_running_loop().sock_sendall(self.sock, b"".join(parts))


class PairTransport(StreamTransport):
    """Each dial makes a socket pair.

    A new peer says ``greet`` at once. With ``heard_early`` the channel has read it when the dial
    ends.
    """

    def __init__(self, greet=b"", *, heard_early=False):
        self.peers = []
        self.greet = greet
        self.heard_early = heard_early
        self.error = None
        self.gate = None
        self.dials = 0

    def dial(self, url, timeout):
        raise NotImplementedError

    async def dial_async(self, url, factory):
        self.dials += 1
        if self.error is not None:
            raise self.error
        if self.gate is not None:
            await self.gate.wait()
        ours, theirs = socket.socketpair()
        self.peers.append(Peer(ours))
        ours.send(self.greet)
        theirs.setblocking(False)
        _, connection = await asyncio.get_running_loop().create_connection(factory, sock=theirs)
        if self.heard_early:
            await until(lambda: not connection.usable)

    async def accept(self, url, factory, backlog):
        raise NotImplementedError


def channel_on(transport, **kwargs):
    settings = channel_settings(**{"max_body": MAX_BODY} | kwargs)
    return transport.async_channel(Node("a", "pair://a"), settings)


async def opened(transport=None, **kwargs):
    """A channel whose connection has served one request."""
    transport = transport or PairTransport(ack())
    channel = channel_on(transport, **kwargs)
    pending = channel.start(request())
    await until(lambda: transport.peers)
    peer = transport.peers[0]
    await peer.hear(2)
    await peer.say(response(1))
    assert (await pending.reply).ok
    return channel, transport, peer


@run
async def test_the_first_request_on_a_new_connection_goes_out_with_the_hello():
    transport = PairTransport()
    channel = channel_on(transport)
    pending = channel.start(request())
    await until(lambda: transport.peers)
    assert await transport.peers[0].hear_kinds(2) == ["hello", "request"]
    assert transport.peers[0].chunks == 1
    await transport.peers[0].say(ack(), response(1))
    assert (await pending.reply).ok
    await channel.close()


@run
async def test_requests_that_are_started_together_wait_for_the_ack_and_go_out_together():
    # The ack says how many processes there are. One of them might get all the calls of a burst.
    transport = PairTransport()
    channel = channel_on(transport)
    started = [channel.start(request(b"[%d]" % number)) for number in range(3)]
    await until(lambda: transport.peers)
    assert await transport.peers[0].hear_kinds(1) == ["hello"]
    await transport.peers[0].say(ack())
    transport.peers[0].chunks = 0
    heard = await transport.peers[0].hear(3)
    assert [frame.kind for frame in heard] == [frames.REQUEST] * 3
    assert [(frame.id, frame.body) for frame in heard] == [
        (1, b"[0]"),
        (2, b"[1]"),
        (3, b"[2]"),
    ]
    assert (transport.dials, transport.peers[0].chunks) == (1, 1)
    await transport.peers[0].say(response(2, b"two"), response(3, b"three"), response(1, b"one"))
    assert [(await pending.reply).body for pending in started] == [b"one", b"two", b"three"]
    await channel.close()


@run
async def test_a_cancelled_call_tells_the_server_and_its_late_answer_is_passed_over():
    channel, _, peer = await opened()
    gone, stays = channel.start(request()), channel.start(request())
    await peer.hear(2)
    gone.cancel()
    gone.cancel()
    assert [(frame.kind, frame.id) for frame in await peer.hear(1)] == [(frames.CANCEL, 2)]
    await peer.say(response(2, b"late"), response(3, b"mine"))
    assert (await stays.reply).body == b"mine"
    assert gone.reply.cancelled()
    await channel.close()


@run
@pytest.mark.parametrize(
    ("bounds", "blame"), [({"read_timeout": 0.01}, "node"), ({"timeout": 0.01}, "none")]
)
async def test_a_call_that_is_not_answered_in_time_is_cancelled_and_a_connection_that_lives_stays(
    bounds, blame
):
    channel, transport, peer = await opened()
    outcome = await channel.start(request(**bounds)).reply
    assert (outcome.kind, outcome.executed, outcome.blame) == ("deadline_exceeded", "maybe", blame)
    # After a full read_timeout without a byte it asks whether anybody is there.
    asked = ["ping"] if blame == "node" else []
    kinds = ["request", "cancel", *asked]
    assert await peer.hear_kinds(len(kinds)) == kinds
    if asked:
        await peer.say(protocol.pong(3, "serving"))
    next_id = 3 + len(asked)
    pending = channel.start(request())
    await peer.say(response(2), response(next_id, b"new"))
    assert (await pending.reply).body == b"new"
    assert transport.dials == 1
    await channel.close()


@run
async def test_an_error_frame_is_the_failure_of_its_call_alone():
    channel, _, peer = await opened()
    failed, broken, pinged, fine = (channel.start(request()) for _ in range(4))
    boom = messages.error_fields(Failure("remote_error", "boom", "yes", "never", "none"))
    await peer.say(
        frames.encode(frames.ERROR, 2, boom),
        frames.encode(frames.ERROR, 3, b""),
        protocol.pong(4, "serving"),
        response(5),
    )
    assert [(await pending.reply).kind for pending in (failed, broken, pinged)] == [
        "remote_error",
        "protocol_error",
        "protocol_error",
    ]
    assert (await fine.reply).ok
    await channel.close()


# Goaway and the end.


@run
async def test_after_a_goaway_later_requests_did_not_run_earlier_ones_are_answered_and_new_ones_go_elsewhere():
    channel, transport, peer = await opened()
    earlier, later = channel.start(request()), channel.start(request())
    await peer.hear(2)
    await peer.say(goaway(2))
    outcome = await later.reply
    assert (outcome.kind, outcome.executed, outcome.unsent, outcome.blame) == (
        "unavailable",
        "no",
        True,
        "none",
    )
    elsewhere = channel.start(request())
    await until(lambda: len(transport.peers) == 2)
    await transport.peers[1].hear(2)
    await transport.peers[1].say(response(1, b"elsewhere"))
    assert (await elsewhere.reply).body == b"elsewhere"
    assert not earlier.reply.done()
    await peer.say(response(2, b"still"))
    assert (await earlier.reply).body == b"still"
    assert await peer.hear_kinds(1) == ["end"]
    await channel.close()


@run
async def test_a_connection_that_is_lost_leaves_its_calls_in_doubt_and_the_next_one_dials():
    channel, transport, peer = await opened()
    pending = channel.start(request())
    await peer.hear(1)
    peer.sock.close()
    outcome = await pending.reply
    assert (outcome.kind, outcome.executed, outcome.blame) == ("unavailable", "maybe", "node")
    channel.start(request())
    await until(lambda: len(transport.peers) == 2)
    await channel.close()


@run
@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b"\0\0\0\0", "protocol_error"),
        (frames.encode(frames.PING, 1), "protocol_error"),
        (frames.encode_head(frames.RESPONSE, 2, b"", MAX_BODY + 1), "message_too_large"),
    ],
)
async def test_what_cannot_be_read_ends_the_connection_and_its_calls(said, kind):
    channel, _, peer = await opened()
    first, second = channel.start(request()), channel.start(request())
    await peer.hear(2)
    await peer.say(said)
    outcomes = [await first.reply, await second.reply]
    assert [(outcome.kind, outcome.executed) for outcome in outcomes] == [(kind, "maybe")] * 2
    assert outcomes[0] is not outcomes[1]
    assert await peer.hear_kinds(1) == ["end"]
    await channel.close()


@run
async def test_a_request_over_the_limit_of_the_server_is_not_sent_and_the_others_go_on():
    channel, _, peer = await opened(PairTransport(ack(max_body=10)))
    outcome = await channel.start(request(bytes(11))).reply
    assert (outcome.kind, outcome.executed, outcome.retry) == ("message_too_large", "no", "never")
    fine = channel.start(request())
    assert [frame.id for frame in await peer.hear(1)] == [2]
    await peer.say(response(2))
    assert (await fine.reply).ok
    await channel.close()


@run
async def test_a_connection_whose_ids_are_used_up_is_replaced_and_closed_when_its_last_answer_is_in():
    channel, transport, peer = await opened()
    channel.connection.protocol.last_id = frames.MAX_ID - 1
    last, new = channel.start(request()), channel.start(request())
    assert [frame.id for frame in await peer.hear(1)] == [frames.MAX_ID]
    await until(lambda: len(transport.peers) == 2)
    await transport.peers[1].hear(2)
    await transport.peers[1].say(response(1, b"new"))
    assert (await new.reply).body == b"new"
    await peer.say(response(frames.MAX_ID, b"last"))
    assert (await last.reply).body == b"last"
    assert await peer.hear_kinds(1) == ["end"]
    await channel.close()


# Connecting.


@run
async def test_a_dial_that_fails_is_the_failure_of_all_that_wait_for_it():
    transport = PairTransport()
    transport.error = ConnectionRefusedError(111, "Connection refused")
    channel = channel_on(transport)
    outcomes = [
        await pending.reply for pending in [channel.start(request()), channel.start(request())]
    ]
    assert [(outcome.kind, outcome.executed, outcome.blame) for outcome in outcomes] == [
        ("unavailable", "no", "node")
    ] * 2
    assert transport.dials == 1
    await channel.close()


@run
@pytest.mark.parametrize(
    ("bounds", "kind", "blame"),
    [
        ({"connect_timeout": 0.01}, "unavailable", "node"),
        ({"timeout": 0.01}, "deadline_exceeded", "none"),
        ({"timeout": 0.11}, "deadline_exceeded", "node"),
    ],
)
async def test_a_dial_that_takes_too_long_did_not_run(bounds, kind, blame):
    transport = PairTransport()
    transport.gate = asyncio.Event()
    channel = channel_on(transport)
    outcome = await channel.start(request(**bounds)).reply
    assert (outcome.kind, outcome.executed, outcome.blame) == (kind, "no", blame)
    await channel.close()


@run
async def test_a_call_that_comes_just_as_a_dial_is_given_up_has_a_dial_of_its_own():
    transport = PairTransport(ack())
    transport.gate = asyncio.Event()
    channel = channel_on(transport)
    assert not (await channel.start(request(connect_timeout=0.01)).reply).ok
    transport.gate.set()
    pending = channel.start(request())
    await until(lambda: transport.peers)
    await transport.peers[0].hear(2)
    await transport.peers[0].say(response(1))
    assert (await pending.reply).ok
    assert transport.dials == 2
    await channel.close()


@run
async def test_a_server_that_refuses_at_once_is_not_dialed_again_and_its_reason_is_the_failure():
    transport = PairTransport(goaway(0, "overloaded"), heard_early=True)
    channel = channel_on(transport)
    outcome = await channel.start(request()).reply
    assert (outcome.kind, outcome.message, outcome.executed) == ("overloaded", "go away", "no")
    assert transport.dials == 1
    await channel.close()


@run
async def test_a_refusal_that_comes_after_the_request_went_out_means_the_same():
    channel = channel_on(PairTransport(goaway(0, "unauthenticated")))
    outcome = await channel.start(request()).reply
    assert (outcome.kind, outcome.executed) == ("unauthenticated", "no")
    await channel.close()


@run
async def test_a_call_that_is_cancelled_while_it_waits_for_the_dial_is_never_sent():
    transport = PairTransport(ack())
    transport.gate = asyncio.Event()
    channel = channel_on(transport)
    gone, stays = channel.start(request(b"gone")), channel.start(request(b"stays"))
    await asyncio.sleep(0)
    gone.cancel()
    transport.gate.set()
    await until(lambda: transport.peers)
    assert [frame.body for frame in await transport.peers[0].hear(2)] == [b"", b"stays"]
    stays.cancel()
    await channel.close()


# A peer that reads too slowly.


@run
async def test_while_the_peer_reads_too_slowly_requests_wait_here_and_go_out_when_it_has_caught_up():
    channel, _, peer = await opened()
    connection = channel.connection
    connection.pause_writing()
    waits, gone = channel.start(request(b"waits")), channel.start(request(b"gone"))
    gone.cancel()
    connection.resume_writing()
    assert [frame.body for frame in await peer.hear(1)] == [b"waits"]
    await peer.say(response(2))
    assert (await waits.reply).ok
    await channel.close()


@run
async def test_a_request_that_could_not_be_written_in_time_did_not_run():
    channel, _, _ = await opened()
    channel.connection.pause_writing()
    outcome = await channel.start(request(write_timeout=0.01)).reply
    assert (outcome.kind, outcome.executed, outcome.blame) == ("deadline_exceeded", "no", "node")
    await channel.close()


@run
async def test_a_request_that_waits_for_the_peer_when_the_connection_ends_did_not_run():
    channel, _, peer = await opened()
    connection = channel.connection
    connection.pause_writing()
    pending = channel.start(request())
    peer.sock.close()
    assert (await pending.reply).executed == "no"
    await channel.close()


# Compression.


@run
@pytest.mark.parametrize("size", [10, HEAVY])
async def test_a_compressed_reply_is_inflated_off_the_loop_when_it_is_large(size):
    inflated_on = []

    def reverse(body, most):
        inflated_on.append(threading.current_thread() is threading.main_thread())
        return body[::-1]

    channel, _, peer = await opened(compressor="reverse", decompress=reverse)
    pending = channel.start(request())
    await peer.say(response(2, b"a" + bytes(size - 1), compressed=True))
    assert (await pending.reply).body == bytes(size - 1) + b"a"
    assert inflated_on == [size < HEAVY]
    await channel.close()


@run
async def test_a_small_reply_that_becomes_large_is_inflated_off_the_loop():
    inflated_on = []

    def zeros(body, most):
        inflated_on.append((threading.current_thread() is threading.main_thread(), most))
        if most is not None:
            raise MessageTooLarge("more than that")
        return bytes(2 * MOST_HERE)

    channel, _, peer = await opened(compressor="zeros", decompress=zeros)
    pending = channel.start(request())
    await peer.say(response(2, b"2 MB", compressed=True))
    assert (await pending.reply).body == bytes(2 * MOST_HERE)
    assert inflated_on == [(True, MOST_HERE), (False, None)]
    await channel.close()


# Ping, retire, close.


async def pinged(said, timeout=5.0):
    """Ping a peer that says something when it has heard the ping."""
    transport = PairTransport(ack())
    ping = asyncio.ensure_future(channel_on(transport).ping(timeout))
    await until(lambda: transport.peers)
    peer = transport.peers[0]
    assert await peer.hear_kinds(2) == ["hello", "ping"]
    if said:  # a ping that nobody answers may have ended by now
        await peer.say(said)
    answer = await ping
    assert await peer.hear_kinds(1) == ["end"]
    return answer


@run
@pytest.mark.parametrize("status", ["serving", "draining"])
async def test_a_ping_goes_out_on_a_connection_of_its_own(status):
    assert await pinged(protocol.pong(1, status)) == status


@run
@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (goaway(0, "overloaded"), "overloaded"),
        (b"\0\0\0\0", "protocol_error"),
        (frames.encode(frames.PONG, 1), "protocol_error"),
        (response(1), "protocol_error"),
    ],
)
async def test_a_ping_that_gets_something_else_fails_at_once(said, kind):
    assert (await pinged(said)).kind == kind


@run
async def test_a_ping_without_an_answer_times_out():
    assert (await pinged(b"", 0.3)).kind == "deadline_exceeded"


@run
@pytest.mark.parametrize(
    ("said", "kind"), [(goaway(0, "overloaded"), "overloaded"), (b"\0\0\0\0", "unavailable")]
)
async def test_a_ping_on_a_connection_that_is_refused_at_once_fails_at_once(said, kind):
    assert (await channel_on(PairTransport(said, heard_early=True)).ping(5.0)).kind == kind


@run
async def test_a_ping_to_a_node_that_is_not_there_fails():
    transport = PairTransport()
    transport.error = ConnectionRefusedError(111, "Connection refused")
    assert (await channel_on(transport).ping(5.0)).kind == "unavailable"


@run
async def test_a_retired_channel_closes_at_once_when_idle():
    channel, _, peer = await opened()
    channel.retire()
    assert await peer.hear_kinds(1) == ["end"]


@run
async def test_a_retired_channel_closes_when_its_last_call_ends():
    channel, _, peer = await opened()
    pending = channel.start(request())
    channel.retire()
    await peer.hear(1)
    await peer.say(response(2))
    assert (await pending.reply).ok
    assert await peer.hear_kinds(1) == ["end"]


@run
@pytest.mark.parametrize("oneway", [False, True])
async def test_a_channel_that_was_retired_before_it_connected_closes_when_its_last_call_ends(
    oneway,
):
    transport = PairTransport(b"" if oneway else ack())
    channel = channel_on(transport)
    channel.retire()
    begun = request(connect_timeout=50.0, read_timeout=50.0)  # whose ends would close it as well
    begun.oneway = oneway
    pending = channel.start(begun)
    await until(lambda: transport.peers)
    peer = transport.peers[0]
    if oneway:
        assert await peer.hear_kinds(1) == ["hello"]
        await peer.say(ack())
        assert await peer.hear_kinds(1) == ["request"]
    else:
        assert await peer.hear_kinds(2) == ["hello", "request"]
        await peer.say(response(1))
    assert (await pending.reply).ok
    assert await peer.hear_kinds(1) == ["end"]


@run
async def test_close_cancels_calls_and_afterwards_nothing_is_sent():
    channel, _, peer = await opened()
    pending = channel.start(request())
    await peer.hear(1)
    await channel.close()
    assert ((await pending.reply).kind, (await pending.reply).executed) == ("cancelled", "maybe")
    assert await peer.hear_kinds(2) == ["cancel", "end"]
    outcome = await channel.start(request()).reply
    assert (outcome.kind, outcome.executed) == ("cancelled", "no")


@run
async def test_close_while_dialing_ends_the_dial_and_the_calls_that_wait_for_it():
    transport = PairTransport()
    transport.gate = asyncio.Event()
    before = asyncio.all_tasks()
    channel = channel_on(transport)
    pending = channel.start(request())
    await asyncio.sleep(0)
    await channel.close()
    assert ((await pending.reply).kind, (await pending.reply).executed) == ("cancelled", "no")
    assert asyncio.all_tasks() == before


# ── oneway ──


@run
async def test_a_oneway_request_ends_when_it_is_written():
    channel, _, peer = await opened()
    pending = channel.start(oneway())
    assert not pending.reply.done()  # it is written with the others of this turn
    assert (await pending.reply).ok
    (asked,) = await peer.hear(1)
    assert requests.RequestParser().parse(asked.fields).oneway
    assert channel.connection.waiting == 0
    pending.cancel()
    later = channel.start(request())
    assert [frame.kind for frame in await peer.hear(1)] == [frames.REQUEST]  # no cancel before it
    await peer.say(response(3))
    assert (await later.reply).ok
    await channel.close()


@run
async def test_a_oneway_request_waits_until_a_new_server_has_accepted_the_connection_and_other_requests_do_not():
    transport = PairTransport()
    channel = channel_on(transport)
    sent = channel.start(oneway())
    await until(lambda: channel.connection)
    asked = channel.start(request())
    peer = transport.peers[0]
    assert await peer.hear_kinds(2) == ["hello", "request"]
    assert not sent.reply.done()
    await peer.say(ack())
    assert (await sent.reply).ok
    (frame,) = await peer.hear(1)
    assert frame.id > 1
    await peer.say(response(1))
    assert (await asked.reply).ok
    await channel.close()


@pytest.mark.parametrize("kind", ["unauthenticated", "protocol_error", "unavailable"])
@run
async def test_a_refused_connection_fails_a_oneway_request_which_did_not_run(kind):
    transport = PairTransport(goaway(0, kind))
    channel = channel_on(transport)
    outcome = await channel.start(oneway()).reply
    assert (outcome.kind, outcome.executed, outcome.message) == (kind, "no", "go away")
    await channel.close()


@run
async def test_a_peer_that_answers_no_hello_costs_a_oneway_request_its_connect_timeout():
    transport = PairTransport()
    channel = channel_on(transport)
    outcome = await channel.start(oneway(connect_timeout=0.01)).reply
    assert (outcome.kind, outcome.executed, outcome.blame) == ("unavailable", "no", "node")
    outcome = await channel.start(oneway(timeout=0.01)).reply
    assert (outcome.kind, outcome.executed, outcome.blame) == ("deadline_exceeded", "no", "none")
    assert await transport.peers[0].hear_kinds(1) == ["hello"]
    await channel.close()


@run
async def test_a_server_that_goes_before_it_accepts_fails_a_oneway_request_which_did_not_run():
    transport = PairTransport()
    channel = channel_on(transport)
    pending = channel.start(oneway())
    await until(lambda: transport.peers)
    await transport.peers[0].hear(1)
    transport.peers[0].sock.close()
    outcome = await pending.reply
    assert (outcome.kind, outcome.executed) == ("unavailable", "no")
    await channel.close()


@run
async def test_a_oneway_request_that_is_given_up_before_the_connection_is_accepted_is_never_sent():
    transport = PairTransport()
    channel = channel_on(transport)
    pending = channel.start(oneway())
    await until(lambda: transport.peers)
    peer = transport.peers[0]
    await peer.hear(1)
    pending.cancel()
    await peer.say(ack())
    asked = channel.start(request())
    (frame,) = await peer.hear(1)
    assert not requests.RequestParser().parse(frame.fields).oneway
    await peer.say(response(frame.id))
    assert (await asked.reply).ok
    await channel.close()


@run
async def test_what_was_said_to_be_sent_still_leaves_when_the_channel_is_closed():
    channel, _, peer = await opened()
    size = 3 << 20  # more than a socket pair holds
    assert (await channel.start(oneway(body=b"x" * (MAX_BODY - 1))).reply).ok
    sent = [channel.start(oneway(body=b"x" * (MAX_BODY - 1))) for _ in range(size // MAX_BODY)]
    done = [pending for pending in sent if pending.reply.done()]
    closing = asyncio.ensure_future(channel.close())
    heard = []
    while "end" not in heard:
        heard += await peer.hear(1)
    assert len(
        [frame for frame in heard if frame != "end" and frame.kind == frames.REQUEST]
    ) >= 1 + len(done)
    await closing


@run
async def test_what_was_said_to_be_sent_still_leaves_when_a_retired_channel_is_closed():
    channel, _, peer = await opened()
    assert (await channel.start(oneway(body=b"x" * (MAX_BODY - 1))).reply).ok
    channel.retire()
    closing = asyncio.ensure_future(channel.close())
    heard = []
    while "end" not in heard:
        heard += await peer.hear(1)
    assert [frame.kind for frame in heard if frame != "end"] == [frames.REQUEST]
    await closing


@run
async def test_a_closed_channel_does_not_wait_for_ever_for_a_peer_that_does_not_read():
    channel, _, peer = await opened()
    assert (await channel.start(oneway(body=b"x" * (MAX_BODY - 1))).reply).ok
    await channel.close()
    assert peer.sock.fileno() >= 0  # it has not read a byte
