"""The server's side of a connection.

The test plays the client by hand, and the endpoint keeps the calls that it is given.
"""

from __future__ import annotations

import asyncio
import socket

import pytest

from bee_core.contracts.memory_bound import MemoryBound
from bee_core.terms.causes import local
from bee_core.wire import fields, frames, messages, protocol
from bee_core.wire.messages import Goaway, Hello
from support.stream_clients import (
    FIELDS,
    HELLO,
    MAX_BODY,
    greeted,
    request,
    served,
)
from support.stream_peers import run, until


@run
async def test_a_request_reaches_the_endpoint_with_all_that_it_says_and_is_answered_behind_the_ack():
    async with served() as (endpoint, connect, _):
        client = await connect()
        await client.say(HELLO, request(1, b"body", flags=frames.COMPRESSED, form=2))
        await until(lambda: endpoint.calls)
        call = endpoint.calls[0]
        assert (
            call.method,
            call.form,
            call.body,
            call.compressed,
            call.dedupe_key,
        ) == ("add", 2, b"body", True, b"key")
        assert 0 < call.granted <= 0.5  # less what the frames before it in the chunk took
        assert (call.metadata, call.baggage) == ({"tenant": "a", "trace": "t"}, {"trace": "t"})
        assert (call.caller.codec, call.caller.compressor, call.caller.max_body) == (
            "json",
            "gzip",
            99,
        )
        call.reply(b"3", compressed=False)
        assert [(frame.kind, frame.id, frame.body) for frame in await client.hear(2)] == [
            (frames.HELLO_ACK, 0, b""),
            (frames.RESPONSE, 1, b"3"),
        ]


@run
async def test_answers_go_out_in_the_order_in_which_they_are_given():
    async with served() as (endpoint, connect, _):
        client = await greeted(connect)
        await client.say(request(1), request(2))
        await until(lambda: len(endpoint.calls) == 2)
        endpoint.calls[1].reply(b"two", compressed=True)
        endpoint.calls[0].fail(local("overloaded", "busy", retry_after=1.5))
        second, first = await client.hear(2)
        assert (second.id, second.body, second.flags) == (2, b"two", frames.COMPRESSED)
        failure = messages.parse_error(first.fields)
        assert (first.id, failure.kind, failure.executed, failure.retry_after) == (
            1,
            "overloaded",
            "no",
            1.5,
        )


@run
async def test_only_the_first_answer_counts():
    async with served() as (endpoint, connect, _):
        client = await greeted(connect)
        await client.say(request(1))
        await until(lambda: endpoint.calls)
        endpoint.calls[0].reply(b"first", compressed=False)
        endpoint.calls[0].reply(b"second", compressed=False)
        await client.say(frames.encode(frames.PING, 2))
        assert [frame.kind for frame in await client.hear(2)] == [frames.RESPONSE, frames.PONG]


@run
async def test_a_request_whose_fields_are_not_understood_is_refused_alone():
    async with served() as (endpoint, connect, _):
        client = await greeted(connect)
        await client.say(
            request(1), request(2, block=FIELDS + fields.field(0x80, b"new")), request(3)
        )
        await until(lambda: len(endpoint.calls) == 2)
        refused = (await client.hear(1))[0]
        failure = messages.parse_error(refused.fields)
        assert (refused.id, failure.kind, failure.executed, failure.retry) == (
            2,
            "protocol_error",
            "no",
            "other",
        )
        for call in endpoint.calls:
            call.reply(b"3", compressed=False)
        assert [frame.id for frame in await client.hear(2)] == [1, 3]


@run
@pytest.mark.parametrize("draining", [False, True])
async def test_a_ping_is_answered_with_the_health(draining):
    async with served() as (endpoint, connect, _):
        endpoint.draining = draining
        client = await greeted(connect)
        await client.say(frames.encode(frames.PING, 77))
        pong = (await client.hear(1))[0]
        assert (pong.id, messages.parse_pong(pong.fields)) == (
            77,
            "draining" if draining else "serving",
        )


# Giving up.


