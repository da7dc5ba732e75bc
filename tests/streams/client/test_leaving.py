"""A request that is given up on the blocking channel, against a peer that the test plays by hand.

Each test runs on both paths: with the native exchange, and in Python.
"""

from __future__ import annotations

import pytest

from bee_core.streams.client.given_up import MOST_GIVEN_UP
from bee_core.wire import frames, messages
from support.stream_peers import (
    PATHS,
    PairTransport,
    ack,
    channel_on,
    goaway,
    on_path,
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


def pong(id_):
    return frames.encode(frames.PONG, id_, messages.pong_fields("serving"))


def let_go(channel):
    """Start a request that nobody wants any more once it is out."""
    pending = channel.start(given_up := request())
    assert pending.wait(0.0) is None
    pending.let_go()
    assert given_up.pending is None
    assert not channel.active


def answered(channel, transport, peer, id_, *before):
    """A call whose peer says something else before the reply."""
    pending = channel.start(request())
    transport.peers[peer].say(*before, response(id_, b"4"))
    return pending.wait().body


def test_the_server_hears_a_cancel_and_a_ping(channel, transport):
    let_go(channel)
    *_, cancel, ping = transport.peers[0].heard()
    assert [(cancel.kind, cancel.id), (ping.kind, ping.id)] == [
        (frames.CANCEL, 1),
        (frames.PING, 2),
    ]


def test_its_connection_is_used_again_once_the_server_has_answered_the_ping(channel, transport):
    let_go(channel)
    transport.peers[0].say(pong(2))
    assert answered(channel, transport, 0, 3) == b"4"
    assert answered(channel, transport, 0, 4) == b"4"
    assert len(transport.peers) == 1


@pytest.mark.parametrize("when", ["before the pong", "behind the pong", "before the next reply"])
def test_its_late_reply_is_dropped(channel, transport, when):
    let_go(channel)
    late = response(1, b"late")
    said = {"before the pong": (late, pong(2)), "behind the pong": (pong(2), late)}
    transport.peers[0].say(*said.get(when, (pong(2),)))
    between = (late,) if when == "before the next reply" else ()
    assert answered(channel, transport, 0, 3, *between) == b"4"
    assert len(transport.peers) == 1


@pytest.mark.parametrize("said", [(), (response(1),), "the half of a pong"])
def test_a_server_that_has_not_answered_yet_gets_a_new_connection(channel, transport, said):
    let_go(channel)
    transport.peers[0].say(*((pong(2)[:5],) if isinstance(said, str) else said))
    assert answered(channel, transport, 1, 1) == b"4"
    assert len(channel.given_up) == 1
    # The idle one is taken first, and the other one when there is none.
    transport.peers[0].say(pong(2)[5:] if isinstance(said, str) else pong(2))
    held = channel.start(request())
    assert answered(channel, transport, 0, 3) == b"4"
    assert len(transport.peers) == 2
    held.cancel()


@pytest.mark.parametrize("how", ["end", "goaway", "no protocol"])
def test_a_connection_that_is_of_no_use_any_more_is_closed(channel, transport, how):
    let_go(channel)
    if how == "end":
        transport.peers[0].sock.close()
    else:
        transport.peers[0].say(goaway(1) if how == "goaway" else b"\xff" * 64)
    assert answered(channel, transport, 1, 1) == b"4"
    assert not channel.given_up


def test_a_server_that_never_answers_keeps_few_connections_open(channel, transport):
    for _ in range(2 * MOST_GIVEN_UP):
        let_go(channel)
    assert len(channel.given_up) == MOST_GIVEN_UP
    assert transport.peers[0].heard()[-1] == "end"
    assert transport.peers[-1].heard()[-1] != "end"


@pytest.mark.parametrize("end", ["close", "retire", "discard_after_fork"])
def test_the_end_of_the_channel_closes_it(channel, transport, end):
    let_go(channel)
    getattr(channel, end)()
    assert not channel.given_up
    assert transport.peers[0].heard()[-1] == "end"


def test_after_the_channel_has_retired_it_is_closed_at_once(channel, transport):
    pending = channel.start(request())
    assert pending.wait(0.0) is None
    channel.retire()
    pending.let_go()
    assert not channel.given_up
    assert transport.peers[0].heard()[-1] == "end"


def test_a_request_that_has_ended_is_not_let_go(channel, transport):
    pending = channel.start(request())
    transport.peers[0].say(response(1))
    assert pending.wait().body == b"3"
    pending.let_go()
    assert not channel.given_up
    assert answered(channel, transport, 0, 2) == b"4"
