from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import inspect
import sys
from collections.abc import Iterable
from typing import Annotated, Any

import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import example, given
from hypothesis import strategies as st

import bee_core
from bee_core.errors import InvalidArgument
from bee_core.interfaces import MESSAGE, MIXED, NAMED, POSITIONAL
from bee_core.methods.signatures import Parameter, Signature
from bee_plugins.codecs.bee.v1.value_pb2 import Arguments, Result, Value
from bee_plugins.codecs.protobuf_codec import ProtobufCodec, bee_register_codecs
from support import codec_cases, processes
from support.codec_cases import (
    Basket,
    Box,
    CodecCases,
    Item,
    Level,
    NotData,
    Struct,
    Tree,
    add,
    carry,
    check_agreement,
    check_bytes,
    check_mutated,
    check_refused,
    odd,
    place,
    refused,
)
from support.proto_files import Line, Order, Parcel, Receipt
from support.typed_codecs import check_round_trip


@dataclasses.dataclass
class Holder:
    order: Order


bound = functools.partial(codec_cases.bound, ProtobufCodec())
taking = functools.partial(codec_cases.taking, ProtobufCodec())
DYNAMIC = ProtobufCodec().bind(Signature.dynamic("anything"))


def buy(order: Order) -> Receipt: ...


def ship(parcel: Parcel) -> Parcel: ...


def change(order: Order, count: int, *, receipt: Receipt | None = None) -> list[Receipt]: ...


ORDER = Order(id=7, note="soon", lines=[Line(name="tea", kind=1)])


class TestProtobuf(CodecCases):
    name = "protobuf"
    register = staticmethod(bee_register_codecs)

    def make_codec(self):
        return ProtobufCodec()


# ── bare messages ──


def test_a_method_of_one_message_sends_it_with_nothing_around_it():
    method = bound(buy)
    assert (
        method.encode_args((ORDER,), {})
        == method.encode_args((), {"order": ORDER})
        == (MESSAGE, ORDER.SerializeToString())
    )
    assert method.decode_args(MESSAGE, ORDER.SerializeToString()) == ((ORDER,), {})


def test_a_result_that_is_a_message_is_sent_with_nothing_around_it():
    receipt = Receipt(total=1.5)
    method = bound(buy)
    assert method.encode_result(receipt) == receipt.SerializeToString()
    assert method.decode_result(receipt.SerializeToString()) == receipt


def test_a_message_without_fields_is_a_body_without_bytes():
    method = taking(Empty, result=Empty)
    assert method.encode_args((Empty(),), {}) == (MESSAGE, b"")
    assert method.decode_args(MESSAGE, b"") == ((Empty(),), {})
    assert method.decode_result(method.encode_result(Empty())) == Empty()


def test_a_message_by_keyword_only_reaches_the_handler_by_keyword():
    def pick(*, order: Order) -> None: ...

    method = bound(pick)
    form, body = method.encode_args((), {"order": ORDER})
    assert (form, method.decode_args(form, body)) == (MESSAGE, ((), {"order": ORDER}))


def test_a_message_by_position_only_is_not_taken_by_name():
    def pick(order: Order, /) -> None: ...

    method = bound(pick)
    assert carry(method, ORDER) == ([ORDER], {})
    assert (
        "takes by position only 'order'"
        in refused(method.encode_args, (), {"order": ORDER}).message
    )


def test_a_message_with_a_default_may_be_left_out():
    def pick(order: Order = ORDER) -> None: ...

    method = bound(pick)
    assert carry(method) == ([], {})
    assert method.encode_args((ORDER,), {})[0] == MESSAGE


@pytest.mark.parametrize("value", [Receipt(), {"id": 1}, "text", None])
def test_another_value_in_the_place_of_the_message_is_refused_before_it_is_sent(value):
    error = refused(bound(buy).encode_args, (value,), {})
    assert (error.path, error.executed) == ("$.order", "no")
    assert error.message == f"$.order: expected Order, got {type(value).__name__}"


