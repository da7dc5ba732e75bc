"""The vectors in ``tests/vectors``, replayed both ways.

They were put together byte by byte without bee's code, so that other implementations can be checked
with them too.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bee_core.contracts.size_rule import SizeRule
from bee_core.errors import CALL_ERRORS, ProtocolError
from bee_core.interfaces import Request, RequestHead
from bee_core.terms.failures import Failure
from bee_core.wire import fields, frames, messages, protocol, requests
from bee_core.wire.frames import FrameDecoder
from bee_plugins.compressors.gzip_compressor import GzipCompressor, GzipOptions
from support.wire_vectors import FOLDER, FORMS, load, meaning_of, unhex, vectors, written_out

SPECIFICATION = Path(__file__).parent.parent.parent / "docs" / "wire-protocol.md"
KINDS = {name: number for number, name in frames.KIND_NAMES.items()}


def decode(raw, max_body=1 << 20):
    decoder = FrameDecoder(max_body)
    found = decoder.feed(raw)
    return found, decoder.error


def client_side():
    """The client's end of a connection whose hello is out."""
    return protocol.ClientProtocol(b"", 1024)


def bytes_of(m):
    """The frame that says so, written by the functions that clients and servers use."""
    kind = m["kind"]
    if kind == "hello":
        return frames.encode(
            frames.HELLO,
            0,
            messages.Hello(
                m["service"], m["codec"], m["compressor"], m["token"], m["max_body"]
            ).encode(),
        )
    if kind == "hello-ack":
        ack = messages.HelloAck(
            m["service"], m["version"], bytes.fromhex(m["epoch"]), m["max_body"]
        )
        return protocol.ServerProtocol(1024).accept(ack)
    if kind == "request":
        block = requests.request_fields(m["method"], m["metadata"], m["baggage"])
        if m["time_left_ms"] is None:  # the client always sends the time left; others need not
            return frames.encode(
                KINDS[kind],
                m["id"],
                block,
                unhex(m["body"]),
                int(m["compressed"]),
                FORMS.index(m["form"]),
            )
        key = None if m["dedupe_key"] is None else unhex(m["dedupe_key"])
        request = Request(
            RequestHead("calc", m["method"]),
            FORMS.index(m["form"]),
            unhex(m["body"]),
            m["compressed"],
            m["time_left_ms"] / 1000,
            1,
            1,
            1,
            key,
        )
        client = client_side()
        client.last_id = m["id"] - 1
        head, body = client.request(request, block, 0.0)
        return head if body is None else head + body
    if kind == "response":
        return protocol.response(m["id"], unhex(m["body"]), compressed=m["compressed"])
    if kind == "error":
        after = None if m["retry_after_ms"] is None else m["retry_after_ms"] / 1000
        failure = Failure(
            m["code"],
            m["message"],
            m["executed"],
            "never",
            "none",
            retry_after=after,
            error_type=m["type"],
            path=m["path"],
            traceback=m["traceback"],
        )
        return frames.encode(frames.ERROR, m["id"], messages.error_fields(failure))
    if kind == "cancel":
        return client_side().cancel(m["id"])
    if kind == "ping":
        client = client_side()
        client.last_id = m["id"] - 1
        return client.ping()
    if kind == "pong":
        return protocol.pong(m["id"], m["status"])
    server = protocol.ServerProtocol(1024)
    server.last_id = m["last_id"]
    return server.leave(m["code"], m["message"])


@pytest.mark.parametrize("vector", vectors("valid") + vectors("tolerated"))
def test_the_bytes_have_this_meaning(vector):
    found, error = decode(unhex(vector["hex"]))
    assert error is None
    assert [meaning_of(frame) for frame in found] == [written_out(vector["meaning"])]


@pytest.mark.parametrize("vector", vectors("valid"))
def test_the_meaning_is_written_in_these_bytes(vector):
    assert bytes_of(vector["meaning"]) == unhex(vector["hex"])