@run
async def test_a_cancel_reaches_the_handler_and_its_answer_is_not_sent():
    async with served() as (endpoint, connect, _):
        client = await greeted(connect)
        await client.say(
            request(1), frames.encode(frames.CANCEL, 1), frames.encode(frames.CANCEL, 5)
        )
        await until(lambda: endpoint.running)
        await endpoint.running[0].cancelled.wait()
        endpoint.calls[0].reply(b"late", compressed=False)
        await client.say(frames.encode(frames.PING, 2))
        assert [frame.kind for frame in await client.hear(1)] == [frames.PONG]


@run
async def test_a_client_that_vanishes_cancels_what_it_asked_for():
    async with served() as (endpoint, connect, listener):
        client = await greeted(connect)
        await client.say(request(1), request(2))
        await until(lambda: len(endpoint.running) == 2)
        client.connection.abort()
        for running in endpoint.running:
            await running.cancelled.wait()
        assert listener.connections == 0


@run
async def test_a_client_that_closes_its_side_gives_up_what_runs_for_it():
    async with served() as (endpoint, connect, listener):
        client = await greeted(connect)
        await client.say(request(1))
        client.sock.shutdown(socket.SHUT_WR)
        await until(lambda: endpoint.running)
        await endpoint.running[0].cancelled.wait()
        await until(lambda: listener.connections == 0)


@run
async def test_an_idle_client_that_closes_is_let_go():
    async with served() as (_, connect, listener):
        client = await greeted(connect)
        client.sock.close()
        await until(lambda: listener.connections == 0)


# Refusals.


@run
async def test_a_refused_hello_says_why_runs_nothing_and_keeps_its_half_open_for_what_the_client_still_sends():
    async with served() as (endpoint, connect, _):
        client = await connect()
        await client.say(
            frames.encode(frames.HELLO, 0, Hello("other", "json").encode()), request(1)
        )
        assert await client.hear_goaway() == Goaway(0, "protocol_error", "no service 'other' here")
        await client.say(request(2))  # no reset: the goaway could not be lost
        assert endpoint.calls == []


@run
@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b"\0\0\0\0", "protocol_error"),
        (b"SSH-2.0-calc\r\n", "protocol_error"),
        (b"\xff\xff\xff\xff", "message_too_large"),
        (request(1), "protocol_error"),
        (frames.encode(frames.HELLO, 0), "protocol_error"),
        (frames.encode_head(frames.REQUEST, 1, FIELDS, MAX_BODY + 1), "message_too_large"),
    ],
)
async def test_a_client_that_does_not_speak_the_protocol_hears_why(said, kind):
    async with served() as (endpoint, connect, _):
        client = await connect()
        await client.say(said)
        goaway = await client.hear_goaway()
        assert (goaway.kind, goaway.last_id) == (kind, 0)
        assert endpoint.calls == []


@run
async def test_garbage_behind_requests_names_the_last_one_and_cancels_them():
    async with served() as (endpoint, connect, _):
        client = await greeted(connect)
        await client.say(request(1), request(7), b"\0\0\0\0")
        assert (await client.hear_goaway()).last_id == 7
        for running in endpoint.running:
            assert running.cancelled.is_set()


@run
async def test_one_connection_more_than_allowed_is_refused_before_its_hello():
    async with served(max_connections=1) as (_, connect, listener):
        first = await greeted(connect)
        second = await connect()
        goaway = await second.hear_goaway()
        assert (goaway.kind, goaway.last_id) == ("overloaded", 0)
        second.sock.close()
        first.sock.close()
        await until(lambda: listener.connections == 0)
        await greeted(connect)


# Slow clients.


@run
@pytest.mark.parametrize(
    ("first", "what"),
    [
        (b"", "a hello was not complete"),
        (HELLO[:5], "a hello was not complete"),
        (HELLO + request(1)[:-1], "a frame was not complete"),
    ],
)
async def test_a_client_that_does_not_finish_what_it_began_is_refused(first, what):
    async with served(read_timeout=0.02) as (endpoint, connect, _):
        client = await connect()
        await client.say(first)
        heard = await client.hear(3 if first.startswith(HELLO) else 2)
        goaway = Goaway.parse(heard[-2].fields)
        assert goaway.message.startswith(what)
        assert (goaway.last_id, heard[-1], endpoint.calls) == (0, "end", [])