def test_the_number_of_arguments_is_checked():
    assert "missing 'order'" in refused(bound(buy).encode_args, (), {}).message
    assert (
        "at most 1 argument by position, 2 were given"
        in refused(bound(buy).encode_args, (ORDER, ORDER), {}).message
    )
    assert (
        "has no argument 'other'" in refused(bound(buy).encode_args, (), {"other": ORDER}).message
    )


def test_bytes_of_another_message_are_refused_with_the_path_of_the_field():
    error = refused(bound(buy).decode_args, MESSAGE, Receipt(total=1.5).SerializeToString())
    assert (error.path, error.executed) == ("$.order.id", "no")
    error = refused(bound(buy).decode_result, ORDER.SerializeToString())
    assert (error.path, error.executed) == ("$.total", "yes")


def test_a_missing_required_field_is_refused_on_both_sides_with_its_path():
    for error in (
        refused(bound(ship).encode_args, (Parcel(),), {}),
        refused(bound(ship).decode_args, MESSAGE, b""),
    ):
        assert (error.path, error.message) == (
            "$.parcel.id",
            "$.parcel.id: required in a tests.old.Parcel, and missing",
        )
    error = refused(bound(ship).encode_result, Parcel(id=1, parts=[Parcel()]))
    assert (error.path, error.executed) == ("$.parts[0].id", "yes")


def test_a_number_that_a_closed_enum_does_not_know_is_refused():
    assert (
        refused(bound(ship).decode_args, MESSAGE, b"\x08\x01\x10\x09").message
        == "$.parcel.kind: 9 is not in the enum tests.old.Kind"
    )


def test_a_result_of_another_class_is_refused():
    error = refused(bound(buy).encode_result, {"total": 1.5})
    assert (error.path, error.message, error.executed) == (
        "$",
        "$: expected Receipt, got dict",
        "yes",
    )


def test_a_plain_result_where_a_message_is_expected_says_what_is_wrong():
    assert (
        "the other side has no such type for its result"
        in refused(bound(buy).decode_result, DYNAMIC.encode_result({"total": 1.5})).message
    )


def test_a_message_where_a_plain_result_is_expected_says_what_to_do():
    for method in (DYNAMIC, bound(add)):
        for body in (ORDER.SerializeToString(), b""):
            error = refused(method.decode_result, body)
            assert "call it through an interface that says of which class" in error.message


def test_a_method_that_does_not_take_one_message_refuses_a_bare_one():
    for method in (DYNAMIC, bound(add), bound(change)):
        assert (
            "one bare message"
            in refused(method.decode_args, MESSAGE, ORDER.SerializeToString()).message
        )


# ── messages beside plain values ──


def test_a_caller_without_an_interface_reaches_a_method_of_one_message():
    form, body = DYNAMIC.encode_args((ORDER,), {})
    assert form == POSITIONAL
    assert bound(buy).decode_args(form, body) == ((ORDER,), {})
    assert bound(buy).decode_args(*DYNAMIC.encode_args((), {"order": ORDER})) == (
        (),
        {"order": ORDER},
    )
    assert (
        refused(bound(buy).decode_args, *DYNAMIC.encode_args((Receipt(),), {})).message
        == "$.order: expected Order, got Receipt"
    )


def test_messages_and_plain_values_go_together():
    method = bound(change)
    assert carry(method, ORDER, 3) == ([ORDER, 3], {})
    assert carry(method, ORDER, count=3, receipt=Receipt(total=2)) == (
        [ORDER],
        {"count": 3, "receipt": Receipt(total=2)},
    )
    assert method.decode_result(method.encode_result([Receipt(total=1), Receipt()])) == [
        Receipt(total=1),
        Receipt(),
    ]


