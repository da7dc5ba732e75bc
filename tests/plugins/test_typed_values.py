"""The types that a typed interface may use with the codecs json and msgpack.

Both sides convert them, or refuse them with the path.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import math
import sys
import uuid
from collections.abc import Collection, Iterable, Mapping, MutableMapping, Sequence
from collections.abc import Set as AbstractSet
from typing import (
    Annotated,
    Any,
    ClassVar,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    Optional,
    TypedDict,
    TypeVar,
    Union,
)

import attrs
import msgspec
import pytest
from google.protobuf.duration_pb2 import Duration

from bee_core.errors import InvalidArgument
from bee_core.interfaces import NAMED, POSITIONAL
from bee_core.methods.signatures import Parameter, Signature
from bee_plugins.codecs.json_codec import JsonCodec
from bee_plugins.codecs.msgpack_codec import MsgpackCodec
from support.typed_codecs import check_round_trip, named, refusal, sent, taking, with_all_codecs

T = TypeVar("T")
K = TypeVar("K")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1


class Access(enum.Flag):
    READ = 1
    WRITE = 2


@dataclasses.dataclass
class Line:
    name: str
    qty: int


@attrs.define
class Order:
    lines: list[Line]
    colour: Colour = Colour.RED
    notes: dict[str, str] = attrs.field(factory=dict)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    x: int
    kind: ClassVar[str] = "frozen"


@attrs.frozen
class Secretive:
    _secret: int
    shown: str = "yes"
    _spare: int = 3


@dataclasses.dataclass
class Private:
    _secret: int


@dataclasses.dataclass
class Counted:
    total: int
    seen: int = dataclasses.field(default=0, init=False)


class Struct(msgspec.Struct, rename="camel", omit_defaults=True):
    first_name: str
    age: int | None = None


class Row(msgspec.Struct, array_like=True):
    a: int
    b: str = "x"


class Circle(msgspec.Struct, tag=True):
    radius: float


class Square(msgspec.Struct, tag=True):
    side: float


class Address(TypedDict):
    street: str


class Place(Address, total=False):
    number: int


class Point(NamedTuple):
    x: float
    y: float = 0.0


@dataclasses.dataclass
class Box(Generic[T]):
    content: T


@attrs.define
class Pair(Generic[K, T]):
    key: K
    value: T


class Page(msgspec.Struct, Generic[T]):
    items: list[T]


@dataclasses.dataclass
class Tree:
    children: list[Tree]


UserId = NewType("UserId", int)
UTC = dt.timezone.utc
EAST = dt.timezone(dt.timedelta(hours=5, minutes=30))
VALUES: list[tuple[Any, Any]] = [
    (Line, Line("tea", 1)),
    (Order, Order([Line("tea", 1)], Colour.BLUE, {"a": "b"})),
    (Frozen, Frozen(x=1)),
    (Secretive, Secretive(7, "no", 8)),
    (list[Secretive], [Secretive(7)]),
    (Private, Private(7)),
    (Counted, Counted(7)),
    (Struct, Struct("Ada", 36)),
    (Struct, Struct("Ada")),
    (Row, Row(1, "y")),
    (Circle | Square, Square(2.0)),
    (Address, {"street": "Main"}),
    (Place, {"street": "Main", "number": 3}),
    (Point, Point(1.5)),
    (list[Point], [Point(1.0, 2.0)]),
    (Box[int], Box(3)),
    (Box[Order], Box(Order([]))),
    (Box[Box[list[Line]]], Box(Box([Line("tea", 1)]))),
    (Pair[str, Line], Pair("a", Line("tea", 1))),
    (Page[dt.date], Page([dt.date(2024, 2, 29)])),
    (Tree, Tree([Tree([])])),
    (Colour, Colour.BLUE),
    (Level, Level.LOW),
    (Access, Access.READ | Access.WRITE),
    (dict[Colour, int], {Colour.RED: 1}),
    (dt.datetime, dt.datetime(2024, 2, 29, 12, 0, 1, 5, tzinfo=UTC)),
    (dt.datetime, dt.datetime(2024, 2, 29, 12, 0, 1, 5, tzinfo=EAST)),
    (dt.datetime, dt.datetime(2024, 2, 29, 12, 0, 1, 5)),  # noqa: DTZ001
    (dt.date, dt.date(1, 1, 1)),
    (dt.time, dt.time(23, 59, 59, 999999)),
    (dt.time, dt.time(1, 2, tzinfo=UTC)),
    (dt.timedelta, dt.timedelta(days=-1, microseconds=7)),
    (dt.timedelta, dt.timedelta.max),
    (decimal.Decimal, decimal.Decimal("1.10")),
    (decimal.Decimal, decimal.Decimal("-1E+1000")),
    (uuid.UUID, uuid.UUID(int=7)),
    (bytes, b"\x00\xff"),
    (bytearray, bytearray(b"x")),
    (set[int], {1, 2}),
    (frozenset[str], frozenset("ab")),
    (AbstractSet[int], {1}),
    (tuple[int, str], (1, "x")),
    (tuple[int, ...], (1, 2, 3)),
    (tuple[()], ()),
    (dict[int, str], {1: "x"}),
    (dict[dt.date, int], {dt.date(2024, 1, 1): 1}),
    (dict[uuid.UUID, list[Line]], {uuid.UUID(int=1): [Line("tea", 1)]}),
    (Optional[Line], None),  # noqa: UP045
    (Line | None, Line("tea", 1)),
    (int | str | None, "x"),
    (int | str | list[int] | dict[str, int] | None, {"a": 1}),
    (Union[int, float], 1),
    (Union[int, float], 1.0),
    (Literal["on", "off", 3], "off"),
    (Literal["on", "off", 3], 3),
    (UserId, 9),
    (Annotated[int, msgspec.Meta(ge=0)], 3),
    (Annotated[Secretive, "documented"], Secretive(1)),
    (Iterable[int], [1, 2]),
    (Collection[dt.date] | None, [dt.date(2024, 1, 1)]),
    (Sequence[Line], [Line("a", 1)]),
    (Mapping[str, float], {"a": 1.5}),
    (MutableMapping[str, Secretive], {"a": Secretive(1)}),
    (object, {"a": 1}),
    (Box[object], Box({"a": [1]})),
    (bool, True),
    (float, -0.0),
    (float, 5e-324),
    (int, 2**63 - 1),
    (int, -(2**63)),
    (None, None),
]


@pytest.mark.parametrize(("hint", "value"), VALUES, ids=lambda part: named(part, 50))
@with_all_codecs
def test_values_of_every_kind_of_type_come_back_as_they_were(codec, hint, value):
    check_round_trip(codec, hint, value)


@pytest.mark.parametrize(
    ("hint", "value", "message"),
    [
        (
            Order,
            {"lines": [{"name": "a", "qty": 1}, {"name": "b", "qty": "two"}]},
            "$.p.lines[1].qty: expected int, got str",
        ),
        (Order, {"lines": [], "colour": "green"}, "$.p.colour: invalid enum value 'green'"),
        (Order, {}, "$.p: object missing required field lines"),
        (Box[Line], {"content": {"name": "a"}}, "$.p.content: object missing required field qty"),
        (
            Pair[str, Line],
            {"key": 1, "value": {"name": "a", "qty": 1}},
            "$.p.key: expected str, got int",
        ),
        (
            Page[dt.date],
            {"items": ["2024-01-01", "soon"]},
            "$.p.items[1]: invalid RFC3339 encoded date",
        ),
        (Place, {"street": "Main", "number": "3"}, "$.p.number: expected int, got str"),
        (Place, {"number": 3}, "$.p: object missing required field street"),
        (Point, [1.0, "x"], "$.p[1]: expected float, got str"),
        (Point, {}, "$.p: expected array, got object"),
        (Secretive, {"_secret": "x"}, "$.p._secret: expected int, got str"),
        (Secretive, [], "$.p: expected object, got array"),
        (list[Secretive], [{"shown": "x"}], "$.p[0]: object missing required field _secret"),
        (Struct, {"firstName": 1}, "$.p.firstName: expected str, got int"),
        (Row, ["x"], "$.p[0]: expected int, got str"),
        (Circle | Square, {"type": "Oval"}, "$.p.type: invalid value 'Oval'"),
        (Level, 2, "$.p: invalid enum value 2"),
        (Literal["on", "off"], "up", "$.p: invalid enum value 'up'"),
        (dt.datetime, "yesterday", "$.p: invalid RFC3339 encoded datetime"),
        (dt.time, "25:00:00", "$.p: invalid RFC3339 encoded time"),
        (dt.timedelta, "1 day", "$.p: invalid ISO8601 duration"),
        (decimal.Decimal, "1.2.3", "$.p: invalid decimal string"),
        (uuid.UUID, "7", "$.p: invalid UUID"),
        (int | None, "x", "$.p: expected int | null, got str"),
        (tuple[int, str], [1, 2], "$.p[1]: expected str, got int"),
        (
            Annotated[list[int], msgspec.Meta(min_length=1)],
            [],
            "$.p: expected array of length >= 1",
        ),
        (float, "1", "$.p: expected float, got str"),
        (bool, 1, "$.p: expected bool, got int"),
        (int, 1.0, "$.p: expected int, got float"),
        (int, True, "$.p: expected int, got bool"),
        (str, [], "$.p: expected str, got array"),
    ],
    ids=lambda part: str(part)[:40],
)
@with_all_codecs
def test_what_does_not_fit_is_refused_with_its_path(codec, hint, value, message):
    assert refusal(sent, codec, hint, value) == message
    assert refusal(taking(codec, hint).encode_args, (value,), {}) == message
    result = codec.bind(Signature.dynamic("f")).encode_result(value)
    assert refusal(taking(codec, Any, hint).decode_result, result) == message.replace("$.p", "$")


@with_all_codecs
def test_a_field_that_is_not_known_is_passed_over(codec):
    assert sent(codec, Line, {"name": "tea", "qty": 1, "colour": "green"}) == Line("tea", 1)
    assert sent(codec, Secretive, {"_secret": 1, "colour": "green"}) == Secretive(1)
    assert sent(codec, Address, {"street": "Main", "colour": "green"}) == {"street": "Main"}


@with_all_codecs
def test_a_struct_may_forbid_fields_that_it_does_not_know(codec):
    class Strict(msgspec.Struct, forbid_unknown_fields=True):
        a: int

    assert refusal(sent, codec, Strict, {"a": 1, "b": 2}) == "$.p: object contains unknown field b"


@with_all_codecs
def test_a_field_that_is_absent_has_its_default(codec):
    assert sent(codec, Order, {"lines": []}) == Order([])
    assert sent(codec, Secretive, {"_secret": 1}) == Secretive(1, "yes", 3)


@with_all_codecs
def test_a_private_field_of_an_attrs_class_is_not_lost(codec):
    method = taking(codec, dict[str, Secretive], Secretive)
    ((got,), _) = method.decode_args(*method.encode_args(({"a": Secretive(7, "no", 8)},), {}))
    assert (got["a"]._secret, got["a"]._spare) == (7, 8)  # noqa: SLF001  # no public name has it
    assert method.decode_result(method.encode_result(Secretive(7)))._secret == 7  # noqa: SLF001  # no public name has it


@with_all_codecs
def test_a_field_that_the_constructor_does_not_take_is_carried(codec):
    @attrs.define
    class Meter:
        _unit: str
        ticks: int = attrs.field(default=0, init=False)

    meter = Meter("m")
    meter.ticks = 5
    method = taking(codec, Meter)
    assert method.decode_args(*method.encode_args((meter,), {})) == ((meter,), {})


@with_all_codecs
def test_a_record_s_own_check_is_an_invalid_argument_with_the_path(codec):
    @attrs.define
    class Percent:
        _value: int = attrs.field(validator=attrs.validators.le(100))

    assert refusal(sent, codec, list[Percent], [{"_value": 7}, {"_value": 101}]).startswith(
        "$.p[1]: "
    )


@with_all_codecs
def test_generic_classes_without_types_take_anything(codec):
    assert sent(codec, Box, {"content": [1, "x"]}) == Box([1, "x"])


@pytest.mark.skipif(sys.version_info < (3, 12), reason="a type statement needs Python 3.12")
@with_all_codecs
def test_the_name_of_a_type_statement_stands_for_its_type(codec):
    scope: dict[str, Any] = {"Line": Line, "Box": Box}
    exec(
        "type Lines = list[Line]\n"
        "type Boxed[T] = Box[T]\n"
        "type Deep = Boxed[Lines]\n"
        "type Endless = list[Endless]",
        scope,
    )
    assert sent(codec, scope["Deep"], {"content": [{"name": "tea", "qty": 1}]}) == Box(
        [Line("tea", 1)]
    )
    with pytest.raises(TypeError, match="defined by itself; put a class"):
        taking(codec, scope["Endless"])


@pytest.mark.parametrize(
    ("hint", "problem"),
    [
        (complex, "complex is no type for data; use a dataclass"),
        (enum.Enum("Odd", {"A": (1, 2)}), "Enums must contain either all str or all int values"),
        (
            list[int] | set[int],
            "more than one array-like .* put one of them into a class of its own",
        ),
        (str | bytes, "more than one str-like .* put one of them into a class of its own"),
        (Line | complex, "one of them is no type for data: use a dataclass"),
        (dict[Line, int], "keys of a dict must be text, numbers, enums, dates or UUIDs"),
        (dict[bool, int], "keys of a dict"),
        (dict[Secretive, int], "keys of a dict"),
    ],
    ids=str,
)
@with_all_codecs
def test_a_type_that_cannot_be_carried_is_refused_when_bound_and_says_what_to_do(
    codec, hint, problem
):
    with pytest.raises(
        TypeError, match=f"^f: the type .* of its parameter p cannot be carried: .*{problem}"
    ):
        taking(codec, hint)
    with pytest.raises(
        TypeError, match=f"^f: the type .* of its result cannot be carried: .*{problem}"
    ):
        taking(codec, Any, hint)


@with_all_codecs
def test_a_result_of_the_wrong_type_is_found_at_the_server_and_says_that_the_handler_ran(codec):
    with pytest.raises(InvalidArgument) as caught:
        taking(codec, Any, Order).encode_result(Order([Line("a", "x")]))
    assert (caught.value.path, caught.value.executed) == ("$.lines[0].qty", "yes")


@pytest.mark.parametrize("form", [POSITIONAL, NAMED])
def test_keys_that_stand_twice_count_once_and_last(form):
    method = JsonCodec().bind(Signature("f", (Parameter("p", hint=Line),)))
    line = b'{"name":"a","qty":1,"qty":2}'
    args, kwargs = method.decode_args(
        form, b"[" + line + b"]" if form == POSITIONAL else b'{"p":{},"p":' + line + b"}"
    )
    assert [*args, *kwargs.values()] == [Line("a", 2)]


# ── NaN, which JSON cannot say ──


class Counter(dict):
    pass


@attrs.define
class Measured:
    value: float | None
    _hidden: float | None = None


@pytest.mark.parametrize(
    ("hint", "value", "path"),
    [
        (Any, Box(math.nan), "$.p.content"),
        (Any, [Measured(math.inf)], "$.p[0].value"),
        (Any, Page([None, math.nan]), "$.p.items[1]"),
        (Any, Counter(a=Counter(b=math.nan)), "$.p.a.b"),
        (Any, {"a": (1, {"b": -math.inf})}, "$.p.a[1].b"),
        (Any, Struct(math.nan), "$.p.firstName"),
        (Box[float | None], Box(math.nan), "$.p.content"),
        (Measured, Measured(math.nan), "$.p.value"),
        (Measured, Measured(1.0, math.nan), "$.p._hidden"),
        (list[Measured | None], [None, Measured(None, math.nan)], "$.p[1]._hidden"),
        (dict[str, float | None], {"a": None, "b": math.nan}, "$.p.b"),
        (Point, Point(math.nan), "$.p[0]"),
        (Place, {"street": "Main", "number": math.nan}, "$.p.number"),
    ],
    ids=str,
)
def test_a_nan_is_refused_by_json_wherever_it_is_and_carried_by_msgpack_wherever_it_may_be(
    hint, value, path
):
    method = taking(JsonCodec(), hint, hint)
    with pytest.raises(InvalidArgument, match="JSON has no number for") as caught:
        method.encode_args((value,), {})
    assert caught.value.path == path
    with pytest.raises(InvalidArgument, match="JSON has no number for") as caught:
        method.encode_result(value)
    assert caught.value.path == path.replace("$.p", "$")
    if hint is not Place:
        method = taking(MsgpackCodec(), hint, hint)
        assert "nan" in repr(
            method.decode_args(*method.encode_args((value,), {}))
        ) or "inf" in repr(value)


@with_all_codecs
def test_a_nan_that_is_text_is_no_loss(codec):
    method = taking(codec, decimal.Decimal, dict[float, int])
    ((value,), _) = method.decode_args(*method.encode_args((decimal.Decimal("NaN"),), {}))
    assert value.is_nan()
    ((key, one),) = method.decode_result(method.encode_result({math.inf: 1})).items()
    assert (key, one) == (math.inf, 1)


@pytest.mark.parametrize("codec", [JsonCodec(), MsgpackCodec()], ids=["json", "msgpack"])
def test_a_protobuf_message_is_refused_with_the_codec_that_carries_it(codec):
    with pytest.raises(
        TypeError,
        match=r"Duration is a protobuf message; the codec protobuf alone carries those, .* let it "
        r"be the only one under codecs",
    ):
        taking(codec, Duration)
