"""What frames say, both ways. Parsing is total: the object, or a ProtocolError."""

from __future__ import annotations

import math
from contextlib import suppress
from math import ceil

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bee_core.errors import CALL_ERRORS, ProtocolError
from bee_core.terms.causes import REPORTED
from bee_core.terms.failures import Failure
from bee_core.wire import fields, messages, requests
from bee_core.wire.messages import Goaway, Hello, HelloAck
from bee_core.wire.requests import RequestParser

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
LIMITS = st.none() | st.integers(0, 0xFFFF_FFFF)
PAIRS = st.dictionaries(
    ANY_TEXT.filter(lambda key: 0 < len(key.encode()) <= 255), ANY_TEXT, max_size=4
)
PARSERS = [
    Hello.parse,
    HelloAck.parse,
    Goaway.parse,
    messages.parse_error,
    messages.parse_pong,
    RequestParser().parse,
]


@st.composite
def blocks(draw):
    """Fields of known and unknown types, with values of likely sizes."""
    types = st.sampled_from(sorted(fields.NAMES)) | st.integers(0, 255)
    sizes = st.sampled_from([0, 1, 2, 4, 8])
    items = draw(st.lists(st.tuples(types, st.binary(max_size=12) | sizes.map(bytes)), max_size=6))
    block = b"".join(fields.field(kind, value) for kind, value in items)
    return block[: draw(st.integers(0, len(block)))] if draw(st.integers(0, 4)) == 0 else block


@pytest.mark.parametrize("parse", PARSERS)
@given(block=blocks() | st.binary(max_size=60))
def test_every_parser_is_total(parse, block):
    with suppress(ProtocolError):
        parse(block)


@given(
    st.builds(
        Hello, ANY_TEXT, ANY_TEXT, st.none() | ANY_TEXT.filter(bool), st.none() | ANY_TEXT, LIMITS
    )
)
def test_a_hello_is_read_as_it_was_written(hello):
    assert Hello.parse(hello.encode()) == hello


@given(st.builds(HelloAck, ANY_TEXT, ANY_TEXT, st.binary(max_size=20), LIMITS))
def test_a_hello_ack_is_read_as_it_was_written(ack):
    assert HelloAck.parse(ack.encode()) == ack


@given(
    st.builds(
        Goaway, st.integers(0, 0xFFFF_FFFF), st.sampled_from(sorted(messages.ERROR_CODES)), ANY_TEXT
    )
)
def test_a_goaway_is_read_as_it_was_written(goaway):
    assert Goaway.parse(goaway.encode()) == goaway


@given(ANY_TEXT, PAIRS, PAIRS, st.floats(0, 1e6), st.none() | st.binary(max_size=32))
def test_a_request_is_read_as_it_was_written(method, metadata, baggage, left, key):
    block = requests.request_fields(method, metadata, baggage) + requests.time_left_field(left)
    said = RequestParser().parse(
        block if key is None else block + fields.field(fields.DEDUPE_KEY, key)
    )
    assert (said.method, said.metadata, said.baggage, said.dedupe_key) == (
        method,
        metadata,
        baggage,
        key,
    )
    assert said.time_left == ceil(left * 1000) / 1000


FAILURES = st.builds(
    Failure,
    st.sampled_from(sorted(messages.ERROR_CODES)),
    ANY_TEXT,
    st.sampled_from(["no", "maybe", "yes"]),
    st.just("never"),
    st.just("none"),
    retry_after=st.none() | st.integers(0, 10**6).map(lambda milliseconds: milliseconds / 1000),
    error_type=ANY_TEXT,
    path=ANY_TEXT,
    traceback=st.none() | ANY_TEXT,
)


@given(FAILURES)
@example(Failure("overloaded", "", "no", "never", "none", retry_after=16.027))
def test_an_error_is_read_as_it_was_written_and_classed_anew(failure):
    said = messages.parse_error(messages.error_fields(failure))
    for name in ("kind", "message", "executed", "retry_after", "error_type", "path", "traceback"):
        assert getattr(said, name) == getattr(failure, name)
    # Retry and blame do not travel: they follow from the kind, at the client.
    row = REPORTED[failure.kind]
    # A bug is met again, so after one only what did not run is tried again.
    again = failure.kind != "plugin_fault" or failure.executed == "no"
    assert (said.retry, said.blame) == (row.retry if again else "never", row.blame)


def test_every_kind_that_a_server_reports_has_a_code_and_a_class():
    assert set(messages.ERROR_CODES) == set(REPORTED)
    assert set(messages.ERROR_CODES) <= set(CALL_ERRORS)
    assert len(set(messages.ERROR_CODES.values())) == len(messages.ERROR_CODES)


