"""Failures of errors that a handler means, whatever the exception and the codec do."""

from __future__ import annotations

import pytest

from bee_core.errors import InvalidArgument, ServiceError
from bee_core.methods.declared_errors import declared_error
from bee_core.server.meant_errors import MAX_DETAILS, NO_DETAILS, MeantErrors


class Codec:
    """Encodes by its first argument."""

    def __init__(self, encode):
        self.encode_result = encode


class Gone(Exception):
    sku: int


def gone(**fields):
    error = Gone("it has gone")
    vars(error).update(fields)
    return error


def meant(encode):
    codec = Codec(encode)
    return MeantErrors(codec, {Gone: (declared_error(Gone), codec)})


def raising(error):
    def encode(value):
        raise error

    return encode


def test_an_exception_that_nobody_meant_is_none():
    assert meant(repr).failure_of(KeyError("x"), "yes", None) is None
    assert NO_DETAILS.failure_of(gone(), "yes", None) is None


@pytest.mark.parametrize("error", [gone(sku=7), ServiceError("GONE", "it has gone", details=7)])
@pytest.mark.parametrize(
    ("encode", "says"),
    [
        (raising(InvalidArgument("$.sku: no")), "without its details: $.sku: no"),
        (raising(ZeroDivisionError("x")), "without its details: ZeroDivisionError: x"),
        (raising(SystemExit(1)), "without its details: SystemExit"),
        (lambda value: "text", "the codec made a str of them"),
        (lambda value: bytes(MAX_DETAILS + 1), "they have 65537 bytes, and at most 65536"),
    ],
)
def test_details_that_cannot_be_sent_are_left_out_and_said(error, encode, says):
    failure, _ = meant(encode).failure_of(error, "yes", None)
    assert (failure.kind, failure.executed, failure.details) == ("remote_error", "yes", b"")
    assert failure.message.startswith("it has gone (")
    assert says in failure.message
    assert failure.code.upper() == "GONE"
    assert (failure.retry, failure.blame) == ("never", "none")


@pytest.mark.parametrize(("size", "sent"), [(100, True), (101, False)])
def test_details_are_never_larger_than_what_the_caller_takes(size, sent):
    failure, problem = meant(lambda value: bytes(size)).failure_of(gone(sku=1), "yes", 100)
    assert bool(failure.details) is sent
    assert problem is None, "too much of it is no bug of the server"


def test_a_field_that_was_not_set_costs_the_details_alone():
    failure, problem = meant(repr).failure_of(gone(), "yes", None)
    assert failure.code == "Gone"
    assert "without its details" in failure.message
    assert isinstance(problem, AttributeError)


@pytest.mark.parametrize(
    "changed",
    [{"code": "a\nb"}, {"code": 7}, {"message": 8}, {"message": None}, {"retry_after": "soon"}],
)
def test_what_a_handler_has_made_of_its_error_afterwards_breaks_nothing(changed):
    error = ServiceError("GONE", "it has gone", details=1)
    vars(error).update(changed)
    failure, _ = meant(lambda value: b"1").failure_of(error, "yes", None)
    assert failure.kind == "remote_error"
    assert failure.code.isprintable()
    assert isinstance(failure.message, str)


def test_a_message_leaves_room_for_the_note():
    error = ServiceError("GONE", "x" * 10_000, details=1)
    failure, _ = meant(raising(ZeroDivisionError())).failure_of(error, "yes", None)
    assert len(failure.message) < 8 * 1024
    assert failure.message.endswith("(without its details: ZeroDivisionError)")


def test_without_a_codec_there_is_the_code_alone():
    failure, problem = NO_DETAILS.failure_of(
        ServiceError("GONE", "no", details=1, retry_after=2), "no", None
    )
    assert (failure.code, failure.details, failure.retry_after) == ("GONE", b"", 2.0)
    assert (failure.executed, problem) == ("no", None)
