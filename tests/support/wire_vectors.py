"""Reads ``tests/vectors``; its README describes the format."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bee_core.wire import frames, messages, requests

FOLDER = Path(__file__).parent.parent / "vectors"
FORMS = ["positional", "named", "mixed", "message"]


def load(name):
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))


def vectors(name):
    """For ``parametrize``: each vector under its name."""
    return [pytest.param(vector, id=vector["name"]) for vector in load(name)]


def unhex(text):
    """The bytes that a vector's hex stands for: ``[61*1000]`` is a byte a thousand times."""
    return bytes.fromhex(re.sub(r"\[(..)\*(\d+)\]", lambda run: run[1] * int(run[2]), text))


def meaning_of(frame):
    """What a frame says, in the words of the vectors."""
    kind = frames.KIND_NAMES[frame.kind]
    meaning = {"kind": kind, "id": frame.id}
    if kind in {"request", "response"}:
        meaning |= {"compressed": bool(frame.flags & frames.COMPRESSED), "body": frame.body.hex()}
    if kind == "hello":
        hello = messages.Hello.parse(frame.fields)
        meaning |= {
            "service": hello.service,
            "codec": hello.codec,
            "compressor": hello.compressor,
            "token": hello.token,
            "max_body": hello.max_body,
        }
    elif kind == "hello-ack":
        ack = messages.HelloAck.parse(frame.fields)
        meaning |= {
            "service": ack.service,
            "version": ack.version,
            "epoch": ack.epoch.hex(),
            "max_body": ack.max_body,
        }
    elif kind == "request":
        said = requests.RequestParser().parse(frame.fields)
        meaning |= {
            "form": FORMS[frame.form],
            "method": said.method,
            "time_left_ms": None if said.time_left is None else round(said.time_left * 1000),
            "metadata": dict(said.metadata),
            "baggage": dict(said.baggage),
            "dedupe_key": None if said.dedupe_key is None else said.dedupe_key.hex(),
        }
    elif kind == "error":
        failure = messages.parse_error(frame.fields)
        meaning |= {
            "code": failure.kind,
            "executed": failure.executed,
            "message": failure.message,
            "retry_after_ms": None
            if failure.retry_after is None
            else round(failure.retry_after * 1000),
            "type": failure.error_type,
            "path": failure.path,
            "traceback": failure.traceback,
        }
    elif kind == "pong":
        meaning["status"] = messages.parse_pong(frame.fields)
    elif kind == "goaway":
        goaway = messages.Goaway.parse(frame.fields)
        meaning |= {"last_id": goaway.last_id, "code": goaway.kind, "message": goaway.message}
    return meaning


def written_out(meaning):
    """A vector's meaning with its runs of hex written out, to be compared with ``meaning_of``."""
    return {
        key: unhex(value).hex()
        if key in {"body", "dedupe_key", "epoch"} and value is not None
        else value
        for key, value in meaning.items()
    }


def is_said(expected, frame):
    """Whether a frame says at least what a conversation expects.

    A goaway's message, say, is left to its sender.
    """
    meaning = meaning_of(frame)
    return all(meaning.get(key) == value for key, value in written_out(expected).items())


def assert_said(expected, found):
    """The frames of one step: a hello-ack first, a goaway last, the others in any order."""
    assert len(found) == len(expected), (expected, found)
    for place, kind in ((0, frames.HELLO_ACK), (-1, frames.GOAWAY)):
        if any(frame.kind == kind for frame in found):
            assert found[place].kind == kind, found
    left = list(found)
    for wanted in expected:
        match = next((frame for frame in left if is_said(wanted, frame)), None)
        assert match is not None, (wanted, [meaning_of(frame) for frame in left])
        left.remove(match)
