"""The schemas of types, as the JSON codec tells them."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import ipaddress
import json
import pathlib
import typing
import uuid
from typing import Annotated, Any, Literal, NamedTuple, Optional, TypedDict, Union

import attrs
import msgspec
import pydantic
import pytest

from bee_plugins.codecs.json_codec import JsonCodec
from bee_plugins.codecs.json_schemas import json_schemas

T = typing.TypeVar("T")
Money = typing.NewType("Money", int)


class Color(enum.Enum):
    """A colour."""

    RED = "red"
    BLUE = "blue"


class Point(NamedTuple):
    x: int
    y: int = 0


class Cat(msgspec.Struct, tag="cat"):
    name: str = msgspec.field(name="theName")
    lives: int = 9


@dataclasses.dataclass
class Tree:
    """A tree."""

    value: int
    children: list[Tree] = dataclasses.field(default_factory=list)


@attrs.frozen
class Dog:
    name: str


class Patch(TypedDict, total=False):
    name: str


@dataclasses.dataclass
class Page(typing.Generic[T]):
    items: list[T]


class Model(pydantic.BaseModel):
    name: str = "x"
    inner: Optional[Model] = None  # noqa: UP045  # pydantic evaluates it on 3.10


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        (Any, {}),
        (object, {}),
        (None, {"type": "null"}),
        (bool, {"type": "boolean"}),
        (float, {"type": "number"}),
        (bytes, {"type": "string", "contentEncoding": "base64"}),
        (dt.datetime, {"type": "string", "format": "date-time"}),
        (dt.timedelta, {"type": "string", "format": "duration"}),
        (uuid.UUID, {"type": "string", "format": "uuid"}),
        (decimal.Decimal, {"type": "string", "format": "decimal"}),
        (ipaddress.IPv4Address, {"type": "string", "format": "ipv4"}),
        (pathlib.Path, {"type": "string", "format": "path"}),
        (Money, {"type": "integer"}),
        (T, {}),
        (Literal["a", 1], {"enum": ["a", 1]}),
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (Union[int, Any], {}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (list, {"type": "array", "items": {}}),
        (collections.deque[int], {"type": "array", "items": {"type": "integer"}}),
        (typing.Iterable[int], {"type": "array", "items": {"type": "integer"}}),
        (set[int], {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (
            tuple[int, str],
            {
                "type": "array",
                "prefixItems": [{"type": "integer"}, {"type": "string"}],
                "minItems": 2,
                "maxItems": 2,
            },
        ),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (
            dict[int, str],
            {
                "type": "object",
                "additionalProperties": {"type": "string"},
                "propertyNames": {"format": "integer"},
            },
        ),
        (
            collections.Counter[str],
            {"type": "object", "additionalProperties": {"type": "integer"}},
        ),
        (
            Annotated[int, msgspec.Meta(ge=1, lt=5, description="few")],
            {"type": "integer", "minimum": 1, "exclusiveMaximum": 5, "description": "few"},
        ),
        (
            Annotated[list[int], msgspec.Meta(max_length=3)],
            {"type": "array", "items": {"type": "integer"}, "maxItems": 3},
        ),
        (typing.NoReturn, {"not": {}}),
    ],
)
def test_plain_types(hint, schema):
    assert json_schemas([hint]) == ([schema], {})


@pytest.mark.parametrize(
    ("hint", "name", "schema"),
    [
        (
            Color,
            "Color",
            {"title": "Color", "description": "A colour.", "enum": ["red", "blue"]},
        ),
        (
            Point,
            "Point",
            {
                "title": "Point",
                "type": "array",
                "prefixItems": [
                    {"type": "integer", "title": "x"},
                    {"type": "integer", "title": "y"},
                ],
                "minItems": 1,
                "maxItems": 2,
            },
        ),
        (
            Cat,
            "Cat",
            {
                "title": "Cat",
                "type": "object",
                "properties": {
                    "type": {"const": "cat"},
                    "theName": {"type": "string"},
                    "lives": {"type": "integer"},
                },
                "required": ["type", "theName"],
            },
        ),
        (
            Tree,
            "Tree",
            {
                "title": "Tree",
                "description": "A tree.",
                "type": "object",
                "properties": {
                    "value": {"type": "integer"},
                    "children": {"type": "array", "items": {"$ref": "#/types/Tree"}},
                },
                "required": ["value"],
            },
        ),
        (
            Patch,
            "Patch",
            {
                "title": "Patch",
                "type": "object",
                "properties": {"name": {"type": "string"}},
                "required": [],
            },
        ),
        (
            Page[Dog],
            "Page_Dog",
            {
                "title": "Page",
                "type": "object",
                "properties": {"items": {"type": "array", "items": {"$ref": "#/types/Dog"}}},
                "required": ["items"],
            },
        ),
    ],
)
def test_classes_stand_under_their_names(hint, name, schema):
    schemas, types = json_schemas([hint, hint])
    assert schemas == [{"$ref": f"#/types/{name}"}] * 2
    assert {key: part for key, part in types[name].items() if key != "description"} == {
        key: part for key, part in schema.items() if key != "description"
    }
    assert types[name].get("description") == schema.get("description")


def test_two_classes_of_one_name_are_told_apart():
    other = dataclasses.make_dataclass("Tree", [("height", float)])
    schemas, types = json_schemas([Tree, other])
    assert schemas == [{"$ref": "#/types/Tree"}, {"$ref": "#/types/Tree-2"}]
    assert types["Tree-2"]["properties"] == {"height": {"type": "number"}}


def test_the_members_of_a_union_have_the_field_that_tells_them_apart():
    (schema,), _ = json_schemas([Union[Dog, Tree]])
    assert schema == {
        "anyOf": [
            {
                "$ref": f"#/types/{name}",
                "properties": {"$type": {"const": name}},
                "required": ["$type"],
            }
            for name in ("Dog", "Tree")
        ]
    }


def test_a_model_of_pydantic_is_as_pydantic_says():
    (schema,), types = json_schemas([Model])
    text = json.dumps([schema, types])
    assert "#/types/Model" in text
    assert "$defs" not in text
    assert {"name", "inner"} <= types["Model.Model"]["properties"].keys()


def test_what_no_codec_carries_is_anything_with_a_name():
    assert json_schemas([type("Thing", (), {})]) == ([{"title": "Thing"}], {})


def test_a_message_has_the_numbers_of_its_fields():
    protos = pytest.importorskip("support.proto_files")
    order = protos.classes(protos.NEW)["Order"]
    schemas, types = json_schemas([order])
    assert schemas == [{"$ref": "#/types/tests.new.Order"}]
    properties = types["tests.new.Order"]["properties"]
    assert properties["id"]["x-proto"] == {"number": 1, "type": "int64"}
    assert properties["lines"] == {
        "type": "array",
        "items": {"$ref": "#/types/tests.new.Line"},
        "x-proto": {"number": 3, "type": "message", "repeated": True},
    }
    assert types["tests.new.Kind"]["x-numbers"] == {"LOOSE": 0, "BOXED": 1}


def test_the_codecs_tell_them():
    assert JsonCodec().json_schemas([int]) == ([{"type": "integer"}], {})
