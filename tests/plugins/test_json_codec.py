from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bee_core.errors import InvalidArgument
from bee_core.interfaces import MESSAGE, MIXED, NAMED, POSITIONAL
from bee_core.methods.signatures import Signature
from bee_plugins.codecs.json_codec import JsonCodec, bee_register_codecs
from support import codec_cases
from support.codec_cases import (
    Basket,
    Box,
    CodecCases,
    Count,
    Item,
    Metres,
    Name,
    NotData,
    Struct,
    add,
    check_agreement,
    check_bytes,
    check_mutated,
    check_refused,
    odd,
    place,
)
from support.typed_codecs import check_round_trip

bound = functools.partial(codec_cases.bound, JsonCodec())
taking = functools.partial(codec_cases.taking, JsonCodec())
DYNAMIC = JsonCodec().bind(Signature.dynamic("anything"))


def fields(cls: int, self_: int, __class__: int, __init__: int) -> None: ...


class TestJson(CodecCases):
    name = "json"
    register = staticmethod(bee_register_codecs)

    def make_codec(self):
        return JsonCodec()


# ── what lies in a body ──


@pytest.mark.parametrize("method", [DYNAMIC, bound(add)], ids=["dynamic", "typed"])
def test_positional_arguments_are_an_array(method):
    assert method.encode_args((1, 2), {}) == (POSITIONAL, b"[1,2]")


@pytest.mark.parametrize("method", [DYNAMIC, bound(add)], ids=["dynamic", "typed"])
def test_named_arguments_are_an_object(method):
    assert method.encode_args((), {"a": 1, "b": 2}) == (NAMED, b'{"a":1,"b":2}')


def test_both_kinds_are_an_array_of_two():
    assert DYNAMIC.encode_args((1,), {"b": 2}) == (MIXED, b'[[1],{"b":2}]')


def test_a_typed_client_names_all_arguments_where_it_can():
    assert bound(add).encode_args((1,), {"b": 2}) == (NAMED, b'{"a":1,"b":2}')


def test_a_server_takes_the_mixed_form():
    args, kwargs = bound(add).decode_args(MIXED, b'[[1],{"b":2}]')
    assert (list(args), dict(kwargs)) == ([1], {"b": 2})


def test_a_result_is_the_json_value_itself():
    assert bound(add).encode_result(3) == b"3"


def test_the_message_form_is_refused():
    for method in (DYNAMIC, bound(add)):
        with pytest.raises(InvalidArgument, match="no form of one message"):
            method.decode_args(MESSAGE, b"[]")


# ── arguments ──


def test_an_array_never_fills_a_keyword_only_parameter():
    def pick(a: int, *, b: int = 0) -> int:
        return b

    method = bound(pick)
    with pytest.raises(InvalidArgument, match="at most 1 argument by position"):
        method.decode_args(POSITIONAL, b"[1,2]")
    assert method.decode_args(POSITIONAL, b"[1]") == ((1,), {})


def test_a_required_keyword_only_parameter_is_asked_for():
    def pick(a: int, *, b: int) -> int:
        return b

    with pytest.raises(InvalidArgument) as caught:
        bound(pick).decode_args(POSITIONAL, b"[1]")
    assert (caught.value.path, caught.value.message) == (
        "$.b",
        "pick(a: int, *, b: int) is missing 'b'",
    )


def test_an_object_never_fills_a_positional_only_parameter():
    def pick(a: int = 1, /, b: int = 2) -> int:
        return b

    with pytest.raises(InvalidArgument, match="takes by position only 'a'"):
        bound(pick).decode_args(NAMED, b'{"a":1}')


def test_parameters_may_have_names_that_fields_of_a_class_cannot_have():
    method = bound(fields)
    kwargs = {"cls": 1, "self_": 2, "__class__": 3, "__init__": 4}
    assert method.decode_args(*method.encode_args((), kwargs)) == ((), kwargs)


def test_the_message_says_what_the_method_takes():
    with pytest.raises(
        InvalidArgument,
        match=r"^add\(a: int, b: int = 5\) has no argument 'bb'; did you mean 'b'\?$",
    ):
        bound(add).encode_args((1,), {"bb": 2})


def test_an_absent_default_is_not_invented():
    assert bound(add).decode_args(POSITIONAL, b"[1]") == ((1,), {})
    assert bound(add).decode_args(NAMED, b'{"a":1}') == ((), {"a": 1})


