"""The classes of failures: who ran, who is to blame, and where another try is of use."""

from __future__ import annotations

import socket

import pytest

from bee_core.errors import (
    CALL_ERRORS,
    InvalidArgument,
    MessageTooLarge,
    Overloaded,
    ProtocolError,
    RemoteError,
)
from bee_core.terms import causes
from bee_core.terms.causes import REPORTED, describe, reported
from bee_core.terms.failures import Failure, to_error
from bee_core.terms.node import Node

RESET = ConnectionResetError(104, "Connection reset by peer")
NODE = Node("a", "tcp://10.0.0.1:9000")

# One row a way to fail: what made it, its kind, executed, retry, blame, and whether a redial is
# free.
CLASSED = {
    "refused": (
        causes.refused(ConnectionRefusedError(111, "Connection refused")),
        "unavailable",
        "no",
        "same",
        "node",
        False,
    ),
    "no such host": (
        causes.refused(socket.gaierror(-2, "Name or service not known")),
        "unavailable",
        "no",
        "same",
        "node",
        False,
    ),
    "whole connect_timeout": (
        causes.connect_timed_out(5.0, full=True),
        "unavailable",
        "no",
        "same",
        "node",
        False,
    ),
    "deadline while connecting": (
        causes.connect_timed_out(5.0, full=False),
        "deadline_exceeded",
        "no",
        "never",
        "none",
        False,
    ),
    "fresh connection broke while sending": (
        causes.not_sent(RESET, reused=False),
        "unavailable",
        "no",
        "same",
        "node",
        False,
    ),
    "stale connection broke while sending": (
        causes.not_sent(RESET, reused=True),
        "unavailable",
        "no",
        "same",
        "none",
        True,
    ),
    "whole write_timeout": (
        causes.write_timed_out(1.0, full=True),
        "deadline_exceeded",
        "no",
        "same",
        "node",
        False,
    ),
    "deadline while writing": (
        causes.write_timed_out(1.0, full=False),
        "deadline_exceeded",
        "no",
        "never",
        "none",
        False,
    ),
    "lost after the request went out": (
        causes.lost(RESET),
        "unavailable",
        "maybe",
        "same",
        "node",
        False,
    ),
    "whole read_timeout": (
        causes.read_timed_out(10.0, full=True),
        "deadline_exceeded",
        "maybe",
        "same",
        "node",
        False,
    ),
    "deadline before the reply": (
        causes.read_timed_out(10.0, full=False),
        "deadline_exceeded",
        "maybe",
        "never",
        "none",
        False,
    ),
    "goaway of a drain": (
        causes.passed_over("draining"),
        "unavailable",
        "no",
        "other",
        "none",
        True,
    ),
    "goaway of a full server": (
        causes.passed_over("full", kind="overloaded"),
        "overloaded",
        "no",
        "same",
        "none",
        False,
    ),
    "goaway without the token": (
        causes.passed_over("token", kind="unauthenticated"),
        "unauthenticated",
        "no",
        "never",
        "caller",
        False,
    ),
    "goaway of a newer server": (
        causes.passed_over("?", kind="moved"),
        "unavailable",
        "no",
        "other",
        "none",
        False,
    ),
    "not the protocol": (
        causes.broken_peer(ProtocolError("bad magic")),
        "protocol_error",
        "maybe",
        "other",
        "node",
        False,
    ),
    "reply that cannot be decoded": (
        causes.undecodable(InvalidArgument("bad")),
        "invalid_argument",
        "yes",
        "never",
        "none",
        False,
    ),
    "given up before it was sent": (
        causes.cancelled("closed", sent=False),
        "cancelled",
        "no",
        "never",
        "none",
        False,
    ),
    "given up on the way": (
        causes.cancelled("closed", sent=True),
        "cancelled",
        "maybe",
        "never",
        "none",
        False,
    ),
    "decided here": (
        causes.local("message_too_large", "too large"),
        "message_too_large",
        "no",
        "never",
        "caller",
        False,
    ),
    "handler raised": (
        reported("remote_error", "boom"),
        "remote_error",
        "yes",
        "never",
        "none",
        False,
    ),
    "no such method": (
        reported("method_not_found", "none"),
        "method_not_found",
        "no",
        "never",
        "caller",
        False,
    ),
    "bad argument": (
        reported("invalid_argument", "bad"),
        "invalid_argument",
        "no",
        "never",
        "caller",
        False,
    ),
    "request too large": (
        reported("message_too_large", "big"),
        "message_too_large",
        "no",
        "never",
        "caller",
        False,
    ),
    "bad token": (
        reported("unauthenticated", "no"),
        "unauthenticated",
        "no",
        "never",
        "caller",
        False,
    ),
    "server is full": (reported("overloaded", "full"), "overloaded", "no", "same", "none", False),
    "server drains": (
        reported("unavailable", "draining"),
        "unavailable",
        "no",
        "other",
        "none",
        False,
    ),
    "too late at the server": (
        reported("deadline_exceeded", "late", executed="no"),
        "deadline_exceeded",
        "no",
        "never",
        "none",
        False,
    ),
    "given up at the server": (
        reported("deadline_exceeded", "late"),
        "deadline_exceeded",
        "maybe",
        "never",
        "none",
        False,
    ),
    "cancelled at the server": (
        reported("cancelled", "gone"),
        "cancelled",
        "maybe",
        "never",
        "none",
        False,
    ),
    "server cannot read us": (
        reported("protocol_error", "huh"),
        "protocol_error",
        "maybe",
        "other",
        "node",
        False,
    ),
    "a bug of the server's codec, nothing ran": (
        reported("plugin_fault", "bug", executed="no"),
        "plugin_fault",
        "no",
        "other",
        "none",
        False,
    ),
    "a bug of the server's codec after the handler": (
        reported("plugin_fault", "bug", executed="yes"),
        "plugin_fault",
        "yes",
        "never",
        "none",
        False,
    ),
    "a bug at the server, and no word on what ran": (
        reported("plugin_fault", "bug"),
        "plugin_fault",
        "maybe",
        "never",
        "none",
        False,
    ),
    "newer error, nothing ran": (
        reported("quota", "spent", executed="no"),
        "unavailable",
        "no",
        "other",
        "none",
        False,
    ),
    "newer error": (reported("quota", "spent"), "remote_error", "yes", "never", "none", False),
    "newer error that may have run": (
        reported("quota", "spent", executed="maybe"),
        "remote_error",
        "maybe",
        "never",
        "none",
        False,
    ),
}