def test_a_message_of_another_class_beside_plain_values_is_refused_on_both_sides():
    method = bound(change)
    for error in (
        refused(method.encode_args, (Receipt(), 3), {}),
        refused(method.decode_args, *DYNAMIC.encode_args((Receipt(), 3), {})),
    ):
        assert (error.path, error.message) == ("$.order", "$.order: expected Order, got Receipt")
    for error in (
        refused(method.encode_result, [Receipt(), ORDER]),
        refused(method.decode_result, DYNAMIC.encode_result([Receipt(), ORDER])),
    ):
        assert (error.path, error.message, error.executed) == (
            "$[1]",
            "$[1]: expected Receipt, got Order",
            "yes",
        )


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (Order | None, ORDER),
        (Order | None, None),
        (list[Order], [ORDER, Order()]),
        (dict[str, Order], {"a": ORDER}),
        (Annotated[dict[int, Order | None], "noted"], {1: ORDER, 2: None}),
        (tuple[int, Order], (1, ORDER)),
        (Iterable[Order], [ORDER]),
        (Order | Receipt, ORDER),
        (Order | Receipt, Receipt(total=1)),
        (list[Order | Receipt | None], [ORDER, None, Receipt()]),
        (Message, ORDER),
        (list[Timestamp], [Timestamp(seconds=1)]),
        (Any, {"a": [ORDER, 1]}),
        (dict[str, Any], {"a": ORDER}),
    ],
    ids=str,
)
def test_messages_in_containers_and_unions(hint, value):
    method = taking(hint, int, result=hint)
    assert carry(method, value, 1) == ([value, 1], {})
    got = method.decode_result(method.encode_result([value] if hint is Order else value))
    assert got == value


def test_a_message_that_a_union_does_not_name_is_refused():
    method = taking(list[Order | Receipt], int)
    for error in (
        refused(method.encode_args, ([Line()], 1), {}),
        refused(method.decode_args, *DYNAMIC.encode_args(([Line()], 1), {})),
    ):
        assert error.message == "$.p0[0]: expected Order | Receipt, got Line"


@pytest.mark.parametrize("hint", [Holder, list[Holder], Order | int, list[Order | str]], ids=str)
def test_a_message_in_a_record_or_beside_something_else_is_refused_when_the_method_is_bound(hint):
    check_refused(ProtobufCodec(), hint)


def test_a_message_in_a_union_with_something_else_says_what_can_be():
    with pytest.raises(
        TypeError,
        match=r"^f: the type \S*Order.* of its parameter p0 cannot be carried: only messages and "
        r"None can be in a union with a message$",
    ):
        taking(Order | int)


def test_a_record_that_holds_a_message_under_any_is_refused_when_it_is_sent():
    error = refused(DYNAMIC.encode_args, ({"a": [Box(ORDER)]},), {})
    assert error.message == "$[0]: a record cannot hold a message; make the record a message too"
    error = refused(taking(Box[Any], int).encode_args, (Box(ORDER), 1), {})
    assert error.path == "$.p0"
    error = refused(DYNAMIC.encode_result, Box(ORDER))
    assert (error.path, error.executed) == ("$", "yes")


# ── plain values ──


def test_the_forms_of_arguments():
    for method in (DYNAMIC, bound(add)):
        for args, kwargs, form in (
            ((1, 2), {}, POSITIONAL),
            ((), {"a": 1, "b": 2}, NAMED),
            ((1,), {"b": 2}, MIXED),
            ((1,), {}, POSITIONAL),
        ):
            found, body = method.encode_args(args, kwargs)
            assert found == form
            message = Arguments.FromString(body)
            assert [value.integer for value in message.positional] == list(args)
            assert {entry.key: entry.value.integer for entry in message.named} == kwargs


def test_a_call_without_arguments_has_no_bytes():
    assert DYNAMIC.encode_args((), {}) == (POSITIONAL, b"")


def test_a_result_is_a_result():
    assert (
        bound(add).encode_result(3)
        == Result(value=Value(integer=3)).SerializeToString()
        == bytes.fromhex("c23e021806")
    )