def test_a_handler_without_hints_takes_anything():
    def echo(value, other=None):
        return value

    assert bound(echo).decode_args(POSITIONAL, b'[{"a":[1,"x"]}]') == (({"a": [1, "x"]},), {})
    assert bound(echo).encode_args(({"a": 1},), {}) == (POSITIONAL, b'[{"a":1}]')
    with pytest.raises(InvalidArgument, match="missing 'value'"):
        bound(echo).encode_args((), {})


def test_a_key_that_stands_twice_counts_once_and_last():
    assert bound(add).decode_args(NAMED, b'{"a":1,"a":2}') == ((), {"a": 2})


@pytest.mark.parametrize("wrong", [True, 1.0, "1", None, [1]])
def test_only_an_integer_is_an_int(wrong):
    with pytest.raises(InvalidArgument) as caught:
        bound(add).encode_args((wrong,), {})
    assert caught.value.path == "$.a"


# ── types ──


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (dt.date, dt.date(2024, 2, 29)),
        (Basket | None, None),
        (Iterable[int], [1, 2]),
        (Iterable[dt.date] | None, [dt.date(2024, 1, 1)]),
        (Sequence[Item], [Item("a", 1)]),
        (Mapping[str, float], {"a": 1.5}),
        (object, {"a": 1}),
        (int, 10**30),
    ],
    ids=str,
)
def test_more_typed_values_come_back_as_they_were(hint, value):
    check_round_trip(JsonCodec(), hint, value)


@pytest.mark.parametrize(
    "hint", [Basket | dict[str, int] | dict[str, str], list[str | bytes]], ids=str
)
def test_a_type_that_json_cannot_carry_is_refused_when_the_method_is_bound(hint):
    check_refused(JsonCodec(), hint)


def test_a_class_that_is_no_data_is_named_also_inside_a_record():
    with pytest.raises(TypeError, match="NotData is no type for data"):
        taking(dataclasses.make_dataclass("Holder", [("inner", NotData)]))


def test_a_forward_reference_that_leads_nowhere_is_a_type_error():
    with pytest.raises(TypeError, match="Nowhere"):
        taking(dataclasses.make_dataclass("Holder", [("inner", "Nowhere")]))


def test_constraints_are_checked():
    with pytest.raises(InvalidArgument, match=r"^\$\.p0: expected int >= 0$"):
        taking(Annotated[int, msgspec.Meta(ge=0)]).encode_args((-1,), {})


def test_the_wrong_key_of_a_dict_is_told_from_a_wrong_value():
    with pytest.raises(
        InvalidArgument, match=r"^\$\.p0: a key of the object: expected int, got str$"
    ):
        taking(dict[int, int]).decode_args(POSITIONAL, b'[{"x":1}]')


# ── results ──


def test_a_wrong_result_from_the_server_is_found_by_the_client():
    with pytest.raises(InvalidArgument, match=r"^\$: expected int, got str$"):
        bound(add).decode_result(b'"3"')


def test_a_result_of_an_unknown_class_is_named():
    with pytest.raises(
        InvalidArgument, match=r"^\$\.a\[1\]: a value of type NotData cannot be encoded$"
    ):
        DYNAMIC.encode_result({"a": [1, NotData()]})


# ── what JSON cannot say ──


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("hint", [Any, float | None, float])
def test_a_number_that_json_lacks_is_refused_and_never_null(number, hint):
    method = taking(hint, result=hint)
    with pytest.raises(InvalidArgument, match=r"^\$\.p0: JSON has no number for -?(nan|inf)$"):
        method.encode_args((number,), {})
    with pytest.raises(InvalidArgument, match=r"^\$: JSON has no number for"):
        method.encode_result(number)


def test_a_nan_is_found_beside_nulls_integers_of_any_size_and_inside_records():
    for value in (
        [None, 2**70, {"x": math.nan}],
        [Struct(1), Struct(1, math.nan)],
        {"null": Box(math.inf)},
    ):
        with pytest.raises(InvalidArgument, match="JSON has no number"):
            DYNAMIC.encode_result(value)


def test_none_and_text_that_reads_null_are_fine():
    assert DYNAMIC.decode_result(DYNAMIC.encode_result([None, "null", {"null": 2**70}])) == [
        None,
        "null",
        {"null": 2**70},
    ]


