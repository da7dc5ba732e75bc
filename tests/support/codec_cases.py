"""What the codecs json, msgpack and protobuf have in common, beyond the contract of all codecs."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import uuid
from typing import Annotated, Any, Generic, TypedDict, TypeVar

import attrs
import msgspec
import pytest

from bee_core.errors import InvalidArgument
from bee_core.interfaces import Parameter, Signature
from bee_core.testing.codec_contract import CodecContract
from support.typed_codecs import check_round_trip

T = TypeVar("T")


@dataclasses.dataclass
class Item:
    name: str
    qty: int


@attrs.define
class Basket:
    lines: list[Item]
    by_name: dict[str, Item] = attrs.field(factory=dict)


class Struct(msgspec.Struct):
    x: int
    y: float | None = None


class Typed(TypedDict):
    a: int


@dataclasses.dataclass
class Box(Generic[T]):
    content: T


@dataclasses.dataclass
class Tree:
    children: list[Tree]


class Level(enum.IntEnum):
    LOW = 1


class NotData: ...


class Name(str):
    __slots__ = ()

    def __str__(self):
        return "not this"


class Metres(float):
    __slots__ = ()


class Count(int):
    __slots__ = ()


@attrs.define
class Picky:
    x: int

    def __attrs_post_init__(self):
        raise KeyError("never")


def add(a: int, b: int = 5) -> int:
    return a + b


def place(order: Basket, count: int) -> Basket:
    return order


def odd(first: int, /, second: str, *rest: float, only: bool, **more: int) -> None: ...


def bound(codec, function):
    """The method of a function."""
    return codec.bind(Signature.of(function, function.__name__))


def taking(codec, *hints, result=Any):
    """The method ``f(p0: hint, p1: hint …) -> result``."""
    params = tuple(Parameter(f"p{index}", hint=hint) for index, hint in enumerate(hints))
    return codec.bind(Signature("f", params, result))


def refused(function, *args):
    """The InvalidArgument that a call raises."""
    with pytest.raises(InvalidArgument) as caught:
        function(*args)
    return caught.value


def carry(method, *args, **kwargs):
    """Arguments as the handler gets them."""
    got, named = method.decode_args(*method.encode_args(args, kwargs))
    return list(got), dict(named)


class CodecCases(CodecContract):
    """Inherit, and say which codec it is."""

    name: str

    @staticmethod
    def register(registry):
        """The plugin's hook."""
        raise NotImplementedError

    def test_the_hook_registers_the_codec_s_name(self):
        offered = []

        class Registry:
            def add(self, name, factory, options=None):
                offered.append((name, factory, options))

        self.register(Registry())
        assert offered == [(self.name, type(self.make_codec()), None)]

    def test_all_kinds_of_parameters_reach_the_handler(self):
        assert carry(bound(self.make_codec(), odd), 1, "x", 2.5, 3, only=True, extra=9) == (
            [1, "x", 2.5, 3.0],
            {"only": True, "extra": 9},
        )

    @pytest.mark.parametrize(
        ("args", "kwargs", "path"),
        [
            (("x", "x"), {"only": True}, "$.first"),
            ((1, "x", "y"), {"only": True}, "$[2]"),
            ((1, "x"), {"only": 1}, "$.only"),
            ((1, "x"), {"only": True, "extra": "no"}, "$.extra"),
            ((1, "x"), {}, "$.only"),
        ],
    )
    def test_the_path_names_the_argument_of_any_kind(self, args, kwargs, path):
        assert refused(bound(self.make_codec(), odd).encode_args, args, kwargs).path == path

    def test_an_integer_will_do_for_a_float(self):
        ((value,), _) = carry(taking(self.make_codec(), float), 1)
        assert type(value) is float

    def test_the_message_of_a_wrong_type_has_path_expected_and_found(self):
        method = bound(self.make_codec(), place)
        bad = Basket([Item("a", 1), Item("b", "x")])
        error = refused(method.encode_args, (bad, 1), {})
        assert error.message == "$.order.lines[1].qty: expected int, got str"

    def test_a_wrong_result_says_where_and_that_the_handler_ran(self):
        method = bound(self.make_codec(), place)
        error = refused(method.encode_result, Basket([Item("a", "x")]))
        assert error.message == "$.lines[0].qty: expected int, got str"
        assert (error.path, error.executed) == ("$.lines[0].qty", "yes")

    def test_an_error_in_a_record_s_own_check_is_an_invalid_argument(self):
        codec = self.make_codec()
        sent = codec.bind(Signature.dynamic("f")).encode_args(({"x": 1},), {})
        assert "KeyError" in refused(taking(codec, Picky).decode_args, *sent).message

    @pytest.mark.parametrize(
        ("hint", "value"),
        [
            (Basket, Basket([Item("a", 1)], {"b": Item("b", 2)})),
            (Struct, Struct(1, 2.5)),
            (Typed, {"a": 1}),
            (Box[int], Box(3)),
            (Box[Basket], Box(Basket([]))),
            (Tree, Tree([Tree([])])),
            (Level, Level.LOW),
            (dt.datetime, dt.datetime(2024, 2, 29, 12, 0, 1, 5, tzinfo=dt.timezone.utc)),
            (dt.timedelta, dt.timedelta(days=-1, microseconds=7)),
            (decimal.Decimal, decimal.Decimal("1.10")),
            (uuid.UUID, uuid.UUID(int=7)),
            (bytes, b"\x00\xff"),
            (set[int], {1, 2}),
            (tuple[int, str], (1, "x")),
            (dict[int, str], {1: "x"}),
            (dict[dt.date, int], {dt.date(2024, 1, 1): 1}),
            (int | str | None, "x"),
            (Annotated[int, msgspec.Meta(ge=0)], 3),
        ],
        ids=str,
    )
    def test_typed_values_come_back_as_they_were(self, hint, value):
        check_round_trip(self.make_codec(), hint, value)

    @pytest.mark.parametrize(
        "hint",
        [
            NotData,
            list[NotData],
            dict[str, NotData | None],
            complex,
            type,
            dict[tuple[int, int], str],
        ],
        ids=str,
    )
    def test_a_type_that_cannot_be_carried_is_refused_when_the_method_is_bound(self, hint):
        check_refused(self.make_codec(), hint)


