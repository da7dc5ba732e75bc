"""Generic records: the types that they and their bases are given are those of the values."""

from __future__ import annotations

import dataclasses
import sys
import textwrap
from typing import Any, Generic, TypeVar

import attrs
import msgspec
import pytest
from typing_extensions import TypedDict
from typing_extensions import TypeVar as DefaultedTypeVar

from support.typed_codecs import check_round_trip, refusal, sent, with_all_codecs

T = TypeVar("T")
K = TypeVar("K")
Bound = TypeVar("Bound", bound="Item")
Choice = TypeVar("Choice", int, str)
Usual = DefaultedTypeVar("Usual", default=int)


@dataclasses.dataclass
class Item:
    id: int


class Loose(TypedDict, Generic[T]):
    b: T


class Tight(Loose[int]):
    n: str


@dataclasses.dataclass
class Box(Generic[T]):
    content: T


@dataclasses.dataclass
class Pair(Box[T], Generic[K, T]):
    key: K


@dataclasses.dataclass
class Named(Pair[str, list[int]]):
    more: int = 0


@attrs.define
class Attrs(Generic[T]):
    content: T


@attrs.define
class AttrsInt(Attrs[int]): ...


class Struct(msgspec.Struct, Generic[T]):
    content: T


class StructInt(Struct[int]): ...


@dataclasses.dataclass
class Other:
    y: int


@dataclasses.dataclass
class Limited(Generic[Bound, Choice, Usual]):
    bound: Bound
    choice: Choice
    usual: Usual


@with_all_codecs
@pytest.mark.parametrize(
    ("hint", "value", "bad", "path"),
    [
        (Tight, {"b": 1, "n": "x"}, {"b": "x", "n": "x"}, "$.p.b"),
        (Loose[int], {"b": 1}, {"b": "x"}, "$.p.b"),
        (list[Tight], [{"b": 1, "n": "x"}], [{"b": "x", "n": "x"}], "$.p[0].b"),
        (Tight | Other, {"b": 1, "n": "x"}, {"b": "x", "n": "x"}, "$.p.b"),
        (Named, Named([1], "a"), {"content": ["x"], "key": "a"}, "$.p.content[0]"),
        (Pair[str, int], Pair(1, "a"), {"content": 1, "key": 1}, "$.p.key"),
        (Named | Other, Named([1], "a"), {"content": [1], "key": 1}, "$.p.key"),
        (AttrsInt, AttrsInt(1), {"content": "x"}, "$.p.content"),
        (StructInt | Other, StructInt(1), {"$type": "StructInt", "content": "x"}, "$.p.content"),
        (Box[int] | Other, Box(1), {"$type": "Box", "content": "x"}, "$.p.content"),
        (
            Limited[Item, int, str],
            Limited(Item(1), 1, "x"),
            {"bound": {"id": 1}, "choice": "x", "usual": "x"},
            "$.p.choice",
        ),
    ],
    ids=lambda part: str(part)[:40],
)
def test_fields_have_the_types_that_were_given(codec, hint, value, bad, path):
    check_round_trip(codec, hint, value)
    assert refusal(sent, codec, hint, bad).startswith(f"{path}: expected")


@with_all_codecs
def test_a_variable_without_a_type_takes_its_default_its_bound_or_one_of_its_constraints(codec):
    check_round_trip(codec, Limited, Limited(Item(1), "x", 3))
    for field, bad in (("bound", 1), ("choice", 1.5), ("usual", "x")):
        good = {"bound": {"id": 1}, "choice": "x", "usual": 3}
        assert refusal(sent, codec, Limited, {**good, field: bad}).startswith(f"$.p.{field}: ")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters are of Python 3.12")
@with_all_codecs
@pytest.mark.parametrize("head", ["", "from __future__ import annotations\n"])
def test_type_parameters_of_python_3_12_are_filled_in(codec, head, monkeypatch):
    space: dict[str, Any] = vars(sys.modules[__name__])
    source = """
        from typing import NamedTuple
        @dataclasses.dataclass
        class NewBox[T]:
            content: T
            next: "NewBox[T] | None" = None
        @attrs.define
        class NewAttrs[T]: content: T
        class NewStruct[T](msgspec.Struct): content: T
        class NewLoose[T](TypedDict): content: T
        class NewTight(NewLoose[int]): n: str
        class NewTuple[T](NamedTuple): content: T
        type Swapped[A, B] = dict[B, A]
    """
    before = set(space)
    code = compile(head + textwrap.dedent(source), __file__, "exec", dont_inherit=True)
    exec(code, space)
    made = {name: space.pop(name) for name in set(space) - before if name[:3] in {"New", "Swa"}}
    for name, value in made.items():
        monkeypatch.setitem(space, name, value)
    box = made["NewBox"]
    for hint, value in (
        (box[int], box(1, box(2))),
        (box[int] | Other, box(1, box(2))),
        (dict[str, box[int]], {"a": box(1)}),
        (made["NewAttrs"][int] | Other, made["NewAttrs"](1)),
        (made["NewStruct"][int] | Other, made["NewStruct"](1)),
        (made["NewLoose"][int], {"content": 1}),
        (made["NewTight"], {"content": 1, "n": "x"}),
        (made["NewTuple"][int], made["NewTuple"](1)),
        (made["NewTuple"][box[int] | Other], made["NewTuple"](box(1))),
        (made["Swapped"][int, str], {"a": 1}),
    ):
        check_round_trip(codec, hint, value)
    for hint, bad in (
        (box[int], {"content": 1, "next": {"content": "x"}}),
        (box[int] | Other, {"$type": "NewBox", "content": "x"}),
        (made["NewTight"], {"content": "x", "n": "x"}),
        (made["NewTuple"][int], ["x"]),
        (made["Swapped"][int, str], {"a": "x"}),
    ):
        assert "expected int, got str" in refusal(sent, codec, hint, bad)