@given(FAILURES.map(lambda failure: failure.copy()), st.integers(0, 70_000))
def test_the_longest_error_fits_into_a_frame(failure, size):
    failure.message = failure.error_type = failure.path = failure.traceback = "é" * size
    block = messages.error_fields(failure)
    assert len(block) <= fields.MAX_FIELDS
    messages.parse_error(block)


def test_a_failure_that_servers_do_not_report_goes_as_a_remote_error():
    assert (
        messages.parse_error(
            messages.error_fields(Failure("circuit_open", "", "yes", "never", "none"))
        ).kind
        == "remote_error"
    )


@pytest.mark.parametrize(
    ("executed", "kind"),
    [("no", "unavailable"), ("maybe", "remote_error"), ("yes", "remote_error")],
)
def test_an_unknown_error_code_is_read_by_what_it_says_of_the_handler(executed, kind):
    number = ["no", "maybe", "yes"].index(executed)
    failure = messages.parse_error(
        fields.number(fields.ERROR_CODE, 999, 2) + fields.number(fields.EXECUTED, number, 1)
    )
    assert (failure.kind, failure.executed) == (kind, executed)


@pytest.mark.parametrize("kind", sorted(messages.ERROR_CODES))
def test_an_error_without_executed_has_the_default_of_its_code(kind):
    assert (
        messages.parse_error(
            fields.number(fields.ERROR_CODE, messages.ERROR_CODES[kind], 2)
        ).executed
        == REPORTED[kind].executed
    )


@pytest.mark.parametrize(
    ("seconds", "milliseconds"),
    [
        (0.5, 500),
        (0.0001, 1),
        (1.0001, 1001),
        (0, 0),
        (-3, 0),
        (5_000_000, 0xFFFF_FFFF),
        (math.inf, 0xFFFF_FFFF),
        (-math.inf, 0),
        (math.nan, 0),
    ],
)
def test_the_time_left_is_in_whole_milliseconds_rounded_up_and_bounded(seconds, milliseconds):
    assert requests.time_left_field(seconds) == fields.number(fields.TIME_LEFT, milliseconds)


def test_a_retry_after_without_end_is_sent_as_the_longest():
    failure = Failure("overloaded", "", "no", "same", "none", retry_after=math.inf)
    assert messages.parse_error(messages.error_fields(failure)).retry_after == 0xFFFF_FFFF / 1000


def test_metadata_that_leaves_no_room_for_the_call_is_refused():
    with pytest.raises(ValueError, match="method name and metadata have"):
        requests.request_fields("add", {"a": "x" * 40_000, "b": "x" * 30_000})


def test_fields_of_the_largest_request_fit_into_a_frame():
    block = requests.request_fields("m" * (fields.MAX_FIELDS - 128 - 3))
    assert (
        len(block + requests.time_left_field(1) + fields.field(fields.DEDUPE_KEY, bytes(16)))
        <= fields.MAX_FIELDS
    )


def test_a_token_does_not_show_in_the_text_of_a_hello():
    assert "s3cret" not in repr(Hello("calc", "json", token="s3cret"))


@pytest.mark.parametrize("status", ["serving", "draining"])
def test_a_pong_is_read_as_it_was_written(status):
    assert messages.parse_pong(messages.pong_fields(status)) == status


def test_a_status_of_a_newer_server_gets_no_new_calls():
    assert messages.parse_pong(fields.number(fields.STATUS, 7, 1)) == "draining"


# The memory of RequestParser.


def test_equal_fields_are_parsed_once():
    parser = RequestParser()
    block = requests.request_fields("add", {"tenant": "a"})
    assert parser.parse(block) is parser.parse(bytes(bytearray(block)))


def test_what_differs_from_call_to_call_is_not_remembered():
    parser = RequestParser()
    head = requests.request_fields("add", {"tenant": "a"}, {"trace": "t"})
    for number in range(100):
        key = number.to_bytes(16, "big")
        for last, expected in (
            (requests.time_left_field(number) + fields.field(fields.DEDUPE_KEY, key), key),
            (requests.time_left_field(number), None),
        ):
            said = parser.parse(head + last)
            assert (said.method, said.metadata, said.baggage) == (
                "add",
                {"tenant": "a"},
                {"trace": "t"},
            )
            assert (said.time_left, said.dedupe_key) == (number, expected)
    assert parser.remembered == 1


@pytest.mark.parametrize(
    "last",
    [
        requests.time_left_field(7),
        requests.time_left_field(7) + fields.field(fields.DEDUPE_KEY, bytes(16)),
    ],
)
def test_the_end_of_a_value_is_no_field(last):
    parser = RequestParser()
    parser.parse(requests.request_fields("add") + last)
    said = parser.parse(requests.request_fields("add", {"blob": b"a" + last}))
    assert said.metadata == {"blob": b"a" + last}
    assert (said.time_left, said.dedupe_key) == (None, None)


