"""What every codec must do: values arrive as they were sent, or are refused.

A codec may refuse what it cannot carry, and may not change it in silence. Where the suite asks for
a NaN, an integer of any size or a union of classes, a codec may refuse it: with ``InvalidArgument``
for a value, with ``TypeError`` from ``bind`` for a type. Else the same value must arrive.

The suite does not check the form of the bytes. It does not fit a codec for one kind of type only,
such as messages of its own; its own tests check that.
"""

from __future__ import annotations

import enum
import math
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from bee_core.errors import InvalidArgument
from bee_core.methods.signatures import Signature

if TYPE_CHECKING:
    from bee_core.contracts.codec import Codec, MethodCodec


class Colour(enum.Enum):
    """An enum for the suite."""

    RED = "red"
    BLUE = "blue"


@attrs.frozen
class Line:
    """A record for the suite."""

    name: str
    qty: int


@attrs.frozen
class Order:
    """A record that holds others."""

    id: int
    lines: list[Line]
    colour: Colour = Colour.RED
    note: str | None = None


@attrs.frozen
class Refund:
    """A record with the fields of another one, for unions."""

    id: int
    lines: list[Line]
    reason: str = ""


@attrs.frozen
class Reading:
    """A record that holds a number."""

    value: float | None


def add(a: int, b: int = 2, *, scale: float = 1.0) -> float:
    """A handler with plain types."""
    return (a + b) * scale


def place(order: Order) -> Order:
    """A handler with records."""
    return order


def digest(data: bytes) -> bytes:
    """A handler of bytes."""
    return data[::-1]


def settle(case: Order | Refund | None, cases: list[Order | Refund]) -> dict[str, Order | Refund]:
    """A handler that takes one class or another."""
    return {str(one.id): one for one in (case, *cases) if one is not None}


def measure(reading: Reading, readings: dict[str, Reading]) -> list[Reading]:
    """A handler with records that hold numbers."""
    return [reading, *readings.values()]


def collect(*items: int, **named: str) -> None:
    """A handler that takes any number of arguments."""


PLAIN_VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    2**63 - 1,
    -(2**63),
    0.1,
    -1e300,
    "",
    "h\u00e9llo \U0001f41d",
    [],
    [1, [2, [None]]],
    {},
    {"a": {"b": [1, 2.5, "x"]}, "": False},
)
"""Values that every codec carries without a type, and gives back equal."""

ORDER = Order(7, [Line("tea", 1), Line("rum", 2)], Colour.BLUE, "soon")


