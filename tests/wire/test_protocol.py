"""The two ends of a connection as state machines.

Which frame is legal in which state, and what is never sent, run or lost.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bee_core.errors import MessageTooLarge, ProtocolError
from bee_core.interfaces import Request, RequestHead
from bee_core.terms.failures import Failure
from bee_core.wire import first_frame, frames, messages, protocol, requests
from bee_core.wire.messages import Goaway, Hello, HelloAck
from bee_core.wire.protocol import ClientProtocol, ServerProtocol

MAX_BODY = 1024
HELLO = frames.encode(frames.HELLO, 0, Hello("calc", "json").encode())
ACK = HelloAck("calc", "1.0.0", b"epoch", 2048)
FIELDS = requests.request_fields("add")

FROM_SERVER = {
    "hello-ack": frames.encode(frames.HELLO_ACK, 0, ACK.encode()),
    "response": protocol.response(1, b"3", compressed=False),
    "error": frames.encode(
        frames.ERROR,
        1,
        messages.error_fields(Failure("remote_error", "boom", "yes", "never", "none")),
    ),
    "pong": protocol.pong(1, "serving"),
    "goaway": frames.encode(frames.GOAWAY, 0, Goaway(1).encode()),
}
FROM_CLIENT = {
    "hello": HELLO,
    "request": frames.encode(frames.REQUEST, 5, FIELDS, b"[1,2]"),
    "cancel": frames.encode(frames.CANCEL, 1),
    "ping": frames.encode(frames.PING, 9),
}
UNKNOWN = {f"kind {kind}": frames.encode(kind, 1) for kind in (0, 10, 16, 23, 255)}
EVERY = FROM_SERVER | FROM_CLIENT | UNKNOWN


def request(body=b"[1,2]", **kwargs):
    return Request(
        RequestHead("calc", "add"),
        0,
        body,
        kwargs.pop("compressed", False),
        kwargs.pop("deadline", 10.0),
        1.0,
        1.0,
        1.0,
        **kwargs,
    )


def parsed(raw):
    decoder = frames.FrameDecoder(1 << 30)
    found = decoder.feed(raw)
    assert decoder.error is None
    assert not decoder.partial
    return found


def kinds(raw):
    return [frames.KIND_NAMES[frame.kind] for frame in parsed(raw)]


# ── the client ───────────────────────────────────────────────────────────────────────────────────────────────────────


def client_in(state):
    client = ClientProtocol(HELLO, MAX_BODY)
    for name in {
        "greeted": [],
        "open": ["hello-ack"],
        "going": ["hello-ack", "goaway"],
        "refused": ["goaway"],
    }[state]:
        client.receive(FROM_SERVER[name])
    return client


LEGAL_AT_CLIENT = {
    "greeted": {"hello-ack", "goaway"},
    "open": {"response", "error", "pong", "goaway"},
    "going": {"response", "error", "pong", "goaway"},
    "refused": {"goaway"},
}


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("state", LEGAL_AT_CLIENT)
def test_a_client_takes_the_frames_of_its_state_and_no_other(state, name):
    client = client_in(state)
    answers = client.receive(EVERY[name])
    if name in LEGAL_AT_CLIENT[state]:
        assert client.error is None
        assert [frames.KIND_NAMES[frame.kind] for frame in answers] == (
            [] if name in {"hello-ack", "goaway"} else [name]
        )
    else:
        assert isinstance(client.error, ProtocolError)
        assert answers == []
        assert not client.usable


def test_the_ack_is_kept_with_its_limit():
    client = client_in("open")
    assert client.ack == ACK
    assert client.peer_limit == 2048


def test_without_a_word_on_it_there_is_no_limit():
    client = ClientProtocol(HELLO, MAX_BODY)
    assert client.peer_limit > 1 << 40
    client.receive(frames.encode(frames.HELLO_ACK, 0, HelloAck("calc", "1", b"").encode()))
    assert client.peer_limit > 1 << 40


def test_the_hello_goes_out_once_in_front_of_the_first_request():
    client = ClientProtocol(HELLO, MAX_BODY)
    first, _ = client.request(request(), FIELDS, 0.0)
    second, _ = client.request(request(), FIELDS, 0.0)
    assert first.startswith(HELLO)
    assert kinds(first) == ["hello", "request"]
    assert kinds(second) == ["request"]


def test_the_hello_goes_out_once_in_front_of_a_ping():
    client = ClientProtocol(HELLO, MAX_BODY)
    assert kinds(client.ping()) == ["hello", "ping"]
    assert kinds(client.ping()) == ["ping"]
    assert kinds(client.request(request(), FIELDS, 0.0)[0]) == ["request"]


@pytest.mark.parametrize("size", [0, 1000, protocol.LARGE - 1, protocol.LARGE, protocol.LARGE + 1])
def test_a_large_body_is_handed_over_uncopied_and_the_bytes_are_the_same(size):
    client = ClientProtocol(HELLO, MAX_BODY)
    body = bytes(size)
    head, rest = client.request(request(body), FIELDS, 0.0)
    assert (rest is body) == (size >= protocol.LARGE)
    assert parsed(head + (rest or b""))[1].body == body


def test_a_request_says_what_time_is_left_and_carries_its_key():
    client = ClientProtocol(HELLO, MAX_BODY)
    client.last_id = 6
    head, _ = client.request(request(deadline=10.0, dedupe_key=b"k", compressed=True), FIELDS, 9.5)
    frame = parsed(head)[1]
    said = requests.RequestParser().parse(frame.fields)
    assert (frame.id, frame.flags, said.time_left, said.dedupe_key) == (
        7,
        frames.COMPRESSED,
        0.5,
        b"k",
    )


def test_ids_grow_by_one_from_1():
    client = ClientProtocol(HELLO, MAX_BODY)
    seen = []
    for send in (lambda: client.request(request(), FIELDS, 0.0), client.ping, client.ping):
        send()
        seen.append(client.last_id)
    assert seen == [1, 2, 3]


def test_a_connection_whose_ids_are_used_up_takes_no_request_but_still_gets_its_answers():
    client = client_in("open")
    client.last_id = frames.MAX_ID - 1
    assert client.usable
    client.request(request(), FIELDS, 0.0)
    assert client.last_id == frames.MAX_ID
    assert not client.usable
    assert (
        client.receive(protocol.response(frames.MAX_ID, b"3", compressed=False))[0].id
        == frames.MAX_ID
    )


def test_after_a_goaway_there_are_no_new_requests_but_answers_arrive():
    client = client_in("open")
    assert client.usable
    client.receive(FROM_SERVER["goaway"])
    assert not client.usable
    assert client.goaway == Goaway(1)
    assert [frame.body for frame in client.receive(FROM_SERVER["response"])] == [b"3"]


def test_a_goaway_and_the_answers_around_it_in_one_chunk_are_all_seen():
    client = ClientProtocol(HELLO, MAX_BODY)
    answers = client.receive(
        FROM_SERVER["hello-ack"]
        + FROM_SERVER["response"]
        + FROM_SERVER["goaway"]
        + protocol.response(2, b"4", compressed=False)
    )
    assert [frame.id for frame in answers] == [1, 2]
    assert client.goaway is not None


def test_answers_before_a_broken_byte_are_returned_with_the_error():
    client = client_in("open")
    assert len(client.receive(FROM_SERVER["response"] + b"\0\0\0\0")) == 1
    assert isinstance(client.error, ProtocolError)


def test_a_reply_over_the_limit_is_an_error_before_it_is_read():
    client = client_in("open")
    client.receive(frames.encode_head(frames.RESPONSE, 1, b"", MAX_BODY + 1))
    assert isinstance(client.error, MessageTooLarge)


@pytest.mark.parametrize("kind", [frames.HELLO_ACK, frames.GOAWAY])
def test_fields_that_are_broken_are_an_error_at_the_client(kind):
    client = ClientProtocol(HELLO, MAX_BODY)
    assert client.receive(frames.encode(kind, 0, b"\x20\x00")) == []
    assert isinstance(client.error, ProtocolError)


def test_after_an_error_a_client_returns_nothing():
    client = client_in("open")
    client.receive(FROM_CLIENT["hello"])
    error = client.error
    assert client.receive(FROM_SERVER["response"]) == []
    assert client.error is error


def said_by_client(chunks):
    client = ClientProtocol(HELLO, MAX_BODY)
    answers = [frame for chunk in chunks for frame in client.receive(chunk)]
    return answers, client.ack, client.goaway, str(client.error), type(client.error)


# ── the server ───────────────────────────────────────────────────────────────────────────────────────────────────────


def take(server, raw):
    """Every frame of a chunk with the server's verdict on it. A hello is accepted."""
    verdicts = []
    for frame in server.receive(raw):
        verdicts.append(server.check(frame))
        if verdicts[-1] and frame.kind == frames.HELLO:
            server.accept(ACK)
        if server.error is not None:
            break
    return verdicts


