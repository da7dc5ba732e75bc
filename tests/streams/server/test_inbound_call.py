"""Oneway requests on a server's connection.

They are never answered and never cancelled, and their failures are in the log.
"""

from __future__ import annotations

import logging

import pytest

from bee_core.terms.causes import local
from bee_core.terms.failures import Failure
from bee_core.wire import fields, frames, messages, requests
from support.stream_clients import FIELDS, greeted, request, served
from support.stream_peers import run, until

ONEWAY = FIELDS + fields.field(fields.ONEWAY, b"")


async def taken(endpoint, client, id_=1):
    await client.say(request(id_, block=ONEWAY))
    await until(lambda: endpoint.calls and endpoint.calls[-1].id == id_)
    return endpoint.calls[-1]


async def heard_next(client, id_):
    """What the server says next: it answers this ping behind everything else."""
    await client.say(frames.encode(frames.PING, id_))
    return (await client.hear(1))[0].kind


@run
async def test_neither_a_result_nor_a_failure_is_answered():
    async with served() as (endpoint, connect, _):
        client = await greeted(connect)
        (await taken(endpoint, client)).reply(b"3", False)
        (await taken(endpoint, client, 2)).fail(local("overloaded", "busy"))
        assert [call.oneway for call in endpoint.calls] == [True, True]
        assert await heard_next(client, 3) == frames.PONG


@run
async def test_a_cancel_is_passed_over_and_the_end_of_the_connection_stops_nothing():
    async with served() as (endpoint, connect, listener):
        client = await greeted(connect)
        await taken(endpoint, client)
        await client.say(frames.encode(frames.CANCEL, 1))
        assert await heard_next(client, 2) == frames.PONG
        client.sock.close()
        await until(lambda: not listener.connections)
        assert not endpoint.running[0].cancelled.is_set()


@run
async def test_a_request_that_was_written_before_the_client_left_is_taken():
    async with served() as (endpoint, connect, _):
        client = await greeted(connect)
        await client.say(*[request(id_, block=ONEWAY) for id_ in range(1, 101)])
        client.sock.close()
        await until(lambda: len(endpoint.calls) == 100)


@run
async def test_an_ordinary_request_beside_it_is_answered_and_cancelled_as_ever():
    async with served() as (endpoint, connect, _):
        client = await greeted(connect)
        await client.say(request(1, block=ONEWAY), request(2), request(3))
        await until(lambda: len(endpoint.calls) == 3)
        endpoint.calls[1].reply(b"3", False)
        assert [(frame.kind, frame.id) for frame in await client.hear(1)] == [(frames.RESPONSE, 2)]
        client.sock.close()
        await endpoint.running[2].cancelled.wait()
        assert not endpoint.running[0].cancelled.is_set()


@run
async def test_a_protocol_error_later_on_the_connection_does_not_stop_it():
    async with served() as (endpoint, connect, _):
        client = await greeted(connect)
        await taken(endpoint, client)
        await client.say(request(1))  # an id that does not grow
        await client.hear_goaway()
        assert not endpoint.running[0].cancelled.is_set()


RAISED = Failure(
    "remote_error",
    "boom",
    "yes",
    "never",
    "none",
    error_type="ValueError",
)


@pytest.mark.parametrize(
    ("failure", "level"),
    [
        # The server has said it where it was raised.
        (RAISED, logging.DEBUG),
        (Failure("plugin_fault", "a bug", "no", "other", "none"), logging.DEBUG),
        (local("method_not_found", "no method"), logging.WARNING),
        (local("invalid_argument", "bad", path="$.a"), logging.WARNING),
        (Failure("cancelled", "shut down", "maybe", "never", "none"), logging.WARNING),
        (Failure("deadline_exceeded", "while it ran", "maybe", "never", "none"), logging.WARNING),
        (local("deadline_exceeded", "late"), logging.DEBUG),
        (local("overloaded", "busy"), logging.DEBUG),
    ],
    ids=lambda value: f"{value.kind} {value.executed}" if isinstance(value, Failure) else "",
)
@run
async def test_a_failure_is_logged_once(failure, level, caplog):
    caplog.set_level(logging.DEBUG, "bee.server")
    async with served() as (endpoint, connect, _):
        call = await taken(endpoint, await greeted(connect))
        call.fail(failure)
        call.fail(failure)
        call.reply(b"", False)
    (record,) = [
        record for record in caplog.records if getattr(record, "bee_event", "") == "oneway_failed"
    ]
    assert record.levelno == level
    assert "oneway calc.add from " in record.getMessage()
    assert failure.message in record.getMessage()
    assert (
        record.bee_fields["method"],
        record.bee_fields["kind"],
        record.bee_fields["executed"],
    ) == ("add", failure.kind, failure.executed)


@run
async def test_a_peer_writes_no_lines_of_its_own_into_the_log(caplog):
    name = "add\nCRITICAL: forged " + "x" * 10_000
    async with served() as (endpoint, connect, _):
        client = await greeted(connect)
        await client.say(request(1, block=requests.request_fields(name, oneway=True)))
        await until(lambda: endpoint.calls)
        endpoint.calls[0].fail(
            local("invalid_argument", "no parameter b\nCRITICAL: forged " + "x" * 10_000)
        )
    (record,) = caplog.records
    assert "\n" not in record.getMessage()
    assert "calc.add\\nCRITICAL" in record.getMessage()
    assert len(record.getMessage()) < 2000
    assert len(record.bee_fields["method"]) < 200


@run
async def test_a_request_whose_fields_cannot_be_read_is_answered_since_nobody_knows_what_it_is():
    async with served() as (endpoint, connect, _):
        client = await greeted(connect)
        await client.say(request(1, block=FIELDS + fields.field(fields.ONEWAY, b"x")))
        (refused,) = await client.hear(1)
        assert (refused.kind, messages.parse_error(refused.fields).executed) == (frames.ERROR, "no")
        assert endpoint.calls == []