@pytest.mark.parametrize("row", CLASSED.values(), ids=CLASSED)
def test_each_way_to_fail_has_its_class(row):
    failure, kind, executed, retry, blame, unsent = row
    assert (failure.kind, failure.executed, failure.retry, failure.blame, failure.unsent) == (
        kind,
        executed,
        retry,
        blame,
        unsent,
    )
    assert failure.ok is False


@pytest.mark.parametrize("row", CLASSED.values(), ids=CLASSED)
def test_what_has_run_is_never_tried_again_and_what_is_free_has_not_run(row):
    failure = row[0]
    assert failure.executed != "yes" or failure.retry == "never"
    assert not failure.unsent or (failure.executed == "no" and failure.blame == "none")
    assert failure.blame != "caller" or (failure.retry == "never" and failure.executed == "no")


def test_an_impatient_caller_blames_no_node():
    for impatient in (
        causes.connect_timed_out,
        causes.write_timed_out,
        causes.read_timed_out,
    ):
        assert impatient(1.0, full=False).blame == "none"
        assert impatient(1.0, full=True).blame == "node"


def test_load_and_shutdown_are_no_faults_of_the_node():
    assert (
        reported("overloaded", "full").blame == reported("unavailable", "draining").blame == "none"
    )


def test_what_a_server_can_report_is_what_a_caller_can_see():
    assert set(REPORTED) == set(CALL_ERRORS) - {"circuit_open"}


def test_an_unknown_error_keeps_its_name_in_the_message():
    assert reported("quota", "spent").message == "quota: spent"


@pytest.mark.parametrize(("kind", "cls"), CALL_ERRORS.items())
def test_the_callers_error_says_everything_that_is_known(kind, cls):
    failure = Failure(
        kind,
        "it failed",
        "maybe",
        "never",
        "none",
        retry_after=1.5,
        error_type="ValueError",
        path="$.a",
        traceback="tb",
    )
    error = to_error(failure, service="calc", method="add", node=NODE, attempts=2, executed="yes")
    assert type(error) is cls
    assert (
        error.message,
        error.service,
        error.method,
        error.node,
        error.attempts,
        error.executed,
    ) == ("it failed", "calc", "add", NODE, 2, "yes")
    if cls is RemoteError:
        assert (error.type, error.traceback) == ("ValueError", "tb")
    if cls is InvalidArgument:
        assert error.path == "$.a"
    if cls is Overloaded:
        assert error.retry_after == 1.5


def test_without_more_knowledge_the_error_says_what_the_failure_says():
    assert (
        to_error(causes.lost("gone"), service="calc", method="add", node=None, attempts=1).executed
        == "maybe"
    )


def test_a_result_that_is_no_good_keeps_the_path_and_the_kind():
    error = InvalidArgument("expected int")
    error.path = "$.total"
    failure = causes.undecodable(error)
    assert (failure.kind, failure.path, failure.message) == (
        "invalid_argument",
        "$.total",
        "expected int",
    )
    assert causes.undecodable(MessageTooLarge("too large")).path == ""


def test_a_copy_is_another_failure_with_the_same_fields():
    failure = Failure(
        "overloaded",
        "full",
        "no",
        "same",
        "none",
        retry_after=1.0,
        error_type="E",
        path="$",
        traceback="tb",
        unsent=True,
    )
    copied = failure.copy()
    assert copied is not failure
    assert {name: getattr(copied, name) for name in Failure.__slots__} == {
        name: getattr(failure, name) for name in Failure.__slots__
    }
    assert failure.copy(executed="maybe").executed == "maybe"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConnectionResetError(104, "Connection reset by peer"), "connection reset by peer"),
        (ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 1)"), "connection refused"),
        (OSError("no number"), "no number"),
        (EOFError(), "EOFError"),
        ("the server closed it", "the server closed it"),
    ],
)
def test_an_exception_is_described_in_the_systems_words(error, text):
    assert describe(error) == text


def test_the_repr_shows_what_decisions_are_made_from():
    assert (
        repr(causes.lost("gone"))
        == "Failure(unavailable: 'connection lost before the reply: gone', executed=maybe, retry=same, blame=node)"
    )


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (ConnectionRefusedError(111, "Connection refused"), True),
        (FileNotFoundError(2, "No such file or directory"), True),
        (RESET, False),
        (TimeoutError(), False),
        (OSError(113, "No route to host"), False),
        (socket.gaierror(-2, "Name or service not known"), False),
        (causes.HandshakeError("no"), False),
    ],
)
def test_that_nobody_listens_is_told_from_other_reasons(error, refused):
    assert causes.refused(error).refused is refused
    assert not causes.lost(error).refused
