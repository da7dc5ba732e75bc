from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import importlib.resources
import math
import uuid
from typing import NamedTuple

import msgspec
import pytest
from google.protobuf import descriptor_pb2
from hypothesis import example, given
from hypothesis import strategies as st

from bee_plugins.codecs.bee.v1 import value_pb2
from bee_plugins.codecs.bee.v1.value_pb2 import Value
from bee_plugins.codecs.invalid_argument import Misfit
from bee_plugins.codecs.protobuf_values import DEEPEST, plain, read, write
from support.codec_cases import Count, Metres, Name
from support.proto_files import Order, Parcel, Receipt
from support.typed_codecs import named


class Level(enum.IntEnum):
    LOW = 1


class Point(NamedTuple):
    x: int
    y: int


@dataclasses.dataclass
class Line:
    name: str
    qty: int


@dataclasses.dataclass
class Holder:
    order: object


class NotData: ...


def written(value):
    message = Value()
    write(message, value)
    return message


def carried(value):
    return read(Value.FromString(written(value).SerializeToString()))


def same(one, other):
    """Equal, of one class throughout, in one order, and a NaN is a NaN."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return one.hex() == other.hex() or (math.isnan(one) and math.isnan(other))
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one), list(other)) and same(list(one.values()), list(other.values()))
    return one == other


def nested_list(depth):
    value = "x"
    for _ in range(depth):
        value = [value]
    return value


def nested_dict(depth, key="k"):
    value = None
    for _ in range(depth):
        value = {key: value}
    return value


# ── what comes back as it was ──


@pytest.mark.parametrize(
    "value",
    [
        *(
            None,
            True,
            False,
            0,
            -1,
            2**63 - 1,
            -(2**63),
            2**63,
            2**64 - 1,
            0.0,
            -0.0,
            1.0,
            5e-324,
            math.nan,
            math.inf,
            -math.inf,
        ),
        *("", "h\u00e9llo \U0001f41d\x00", b"", b"\x00\xff", [], {}, [[]], [{}], {"": {}}),
        *(
            [1, 2, 3],
            [1.0, math.nan],
            ["a", ""],
            [True, False],
            [None, None],
            [1, 1.0, True, "1", b"1", None],
        ),
        *([2**63, 1], [2**64 - 1], [-(2**63), 2**63 - 1]),
        {"z": 1, "a": 2, "m": [1]},
        {1: "a", "1": "b"},
        {None: 1, False: 2, 2: 3, 2.5: 4, b"x": 5, "x": 6, 2**64 - 1: 7},
        {"a": [{"b": [1, 2.5, {"c": b"x"}]}]},
    ],
    ids=repr,
)
def test_plain_values_come_back_as_they_were(value):
    assert same(carried(value), value)


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text()
    | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.none() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.binary(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(PLAIN)
def test_every_plain_value_makes_the_round_trip(value):
    assert same(carried(value), value)


def test_messages_stay_messages():
    value = {"orders": [Order(id=1), Order(id=2)], "receipt": Receipt(total=1.5)}
    assert carried(value) == value
    assert type(carried(value)["receipt"]) is Receipt


# ── what has no kind of its own ──


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        ((1, "x"), [1, "x"]),
        (Point(1, 2), [1, 2]),
        ({3}, [3]),
        (frozenset(["x"]), ["x"]),
        (collections.OrderedDict(b=1, a=(2,)), {"b": 1, "a": [2]}),
        (Line("tea", 1), {"name": "tea", "qty": 1}),
        ([Line("tea", 1), Order(id=1)], [{"name": "tea", "qty": 1}, Order(id=1)]),
        (bytearray(b"x"), b"x"),
        (memoryview(b"x"), b"x"),
        (Level.LOW, 1),
        (dt.date(2024, 2, 29), "2024-02-29"),
        (decimal.Decimal("1.10"), "1.10"),
        (uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        ({dt.date(2024, 1, 1): 1}, {"2024-01-01": 1}),
        ({Level.LOW: 1}, {1: 1}),
    ],
    ids=named,
)
def test_other_values_arrive_as_the_plain_value_they_are_at_heart(value, arrives):
    assert same(carried(value), arrives)
    assert same(carried(plain(value)), arrives)


def test_subclasses_go_as_what_they_are_at_heart():
    class Blob(bytes):
        __slots__ = ()

    value = [Name("bee"), Metres(1.5), Count(7), Blob(b"x")]
    assert same(carried(value), ["bee", 1.5, 7, b"x"])
    assert same(carried(plain(value)), ["bee", 1.5, 7, b"x"])
    assert same(carried({Name("k"): 1, Count(7): 2}), {"k": 1, 7: 2})


@pytest.mark.parametrize(
    "value",
    [2**64, -(2**63) - 1, [1, 2**64], {2**64: 1}, [10**5000]],
    ids=["above", "below", "list", "key", "huge"],
)
def test_an_integer_over_64_bits_is_refused(value):
    with pytest.raises(ValueError, match="an integer that does not fit into 64 bits"):
        written(value)


@pytest.mark.parametrize("value", ["\ud800", ["a", "\udfff"], {"\ud800": 1}])
def test_a_lone_surrogate_is_refused(value):
    with pytest.raises(UnicodeError):
        written(value)


@pytest.mark.parametrize("value", [NotData(), NotData, [NotData()], complex(1, 2), print])
def test_what_is_no_data_is_refused(value):
    with pytest.raises(TypeError, match=r"a value of type .* cannot be encoded"):
        written(value)


@pytest.mark.parametrize("key", [(1, 2), Point(1, 2), frozenset([1])])
def test_a_container_is_no_key(key):
    with pytest.raises(
        TypeError, match="a key is text, a number, bytes, None, an enum, a date or a UUID"
    ):
        written({key: 1})


def test_a_record_that_holds_a_message_is_refused():
    with pytest.raises(Exception, match="a record cannot hold a message"):
        written(Holder(Order()))


def test_a_message_that_is_not_complete_is_refused():
    with pytest.raises(ValueError, match=r"^\.id: required in a tests\.old\.Parcel, and missing$"):
        written([Parcel()])


# ── depth ──


@pytest.mark.parametrize("make", [nested_list, nested_dict, lambda depth: nested_dict(depth, 1)])
def test_what_is_as_deep_as_allowed_can_be_read_and_one_more_is_not_written(make):
    envelope = value_pb2.Arguments(named=[value_pb2.Entry(key="a", value=written(make(DEEPEST)))])
    (entry,) = value_pb2.Arguments.FromString(envelope.SerializeToString()).named
    assert read(entry.value) == make(DEEPEST)
    with pytest.raises(RecursionError):
        written(make(DEEPEST + 1))


def test_a_value_that_holds_itself_is_refused():
    value: dict = {}
    value["again"] = [value]
    with pytest.raises(RecursionError):
        written(value)


# ── what lies on the wire ──


@pytest.mark.parametrize(
    ("value", "body"),
    [
        (None, "0800"),
        (True, "1001"),
        (-1, "1801"),
        (2**63, "2080808080808080808001"),
        (1.5, "29000000000000f83f"),
        ("hi", "32026869"),
        (b"\x00", "3a0100"),
        ([], "4200"),
        ([1, "a"], "42090a0218020a03320161"),
        ({"a": 1}, "4a090a070a016112021802"),
        ({1: "a"}, "520b0a090a021802120332 0161"),
        ([1, -1, 300], "5a060a040201d804"),
        ([1.5], "620a0a08000000000000f83f"),
        (["a", ""], "6a050a01610a00"),
    ],
    ids=repr,
)
def test_the_bytes_of_values(value, body):
    assert written(value).SerializeToString() == bytes.fromhex(body)
    assert same(read(Value.FromString(bytes.fromhex(body))), value)


def test_lists_of_one_kind_may_also_come_as_plain_lists():
    for items in ([1, 2], [1.5], ["a"]):
        message = Value()
        for item in items:
            write(message.list.items.add(), item)
        assert same(read(message), items)


def test_a_map_may_be_declared_as_a_map_of_protobuf():
    entry, pair = value_pb2.Entry.DESCRIPTOR, value_pb2.Pair.DESCRIPTOR
    assert (
        [(field.name, field.number) for field in entry.fields]
        == [(field.name, field.number) for field in pair.fields]
        == [("key", 1), ("value", 2)]
    )


def test_of_a_key_that_is_there_twice_the_last_one_counts():
    message = Value(
        map={
            "entries": [
                {"key": "a", "value": {"integer": 1}},
                {"key": "a", "value": {"integer": 2}},
            ]
        }
    )
    assert read(message) == {"a": 2}


def fault(message):
    with pytest.raises(Misfit) as caught:
        read(message)
    return caught.value.path, caught.value.message


def test_a_value_without_a_kind_is_a_fault_with_its_path():
    no_kind = "a value without a kind, or of one that only a newer version knows"
    assert fault(Value()) == ("", no_kind)
    assert fault(Value.FromString(b"\xfa\x01\x00")) == ("", no_kind)
    inner = {
        "list": {"items": [{"integer": 1}, {"map": {"entries": [{"key": "a b", "value": {}}]}}]}
    }
    assert fault(Value(map={"entries": [{"key": "x", "value": inner}]})) == (
        ".x[1]['a b']",
        no_kind,
    )
    assert fault(Value(pairs={"pairs": [{"key": {"integer": 3}, "value": {}}]})) == ("[3]", no_kind)


def test_a_null_with_another_number_is_a_fault():
    assert fault(Value.FromString(b"\x08\x05")) == ("", "5 is not in the enum bee.v1.Null")


@pytest.mark.parametrize("key", [{"list": {}}, {"map": {}}, {"integers": {"items": [1]}}, {}])
def test_a_key_that_cannot_be_one_is_a_fault(key):
    path, message = fault(Value(pairs={"pairs": [{"key": key, "value": {"null": 0}}]}))
    assert path == ""
    assert message.startswith("the key of pair 0: ")


def test_a_message_of_an_unknown_class_is_a_fault_that_says_what_to_do():
    message = Value()
    message.message.type_url = "type.googleapis.com/shop.Basket"
    assert fault(message) == (
        "",
        (
            "a message 'shop.Basket', which this program does not know; import the module that"
            " protoc made of it"
        ),
    )


def test_a_message_with_bytes_of_another_is_a_fault():
    message = Value()
    message.message.Pack(Receipt(total=1.5))
    message.message.type_url = "type.googleapis.com/tests.new.Order"
    assert "these are the bytes of another message" in fault(Value(list={"items": [message]}))[1]


@given(st.binary(max_size=80))
@example(b"\x42\x00" * 1000)
def test_whatever_the_bytes_reading_gives_a_value_or_a_fault(body):
    try:
        message = Value.FromString(body)
    except Exception:
        return
    try:
        value = read(message)
    except Misfit:
        return
    written(value)


# ── the published file ──


def test_the_generated_module_agrees_with_the_proto(tmp_path):
    protoc = pytest.importorskip("grpc_tools.protoc")
    root = importlib.resources.files("bee_plugins.codecs")
    google = importlib.resources.files("grpc_tools") / "_proto"
    made = tmp_path / "made"
    assert (
        protoc.main(
            [
                "protoc",
                f"-I{root}",
                f"-I{google}",
                f"--descriptor_set_out={made}",
                str(root / "bee/v1/value.proto"),
            ]
        )
        == 0
    )
    (described,) = descriptor_pb2.FileDescriptorSet.FromString(made.read_bytes()).file
    for message in described.message_type:
        for field in message.field:
            field.ClearField("json_name")  # protoc adds it here and not in the module
    ours = descriptor_pb2.FileDescriptorProto()
    value_pb2.DESCRIPTOR.CopyToProto(ours)
    assert ours == described


def test_the_generated_module_asks_for_no_newer_protobuf_than_bee_does():
    source = (importlib.resources.files("bee_plugins.codecs") / "bee/v1/value_pb2.py").read_text(
        encoding="utf-8"
    )
    assert "Protobuf Python Version: 5.26" in source
    assert (
        "runtime_version" not in source
    )  # later compilers check that the library is no older than they are


def test_records_of_msgspec_are_records():
    class Struct(msgspec.Struct):
        x: int

    assert carried([Struct(1)]) == [{"x": 1}]