@run
async def test_a_client_that_is_idle_between_frames_is_not_timed():
    async with served() as (_, connect, _listener):
        client = await greeted(connect)
        assert client.connection.partial_since is None
        await client.say(request(1)[:5])
        await until(lambda: client.connection.partial_since is not None)
        since = client.connection.partial_since
        await client.say(request(1)[5:9])
        await until(lambda: client.connection.protocol.decoder.held == 9)
        assert client.connection.partial_since == since  # a trickle does not buy time
        await client.say(request(1)[9:])
        await until(lambda: client.connection.partial_since is None)


@run
async def test_a_client_that_does_not_read_its_answers_is_cut_off():
    async with served(write_timeout=0.02) as (endpoint, connect, listener):
        client = await greeted(connect)
        await client.say(request(1), request(2))
        await until(lambda: len(endpoint.calls) == 2)
        endpoint.calls[0].reply(bytes(8 << 20), compressed=False)
        await endpoint.running[1].cancelled.wait()
        assert listener.connections == 0


@run
async def test_the_time_that_we_did_not_read_is_not_the_clients_fault():
    async with served() as (_, connect, _listener):
        client = await greeted(connect)
        await client.say(request(1)[:5])
        await until(lambda: client.connection.partial_since is not None)
        client.connection.pause_writing()
        client.connection.partial_since -= 100.0
        client.connection.resume_writing()
        assert asyncio.get_running_loop().time() - client.connection.partial_since < 50.0


# Drain and close.


@run
async def test_a_drain_answers_what_was_accepted_and_drops_what_comes_later():
    async with served() as (endpoint, connect, listener):
        client = await greeted(connect)
        await client.say(request(4))
        await until(lambda: endpoint.calls)
        await listener.drain()
        goaway = (await client.hear(1))[0]
        assert (Goaway.parse(goaway.fields).last_id, Goaway.parse(goaway.fields).kind) == (
            4,
            "unavailable",
        )
        await client.say(request(5), frames.encode(frames.PING, 6))
        assert (await client.hear(1))[0].kind == frames.PONG
        endpoint.calls[0].reply(b"3", compressed=False)
        assert (await client.hear(1))[0].body == b"3"
        assert len(endpoint.calls) == 1


@run
async def test_while_draining_a_new_connection_is_refused():
    async with served() as (_, connect, listener):
        await listener.drain()
        client = await connect()
        assert (await client.hear_goaway()).kind == "unavailable"


@run
async def test_a_connection_whose_hello_was_on_its_way_hears_of_the_drain_behind_the_ack():
    async with served() as (endpoint, connect, listener):
        client = await connect()
        await listener.drain()
        await client.say(HELLO, request(1))
        assert [frame.kind for frame in await client.hear(2)] == [frames.HELLO_ACK, frames.GOAWAY]
        assert endpoint.calls == []


@run
async def test_close_lets_written_answers_leave_and_ends_every_connection():
    async with served() as (endpoint, connect, listener):
        client, idle = await greeted(connect), await greeted(connect)
        await client.say(request(1))
        await until(lambda: endpoint.calls)
        endpoint.calls[0].reply(b"3", compressed=False)
        closing = asyncio.ensure_future(listener.close())
        answer, end = await client.hear(2)
        assert (answer.body, end) == (b"3", "end")
        assert await idle.hear(1) == ["end"]
        client.sock.close()
        idle.sock.close()
        await closing
        assert listener.connections == 0


def test_the_bytes_of_a_response_have_no_fields():
    frame = frames.FrameDecoder(MAX_BODY).feed(protocol.response(3, b"x", compressed=True))[0]
    assert (frame.id, frame.fields, frame.body, frame.flags) == (3, b"", b"x", frames.COMPRESSED)


@run
async def test_full_memory_cuts_off_the_slowest_reader_of_any_address():
    memory = MemoryBound(1 << 20, MAX_BODY)
    async with (
        served(memory=memory) as (_, connect_first, first),
        served(memory=memory) as (_, connect_second, second),
    ):
        slow = await greeted(connect_first)
        slow.connection.write(bytes(900_000))
        await until(lambda: memory.unread)
        other = await greeted(connect_second)
        other.connection.write(bytes(900_000))
        await until(lambda: first.connections == 0)
        assert second.connections == 1