@pytest.mark.parametrize("twice", [fields.TIME_LEFT, fields.DEDUPE_KEY])
def test_a_field_is_twice_also_where_the_rest_is_known(twice):
    parser = RequestParser()
    time, key = requests.time_left_field(7), fields.field(fields.DEDUPE_KEY, bytes(16))
    head = requests.request_fields("add")
    parser.parse(head + time + key)
    extra = time if twice == fields.TIME_LEFT else key
    for _ in range(2):
        with pytest.raises(ProtocolError, match="is there twice"):
            parser.parse(head + extra + time + key)


def test_fields_may_come_in_another_order_and_with_another_key():
    parser = RequestParser()
    time = requests.time_left_field(7)
    for key in (b"k", bytes(16), bytes(300)):
        field = fields.field(fields.DEDUPE_KEY, key)
        for block in (
            field + time + requests.request_fields("add"),
            requests.request_fields("add") + field + time,
            requests.request_fields("add") + time + field,
        ):
            said = parser.parse(block)
            assert (said.method, said.time_left, said.dedupe_key) == ("add", 7, key)


def test_what_is_remembered_cannot_be_changed_by_a_handler():
    said = RequestParser().parse(requests.request_fields("add", {"tenant": "a"}, {"trace": "t"}))
    for items in (
        said.metadata,
        said.baggage,
        RequestParser().parse(requests.request_fields("add")).metadata,
    ):
        with pytest.raises(TypeError):
            items["tenant"] = "b"


def test_the_memory_is_bounded_in_number():
    parser = RequestParser()
    for number in range(3 * requests.CACHED_BLOCKS):
        parser.parse(requests.request_fields(f"method{number}"))
        assert parser.remembered <= requests.CACHED_BLOCKS


def test_long_fields_are_not_remembered():
    parser = RequestParser()
    block = requests.request_fields("add", {"tenant": "a" * requests.CACHED_BLOCK})
    assert parser.parse(block).metadata == {"tenant": "a" * requests.CACHED_BLOCK}
    assert parser.remembered == 0


def test_what_is_refused_is_not_remembered():
    parser = RequestParser()
    for _ in range(2):
        with pytest.raises(ProtocolError, match="a request must name a method"):
            parser.parse(requests.time_left_field(1))
    assert parser.remembered == 0


PARENT = "00-0af7651916cd43dd8448eb211c80319c-{:016x}-01"


def traced(head, parent):
    return requests.with_metadata(head, {"traceparent": parent})


def test_the_context_of_a_trace_is_not_remembered_and_what_stands_before_is():
    parser = RequestParser()
    head = requests.request_fields("add", {"tenant": "a"}, {"user": "u"})
    for number in range(100):
        parent = PARENT.format(number)
        said = parser.parse(traced(head, parent) + requests.time_left_field(number))
        assert (said.method, said.time_left) == ("add", number)
        assert said.metadata == {"tenant": "a", "traceparent": parent}
        assert said.baggage == {"user": "u"}
        with pytest.raises(TypeError):
            said.metadata["tenant"] = "b"
    assert parser.parse(head).metadata == {"tenant": "a"}
    assert parser.remembered == 1


@pytest.mark.parametrize(
    "metadata",
    [
        {"traceparent": "of another length"},
        {"traceparent": b"b" * requests.TRACEPARENT_SIZE},
        {"blob": "a" + traced(b"", PARENT.format(1)).decode()},
    ],
)
def test_what_only_looks_like_the_context_of_a_trace_is_read_as_it_is(metadata):
    head = requests.request_fields("add", metadata)
    assert RequestParser().parse(head).metadata == metadata
    assert RequestParser().parse(head + requests.time_left_field(1)).metadata == metadata


def test_of_two_contexts_the_last_one_counts_and_bytes_before_text():
    first = requests.request_fields("add", {"traceparent": PARENT.format(1)})
    twice = traced(first, PARENT.format(2))
    assert RequestParser().parse(twice).metadata == {"traceparent": PARENT.format(2)}
    raw = requests.request_fields("add", {"traceparent": b"raw"})
    assert RequestParser().parse(traced(raw, PARENT.format(2))).metadata == {"traceparent": b"raw"}


def test_a_context_that_is_not_text_is_refused():
    block = traced(requests.request_fields("add"), PARENT.format(1))
    with pytest.raises(ProtocolError, match="UTF-8"):
        RequestParser().parse(block[:-1] + b"\xff")


def test_many_contexts_behind_each_other_take_no_time():
    block = requests.request_fields("add") + 900 * traced(b"", PARENT.format(1))
    parser = RequestParser()
    assert parser.parse(block).metadata == {"traceparent": PARENT.format(1)}
    assert parser.remembered == 0