def server_in(state):
    server = ServerProtocol(MAX_BODY)
    if state in {"open", "going", "refused after open"}:
        assert take(server, HELLO) == [True]
    if state == "going":
        server.leave()
    elif state == "refused after open":
        server.leave("protocol_error", "no")
    elif state == "refused":
        assert server.check(server.receive(HELLO)[0])
        server.leave("unauthenticated", "no")
    assert server.state == state.split(maxsplit=1)[0]
    return server


ACTED_ON = {
    "hello": {"hello"},
    "open": {"request", "cancel", "ping"},
    "going": {"cancel", "ping"},
    "refused": set(),
    "refused after open": set(),
}
DROPPED = {
    "hello": set(),
    "open": set(),
    "going": {"request"},
    "refused": set(EVERY),
    "refused after open": set(EVERY),
}


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("state", ACTED_ON)
def test_a_server_acts_on_the_frames_of_its_state_drops_what_cannot_run_and_refuses_the_rest(
    state, name
):
    server = server_in(state)
    verdict = take(server, EVERY[name])
    if name in ACTED_ON[state]:
        assert verdict == [True]
        assert server.error is None
    elif name in DROPPED[state]:
        assert verdict in ([], [False])
        assert server.error is None
    else:
        assert verdict == [False]
        assert isinstance(server.error, ProtocolError)