class CodecContract(ABC):
    """Inherit, and say how to make the codec."""

    @abstractmethod
    def make_codec(self) -> Codec:
        """A codec as a client or server would make it."""

    def bind(self, function: Any = None) -> MethodCodec:
        """The method codec of a function, or of a method of which nothing is known."""
        return self.make_codec().bind(
            Signature.dynamic("anything")
            if function is None
            else Signature.of(function, function.__name__)
        )

    def refuses(self, *values: Any) -> None:
        """Each of the values is refused, as an argument and as a result."""
        for value in values:
            with pytest.raises(InvalidArgument):
                self.bind().encode_args((value,), {})
            with pytest.raises(InvalidArgument):
                self.bind().encode_result(value)

    @pytest.mark.parametrize("value", PLAIN_VALUES, ids=repr)
    def test_plain_values_come_back_equal_without_types(self, value: Any) -> None:
        method = self.bind()
        assert method.decode_result(method.encode_result(value)) == value
        assert carry(method, value) == ([value], {})
        assert carry(method, a=value) == ([], {"a": value})
        assert carry(method, value, b=value) == ([value], {"b": value})

    @pytest.mark.parametrize("value", PLAIN_VALUES, ids=repr)
    def test_plain_values_keep_their_class(self, value: Any) -> None:
        method = self.bind()
        assert type(method.decode_result(method.encode_result(value))) is type(value)

    def test_bytes_come_back_where_the_type_says_bytes(self) -> None:
        method = self.bind(digest)
        got, named = carry(method, b"\x00\xff")
        assert digest(*got, **named) == b"\xff\x00"
        assert method.decode_result(method.encode_result(b"\x00\xff")) == b"\x00\xff"

    def test_no_argument_is_a_body_too(self) -> None:
        assert carry(self.bind()) == ([], {})

    def test_arguments_reach_the_handler_as_given(self) -> None:
        method = self.bind(add)
        for args, kwargs in (
            ((1, 2), {}),
            ((1,), {}),
            ((), {"a": 1}),
            ((), {"a": 1, "b": 5}),
            ((1,), {"scale": 2.0}),
            ((1, 3), {"scale": 0.5}),
        ):
            got, named = carry(method, *args, **kwargs)
            assert add(*got, **named) == add(*args, **kwargs)

    def test_a_default_is_left_to_the_handler(self) -> None:
        got, named = carry(self.bind(add), 1)
        assert len(got) + len(named) == 1

    def test_what_a_dynamic_client_sends_a_typed_server_understands(self) -> None:
        form, body = self.bind().encode_args((1,), {"scale": 2})
        args, kwargs = self.bind(add).decode_args(form, body)
        assert add(*args, **kwargs) == 6.0

    def test_variable_arguments_are_carried(self) -> None:
        assert carry(self.bind(collect), 1, 2, x="y") == ([1, 2], {"x": "y"})

    def test_records_are_converted_on_both_ways(self) -> None:
        method = self.bind(place)
        args, kwargs = carry(method, ORDER)
        assert place(*args, **kwargs) == ORDER
        assert method.decode_result(method.encode_result(ORDER)) == ORDER

    @pytest.mark.parametrize(
        ("args", "kwargs", "path"),
        [
            ((), {}, "$.a"),
            ((1, 2, 3), {}, "$"),
            ((1,), {"c": 3}, "$.c"),
            ((1,), {"a": 3}, "$.a"),
            (("x",), {}, "$.a"),
            ((1,), {"b": "x"}, "$.b"),
            ((1,), {"scale": "x"}, "$.scale"),
            ((True,), {}, "$.a"),
            ((1.5,), {}, "$.a"),
        ],
    )
    def test_arguments_that_do_not_fit_are_refused_on_both_sides(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], path: str
    ) -> None:
        method = self.bind(add)
        with pytest.raises(InvalidArgument) as local:
            method.encode_args(args, kwargs)
        form, body = self.bind().encode_args(args, kwargs)
        with pytest.raises(InvalidArgument) as remote:
            method.decode_args(form, body)
        assert (local.value.path, local.value.executed) == (path, "no")
        assert (remote.value.path, remote.value.executed) == (path, "no")

    def test_the_path_leads_to_the_bad_value(self) -> None:
        bad = {"id": 1, "lines": [{"name": "tea", "qty": 1}, {"name": "rum", "qty": "two"}]}
        form, body = self.bind().encode_args((bad,), {})
        with pytest.raises(InvalidArgument) as caught:
            self.bind(place).decode_args(form, body)
        assert caught.value.path == "$.order.lines[1].qty"

    def test_a_result_that_does_not_fit_is_refused_on_both_sides(self) -> None:
        method = self.bind(place)
        with pytest.raises(InvalidArgument):
            method.encode_result("no order")
        with pytest.raises(InvalidArgument):
            method.decode_result(self.bind().encode_result("no order"))

    def test_a_result_where_none_is_promised_is_refused(self) -> None:
        method = self.bind(collect)
        assert method.decode_result(method.encode_result(None)) is None
        with pytest.raises(InvalidArgument):
            method.encode_result(1)

    def test_an_object_without_a_form_in_bytes_is_named_with_its_path(self) -> None:
        with pytest.raises(InvalidArgument, match="object") as caught:
            self.bind().encode_args((), {"a": {"b": [1, object()]}})
        assert caught.value.path == "$.a.b[1]"

    def test_a_class_in_a_union_arrives_as_itself_or_the_union_is_refused_when_bound(self) -> None:
        try:
            method = self.bind(settle)
        except TypeError as error:
            assert "settle" in str(error)  # noqa: PT017 - one of two outcomes
            return
        refund = Refund(7, [Line("tea", 1)])
        args, kwargs = carry(method, refund, [ORDER, refund])
        assert (args, kwargs) == ([refund, [ORDER, refund]], {})
        assert carry(method, case=None, cases=[]) == ([], {"case": None, "cases": []})
        result = {"a": refund, "b": ORDER}
        assert method.decode_result(method.encode_result(result)) == result
        with pytest.raises(InvalidArgument) as caught:
            method.encode_args((None, [refund, "no order"]), {})
        assert caught.value.path == "$.cases[1]"

    @pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
    def test_a_number_that_is_not_finite_arrives_as_it_is_or_is_refused_wherever_it_stands(
        self, number: float
    ) -> None:
        for value in (number, [None, number], {"a": {"b": number}}):
            same_or_refused(self.bind(), value)
        method = self.bind(measure)
        same_or_refused(method, Reading(number), {})
        same_or_refused(method, Reading(None), {"a": Reading(1.0), "b": Reading(number)})
        same_or_refused(method, result=[Reading(None), Reading(number)])

    @pytest.mark.parametrize(
        "value",
        [2**63, 2**64, -(2**63) - 1, 10**100, 10**5000],
        ids=lambda value: f"{value.bit_length()} bits",
    )
    def test_an_integer_of_any_size_arrives_as_it_is_or_is_refused(self, value: int) -> None:
        same_or_refused(self.bind(), value, {"a": [value]})
        same_or_refused(self.bind(), result={"a": [value]})
        same_or_refused(self.bind(add), value)

    def test_text_that_is_no_unicode_is_refused(self) -> None:
        self.refuses("\ud800", ["\udfff"], {"a": {"\ud800": 1}})

    def test_a_value_without_end_is_refused(self) -> None:
        loop: list[Any] = []
        loop.append(loop)
        deep: Any = 1
        for _ in range(100_000):
            deep = [deep]
        self.refuses(loop, deep)

    @pytest.mark.parametrize(
        "body", [b"", b"\xff\xfe\x00", b"[" * 100_000, b"\x91" * 100_000, b'{"a":', b"\x00" * 20]
    )
    def test_any_bytes_give_a_value_or_invalid_argument(self, body: bytes) -> None:
        for method in (self.bind(), self.bind(add), self.bind(place), self.bind(collect)):
            for form in range(256):
                accept_or_refuse(method.decode_args, form, body)
            accept_or_refuse(method.decode_result, body)

    @pytest.mark.parametrize("tail", [b"\x00", b"\xff", b"\xc1\xc1", b"]}", b"\x00" * 100])
    def test_bytes_after_the_arguments_or_the_result_are_refused(self, tail: bytes) -> None:
        for method in (self.bind(), self.bind(add)):
            for args, kwargs in (((1, 2), {}), ((), {"a": 1}), ((1,), {"scale": 2.0})):
                form, body = method.encode_args(args, kwargs)
                with pytest.raises(InvalidArgument):
                    method.decode_args(form, body + tail)
        for method, result in ((self.bind(), [1, {"a": "x"}]), (self.bind(place), ORDER)):
            body = method.encode_result(result)
            for after in (tail, body):
                with pytest.raises(InvalidArgument):
                    method.decode_result(body + after)

    def test_an_unknown_form_is_refused(self) -> None:
        for method in (self.bind(), self.bind(add)):
            with pytest.raises(InvalidArgument):
                method.decode_args(200, method.encode_args((1,), {})[1])


def same_or_refused(method: MethodCodec, *args: Any, result: Any = None) -> None:
    """Carry arguments and a result. What is not refused must arrive as it was sent."""
    with suppress(InvalidArgument):
        assert _same(carry(method, *args), (list(args), {}))
    with suppress(InvalidArgument):
        assert _same(method.decode_result(method.encode_result(result)), result)


def _same(one: Any, other: Any) -> bool:
    return one == other or repr(one) == repr(other)  # a NaN equals nothing, and looks like itself


def carry(method: MethodCodec, *args: Any, **kwargs: Any) -> tuple[list[Any], dict[str, Any]]:
    """Arguments as they arrive at the server."""
    got, named = method.decode_args(*method.encode_args(args, kwargs))
    return list(got), dict(named)


def accept_or_refuse(decode: Any, *args: Any) -> None:
    """Decode; InvalidArgument with a path is the only exception that passes."""
    try:
        decode(*args)
    except InvalidArgument as error:
        assert error.path.startswith("$")  # noqa: PT017  # one of two outcomes
