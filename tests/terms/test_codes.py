"""Codes of errors, and what each is to HTTP and gRPC."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bee_core.errors import CALL_ERRORS, CallError, InvalidArgument, MessageTooLarge, RemoteError
from bee_core.interfaces import Failure, Status, status_of
from bee_core.terms.codes import GRPC, KINDS, RAN, is_code

PAGE = Path(__file__).parent.parent.parent / "docs" / "reference" / "python.md"


def remote(code, executed="yes"):
    error = RemoteError("no", executed=executed)
    error.code = code
    return error


def test_grpc_has_sixteen_codes_of_errors_from_1_to_16():
    assert [status.number for status in GRPC.values()] == list(range(1, 17))
    assert all(status.name == name for name, status in GRPC.items())


def test_every_error_of_bee_has_a_status():
    assert set(KINDS) == {*CALL_ERRORS, CallError.kind}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (remote("NOT_FOUND"), Status("NOT_FOUND", 5, 404)),
        (remote("PERMISSION_DENIED", "no"), Status("PERMISSION_DENIED", 7, 403)),
        (remote("OUT_OF_STOCK"), Status("FAILED_PRECONDITION", 9, 400)),
        (remote(""), Status("UNKNOWN", 2, 500)),
        (InvalidArgument("bad"), Status("INVALID_ARGUMENT", 3, 400)),
        (InvalidArgument("bad", executed="yes"), Status("INTERNAL", 13, 500)),
        (MessageTooLarge("big"), Status("RESOURCE_EXHAUSTED", 8, 413)),
        (MessageTooLarge("big", executed="yes"), Status("RESOURCE_EXHAUSTED", 8, 500)),
        (
            Failure("remote_error", "no", "yes", "never", "none", code="ABORTED"),
            Status("ABORTED", 10, 409),
        ),
    ],
)
def test_an_error_has_the_status_of_its_code_or_of_its_kind(error, status):
    assert status_of(error) == status


def test_an_error_of_a_kind_that_is_not_known_is_unknown():
    class Own(CallError):
        kind = "own"

    assert status_of(Own("no")).name == "UNKNOWN"


@pytest.mark.parametrize("code", ["A", "OUT_OF_STOCK", "心", "x" * 64, "two words"])
def test_a_code_is_some_printable_text(code):
    assert is_code(code)


@pytest.mark.parametrize("code", ["", "  ", "x" * 65, "a\n", "\x1b", "OK", None, 7, b"A"])
def test_what_is_no_code(code):
    assert not is_code(code)


def test_the_page_has_the_table():
    rows = re.findall(
        r"^\| `(\w+)`(?:, executed `yes`)? \| `(\w+)` \((\d+)\) \| (\d+) \|$",
        PAGE.read_text("utf-8"),
        re.MULTILINE,
    )
    shown = [(name, (code, int(number), int(http))) for name, code, number, http in rows]
    own = {kind: status for kind, status in KINDS.items() if kind != "call_error"}
    assert sorted(shown) == sorted(
        (name, tuple(status)) for table in (GRPC, own, RAN) for name, status in table.items()
    )
