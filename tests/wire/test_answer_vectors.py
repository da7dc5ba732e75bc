"""Metadata and load of answers, and bytes as metadata: ``tests/vectors/answers.json``."""

import pytest

from bee_core.errors import ProtocolError
from bee_core.terms.failures import Failure, Load
from bee_core.wire import frames, messages, protocol, requests
from support.wire_vectors import FORMS, load

VECTORS = load("answers")
PARSERS = {
    "response": messages.parse_answer,
    "error": messages.parse_error,
    "request": requests.RequestParser().parse,
}


def named(vectors):
    return [pytest.param(vector, id=vector["name"]) for vector in vectors]


def shown(metadata):
    """Metadata in the words of the vectors."""
    return {
        name: {"hex": value.hex()} if isinstance(value, bytes) else value
        for name, value in metadata.items()
    }


def plain(metadata):
    """The inverse."""
    return {
        name: bytes.fromhex(value["hex"]) if isinstance(value, dict) else value
        for name, value in metadata.items()
    }


def load_of(said):
    return None if said is None else {"in_flight": said.in_flight, "lag_ms": round(said.lag * 1000)}


def meaning_of(frame):
    kind = frames.KIND_NAMES[frame.kind]
    if kind == "response":
        metadata, busy = messages.parse_answer(frame.fields)
        return {"metadata": shown(metadata), "load": load_of(busy), "body": frame.body.hex()}
    if kind == "error":
        failure = messages.parse_error(frame.fields)
        return {
            "metadata": shown(failure.metadata),
            "load": load_of(failure.load),
            "code": failure.kind,
            "executed": failure.executed,
            "message": failure.message,
            "type": failure.error_type,
        }
    if kind == "hello":
        hello = messages.Hello.parse(frame.fields)
        return {"load_wanted": hello.load_wanted, "service": hello.service, "codec": hello.codec}
    if kind == "hello-ack":
        ack = messages.HelloAck.parse(frame.fields)
        return {"workers": ack.workers, "service": ack.service, "epoch": ack.epoch.hex()}
    said = requests.RequestParser().parse(frame.fields)
    return {"metadata": shown(said.metadata), "baggage": shown(said.baggage)}


def written(m):
    """The bytes that bee writes for a meaning."""
    busy = m.get("load")
    busy = None if busy is None else Load(busy["in_flight"], busy["lag_ms"] / 1000)
    if m["kind"] == "hello":
        hello = messages.Hello(m["service"], m["codec"], load_wanted=m["load_wanted"])
        return frames.encode(frames.HELLO, 0, hello.encode())
    if m["kind"] == "hello-ack":
        epoch = bytes.fromhex(m["epoch"])
        ack = messages.HelloAck(m["service"], m["version"], epoch, m["max_body"], m["workers"])
        return protocol.ServerProtocol(1024).accept(ack)
    if m["kind"] == "request":
        fields = requests.request_fields(m["method"], plain(m["metadata"]), plain(m["baggage"]))
        fields += requests.time_left_field(m["time_left_ms"] / 1000)
        body = bytes.fromhex(m["body"])
        return frames.encode(frames.REQUEST, m["id"], fields, body, 0, FORMS.index(m["form"]))
    beside = messages.answer_fields(plain(m["metadata"]), busy)
    if m["kind"] == "response":
        body = bytes.fromhex(m["body"])
        return protocol.response(m["id"], body, compressed=False, fields=beside)
    failure = Failure(m["code"], m["message"], m["executed"], "never", "none", error_type=m["type"])
    return frames.encode(frames.ERROR, m["id"], messages.error_fields(failure) + beside)


@pytest.mark.parametrize("vector", named(vector for vector in VECTORS if "meaning" in vector))
def test_the_bytes_have_the_meaning(vector):
    decoder = frames.FrameDecoder(1024)
    (frame,) = decoder.feed(bytes.fromhex(vector["hex"]))
    found = meaning_of(frame)
    assert found == {key: vector["meaning"][key] for key in found}


@pytest.mark.parametrize("vector", named(vector for vector in VECTORS if vector.get("written")))
def test_the_meaning_is_written_in_these_bytes(vector):
    assert written(vector["meaning"]).hex() == vector["hex"]


@pytest.mark.parametrize("vector", named(vector for vector in VECTORS if "error" in vector))
def test_fields_that_are_not_well_formed_are_refused(vector):
    with pytest.raises(ProtocolError):
        PARSERS[vector["kind"]](bytes.fromhex(vector["hex"]))


def test_a_load_beyond_its_numbers_is_the_largest():
    fields = messages.answer_fields({}, Load(1_000_000, 1e9))
    assert messages.parse_answer(fields) == ({}, Load(65535, 65.535))
