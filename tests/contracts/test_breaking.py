"""Which changes break callers: each rule, and the changes that break nobody."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import msgspec
import pytest

import bee_core
from bee_core.contracts.breaking import breaking_changes
from bee_core.contracts.describing import About, describe, describe_interface
from bee_core.contracts.description import read_description
from bee_core.contracts.endpoint import ServedMethod
from bee_core.methods.signatures import Signature
from bee_plugins.codecs.json_codec import JsonCodec

CODEC = JsonCodec()


def record(*fields, name="Order"):
    return dataclasses.make_dataclass(name, fields, kw_only=True)


def described(function, **marks):
    method = ServedMethod("m", Signature.of(function, "m"), **marks)
    return describe(About("s"), [method], CODEC)


def of(result=None, /, **params):
    """A function with these types; a type with a default is a pair."""

    def method(**given): ...

    import inspect

    kinds = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [
        inspect.Parameter(
            name,
            kinds,
            annotation=hint[0] if isinstance(hint, tuple) else hint,
            default=hint[1] if isinstance(hint, tuple) else inspect.Parameter.empty,
        )
        for name, hint in params.items()
    ]
    method.__signature__ = inspect.Signature(parameters, return_annotation=result)
    method.__annotations__ = {
        **{one.name: one.annotation for one in parameters},
        "return": result,
    }
    return method


def changes(old, new, **marks):
    found = breaking_changes(described(old, **marks), described(new))
    return [(one.rule, one.path, one.breaks) for one in found]


class Color(enum.Enum):
    RED = "red"


class Colors(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Pair(NamedTuple):
    x: int
    y: int


class Triple(NamedTuple):
    x: int
    y: int
    z: int


class Patch(TypedDict, total=False):
    name: str


ORDER = record(("id", int), ("note", str, "x"))
SMALL = Annotated[int, msgspec.Meta(le=10)]

ACCEPTED_TYPES = [  # what a parameter, and the other way round a result, may become
    (int, int),
    (int, float),
    (int, int | str),
    (int, int | None),
    (SMALL, int),
    (Color, Colors),
    (Literal["a"], str),
    (Literal["a"], Literal["a", "b"]),
    (bool, Any),
    (list[int], list[float]),
    (ORDER, record(("id", float), ("note", str, "x"))),
    (record(("id", int)), ORDER),
    (dict[str, int], dict[str, float]),
    (ORDER, dict[str, Any]),
    (tuple[int, int], list[int]),
    (Patch, Patch),
]
NARROWED_TYPES = [
    (Any, int, "TYPE"),
    (float, int, "TYPE"),
    (int, str, "TYPE"),
    (int | None, int, "TYPE"),
    (int, SMALL, "BOUND"),
    (Colors, Color, "VALUE"),
    (str, Literal["a"], "TYPE"),
    (str, bytes, "TYPE"),
    (str, dt.datetime, "TYPE"),
    (dt.date, dt.datetime, "TYPE"),
    (list[int], list[str], "TYPE"),
    (Pair, Triple, "BOUND"),
    (Patch, record(("name", str)), "REQUIRED"),
    (dict[str, Any], ORDER, "TYPE"),
]


@pytest.mark.parametrize(("old", "new"), ACCEPTED_TYPES)
def test_a_parameter_may_become_wider_and_a_result_narrower(old, new):
    assert changes(of(a=old), of(a=new)) == []
    found = [one for one in changes(of(new), of(old)) if "FIELD_REMOVED" not in one[0]]
    assert found == []


@pytest.mark.parametrize(("old", "new", "rule"), NARROWED_TYPES)
def test_a_parameter_that_becomes_narrower_breaks_and_so_does_a_result_that_gets_wider(
    old, new, rule
):
    assert changes(of(a=old), of(a=new))[0][0] == f"PARAMETER_{rule}"
    assert changes(of(new), of(old))[0][0] == f"RESULT_{rule}"


def test_a_date_and_time_that_becomes_text_breaks_msgpack_only():
    assert changes(of(a=dt.datetime), of(a=str)) == [("PARAMETER_FORMAT", "a", "binary")]


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (record(("id", int), ("note", str, "x"), ("more", int, 1)), []),
        (
            record(("id", int), ("note", str, "x"), ("more", list[int])),
            [("PARAMETER_REQUIRED", "a.more", "all")],
        ),
        (record(("id", int)), [("PARAMETER_FIELD_REMOVED", "a.note", "all")]),
        (record(("id", int), ("text", str, "x")), [("PARAMETER_FIELD_RENAMED", "a.note", "all")]),
        (record(("id", str), ("note", str, "x")), [("PARAMETER_TYPE", "a.id", "all")]),
    ],
)
def test_fields_of_records(new, expected):
    assert changes(of(a=ORDER), of(a=new)) == expected
    lines = [(rule, path.replace("a.", "a[]."), breaks) for rule, path, breaks in expected]
    assert changes(of(a=list[ORDER]), of(a=list[new])) == lines


def test_classes_that_contain_themselves_are_compared_once():
    @dataclasses.dataclass
    class Tree:
        value: int
        children: list[Any]

    Tree.__annotations__["children"] = list[Tree]
    tree = dataclasses.dataclass(Tree)
    assert changes(of(a=tree), of(a=tree)) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (of(a=int), of(a=int, b=(int, 1)), []),
        (of(a=int), of(a=int, b=int), [("PARAMETER_ADDED", "b")]),
        (of(a=int, b=int), of(a=int), [("PARAMETER_REMOVED", "b")]),
        (of(a=int), of(b=int), [("PARAMETER_RENAMED", "a")]),
        (of(a=(int, 1)), of(a=int), [("PARAMETER_REQUIRED", "a")]),
        (of(a=int, b=str), of(b=str, a=int), [("PARAMETER_MOVED", "a"), ("PARAMETER_MOVED", "b")]),
        (lambda a: a, lambda *, a: a, [("PARAMETER_KIND", "a")]),
        (lambda a: a, lambda a, /: a, [("PARAMETER_KIND", "a")]),
        (lambda a, /: a, lambda b, /: b, []),
        (lambda *a: a, lambda a: a, [("PARAMETER_KIND", "a")]),
        (lambda a, b: a, lambda *c, **d: c, []),
        (lambda a, b: a, lambda *c: c, [("PARAMETER_REMOVED", "a"), ("PARAMETER_REMOVED", "b")]),
        (lambda **a: a, lambda: 1, [("PARAMETER_REMOVED", "a")]),
    ],
)
def test_parameters(old, new, expected):
    assert [(rule, path) for rule, path, _ in changes(old, new)] == expected


def test_marks_and_errors():
    class OutOfStock(Exception):
        sku: str

    class Fewer(Exception):
        pass

    Fewer.__name__ = "OutOfStock"
    assert changes(of(), of(), idempotent=True) == [("IDEMPOTENT_LOST", "", "all")]
    assert changes(of(), of(), oneway=True) == [("ONEWAY_CHANGED", "", "all")]
    assert changes(of(), of(), errors=(OutOfStock,)) == [("ERROR_REMOVED", "OutOfStock", "all")]
    found = breaking_changes(
        described(of(), errors=(OutOfStock,)), described(of(), errors=(Fewer,))
    )
    assert [(one.rule, one.path) for one in found] == [("ERROR_REQUIRED", "OutOfStock.sku")]


def test_methods_and_codecs():
    class Old:
        def add(self, a: int) -> int: ...
        def mean(self, xs: list[float]) -> float: ...

    class New:
        def total(self, a: int) -> int: ...
        def mean(self, xs: list[float]) -> float: ...

    old, new = describe_interface(Old, CODEC), describe_interface(New, CODEC)
    (change,) = breaking_changes(old, new)
    assert (change.rule, str(change)) == (
        "METHOD_REMOVED",
        "add: the method is gone; is it total now?",
    )
    before = describe(About("s", codecs=("json", "msgpack")), [], CODEC)
    after = describe(About("s", codecs=("msgpack",)), [], CODEC)
    assert [one.rule for one in breaking_changes(before, after)] == ["CODEC_REMOVED"]
    assert breaking_changes(after, before) == []


def test_a_change_says_what_and_where():
    old = described(of(a=list[ORDER]))
    new = described(of(a=list[record(("id", str), ("note", str, "x"))]))
    (change,) = breaking_changes(old, new)
    assert str(change) == "m (a[].id): integer does not fit string"
    (change,) = breaking_changes(described(of(a=int)), described(of(a=str)))
    assert str(change) == "m (a): int is str now"


def test_messages_of_a_proto_are_compared_by_number_name_and_type():
    protos = pytest.importorskip("support.proto_files")
    field, message = protos.field, protos.message

    def request(package, *fields, **rest):
        file = protos.add_file(
            f"breaking/{package}.proto",
            package,
            "proto3",
            messageType=[message("Order", *fields, **rest)],
        )
        return of(request=protos.classes(file)["Order"])

    old = request("b.old", field("id", 1, "int32"), field("note", 2, "string"))
    for package, fields, rest, expected in [
        ("b.same", [field("id", 1, "int32"), field("note", 2, "string")], {}, []),
        (
            "b.more",
            [field("id", 1, "int32"), field("note", 2, "string"), field("x", 3, "bool")],
            {},
            [],
        ),
        (
            "b.name",
            [field("id", 1, "int32"), field("text", 2, "string")],
            {},
            [("PARAMETER_FIELD_RENAMED", "request.note", "json")],
        ),
        (
            "b.number",
            [field("id", 1, "int32"), field("note", 3, "string")],
            {},
            [("PARAMETER_FIELD_NUMBER", "request.note", "binary")],
        ),
        (
            "b.type",
            [field("id", 1, "int64"), field("note", 2, "bytes")],
            {},
            [
                ("PARAMETER_FIELD_TYPE", "request.id", "json"),
                ("PARAMETER_FIELD_TYPE", "request.note", "json"),
            ],
        ),
        (
            "b.gone",
            [field("id", 1, "int32")],
            {},
            [("PARAMETER_FIELD_REMOVED", "request.note", "all")],
        ),
        (
            "b.reserved",
            [field("id", 1, "int32")],
            {"reservedRange": [{"start": 2, "end": 3}], "reservedName": ["note"]},
            [],
        ),
        (
            "b.number_reserved",
            [field("id", 1, "int32")],
            {"reservedRange": [{"start": 2, "end": 3}]},
            [("PARAMETER_FIELD_REMOVED", "request.note", "json")],
        ),
    ]:
        assert changes(old, request(package, *fields, **rest)) == expected, package


def test_the_marks_of_an_interface_count():
    class Old:
        @bee_core.idempotent
        def get(self) -> int: ...

        @bee_core.oneway
        def put(self) -> None: ...

    class New:
        def get(self) -> int: ...

        def put(self) -> None: ...

    found = breaking_changes(describe_interface(Old, CODEC), describe_interface(New, CODEC))
    assert [(one.method, one.rule) for one in found] == [
        ("get", "IDEMPOTENT_LOST"),
        ("put", "ONEWAY_CHANGED"),
    ]


def test_a_value_of_an_enum_of_a_proto_that_has_another_number_breaks_the_binary_form():
    def enum(**numbers):
        color = {"title": "Color", "enum": list(numbers), "x-numbers": numbers}
        method = {"name": "get", "params": [], "result": {"$ref": "#/types/Color"}}
        return read_description({"methods": [method], "types": {"Color": color}})

    (change,) = breaking_changes(enum(RED=1, BLUE=2), enum(RED=1, BLUE=3))
    assert (change.rule, change.breaks) == ("RESULT_VALUE_NUMBER", "binary")
    assert "BLUE is 3 where it is sent, 2 elsewhere" in change.message
    assert breaking_changes(enum(RED=1), enum(RED=1, BLUE=3))[0].breaks == "json"