@pytest.mark.parametrize(
    ("form", "body"),
    [
        (POSITIONAL, Arguments(named=[{"key": "a", "value": {"integer": 1}}])),
        (NAMED, Arguments(positional=[{"integer": 1}])),
    ],
)
def test_a_body_that_is_not_of_its_form_is_refused(form, body):
    assert (
        "holds one kind" in refused(bound(add).decode_args, form, body.SerializeToString()).message
    )


def test_bytes_of_something_else_are_refused():
    for body in (b"[1,2]", ORDER.SerializeToString(), b"\x93\x01\x02\x03", b"\x0a\x02\x32\xff"):
        assert (
            "not the bytes of a bee.v1.Arguments"
            in refused(bound(add).decode_args, POSITIONAL, body).message
        )


def test_the_path_names_an_argument_that_does_not_fit_into_64_bits():
    error = refused(bound(odd).encode_args, (1, "x", 2**64), {"only": True})
    assert error.path == "$[2]"


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (frozenset[str], frozenset(["x"])),
        (dict[Level, int], {Level.LOW: 1}),
        (dict[bytes, int], {b"x": 1}),
        (float | None, float("inf")),
        (int | float, 2**64 - 1),
        (object, {"a": b"x", 1: None}),
        (dict, {1: "a", "1": 2}),
        (list, [1, 1.5]),
        (Any, [{"a": b"x"}]),
    ],
    ids=str,
)
def test_more_typed_values_come_back_as_they_were(hint, value):
    check_round_trip(ProtobufCodec(), hint, value)


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (int, True),
        (int, 1.0),
        (float, "1"),
        (bytes, "YQ=="),
        (str, b"a"),
        (dict[str, Any], {1: "x"}),
        (dict[int, str], {"1": "x"}),
        (Level, 9),
        (list[int], [1, "x"]),
    ],
    ids=repr,
)
def test_what_is_of_another_type_is_refused_on_both_sides(hint, value):
    method = taking(hint, result=hint)
    for error in (
        refused(method.encode_args, (value,), {}),
        refused(method.decode_args, *DYNAMIC.encode_args((value,), {})),
    ):
        assert error.path.startswith("$.p0")
        assert error.executed == "no"
    for error in (
        refused(method.encode_result, value),
        refused(method.decode_result, DYNAMIC.encode_result(value)),
    ):
        assert error.path.startswith("$")
        assert error.executed == "yes"


def test_a_number_that_an_enum_does_not_know_is_refused():
    assert (
        refused(taking(list[Level]).decode_args, *DYNAMIC.encode_args(([1, 9],), {})).path
        == "$.p0[1]"
    )


@pytest.mark.parametrize(
    ("value", "path", "problem"),
    [
        ([1, 2**64], "$.a[1]", "an integer that does not fit into 64 bits"),
        ({"b c": [object()]}, "$.a['b c'][0]", "a value of type object cannot be encoded"),
        ([{(1, 2): 3}], "$.a[0]", "the key (1, 2) cannot be encoded: a key is text"),
        ("\ud800", "$.a", "lone surrogate"),
        ([Parcel()], "$.a[0]", ".id: required in a tests.old.Parcel, and missing"),
        ({"x": Box(NotData())}, "$.a.x.content", "a value of type NotData cannot be encoded"),
    ],
    ids=["integer", "object", "key", "surrogate", "message", "record"],
)
def test_what_cannot_be_sent_is_named_with_its_path(value, path, problem):
    for method in (DYNAMIC, ProtobufCodec().bind(Signature("f", (Parameter("a"),), Any))):
        error = refused(method.encode_args, (), {"a": value})
        assert (error.path, error.executed) == (path, "no")
        assert problem in error.message
    assert refused(DYNAMIC.encode_result, value).executed == "yes"