def check_refused(codec, hint):
    """A method with the type is refused, as a parameter and as a result."""
    with pytest.raises(TypeError, match=r"^f: the type .* of its parameter p0 cannot be carried"):
        taking(codec, hint)
    with pytest.raises(TypeError, match=r"^f: the type .* of its result cannot be carried"):
        taking(codec, result=hint)


# ── properties ──


def outcome(function, *args):
    """The path of what is wrong, or ``fits``; ``loses`` for what fits and would lose a field.

    Only a sender refuses that: a receiver ignores a field that it does not know.
    """
    try:
        function(*args)
    except InvalidArgument as error:
        return "loses" if "no such field, so it would be lost" in error.message else error.path
    return "fits"


def check_bytes(methods, form, body):
    """Whatever the bytes, each method gives a value or an InvalidArgument with a path."""
    for method in methods:
        outcomes = outcome(method.decode_args, form, body), outcome(method.decode_result, body)
        assert all(found == "fits" or found.startswith("$") for found in outcomes)


def check_mutated(methods, form, body, changes, length):
    """The same for bytes that were valid before some were changed, and some cut off."""
    mutated = bytearray(body)
    for position, byte in changes:
        mutated[position % len(mutated)] = byte
    check_bytes(methods, form, bytes(mutated[: length or None]))


def check_agreement(dynamic, methods, args, kwargs):
    """Client and server find the same fault in arguments, or none."""
    form, body = dynamic.encode_args(tuple(args), kwargs)
    for method in methods:
        sender = outcome(method.encode_args, tuple(args), kwargs)
        receiver = outcome(method.decode_args, form, body)
        assert receiver == ("fits" if sender == "loses" else sender)