@pytest.mark.parametrize("vector", vectors("valid") + vectors("tolerated"))
def test_what_is_cut_short_is_waited_for(vector):
    raw = unhex(vector["hex"])
    decoder = FrameDecoder(1 << 20)
    for size in {*range(min(len(raw), 100)), len(raw) // 2, len(raw) - 1}:
        assert decode(raw[:size]) == ([], None)
    assert decoder.feed(raw[:-1]) == []
    assert decoder.partial
    assert len(decoder.feed(raw[-1:])) == 1


@pytest.mark.parametrize("vector", vectors("invalid_streams"))
def test_the_stream_is_refused(vector):
    found, error = decode(unhex(vector["hex"]), vector["max_body"])
    assert found == []
    assert type(error) is CALL_ERRORS[vector["error"]]


@pytest.mark.parametrize("vector", vectors("invalid_streams"))
def test_the_stream_is_refused_with_the_same_words_when_it_comes_byte_by_byte(vector):
    decoder = FrameDecoder(vector["max_body"])
    raw = unhex(vector["hex"])
    for index in range(len(raw)):
        decoder.feed(raw[index : index + 1])
    assert str(decoder.error) == str(decode(raw, vector["max_body"])[1])


@pytest.mark.parametrize("vector", vectors("invalid_fields"))
def test_the_fields_are_refused(vector):
    frame = frames.Frame(KINDS[vector["kind"]], 1, unhex(vector["hex"]), b"")
    with pytest.raises(ProtocolError):
        meaning_of(frame)


@pytest.mark.parametrize("vector", vectors("bodies"))
def test_the_body_inflates_or_is_refused(vector):
    rule = SizeRule(GzipCompressor(GzipOptions()), max_size=1 << 20, max_inflated=vector["limit"])
    if "inflated" in vector:
        assert rule.unpack(unhex(vector["hex"])) == unhex(vector["inflated"])
    else:
        with pytest.raises(CALL_ERRORS[vector["error"]]):
            rule.unpack(unhex(vector["hex"]))


def test_every_kind_of_frame_has_a_vector():
    assert {vector.values[0]["meaning"]["kind"] for vector in vectors("valid")} == set(KINDS)


def test_every_error_code_has_a_vector():
    said = {vector.values[0]["meaning"].get("code") for vector in vectors("valid")}
    assert set(messages.ERROR_CODES) <= said


def test_every_error_code_has_a_vector_with_each_value_of_executed_that_it_can_have():
    said = {
        (step["code"], step["executed"])
        for talk in load("client_conversations")
        for turn in talk["steps"]
        for step in turn["settled"]
        if "code" in step
    }
    assert {
        (code, executed) for code in messages.ERROR_CODES for executed in ("no", "maybe", "yes")
    } <= said


def test_every_field_has_a_vector():
    seen = set()
    for file in FOLDER.glob("*.json"):
        for vector in load(file.stem):
            if "meaning" in vector:
                (frame,), _ = decode(unhex(vector["hex"]))
                seen |= set(fields.parse(frame.fields, frozenset(fields.NAMES)))
    assert seen >= set(fields.NAMES)


def first_call():
    return load("first_call")[0]


def test_the_first_call_goes_through_both_state_machines():
    said = {
        "client": bytes.fromhex("".join(first_call()["client"])),
        "server": bytes.fromhex("".join(first_call()["server"])),
    }
    hello = messages.Hello("calc", "json")
    client = protocol.ClientProtocol(frames.encode(frames.HELLO, 0, hello.encode()), 1024)
    request = Request(RequestHead("calc", "add"), 0, b"[1,2]", False, 0.5, 1, 1, 1)
    assert client.request(request, requests.request_fields("add"), 0.0) == (said["client"], None)

    server = protocol.ServerProtocol(1024)
    arrived = server.receive(said["client"])
    assert server.check(arrived[0])
    assert server.hello == hello
    ack = server.accept(
        messages.HelloAck("calc", "1.2.0", bytes.fromhex("0011223344556677"), 2097152)
    )
    assert server.check(arrived[1])
    assert ack + protocol.response(arrived[1].id, b"3", compressed=False) == said["server"]

    answers = client.receive(said["server"])
    assert [(frame.kind, frame.id, frame.body) for frame in answers] == [(frames.RESPONSE, 1, b"3")]
    assert client.ack is not None
    assert client.ack.version == "1.2.0"


def hex_under(heading):
    """What stands in the hex blocks of a section.

    In a line everything behind two blanks and a word of explanation is for people.
    """
    section = SPECIFICATION.read_text("utf-8").split(f"{heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [
        line
        for block in re.findall(r"```hex\n(.*?)```", section, re.DOTALL)
        for line in block.splitlines()
    ]
    return "".join(line.split("  ")[0].replace(" ", "") for line in lines)


@pytest.mark.parametrize(
    ("heading", "name"),
    [
        ("## A first call, byte by byte", "first_call"),
        ("## A timeout and a drain, byte by byte", "timeout_and_drain"),
    ],
)
def test_the_examples_in_the_specification_are_vectors(heading, name):
    (vector,) = load(name)
    assert hex_under(heading) == "".join(vector["client"] + vector["server"])


def test_the_second_example_goes_through_both_state_machines():
    (vector,) = load("timeout_and_drain")
    hello = frames.encode(frames.HELLO, 0, messages.Hello("calc", "json").encode())
    client = protocol.ClientProtocol(hello, 1024)
    server = protocol.ServerProtocol(1024)
    for frame in server.receive(
        hello + frames.encode(frames.REQUEST, 1, requests.request_fields("add"), b"[1,2]")
    ):
        assert server.check(frame)
        if frame.kind == frames.HELLO:
            client.receive(server.accept(messages.HelloAck("calc", "1.2.0", b"")))

    hold, cancel, add, ping = (server.receive(bytes.fromhex(raw))[0] for raw in vector["client"])
    assert server.check(hold)
    assert server.check(cancel)
    goaway = server.leave()
    assert not server.check(add)
    assert server.check(ping)
    said = [
        frames.encode(frames.ERROR, 2, bytes.fromhex("100002000512000101")),
        goaway,
        protocol.pong(4, "draining"),
    ]
    assert [raw.hex() for raw in said] == vector["server"]

    answers = client.receive(bytes.fromhex("".join(vector["server"])))
    assert [(frame.kind, frame.id) for frame in answers] == [(frames.ERROR, 2), (frames.PONG, 4)]
    assert client.goaway is not None
    assert client.goaway.last_id == 2


def rows(text, heading):
    """The rows of the first table under a heading, as lists of cells."""
    part = text.split(f"{heading}\n", 1)[1]
    lines = re.search(r"(?:^\|.*\n)+", part, re.MULTILINE)
    assert lines is not None
    return [
        [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")]
        for line in lines[0].splitlines()[2:]
    ]


def test_the_specification_lists_the_kinds_of_frames():
    assert {
        row[1]: int(row[0])
        for row in rows(SPECIFICATION.read_text("utf-8"), "### Kinds")
        if row[0].isdigit() and int(row[0]) < 10
    } == KINDS


def test_the_specification_lists_the_fields():
    listed = {
        int(row[0], 16): row[1] for row in rows(SPECIFICATION.read_text("utf-8"), "### Field types")
    }
    assert listed == {number: name.replace("_", "-") for number, name in fields.NAMES.items()}


def test_the_specification_lists_the_error_codes():
    assert {
        row[1]: int(row[0]) for row in rows(SPECIFICATION.read_text("utf-8"), "### Error codes")
    } == messages.ERROR_CODES