@pytest.mark.parametrize("state", ACTED_ON)
def test_most_id_lets_a_request_past_the_check_only_where_the_check_would_pass_it(state):
    server = server_in(state)
    assert server.most_id == (frames.MAX_ID if state == "open" else 0)


@pytest.mark.parametrize("name", sorted(set(EVERY) - ACTED_ON["open"]))
def test_after_an_error_no_request_is_let_past_the_check(name):
    server = server_in("open")
    assert take(server, EVERY[name]) == [False]
    assert server.most_id == 0


def test_a_hello_is_kept():
    assert server_in("open").hello == Hello("calc", "json")


def hello_of(size):
    fields = Hello("calc", "json").encode()
    rest = size - frames.HEADER_SIZE - len(fields)
    return frames.encode(frames.HELLO, 0, fields, bytes(rest))


@given(st.lists(st.integers(1, 5), max_size=4))
def test_a_hello_longer_than_64_kib_is_an_error_once_its_length_is_there_and_nothing_is_kept(cuts):
    server = ServerProtocol(1 << 20)
    start, position = hello_of(first_frame.MAX_HELLO + 1), 0
    for cut in [*cuts, 100]:
        assert server.receive(start[position : position + cut]) == []
        position += cut
        assert (server.error is not None) == (position >= 4)
    assert isinstance(server.error, MessageTooLarge)
    assert server.receive(start) == []


