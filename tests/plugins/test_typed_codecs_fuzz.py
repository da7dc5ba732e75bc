"""The codecs json and msgpack with generated types, generated values and bytes of every kind.

What must hold: a value of a type comes back exactly as it was. Whatever the bytes are, a decoder
gives a value or raises InvalidArgument.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import itertools
from typing import Any, Literal, NamedTuple, TypedDict, Union

import attrs
import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bee_core.interfaces import POSITIONAL
from bee_core.methods.signatures import Signature
from bee_plugins.codecs.json_codec import JsonCodec
from bee_plugins.codecs.msgpack_codec import MsgpackCodec
from support.codec_cases import check_bytes, outcome
from support.typed_codecs import check_round_trip, taking, with_all_codecs

CODECS = {"json": JsonCodec(), "msgpack": MsgpackCodec()}


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


# ── generated types: pairs of a hint and a strategy for its values ──

OFFSETS = st.none() | st.integers(-1439, 1439).map(
    lambda minutes: dt.timezone(dt.timedelta(minutes=minutes))
)
FIRST, LAST = dt.datetime(2, 1, 1), dt.datetime(9998, 1, 1)  # noqa: DTZ001
MOMENTS = st.datetimes(FIRST, LAST, timezones=OFFSETS)
INTEGERS = st.integers(-(2**63), 2**64 - 1)
LEAVES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (bool, st.booleans()),
    (int, INTEGERS),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (str, st.text(max_size=8)),
    (bytes, st.binary(max_size=8)),
    (dt.datetime, MOMENTS),
    (dt.date, st.dates()),
    (dt.time, st.times()),
    (dt.timedelta, st.timedeltas()),
    (Any, st.none() | st.booleans() | INTEGERS | st.text(max_size=4)),
    (Colour, st.sampled_from(Colour)),
    (Literal["on", 3], st.sampled_from(["on", 3])),
    (frozenset[int], st.frozensets(INTEGERS, max_size=3)),
]
numbers = map("{:08}".format, itertools.count())
"""Of one width: what a body of theirs looks like depends on nothing but what was drawn."""


def record(
    form: str, parts: list[tuple[Any, st.SearchStrategy[Any]]]
) -> tuple[Any, st.SearchStrategy[Any]]:
    name = f"{form.capitalize()}{next(numbers)}"
    hints = {f"f{next(numbers)}": hint for hint, _ in parts}
    fields = list(hints.items())
    cls: Any
    if form == "dataclass":
        cls = dataclasses.make_dataclass(name, fields)
    elif form == "attrs":
        cls = attrs.make_class(name, {field: attrs.field(type=hint) for field, hint in fields})
    elif form == "struct":
        cls = msgspec.defstruct(name, fields)
    elif form == "typed_dict":
        cls = TypedDict(name, hints)  # type: ignore[operator]
    else:
        cls = NamedTuple(name, fields)  # type: ignore[misc]
    return cls, st.builds(cls, **dict(zip(hints, [values for _, values in parts], strict=True)))


def records(parts: Any, *forms: str) -> Any:
    return st.builds(record, st.sampled_from(forms), st.lists(parts, min_size=1, max_size=3))


def union(
    parts: list[tuple[Any, st.SearchStrategy[Any]]], optional: bool
) -> tuple[Any, st.SearchStrategy[Any]]:
    hints = [hint for hint, _ in parts] + ([None] if optional else [])
    values = [strategy for _, strategy in parts] + ([st.none()] if optional else [])
    return Union.__getitem__(tuple(hints)), st.one_of(values)


def wider(parts: Any) -> Any:
    objects = records(parts, "dataclass", "attrs", "struct", "typed_dict")
    return st.one_of(
        parts.map(lambda part: (list[part[0]], st.lists(part[1], max_size=3))),
        parts.map(
            lambda part: (
                dict[str, part[0]],
                st.dictionaries(st.text(max_size=4), part[1], max_size=3),
            )
        ),
        parts.map(
            lambda part: (dict[int, part[0]], st.dictionaries(INTEGERS, part[1], max_size=3))
        ),
        st.lists(parts, min_size=1, max_size=3).map(
            lambda some: (
                tuple[tuple(hint for hint, _ in some)],
                st.tuples(*[values for _, values in some]),
            )
        ),  # type: ignore[misc]
        records(parts, "dataclass", "attrs", "struct", "typed_dict", "named_tuple"),
        st.builds(union, st.lists(objects, min_size=2, max_size=3), st.booleans()),
        st.builds(union, st.lists(objects, min_size=1, max_size=1), st.just(True)),
    )


TYPES = st.recursive(st.sampled_from(LEAVES), wider, max_leaves=8)
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | INTEGERS
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6)
    | st.sampled_from(["Cat", "Dog"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["$type", "name", "lives", "pet", "kids", "a"]) | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)
PLACES = st.integers(0, 2**16 - 1)
"""In a body of any length: which one a value has is for the codec to say, and not for hypothesis."""
DAMAGE = st.tuples(st.lists(st.tuples(PLACES, st.integers(0, 255)), max_size=3), PLACES)
thoroughly = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@with_all_codecs
@thoroughly
@given(data=st.data())
def test_a_value_of_any_type_comes_back_exactly(codec, data):
    hint, values = data.draw(TYPES)
    check_round_trip(codec, hint, data.draw(values))


@with_all_codecs
@thoroughly
@given(data=st.data())
def test_a_damaged_body_of_any_type_gives_a_value_or_invalid_argument(codec, data):
    hint, values = data.draw(TYPES)
    method = taking(codec, hint, hint)
    form, body = method.encode_args((data.draw(values),), {})
    for changes, cut in data.draw(st.lists(DAMAGE, min_size=8, max_size=8)):
        damaged = bytearray(body)
        for place, byte in changes:
            damaged[place % len(damaged)] = byte
        check_bytes([method], form, bytes(damaged[: cut % (len(damaged) + 1)]))


# ── fixed types that have everything, and bytes of every kind ──


@dataclasses.dataclass
class Cat:
    name: str
    lives: int = 9


@attrs.define
class Dog:
    name: str
    kids: list[Cat | Dog | None] = attrs.field(factory=list)
    _age: int = 0


class Fish(msgspec.Struct):
    name: str
    born: dt.datetime | None = None


class Owner(TypedDict):
    pet: Cat | Dog | Fish
    a: bytes


def adopt(
    pet: Cat | Dog | None, *rest: Owner, by: dict[str, Cat | Dog | list[Fish]] | None = None
) -> list[Cat | Dog]:
    return []


def feed(pet: Owner | Cat, a: int = 1, name: str = "") -> Owner | Cat | None:
    return None


METHODS = {
    name: [
        codec.bind(Signature.dynamic("anything")),
        *(codec.bind(Signature.of(function, function.__name__)) for function in (adopt, feed)),
    ]
    for name, codec in CODECS.items()
}
VALID = {
    name: [
        methods[1].encode_args(
            (Dog("Rex", [Cat("Tom"), None, Dog("Ace")]), {"pet": Cat("x"), "a": b"\xff"}),
            {
                "by": {
                    "a": Cat("y"),
                    "b": [Fish("w", dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc))],
                }
            },
        ),
        methods[1].encode_args((None,), {}),
        methods[2].encode_args(
            ({"pet": Fish("w", dt.datetime.now(dt.timezone.utc)), "a": b""},), {"a": 3}
        ),
        methods[2].encode_args((), {"pet": Cat("x"), "name": "y"}),
        (POSITIONAL, methods[1].encode_result([Cat("x"), Dog("y")])),
        (POSITIONAL, methods[2].encode_result({"pet": Dog("y"), "a": b"1"})),
    ]
    for name, methods in METHODS.items()
}
formats = pytest.mark.parametrize("name", CODECS)


@formats
@given(form=st.integers(0, 5), body=st.binary(max_size=80))
@example(form=0, body=b"[" * 100_000)
@example(form=1, body=b'{"pet":' * 100_000)
@example(form=0, body=b"\x91" * 100_000)
@example(form=1, body=b"\x81\xa3pet" * 100_000)
@example(form=0, body=b'[{"$type":"Dog","name":"x","kids":[' * 100_000)
@example(form=0, body=b"\xdd\xff\xff\xff\xff")
@example(form=0, body=b"\xc6\xff\xff\xff\xff")
def test_random_bytes_give_a_value_or_invalid_argument(name, form, body):
    check_bytes(METHODS[name], form, body)


@formats
@given(
    data=st.data(),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4),
    length=st.integers(0, 200),
)
def test_mutated_and_truncated_bodies_give_a_value_or_invalid_argument(name, data, changes, length):
    form, body = data.draw(st.sampled_from(VALID[name]))
    mutated = bytearray(body)
    for place, byte in changes:
        mutated[place % len(mutated)] = byte
    check_bytes(METHODS[name], form, bytes(mutated[: length or None]))


@formats
@given(
    args=st.lists(PLAIN, max_size=3),
    kwargs=st.dictionaries(st.sampled_from(["pet", "by", "a", "name", "x"]), PLAIN, max_size=3),
)
def test_values_of_the_wrong_shape_are_refused_alike_by_client_and_server(name, args, kwargs):
    dynamic, *typed = METHODS[name]
    form, body = dynamic.encode_args(tuple(args), kwargs)
    for method in typed:
        agree(
            outcome(method.encode_args, tuple(args), kwargs),
            outcome(method.decode_args, form, body),
            [args, kwargs],
        )
    check_bytes(METHODS[name], form, body)


@formats
@given(value=PLAIN)
def test_results_of_the_wrong_shape_are_refused_alike_by_server_and_client(name, value):
    dynamic, *typed = METHODS[name]
    body = dynamic.encode_result(value)
    for method in typed:
        agree(outcome(method.encode_result, value), outcome(method.decode_result, body), value)


def agree(sender, receiver, value):
    """Both find a fault or neither does; of several faults each may name another.

    Only the sender refuses a dict with the key of the tag: only the sender knows what it means. And
    only the sender refuses a field that the receiver would ignore.
    """
    if sender == "loses":
        assert receiver == "fits"
    elif "$type" in repr(value):
        assert receiver == "fits" or sender != "fits"
    else:
        assert (sender == "fits") == (receiver == "fits")
