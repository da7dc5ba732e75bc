"""Servers that remember, and repetitions: ``tests/vectors/deduplication.json``."""

import pytest

from bee_core.errors import ProtocolError
from bee_core.terms.request import Request, RequestHead, Sent
from bee_core.wire import fields, frames, messages, protocol, requests
from bee_core.wire.deduplication import Deduplication, Repetition, note_sent
from support.wire_vectors import FORMS, load

VECTORS = load("deduplication")
EPOCH, NUMBER, KEY = b"epoch", b"12345678", bytes(range(16))


def named(vectors):
    return [pytest.param(vector, id=vector["name"]) for vector in vectors]


def meaning_of(frame):
    if frame.kind == frames.HELLO_ACK:
        ack = messages.HelloAck.parse(frame.fields)
        said = ack.deduplication
        return {
            "service": ack.service,
            "workers": ack.workers,
            "deduplication": said
            and {"window_ms": round(said.window * 1000), "connection": said.connection.hex()},
        }
    said = requests.RequestParser(repetitions=True).parse(frame.fields)
    return {
        "method": said.method,
        "time_left_ms": round(said.time_left * 1000),
        "dedupe_key": said.dedupe_key.hex(),
        "repetition": {
            "age_ms": round(said.repetition.age * 1000),
            "connection": said.repetition.connection.hex(),
        },
        "form": FORMS[frame.form],
        "body": frame.body.hex(),
    }


def written(m):
    if m["kind"] == "hello-ack":
        told = m["deduplication"]
        said = told and Deduplication(told["window_ms"] / 1000, bytes.fromhex(told["connection"]))
        epoch = bytes.fromhex(m["epoch"])
        ack = messages.HelloAck(
            m["service"], m["version"], epoch, m["max_body"], m["workers"], said
        )
        return protocol.ServerProtocol(1024).accept(ack)
    machine = greeted(Deduplication(1e9, NUMBER))
    machine.last_id = m["id"] - 1
    request = a_request(m["method"], bytes.fromhex(m["body"]), deadline=m["time_left_ms"] / 1000)
    request.dedupe_key = bytes.fromhex(m["dedupe_key"])
    told = m["repetition"]
    request.sent = Sent(EPOCH, 1e9, bytes.fromhex(told["connection"]), -told["age_ms"] / 1000)
    request.sent.repeated = True
    return machine.request(request, requests.request_fields(m["method"]), 0.0)[0]


def a_request(method="add", body=b"[1,2]", *, deadline=10.0, **head):
    made = RequestHead("calc", method, **head)
    return Request(made, 0, body, False, deadline, 1.0, 1.0, 1.0)


def greeted(deduplication):
    """A client's end of a connection whose hello is out and answered."""
    machine = protocol.ClientProtocol(b"hello", 1024)
    machine.greet()
    ack = messages.HelloAck("calc", "1.0.0", EPOCH, deduplication=deduplication)
    machine.receive(frames.encode(frames.HELLO_ACK, 0, ack.encode()))
    return machine


@pytest.mark.parametrize("vector", named(vector for vector in VECTORS if "meaning" in vector))
def test_the_bytes_have_the_meaning(vector):
    (frame,) = frames.FrameDecoder(1024).feed(bytes.fromhex(vector["hex"]))
    found = meaning_of(frame)
    assert found == {key: vector["meaning"][key] for key in found}


@pytest.mark.parametrize("vector", named(vector for vector in VECTORS if vector.get("written")))
def test_the_meaning_is_written_in_these_bytes(vector):
    assert written(vector["meaning"]).hex() == vector["hex"]


@pytest.mark.parametrize("vector", named(vector for vector in VECTORS if "error" in vector))
def test_fields_that_are_not_well_formed_are_refused(vector):
    parse = {
        "hello-ack": messages.HelloAck.parse,
        "request": requests.RequestParser(repetitions=True).parse,
    }
    with pytest.raises(ProtocolError):
        parse[vector["kind"]](bytes.fromhex(vector["hex"]))


def test_a_server_that_remembers_nothing_refuses_a_repetition():
    block = fields.text(fields.METHOD, "add")
    block += fields.field(fields.REPETITION, Repetition(1.0, NUMBER).encode())
    with pytest.raises(ProtocolError, match="critical"):
        requests.RequestParser().parse(block)
    assert requests.RequestParser(repetitions=True).parse(block).repetition == (1.0, NUMBER)


def test_a_parser_does_not_remember_repetitions():
    parser = requests.RequestParser(repetitions=True)
    for age in range(3):
        block = fields.text(fields.METHOD, "add")
        block += fields.field(fields.REPETITION, Repetition(age, NUMBER).encode())
        assert parser.parse(block + requests.time_left_field(1)).repetition.age == age
    assert parser.remembered == 0


def test_an_age_is_rounded_up():
    assert Repetition.parse(Repetition(0.0001, NUMBER).encode()).age == 0.001
    assert Repetition.parse(Repetition(1e12, NUMBER).encode()).age == 0xFFFF_FFFF / 1000


class Keyed(Request):
    """A request of a call."""

    def new_key(self):
        return KEY


def keyed(**head):
    return Keyed(RequestHead("calc", "add", **head), 0, b"[]", False, 10.0, 1.0, 1.0, 1.0)


def test_a_request_to_a_server_that_remembers_gets_a_key_and_notes_where_it_goes():
    machine, request = greeted(Deduplication(60.0, NUMBER)), keyed()
    head, _ = machine.request(request, requests.request_fields("add"), 3.0)
    assert KEY in head
    sent = request.where_sent
    assert (sent.epoch, sent.window, sent.connection, sent.at) == (EPOCH, 60.0, NUMBER, 3.0)
    assert not sent.repeated


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (keyed(), None),
        (keyed(idempotent=True), Deduplication(60.0, NUMBER)),
        (keyed(oneway=True), Deduplication(60.0, NUMBER)),
        (a_request(), Deduplication(60.0, NUMBER)),
    ],
    ids=["it remembers nothing", "idempotent", "oneway", "of no call"],
)
def test_other_requests_get_no_key_and_note_nothing(request_, said):
    head, _ = greeted(said).request(request_, requests.request_fields("add"), 3.0)
    assert KEY not in head
    assert request_.where_sent is None
    assert request_.dedupe_key is None


def test_a_server_without_an_epoch_cannot_be_asked_again():
    request = keyed()
    assert note_sent(request, Deduplication(60.0, NUMBER), None, 3.0) == b""
    assert request.where_sent is None