@given(st.lists(st.integers(1, 70_000), max_size=4))
def test_a_hello_of_64_kib_is_read_and_what_follows_it_may_be_larger(cuts):
    server = ServerProtocol(1 << 20)
    large = frames.encode(frames.REQUEST, 1, FIELDS, bytes(200_000))
    stream, position, kinds = hello_of(first_frame.MAX_HELLO) + large, 0, []
    for cut in [*cuts, len(stream)]:
        for frame in server.receive(stream[position : position + cut]):
            assert server.check(frame)
            kinds.append(frame.kind)
            if frame.kind == frames.HELLO:
                server.accept(ACK)
        position += cut
    assert kinds == [frames.HELLO, frames.REQUEST]
    assert server.error is None
    assert server.decoder.error is None


def test_a_hello_of_another_protocol_is_called_that_whatever_the_size_of_bodies():
    for start, says in (
        (b"GET / HTTP/1.1", "'GET '"),
        (b"\x16\x03\x01\x02\x00\x01", "these bytes are TLS"),
    ):
        for max_body in (1024, 1 << 30):
            server = ServerProtocol(max_body)
            server.receive(start)
            assert says in str(server.error or server.decoder.error)


def test_a_hello_without_a_service_is_an_error():
    server = ServerProtocol(MAX_BODY)
    assert take(server, frames.encode(frames.HELLO, 0)) == [False]
    assert isinstance(server.error, ProtocolError)


@pytest.mark.parametrize(
    ("before", "id_"),
    [
        (0, 0),
        (3, 3),
        (3, 2),
        (3, 0),
        (0, frames.MAX_ID + 1),
        (3, 0xFFFF_FFFF),
        (frames.MAX_ID, frames.MAX_ID),
    ],
)
def test_an_id_that_does_not_grow_or_is_too_large_is_an_error(before, id_):
    server = server_in("open")
    server.last_id = before
    assert take(server, frames.encode(frames.REQUEST, id_, FIELDS)) == [False]
    assert f"the request id {id_} does not follow {before}" in str(server.error)
    assert server.last_id == before


@pytest.mark.parametrize("ids", [[1, 2, 3], [5, 9, 1000], [frames.MAX_ID]])
def test_ids_that_grow_are_accepted_and_the_last_is_kept(ids):
    server = server_in("open")
    assert take(server, b"".join(frames.encode(frames.REQUEST, id_, FIELDS) for id_ in ids)) == [
        True
    ] * len(ids)
    assert server.last_id == ids[-1]


def test_pings_and_cancels_do_not_count_as_requests():
    server = server_in("open")
    take(
        server,
        frames.encode(frames.PING, 50)
        + frames.encode(frames.CANCEL, 60)
        + frames.encode(frames.REQUEST, 2, FIELDS),
    )
    assert server.error is None
    assert server.last_id == 2


def test_the_goaway_of_a_drain_names_the_last_accepted_id_and_later_requests_are_dropped():
    server = server_in("open")
    take(server, frames.encode(frames.REQUEST, 4, FIELDS))
    goaway = Goaway.parse(parsed(server.leave())[0].fields)
    assert (goaway.last_id, goaway.kind) == (4, "unavailable")
    assert take(server, frames.encode(frames.REQUEST, 5, FIELDS)) == [False]
    assert (server.last_id, server.error, server.state) == (4, None, "going")


def test_a_refusal_of_the_hello_says_that_nothing_ran():
    server = ServerProtocol(MAX_BODY)
    arrived = server.receive(HELLO + FROM_CLIENT["request"])
    assert server.check(arrived[0])
    goaway = Goaway.parse(parsed(server.leave("protocol_error", "no such codec"))[0].fields)
    assert goaway == Goaway(0, "protocol_error", "no such codec")
    assert not server.check(arrived[1])
    assert server.error is None


def test_a_server_that_shuts_down_before_the_hello_refuses():
    server = ServerProtocol(MAX_BODY)
    server.leave()
    assert server.state == "refused"
    assert server.receive(HELLO) == []