def deep(depth):
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_a_value_nested_without_bound_is_refused_at_once():
    endless: list[Any] = []
    endless.append(endless)
    for value in (deep(33), deep(100_000), endless):
        for method in (DYNAMIC, taking(list, int)):
            assert (
                "nested too deeply, or refers to itself"
                in refused(method.encode_args, (value, 1), {}).message
            )
        assert "nested too deeply" in refused(taking(list[Any]).encode_result, value).message
        assert refused(taking(Tree).encode_args, (value,), {}).path.startswith("$.p0")


def test_bytes_nested_without_bound_are_refused():
    body = Value(integer=1).SerializeToString()
    for _ in range(3000):
        item = b"\x0a" + _varint(len(body)) + body
        body = b"\x42" + _varint(len(item)) + item
    refused(DYNAMIC.decode_args, POSITIONAL, b"\x0a" + _varint(len(body)) + body)


def _varint(number):
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def test_a_message_of_a_class_that_is_not_known_here_is_refused():
    body = Arguments(
        positional=[{"list": {"items": [{"message": {"type_url": "x/shop.Basket"}}]}}]
    ).SerializeToString()
    error = refused(bound(add).decode_args, POSITIONAL, body)
    assert error.path == "$.a[0]"
    assert "'shop.Basket', which this program does not know" in error.message


# ── properties ──

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text() | st.integers(0, 9), inner, max_size=4)
    ),
    max_leaves=12,
)
METHODS = [
    DYNAMIC,
    bound(add),
    bound(place),
    bound(odd),
    bound(buy),
    bound(ship),
    bound(change),
    taking(Any, str | None),
    taking(dict[int, Struct], list[dt.datetime]),
]
VALID = [
    DYNAMIC.encode_args((1, 2), {})[1],
    DYNAMIC.encode_args((1, "x", 2.5), {"only": True})[1],
    DYNAMIC.encode_args((Basket([Item("a", 1)]), 3), {})[1],
    DYNAMIC.encode_args(({1: {"x": 1}}, ["2024-01-01T00:00:00Z"]), {})[1],
    bound(change).encode_args((ORDER, 3), {"receipt": Receipt(total=1)})[1],
    ORDER.SerializeToString(),
    Parcel(id=1, kind=1, parts=[Parcel(id=2)], named={"x": Parcel(id=3)}).SerializeToString(),
    DYNAMIC.encode_result({"a": [1, None, "x", 2.5, b"y", {3: ORDER}]}),
]


@given(st.lists(PLAIN, max_size=4), st.dictionaries(st.text(), PLAIN, max_size=4))
def test_whatever_is_plain_makes_the_round_trip(args, kwargs):
    assert carry(DYNAMIC, *args) == (args, {})
    got, named = DYNAMIC.decode_args(*DYNAMIC.encode_args(tuple(args), kwargs))
    assert (list(got), dict(named)) == (args, kwargs)


@given(st.integers(0, 5), st.binary(max_size=80))
@example(0, b"\x0a\x00" * 5_000)
@example(1, b"\x12\x00" * 5_000)
@example(3, b"\x1a\x00" * 5_000)
def test_random_bytes_give_a_value_or_invalid_argument(form, body):
    check_bytes(METHODS, form, body)


@given(
    st.integers(0, 3),
    st.sampled_from(VALID),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4),
    st.integers(0, 200),
)
def test_mutated_bytes_give_a_value_or_invalid_argument(form, body, changes, length):
    check_mutated(METHODS, form, body, changes, length)


@given(
    st.lists(PLAIN, max_size=4),
    st.dictionaries(st.sampled_from(["a", "b", "order", "only"]), PLAIN, max_size=3),
)
def test_client_and_server_agree_on_what_fits(args, kwargs):
    check_agreement(DYNAMIC, METHODS[1:], args, kwargs)