@pytest.mark.parametrize("value", ["\ud800", {"\ud800": 1}, [["\udfff"]]])
def test_a_lone_surrogate_is_refused(value):
    with pytest.raises(InvalidArgument, match="lone surrogate"):
        DYNAMIC.encode_args((value,), {})


def test_an_endless_integer_is_refused():
    with pytest.raises(InvalidArgument, match=r"^\$\[0\]: "):
        DYNAMIC.encode_args((10**5000,), {})
    with pytest.raises(InvalidArgument, match=r"^\$\.a: "):
        bound(add).decode_args(POSITIONAL, b"[" + b"1" * 5000 + b"]")


@pytest.mark.parametrize("key", [None, (1, 2), True])
def test_a_key_that_is_no_text_or_number_is_refused_with_its_path(key):
    with pytest.raises(InvalidArgument, match="the key") as caught:
        DYNAMIC.encode_args((), {"a": [{key: 1}]})
    assert caught.value.path == "$.a[0]"


def test_a_value_that_holds_itself_is_refused():
    value: list[Any] = []
    value.append(value)
    with pytest.raises(InvalidArgument, match=r"^\$\[1\]: nested too deeply, or refers to itself$"):
        DYNAMIC.encode_args((1, value), {})


def test_a_value_nested_without_bound_is_refused_at_once():
    value: Any = 1
    for _ in range(100_000):
        value = [value]
    with pytest.raises(InvalidArgument, match=r"^\$\.a: nested too deeply"):
        DYNAMIC.encode_args((), {"a": value})


def test_subclasses_of_text_and_numbers_go_as_what_they_are():
    assert DYNAMIC.encode_args((Name("bee"), Metres(1.5), Count(7)), {}) == (
        POSITIONAL,
        b'["bee",1.5,7]',
    )


@pytest.mark.parametrize(
    "body", [b'["\xff"]', b'[{"\xff":1}]', b'["\\ud800"]', b"[NaN]", b"[1] 2", b"", b"[1e999]"]
)
@pytest.mark.parametrize(
    "method", [DYNAMIC, taking(Any), taking(str)], ids=["dynamic", "any", "str"]
)
def test_what_is_not_json_is_an_invalid_argument(method, body):
    with pytest.raises(InvalidArgument):
        method.decode_args(POSITIONAL, body)
    with pytest.raises(InvalidArgument):
        method.decode_result(body)


# ── properties ──

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
METHODS = [
    DYNAMIC,
    bound(add),
    bound(place),
    bound(odd),
    taking(Any, str | None),
    taking(dict[int, Struct], list[dt.datetime]),
]
VALID = [
    b"[1,2]",
    b'{"a":1,"b":2}',
    b'[[1,"x",2.5],{"only":true}]',
    b'[{"lines":[{"name":"a","qty":1}],"by_name":{}},3]',
    b'[{"1":{"x":1}},["2024-01-01T00:00:00Z"]]',
]


@given(st.lists(JSON, max_size=4), st.dictionaries(st.text(), JSON, max_size=4))
def test_whatever_json_holds_makes_the_round_trip(args, kwargs):
    got, named = DYNAMIC.decode_args(*DYNAMIC.encode_args(tuple(args), kwargs))
    assert (list(got), dict(named)) == (args, kwargs)


@given(JSON)
def test_results_make_the_round_trip(value):
    assert DYNAMIC.decode_result(DYNAMIC.encode_result(value)) == value


@given(st.integers(0, 5), st.binary(max_size=60))
@example(0, b"[" * 100_000)
@example(1, b'{"a":' * 100_000)
def test_random_bytes_give_a_value_or_invalid_argument(form, body):
    check_bytes(METHODS, form, body)


@given(
    st.integers(0, 3),
    st.sampled_from(VALID),
    st.lists(st.tuples(st.integers(0, 80), st.integers(0, 255)), max_size=4),
    st.integers(0, 80),
)
def test_mutated_bytes_give_a_value_or_invalid_argument(form, body, changes, length):
    check_mutated(METHODS, form, body, changes, length)


@given(
    st.lists(JSON, max_size=4),
    st.dictionaries(st.sampled_from(["a", "b", "order", "only"]), JSON, max_size=3),
)
def test_client_and_server_agree_on_what_fits(args, kwargs):
    check_agreement(DYNAMIC, METHODS[1:], args, kwargs)
