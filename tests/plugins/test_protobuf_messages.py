from __future__ import annotations

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from bee_plugins.codecs.bee.v1.value_pb2 import Result, Value
from bee_plugins.codecs.invalid_argument import Misfit
from bee_plugins.codecs.protobuf_messages import MessageType
from support.proto_files import Line, Odd, Order, Parcel, Receipt

ORDERS, PARCELS = MessageType(Order), MessageType(Parcel)
ORDER = Order(id=7, note="soon", lines=[Line(name="tea", kind=1)])


def fault(type_, body):
    with pytest.raises(Misfit) as caught:
        type_.read(body)
    return caught.value


def test_a_message_is_the_bytes_that_protobuf_makes():
    assert ORDERS.write(ORDER) == ORDER.SerializeToString()
    assert ORDERS.read(ORDER.SerializeToString()) == ORDER


def test_an_empty_message_has_no_bytes():
    assert ORDERS.write(Order()) == b""
    assert ORDERS.read(b"") == Order()


@pytest.mark.parametrize("value", [None, {}, "text", Receipt(), Order])
def test_only_an_instance_of_the_class_is_written(value):
    with pytest.raises(Misfit, match="expected Order, got"):
        ORDERS.write(value)


@pytest.mark.parametrize(
    "body", [b"\x08", b"\xff" * 20, b"\x12\x02\xff\xfe", b"\x12\x7f", b"\x00\x00", b"[1,2]"]
)
def test_bytes_that_are_no_message_are_a_fault(body):
    assert fault(ORDERS, body).message.startswith("not the bytes of a tests.new.Order")


def test_a_field_of_another_shape_shows_the_bytes_of_another_message():
    found = fault(ORDERS, Receipt(total=1.5).SerializeToString())
    assert (found.path, found.message) == (
        ".id",
        "not as a tests.new.Order has it on the wire: these are the bytes of another message",
    )
    assert fault(ORDERS, Receipt(note=3).SerializeToString()).path == ".note"
    assert fault(MessageType(Receipt), ORDER.SerializeToString()).path == ".total"


def test_fields_of_a_newer_version_are_kept():
    newer = ORDER.SerializeToString() + b"\xa2\x06\x03new"
    assert ORDERS.write(ORDERS.read(newer)) == newer


def test_a_plain_result_is_told_from_a_message():
    body = Result(value=Value(integer=3)).SerializeToString()
    assert "a plain value (bee.v1.Result)" in fault(ORDERS, body).message
    assert "another message" in fault(MessageType(Odd), body).message
    assert MessageType(Odd).read(Odd(value=5).SerializeToString()) == Odd(value=5)


def test_numbers_that_an_open_enum_does_not_know_are_kept_as_protobuf_does():
    assert ORDERS.read(Order(lines=[Line(kind=9)]).SerializeToString()).lines[0].kind == 9


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"\x08\x01\x10\x09", ".kind"),
        (b"\x08\x01\x18\x00\x18\x09", ".kinds"),
        (b"\x08\x01\x22\x04\x08\x02\x10\x09", ".parts[0].kind"),
        (b"\x08\x01\x22\x02\x08\x02\x22\x04\x08\x02\x10\x09", ".parts[1].kind"),
        (b"\x08\x01\x2a\x09\x0a\x01x\x12\x04\x08\x02\x10\x09", ".named['x'].kind"),
        (b"\x08\x01\x32\x04\x08\x02\x10\x09", ".part.kind"),
    ],
)
def test_a_number_that_a_closed_enum_does_not_know_is_a_fault_wherever_it_is(body, path):
    found = fault(PARCELS, body)
    assert (found.path, found.message) == (path, "9 is not in the enum tests.old.Kind")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"\x08\x01\x3a\x01\xff", ".note"),
        (b"\x08\x01\x42\x01a\x42\x01\xff", ".tags[1]"),
        (b"\x08\x01\x2a\x07\x0a\x01\xff\x12\x02\x08\x02", ".named"),
        (b"\x08\x01\x22\x05\x08\x02\x3a\x01\xff", ".parts[0].note"),
        (b"\x08\x01\x4a\x06\x0a\x01x\x12\x01\xff", ".texts['x']"),
        (b"\x08\x01\x4a\x06\x0a\x01\xff\x12\x01x", ".texts"),
    ],
)
def test_text_that_is_not_utf8_is_a_fault_where_protobuf_lets_it_pass_too(body, path):
    found = fault(PARCELS, body)
    assert (found.path, found.message) == (path, "text that is not UTF-8")


def test_a_missing_required_field_is_named_with_its_path():
    found = fault(PARCELS, b"\x08\x01\x22\x00")
    assert (found.path, found.message) == (
        ".parts[0].id",
        "required in a tests.old.Parcel, and missing",
    )
    with pytest.raises(Misfit, match=r"required in a tests\.old\.Parcel, and missing"):
        PARCELS.write(Parcel(kind=1))


def test_a_complete_message_of_proto2_passes():
    parcel = Parcel(
        id=1,
        kind=1,
        kinds=[0, 1],
        tags=["a"],
        note="x",
        texts={"a": "b"},
        parts=[Parcel(id=2)],
        named={"x": Parcel(id=3, kind=0)},
        part=Parcel(id=4),
    )
    assert PARCELS.read(PARCELS.write(parcel)) == parcel


def nested(depth):
    body = b""
    for _ in range(depth):
        body = b"\x1a" + varint(len(body)) + body
    return body


def varint(number):
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def test_messages_nested_without_bound_are_refused_by_who_reads_them():
    lines = MessageType(Line)
    assert lines.read(nested(90)).inner.inner.HasField("inner")
    assert "nested more than 100 deep" in fault(lines, nested(5000)).message


def test_messages_of_protobuf_itself_are_messages_like_others():
    assert MessageType(Timestamp).read(Timestamp(seconds=5).SerializeToString()) == Timestamp(
        seconds=5
    )
