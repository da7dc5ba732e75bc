"""Errors that the application means: ``tests/vectors/errors.json``."""

from __future__ import annotations

import pytest

from bee_core.errors import ProtocolError
from bee_core.terms.failures import Failure
from bee_core.wire import frames, messages
from support.wire_vectors import load, meaning_of

VECTORS = load("errors")


def named(vectors):
    return [pytest.param(vector, id=vector["name"]) for vector in vectors]


@pytest.mark.parametrize("vector", named(vector for vector in VECTORS if "meaning" in vector))
def test_the_bytes_have_the_meaning(vector):
    decoder = frames.FrameDecoder(1024)
    (frame,) = decoder.feed(bytes.fromhex(vector["hex"]))
    failure = messages.parse_error(frame.fields, frame.body)
    meant = {"application_code": failure.code, "details": failure.details.hex()}
    assert meaning_of(frame) | meant == vector["meaning"]


@pytest.mark.parametrize("vector", named(vector for vector in VECTORS if vector.get("written")))
def test_the_meaning_is_written_in_these_bytes(vector):
    m = vector["meaning"]
    after = m["retry_after_ms"]
    failure = Failure(
        m["code"],
        m["message"],
        m["executed"],
        "never",
        "none",
        retry_after=None if after is None else after / 1000,
        error_type=m["type"],
        traceback=m["traceback"],
        code=m["application_code"],
        details=bytes.fromhex(m["details"]),
    )
    fields = messages.error_fields(failure)
    frame = frames.encode(frames.ERROR, m["id"], fields, failure.details)
    assert frame.hex() == vector["hex"]


@pytest.mark.parametrize("vector", named(vector for vector in VECTORS if "error" in vector))
def test_fields_that_are_not_well_formed_are_refused(vector):
    with pytest.raises(ProtocolError):
        messages.parse_error(bytes.fromhex(vector["hex"]))


def test_a_code_of_a_stranger_is_made_printable_and_short():
    failure = Failure("remote_error", "", "yes", "never", "none", code="\x1b[2J" + "x" * 300)
    said = messages.parse_error(messages.error_fields(failure)).code
    assert said.startswith("\\x1b[2J")
    assert said.isprintable()
    assert len(said) < 80