MEMORY = """
import resource
from bee_core.errors import InvalidArgument
from bee_core.methods.signatures import Signature
from bee_plugins.codecs.protobuf_codec import ProtobufCodec

method = ProtobufCodec().bind(Signature.dynamic("anything"))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for start in (b"\\x0a\\x00", b"\\x0a\\x02\\x08", b"\\x0a\\x02\\x42", b"\\x0a\\x02\\x4a"):
    item = start if len(start) == 2 else start + b"\\x00"
    try:
        method.decode_args(0, item * (500_000 // len(item)))
    except InvalidArgument:
        pass
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_small_bytes_do_not_become_much_memory():
    grown = int(processes.run([sys.executable, "-c", MEMORY], check=True, timeout=50).stdout)
    assert grown < 63, f"bodies of 500 kB took {grown} MB"


# ── as a plugin ──


def test_without_protobuf_the_error_says_what_to_install():
    program = (
        "import sys; sys.modules['google'] = None\n"
        "import bee_core\n"
        "service = {'codec': 'protobuf', 'address': 'a:1'}\n"
        "try: bee_core.build_client({'bee': {'rpc': {'client': {'x': service}}}})\n"
        "except bee_core.errors.PluginError as error: print(error)"
    )
    said = processes.run([sys.executable, "-c", program], check=True, timeout=30).stdout
    assert "pip install 'bee-rpc[protobuf]'" in said


class Shop:
    def add(self, a: int, b: int = 5) -> int:
        return a + b

    async def buy(self, order: Order) -> Receipt:
        return Receipt(total=order.id * 1.5, note=len(order.lines))

    @bee_core.nonblocking
    def echo(self, value):
        return value

    def change(self, order: Order, count: int) -> list[Receipt]:
        return [Receipt(total=order.id)] * count

    def wrong(self) -> Receipt:
        return "no receipt"


def test_a_client_and_a_server_speak_protobuf():
    server = bee_core.build_server(
        {
            "bee": {
                "rpc": {
                    "server": {
                        "name": "shop",
                        "address": "127.0.0.1:0",
                        "codecs": ["protobuf", "json"],
                    }
                }
            }
        }
    )
    with pytest.raises(TypeError, match="buy: the type Receipt of its result cannot be carried"):
        server.add(Shop())  # json cannot
    server = bee_core.build_server(
        {
            "bee": {
                "rpc": {
                    "server": {"name": "shop", "address": "127.0.0.1:0", "codecs": ["protobuf"]}
                }
            }
        }
    )
    server.add(Shop())
    with server.in_thread():
        config = {
            "bee": {
                "rpc": {
                    "client": {
                        "shop": {"address": server.address, "codec": "protobuf", "timeout": 10}
                    }
                }
            }
        }
        with bee_core.build_client(config) as client:
            shop, typed = client.service("shop"), client.service("shop", Shop)
            value = {
                "n": None,
                "i": 2**64 - 1,
                "f": 1.0,
                "b": b"\x00",
                "l": [1, "a"],
                7: float("inf"),
            }
            assert shop.echo(value) == value
            assert (shop.add(1), shop.add(1, b=2), typed.add(a=1, b=2)) == (6, 3, 3)
            assert typed.buy(ORDER) == Receipt(total=10.5, note=1)
            assert (
                typed.change(ORDER, 2)
                == shop.change(ORDER, count=2)
                == [Receipt(total=7), Receipt(total=7)]
            )
            with pytest.raises(InvalidArgument, match="call it through an interface"):
                shop.buy(ORDER)
            with pytest.raises(InvalidArgument, match="expected Receipt, got str") as caught:
                typed.wrong()
            assert caught.value.executed == "yes"


def test_the_signature_of_a_parameter_of_any_number_of_messages():
    method = ProtobufCodec().bind(
        Signature(
            "f",
            (Parameter("orders", inspect.Parameter.VAR_POSITIONAL, Order, required=False),),
            None,
        )
    )
    assert carry(method, ORDER, ORDER) == ([ORDER, ORDER], {})