def test_a_refused_connection_is_not_opened_by_a_drain():
    server = server_in("refused after open")
    server.leave()
    assert server.state == "refused"


def test_a_second_goaway_names_the_same_id():
    server = server_in("going")
    take(server, FROM_CLIENT["request"])
    assert Goaway.parse(parsed(server.leave("protocol_error", "no"))[0].fields).last_id == 0
    assert server.state == "refused"


def test_after_an_error_a_server_takes_nothing():
    server = server_in("open")
    take(server, FROM_SERVER["pong"])
    assert server.error is not None
    assert server.receive(FROM_CLIENT["ping"]) == []
    assert not server.check(parsed(FROM_CLIENT["ping"])[0])


def test_a_broken_stream_is_known_behind_the_frames_before_it():
    server = server_in("open")
    arrived = server.receive(FROM_CLIENT["request"] + b"\xff\xff\xff\xff")
    assert [server.check(frame) for frame in arrived] == [True]
    assert isinstance(server.decoder.error, MessageTooLarge)


def test_a_frame_that_has_begun_is_partial_until_it_is_complete():
    server = ServerProtocol(MAX_BODY)
    server.receive(HELLO[:5])
    assert server.decoder.partial
    server.receive(HELLO[5:])
    assert not server.decoder.partial


def said_by_server(chunks):
    server = ServerProtocol(MAX_BODY)
    verdicts = []
    for chunk in chunks:
        if server.error is None and server.decoder.error is None:
            verdicts += take(server, chunk)
    return (
        verdicts,
        server.state,
        server.last_id,
        str(server.error or server.decoder.error),
        type(server.error or server.decoder.error),
    )


# ── any bytes, any chunking ──────────────────────────────────────────────────────────────────────────────────────────

SEQUENCES = st.lists(
    st.one_of(st.sampled_from(list(EVERY.values())), st.binary(max_size=20)), max_size=8
)


@st.composite
def traffic(draw, start):
    raw = bytearray(start + b"".join(draw(SEQUENCES)))
    for _ in range(draw(st.integers(0, 2))):
        raw[draw(st.integers(0, len(raw) - 1))] = draw(st.integers(0, 255))
    return bytes(raw)


def pieces(raw, cuts):
    edges = [0, *sorted(cut % (len(raw) + 1) for cut in cuts), len(raw)]
    return [raw[start:stop] for start, stop in pairwise(edges)]


CUTS = st.lists(st.integers(0, 1000), max_size=8)


def check_chunking(said, raw, cuts):
    whole = said([raw])
    assert said(pieces(raw, cuts)) == whole
    assert said([raw[index : index + 1] for index in range(len(raw))]) == whole
    assert whole[-1] in {type(None), ProtocolError, MessageTooLarge}


@given(traffic(FROM_SERVER["hello-ack"]), CUTS)
def test_a_client_hears_the_same_whatever_the_chunking(raw, cuts):
    check_chunking(said_by_client, raw, cuts)


@given(traffic(HELLO), CUTS)
def test_a_server_hears_the_same_whatever_the_chunking(raw, cuts):
    check_chunking(said_by_server, raw, cuts)


@pytest.mark.slow
@settings(max_examples=3_000, deadline=None)
@given(traffic(FROM_SERVER["hello-ack"]), traffic(HELLO), CUTS)
def test_both_ends_hear_the_same_whatever_the_chunking_in_a_long_run(
    from_server, from_client, cuts
):
    check_chunking(said_by_client, from_server, cuts)
    check_chunking(said_by_server, from_client, cuts)


@given(st.lists(st.integers(-2, 6), max_size=20))
def test_the_ids_that_a_server_acts_on_always_grow(steps):
    server = server_in("open")
    id_, accepted = 0, []
    for step in steps:
        id_ = max(0, id_ + step)
        if take(server, frames.encode(frames.REQUEST, id_, FIELDS)) == [True]:
            accepted.append(id_)
    assert accepted == sorted(set(accepted))
    assert server.last_id == (accepted[-1] if accepted else 0)
