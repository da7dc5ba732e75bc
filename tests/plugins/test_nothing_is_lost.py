"""Nothing is lost or changed in silence: it arrives as it was, or the sender refuses it."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import math
import uuid
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypedDict, TypeVar

import attrs
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bee_core.errors import InvalidArgument
from bee_core.interfaces import Signature
from bee_plugins.codecs.json_codec import JsonCodec
from support.typed_codecs import check_round_trip, named, refusal, sent, taking, with_all_codecs

T = TypeVar("T")
AMSTERDAM = dt.timezone(dt.timedelta(minutes=19, seconds=32))
ACCRA = dt.timezone(-dt.timedelta(seconds=52))
"""Its old offset, cut to -00:00."""
OLD = dt.datetime(1900, 1, 1, tzinfo=AMSTERDAM)


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


@dataclasses.dataclass
class Base:
    x: int
    note: str = ""


@dataclasses.dataclass
class Sub(Base):
    y: int = 0


@dataclasses.dataclass
class Same(Base): ...


@attrs.define
class AttrsBase:
    x: int


@attrs.define
class AttrsSub(AttrsBase):
    y: int = 0


class StructBase(msgspec.Struct):
    x: int


class StructSub(StructBase):
    y: int = 0


class TypedBase(TypedDict):
    x: int


class TypedText(TypedDict):
    code: str


@dataclasses.dataclass
class Holder(Generic[T]):
    items: list[T]
    extra: Any = None


@attrs.define
class Upper:
    code: str = attrs.field(converter=str.upper)


@attrs.define
class Doubled:
    x: int = attrs.field(converter=lambda x: x * 2)


@dataclasses.dataclass
class Clamped:
    x: int

    def __init__(self, x):
        self.x = min(x, 10)


@dataclasses.dataclass
class Growing:
    x: int

    def __post_init__(self):
        self.x += 1


@dataclasses.dataclass
class InitOnly:
    x: int
    scale: dataclasses.InitVar[int] = 1

    def __post_init__(self, scale):
        self.x *= scale


@dataclasses.dataclass
class NeedsInit:
    x: int
    scale: dataclasses.InitVar[int]


class Pair(NamedTuple):
    a: int
    b: int


class Ordered(Pair):
    def __new__(cls, a, b):
        return super().__new__(cls, min(a, b), max(a, b))


@attrs.define(init=False)
class OwnInit:
    x: int

    def __init__(self, y):
        self.x = y


# ── fields of a subclass, and others that the hinted class does not have ──


@with_all_codecs
@pytest.mark.parametrize(
    ("hint", "value", "path"),
    [
        (Base, Sub(1, y=2), "$.p.y"),
        (list[Base], [Base(1), Sub(1, y=2)], "$.p[1].y"),
        (Base | None, Sub(1), "$.p.y"),
        (Holder[Base], Holder([Sub(1)]), "$.p.items[0].y"),
        (dict[str, AttrsBase], {"a": AttrsSub(1, 2)}, "$.p.a.y"),
        (tuple[int, StructBase], (1, StructSub(1, 2)), "$.p[1].y"),
        (TypedBase, {"x": 1, "y": 2}, "$.p.y"),
        (Base, {"x": 1, "y": 2}, "$.p.y"),
        (AttrsBase | StructBase, AttrsSub(1, 2), "$.p.y"),
    ],
    ids=lambda part: str(part)[:50],
)
def test_a_field_that_the_hinted_class_does_not_have_is_refused_by_the_sender(
    codec, hint, value, path
):
    method = taking(codec, hint, hint)
    problem = f"{path}: "
    assert refusal(method.encode_args, (value,), {}).startswith(problem)
    assert refusal(method.encode_args, (), {"p": value}).startswith(problem)
    assert refusal(method.encode_result, value).startswith(problem.replace("$.p", "$"))


@with_all_codecs
def test_a_subclass_without_fields_of_its_own_goes_as_its_base(codec):
    method = taking(codec, Base)
    assert method.decode_args(*method.encode_args((Same(1, "a"),), {}))[0][0] == Base(1, "a")


@with_all_codecs
@pytest.mark.parametrize("hint", [Upper, Upper | Base, list[Upper], TypedText])
def test_a_dict_in_place_of_a_record_holds_what_the_hints_say(codec, hint):
    method, many = taking(codec, hint), hint == list[Upper]
    refused = refusal(method.encode_args, ([{"code": b"ab"}] if many else {"code": b"ab"},), {})
    assert refused.endswith("code: expected str, got bytes")


@with_all_codecs
def test_converters_run_on_a_dict_in_place_of_a_record(codec):
    method = taking(codec, Upper)
    assert method.decode_args(*method.encode_args(({"code": "ab"},), {}))[0][0] == Upper("AB")


@with_all_codecs
def test_a_field_that_was_never_set_arrives_as_its_default(codec):
    method, value = taking(codec, AttrsSub), AttrsSub(1)
    del value.y
    assert method.decode_args(*method.encode_args((value,), {}))[0][0] == AttrsSub(1, 0)


@with_all_codecs
def test_a_receiver_ignores_a_field_that_it_does_not_know(codec):
    assert sent(codec, Base, {"x": 1, "new": 2}) == Base(1)


@with_all_codecs
def test_parts_of_any_type_arrive_as_the_format_has_them(codec):
    method = taking(codec, Holder[int])
    (arrived,), _ = method.decode_args(*method.encode_args((Holder([1], (1, {"a": (2,)})),), {}))
    assert arrived == Holder([1], [1, {"a": [2]}])


# ── classes that make their instances themselves ──


@with_all_codecs
@pytest.mark.parametrize(
    ("hint", "plain", "value"),
    [
        (Upper, {"code": "ab"}, Upper("ab")),
        (Upper | Base, {"code": "ab"}, Upper("ab")),
        (list[Clamped], [{"x": 99}], [Clamped(10)]),
        (Clamped | None, {"x": 99}, Clamped(10)),
        (InitOnly, {"x": 3}, InitOnly(3)),
        (Ordered, [2, 1], Ordered(1, 2)),
        (dict[str, Ordered], {"a": [2, 1]}, {"a": Ordered(1, 2)}),
    ],
    ids=lambda part: str(part)[:50],
)
def test_constructors_and_converters_run(codec, hint, plain, value):
    assert sent(codec, hint, plain) == value
    check_round_trip(codec, hint, value)


@with_all_codecs
@pytest.mark.parametrize(
    ("hint", "value", "problem"),
    [
        (Doubled, Doubled(2), "$.p.x: 4 would arrive as 8"),
        (Growing, Growing(1), "$.p.x: 2 would arrive as 3"),
        (list[Growing], [Growing(1)], "$.p[0].x: 2 would arrive as 3"),
    ],
    ids=lambda part: str(part)[:50],
)
def test_what_a_constructor_would_change_again_is_refused(codec, hint, value, problem):
    assert refusal(taking(codec, hint).encode_args, (value,), {}).startswith(problem)


@with_all_codecs
@pytest.mark.parametrize(
    ("hint", "problem"),
    [
        (NeedsInit, r"NeedsInit\.scale is an InitVar, which no instance keeps"),
        (OwnInit, "OwnInit is not made of its fields"),
    ],
)
def test_a_class_that_cannot_be_made_of_its_fields_is_refused_when_bound(codec, hint, problem):
    with pytest.raises(TypeError, match=problem):
        taking(codec, hint)


# ── keys ──


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (dict[int | str, int], {1: 1, "1": 2}),
        (dict[str, int], {1: 1, "1": 2}),
        (Any, {1: 1, "1": 2}),
        (dict, {"a": [{1: 1, "1": 2}]}),
        (Holder[int], Holder([], {Colour.RED: 1, "red": 2})),
        (dict[str, Any], {"a": {dt.date(2024, 1, 1): 1, "2024-01-01": 2}}),
    ],
    ids=str,
)
def test_json_refuses_two_keys_that_are_one_text(hint, value):
    assert "$.p" in (said := refusal(taking(JsonCodec(), hint).encode_args, (value,), {}))
    assert ("would become one" in said) or ("same text" in said) or ("expected str" in said)
    assert refusal(taking(JsonCodec(), Any, hint).encode_result, value).startswith("$")


def test_json_names_the_keys_and_the_place_without_a_type():
    method = JsonCodec().bind(Signature.dynamic("f"))
    assert refusal(method.encode_args, (), {"a": {"b": [{1: 1, "1": 2}]}}) == (
        "$.a.b[0]: the keys 1 and '1' are the same text in JSON"
    )
    assert "1.0" in refusal(method.encode_result, {1.0: 1, "1.0": 2})


@with_all_codecs
@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (dict[int | str, int], {1: 1, "a": 2}),
        (dict[int | str | None, int] | None, None),
        (dict[Level | str, Base], {Level.LOW: Base(1), "x": Base(2)}),
        (dict[float | str, int], {1.5: 1, "a": 2}),
        (dict[str | dt.date, int], {"a": 1}),
    ],
    ids=str,
)
def test_keys_of_several_types_are_kept_apart(codec, hint, value):
    try:
        method = taking(codec, hint, hint)
    except TypeError as error:
        assert "keys of a dict" in str(error) or "str-like" in str(error)  # noqa: PT017
        return
    assert method.decode_result(method.encode_result(value)) == value
    (arrived,), _ = method.decode_args(*method.encode_args((value,), {}))
    assert arrived == value
    if value:
        assert list(map(type, arrived)) == list(map(type, value))


def test_text_that_would_become_a_number_as_a_key_is_refused_by_json():
    method = taking(JsonCodec(), dict[int | str, int])
    assert "the key '1'" in refusal(method.encode_args, ({"1": 1},), {})


# ── moments ──


@with_all_codecs
@pytest.mark.parametrize("hint", [dt.datetime, Any, list[dt.datetime | None], Holder[dt.datetime]])
def test_a_moment_stays_where_it_is_whatever_its_offset(codec, hint):
    value = {dt.datetime: OLD, Any: OLD, Holder[dt.datetime]: Holder([OLD])}.get(hint, [OLD])
    method = taking(codec, hint)
    (arrived,), _ = method.decode_args(*method.encode_args((value,), {}))
    if hint is Any:
        arrived = (
            dt.datetime.fromisoformat(arrived.replace("Z", "+00:00"))
            if isinstance(arrived, str)
            else arrived
        )
    assert arrived == value


@with_all_codecs
def test_a_time_of_day_with_seconds_in_its_offset_is_refused(codec):
    method = taking(codec, dt.time)
    assert refusal(method.encode_args, (dt.time(1, tzinfo=AMSTERDAM),), {}).startswith("$.p: ")
    untyped = codec.bind(Signature.dynamic("f"))
    for offset in (AMSTERDAM, ACCRA):
        message = refusal(untyped.encode_args, ([{"at": dt.time(1, tzinfo=offset)}],), {})
        assert message.startswith("$[0][0].at: ")


@with_all_codecs
def test_an_offset_of_less_than_a_minute_does_not_move_the_moment(codec):
    moment = dt.datetime(1900, 1, 1, tzinfo=ACCRA)
    untyped = codec.bind(Signature.dynamic("f"))
    assert sent(codec, dt.datetime, moment) == moment
    assert untyped.encode_result(moment) == untyped.encode_result(
        moment.astimezone(dt.timezone.utc)
    )


@with_all_codecs
@pytest.mark.parametrize("text", ["NaN", "sNaN", "-Infinity", "1.10"])
def test_any_decimal_arrives(codec, text):
    method = taking(codec, list[decimal.Decimal], list[decimal.Decimal])
    (arrived,), _ = method.decode_args(*method.encode_args(([decimal.Decimal(text)],), {}))
    assert list(map(str, arrived)) == [text]
    assert list(map(str, method.decode_result(method.encode_result(arrived)))) == [text]


# ── a value of another type ──


@with_all_codecs
@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (str, b"abc"),
        (str, dt.date(2024, 1, 1)),
        (str, uuid.UUID(int=1)),
        (str, decimal.Decimal(1)),
        (str, Colour.RED),
        (bytes, "YWJj"),
        (bytes | None, "YWJj"),
        (str | None, b"abc"),
        (Literal["red"], Colour.RED),
        (Literal["red", "blue"] | None, Colour.RED),
        (list[str], ["a", b"a"]),
        (dict[str, str], {"a": b"a"}),
        (Base, Base(1, b"x")),
        (Base, Base(Level.LOW, Colour.RED)),
        (dict[str, int], {1: 1}),
        (float, 2**53 + 1),
        (list[float], [2**53 + 1]),
        (set[int], [1, 1]),
        (frozenset[str], ["a", "a"]),
        (decimal.Decimal, uuid.UUID(int=1)),
        (AttrsBase, StructBase(1)),
        (TypedBase, AttrsBase(1)),
        (list[AttrsBase | Base], [StructBase(1)]),
    ],
    ids=lambda part: str(part)[:40],
)
def test_a_value_that_would_turn_into_another_is_refused(codec, hint, value):
    assert refusal(taking(codec, hint).encode_args, (value,), {}).startswith("$.p")
    assert refusal(taking(codec, Any, hint).encode_result, value).startswith("$")


# ── whatever the type, whatever the value ──

ODD = st.sampled_from(
    [
        None,
        True,
        0,
        1,
        -1,
        2**53 + 1,
        2**63,
        2**64,
        -(2**63) - 1,
        1.0,
        -0.0,
        0.1,
        math.nan,
        math.inf,
        "",
        "1",
        "red",
        "YQ==",
        "2024-01-01",
        "\ud800",
        b"a",
        b"",
        bytearray(b"a"),
        decimal.Decimal("1.10"),
        decimal.Decimal("NaN"),
        uuid.UUID(int=1),
        dt.date(2024, 1, 1),
        dt.datetime(2024, 1, 1),  # noqa: DTZ001
        dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc),
        OLD,
        dt.datetime.max.replace(tzinfo=AMSTERDAM),
        dt.datetime.min.replace(tzinfo=AMSTERDAM),
        dt.time(1),
        dt.time(1, tzinfo=AMSTERDAM),
        dt.timedelta(days=-1, microseconds=1),
        Colour.RED,
        Level.LOW,
        Base(1, "a"),
        Sub(1, y=2),
        Base(2**53 + 1, b"x"),
        AttrsBase(1),
        AttrsSub(1, 2),
        StructSub(1, 2),
        Upper("a"),
        Doubled(1),
        Clamped(3),
        Growing(1),
        Pair(1, 2),
        Ordered(2, 1),
        {"x": 1, "y": 2},
    ]
)
HINTS = st.sampled_from(
    [
        bool,
        int,
        float,
        str,
        bytes,
        decimal.Decimal,
        uuid.UUID,
        dt.date,
        dt.datetime,
        dt.time,
        dt.timedelta,
        Colour,
        Level,
        Literal["red", 1],
        Base,
        AttrsBase,
        StructBase,
        TypedBase,
        Upper,
        Doubled,
        Clamped,
        Growing,
        Pair,
        Ordered,
        int | None,
        float | str | None,
        Base | AttrsBase | None,
        Annotated[int, msgspec.Meta(ge=0)],
    ]
)


def contained(hint: Any, value: Any) -> st.SearchStrategy[tuple[Any, Any]]:
    hashable = isinstance(getattr(value, "__hash__", None), object) and _is_hashable(value)
    options = [
        (hint, value),
        (list[hint], [value, value]),
        (dict[str, hint], {"k": value}),
        (tuple[hint, int], (value, 1)),
        (Holder[hint], Holder([value])),
        (hint | None if not isinstance(hint, str) else hint, value),
    ]
    if hashable:
        options.append((dict[hint, int], {value: 1}))
        options.append((set[hint], {value}))
    return st.sampled_from(options)


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def alike(one: Any, other: Any) -> bool:
    """Equal and of the same types, all the way down; NaN is NaN."""
    if isinstance(one, (bytearray, memoryview)):
        one = bytes(one)
    if isinstance(one, (int, float)) and isinstance(other, (int, float)) and type(one) is not bool:
        return one == other or (one != one and other != other)  # noqa: PLR0124
    if isinstance(one, dict) and isinstance(other, dict):
        pairs = zip(one.items(), other.items(), strict=True)
        return len(one) == len(other) and all(
            alike(a, c) and alike(b, d) for (a, b), (c, d) in pairs
        )
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(alike, one, other))
    if dataclasses.is_dataclass(one) and type(one) is type(other):
        return alike(vars(one), vars(other))
    if isinstance(one, (set, frozenset)) and type(one) is type(other):
        # Two NaN in two sets are not equal.
        return one == other or (
            len(one) == len(other) and all(any(alike(a, b) for b in other) for a in one)
        )
    if type(one) is type(other):
        return bool(one == other) or str(one) == str(other) == "NaN"
    return False


@with_all_codecs
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_value_under_any_hint_arrives_as_it_was_or_is_refused(codec, data):
    hint, value = data.draw(HINTS.flatmap(lambda h: ODD.flatmap(lambda v: contained(h, v))))
    try:
        method = taking(codec, hint, hint)
    except TypeError:
        return  # such keys, and the like
    for encode, decode in (
        (
            lambda: method.encode_args((value,), {}),
            lambda sent: method.decode_args(*sent)[0][0],
        ),
        (lambda: method.encode_result(value), method.decode_result),
    ):
        try:
            body = encode()
        except InvalidArgument as error:
            assert error.path.startswith("$")  # noqa: PT017
            continue
        arrived = decode(body)
        # Text and plain dicts may stand for what is read from them.
        if not converted(value, arrived):
            assert alike(value, arrived), (hint, value, arrived)


def converted(value: Any, arrived: Any) -> bool:
    """Whether something was given in a plain form of what arrived, as a program without types does."""
    if isinstance(value, (list, tuple)) and isinstance(arrived, (list, tuple)):
        return any(map(converted, value, arrived))
    if isinstance(value, dict) and isinstance(arrived, dict):
        return any(map(converted, value.values(), arrived.values())) or any(
            map(converted, value, arrived)
        )
    if isinstance(value, (set, frozenset)):
        return any(map(converted, value, arrived))
    if isinstance(value, Holder):
        return any(map(converted, value.items, arrived.items))
    plain = isinstance(value, (str, int, float, dict, tuple)) and not isinstance(value, enum.Enum)
    return plain and not isinstance(arrived, type(value)) and not isinstance(arrived, (str, bytes))


# ── the defaults of dataclasses, which msgspec leaves out of what it decodes ──


@dataclasses.dataclass
class Branch:
    name: str
    size: int = 1
    under: list[Branch] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Still:
    name: str = "?"


@dataclasses.dataclass(slots=True)
class InSlots:
    name: str = "?"


class Holding(TypedDict, total=False):
    inside: Still


@attrs.define
class Around(Generic[T]):
    inside: T


ABSENT = [
    (Branch, {"name": "a", "under": [{"name": "b"}]}),
    (Still, {}),
    (InSlots, {}),
    (list[Branch], [{"name": "a"}]),
    (dict[str, list[Still]], {"a": [{}]}),
    (tuple[int, Still], [1, {}]),
    (tuple[Still, ...], [{}]),
    (Still | None, {}),
    (Branch | list[Still] | None, [{}]),
    (Holding, {"inside": {}}),
    (Around[Still], {"inside": {}}),
    (Annotated[list[Still], "all"], [{}]),
    (Sub | Branch, {"name": "a"}),
    (collections.deque[Still], [{}]),
]


@with_all_codecs
@pytest.mark.parametrize(("hint", "given"), ABSENT, ids=named)
def test_a_default_of_a_dataclass_is_there_when_it_is_sent_on(codec, hint, given):
    method, dynamic = taking(codec, hint, hint), codec.bind(Signature.dynamic("f"))
    for form, body in (
        dynamic.encode_args((given,), {}),
        dynamic.encode_args((), {"p": given}),
    ):
        positional, by_name = method.decode_args(form, body)
        (value,) = (*positional, *by_name.values())
        on = dynamic.decode_result(dynamic.encode_result(value))
        assert all(word in str(on) for word in expected_names(given)), on
    result = method.decode_result(dynamic.encode_result(given))
    assert dynamic.encode_result(result) == dynamic.encode_result(value)


def expected_names(given):
    return ["size", "under"] if "name" in str(given) else ["name"]


def test_a_value_that_was_set_is_no_default():
    method = taking(JsonCodec(), Branch, Branch)
    tree = method.decode_result(b'{"name": "a", "size": 5, "under": [{"name": "b", "size": 7}]}')
    assert tree == Branch("a", 5, [Branch("b", 7)])
    assert method.decode_result(b'{"name": "a", "under": [{"name": "b"}]}') == Branch(
        "a", 1, [Branch("b", 1)]
    )
