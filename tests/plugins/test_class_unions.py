"""Unions of record classes, with the codecs json and msgpack alike."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import threading
from collections.abc import Iterable, Mapping
from typing import (
    Annotated,
    Any,
    Generic,
    NamedTuple,
    Optional,
    Protocol,
    TypedDict,
    TypeVar,
    Union,
)

import attrs
import msgspec
import pytest
from typing_extensions import NotRequired

import bee_core
from bee_core.errors import InvalidArgument
from bee_core.interfaces import POSITIONAL
from bee_core.methods.signatures import Signature
from bee_plugins.codecs.json_codec import JsonCodec
from support.typed_codecs import check_round_trip, named, refusal, sent, taking, with_all_codecs

T = TypeVar("T")


@dataclasses.dataclass
class Cat:
    name: str
    lives: int = 9


@dataclasses.dataclass
class Dog:
    name: str
    tricks: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Kitten(Cat):
    weeks: int = 0


@attrs.frozen
class Bird:
    name: str
    wings: int
    _age: int = 0


class Fish(msgspec.Struct, rename={"water": "livesIn"}):
    name: str
    water: str
    caught: dt.date | None = None


class Horse(msgspec.Struct, tag="horse", forbid_unknown_fields=True):
    name: str


class Mule(msgspec.Struct, tag="mule", forbid_unknown_fields=True):
    parent: Horse | Cat


class Sold(TypedDict):
    price: float
    pet: NotRequired[Cat | Dog]


class Lost(TypedDict):
    since: int


class Seat(NamedTuple):
    pet: Cat | Dog
    row: int = 1


class Box(msgspec.Struct, array_like=True, tag="box"):
    pet: Cat | Dog
    n: int = 2


@dataclasses.dataclass
class Owner:
    pet: Cat | Dog
    others: list[Cat | Dog] = dataclasses.field(default_factory=list)
    by_name: dict[str, Cat | Dog | None] = dataclasses.field(default_factory=dict)
    moment: dt.datetime | None = None
    data: bytes = b""


@dataclasses.dataclass
class Leaf:
    value: float | None


@dataclasses.dataclass
class Branch:
    children: list[Leaf | Branch]


@dataclasses.dataclass
class Holder(Generic[T]):
    content: T


@dataclasses.dataclass
class PetHolder(Holder[Union[Cat, Dog]], Generic[T]):
    note: T | None = None


@dataclasses.dataclass(init=False)
class Derived:
    pet: Cat | Dog

    def __init__(self, pet: Cat | Dog, seed: int) -> None:
        self.pet = pet


@dataclasses.dataclass(frozen=True)
class Heads:
    n: int


@dataclasses.dataclass(frozen=True)
class Tails:
    n: int


def on_the_wire(codec, hint, value):
    """What a client without types sees."""
    return codec.bind(Signature.dynamic("f")).decode_result(
        taking(codec, Any, hint).encode_result(value)
    )


TOM = Cat("Tom")
REX = Dog("Rex", ["sit"])


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (Cat | Dog, TOM),
        (Union[Cat, Dog], REX),
        (Cat | Dog | None, None),
        (Optional[Union[Cat, Dog]], REX),  # noqa: UP045
        (Annotated[Cat | Dog, "documented"], TOM),
        (list[Cat | Dog], [TOM, REX]),
        (dict[str, Cat | Dog], {"a": REX}),
        (dict[int, list[Cat | Dog | None]], {1: [TOM, None]}),
        (Mapping[str, Cat | Dog], {"a": REX}),
        (Iterable[Cat | Dog], [REX]),
        (tuple[Cat | Dog, int], (TOM, 1)),
        (tuple[Cat | Dog, ...], (TOM, REX)),
        (set[Heads | Tails], {Heads(1), Tails(1)}),
        (frozenset[Heads | Tails], frozenset([Heads(1), Tails(1)])),
        (Cat | Bird | Fish | Horse, Bird("Tweety", 2, 7)),
        (Cat | Bird | Fish | Horse, Fish("Wanda", "sea", dt.date(2024, 1, 1))),
        (Cat | Bird | Fish | Horse, Horse("Ed")),
        (Fish | Horse, Fish("Wanda", "sea")),
        (Horse | Mule, Mule(Horse("Ed"))),
        (Horse | Mule, Mule(TOM)),
        (Mule, Mule(TOM)),
        (Cat | dict, {"name": "Tom", "lives": 9}),
        (Cat | dict[str, Any], TOM),
        (Cat | Dog | dict[str, Cat | Dog], {"a": TOM}),
        (Cat | Sold, {"price": 1.5, "pet": REX}),
        (Cat | Sold, TOM),
        (Sold | Lost, {"since": 3}),
        (Sold | Lost | Cat | None, {"price": 1.5, "pet": REX}),
        (Seat, Seat(REX)),
        (list[Seat], [Seat(TOM, 5)]),
        (Seat | int | Cat | None, Seat(REX)),
        (Seat | int | Cat | None, 3),
        (Box, Box(TOM)),
        (
            Owner,
            Owner(
                TOM,
                [REX, TOM],
                {"x": None, "y": REX},
                dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc),
                b"\xff",
            ),
        ),
        (Owner | Cat, Owner(TOM)),
        (Owner | None, None),
        (Leaf | Branch, Branch([Leaf(1.0), Branch([Leaf(None)])])),
        (Branch, Branch([Branch([])])),
        (Holder[Cat | Dog], Holder(REX)),
        (Holder[list[Cat | Dog]] | Cat, Holder([TOM])),
        (PetHolder[str], PetHolder(REX, "good")),
        (Cat | Dog | int | str | list[Cat | Dog] | None, [REX]),
        (Cat | Dog | int | str | list[Cat | Dog] | None, "x"),
        (Cat | list[int], [1]),
        (Cat | Dog | Any, {"name": "x"}),
    ],
    ids=lambda part: named(part, 50),
)
@with_all_codecs
def test_each_class_arrives_as_itself_on_both_ways(codec, hint, value):
    check_round_trip(codec, hint, value)


# ── what is on the wire ──


@with_all_codecs
def test_an_object_of_a_union_says_its_class_in_its_first_field(codec):
    assert on_the_wire(codec, Cat | Dog | None, TOM) == {"$type": "Cat", "name": "Tom", "lives": 9}
    assert list(on_the_wire(codec, Cat | Dog | None, TOM)) == ["$type", "name", "lives"]
    assert taking(JsonCodec(), Cat | Dog).encode_args((TOM,), {}) == (
        POSITIONAL,
        b'[{"$type":"Cat","name":"Tom","lives":9}]',
    )


@with_all_codecs
def test_a_class_that_is_the_only_object_says_nothing(codec):
    assert on_the_wire(codec, Cat | list[Cat | Dog] | None, TOM) == {"name": "Tom", "lives": 9}
    assert on_the_wire(codec, Owner, Owner(TOM))["pet"] == {
        "$type": "Cat",
        "name": "Tom",
        "lives": 9,
    }
    assert "$type" not in on_the_wire(codec, Owner, Owner(TOM))


@with_all_codecs
def test_structs_that_have_tags_keep_theirs(codec):
    assert on_the_wire(codec, Horse | Mule, Mule(TOM)) == {
        "type": "mule",
        "parent": {"$type": "Cat", "name": "Tom", "lives": 9},
    }
    assert on_the_wire(codec, Box, Box(TOM)) == [
        "box",
        {"$type": "Cat", "name": "Tom", "lives": 9},
        2,
    ]


@with_all_codecs
def test_a_dict_beside_a_class_goes_as_it_is(codec):
    assert on_the_wire(codec, Cat | dict, {"name": "x"}) == {"name": "x"}
    assert on_the_wire(codec, Cat | Sold, {"price": 1.0, "pet": TOM}) == {
        "price": 1.0,
        "pet": {"$type": "Cat", "name": "Tom", "lives": 9},
    }


@with_all_codecs
def test_an_instance_of_a_subclass_that_is_in_the_union_goes_as_itself(codec):
    assert "$.p.weeks: Cat has no such field, so it would be lost" in refusal(
        taking(codec, Cat | Dog).encode_args, (Kitten("Kit", 9, 3),), {}
    )
    assert on_the_wire(codec, Cat | Kitten, Kitten("Kit", 9, 3)) == {
        "$type": "Kitten",
        "name": "Kit",
        "lives": 9,
        "weeks": 3,
    }


@with_all_codecs
def test_the_tag_may_stand_anywhere_and_fields_may_be_added_or_absent(codec):
    assert sent(codec, Cat | Dog, {"name": "Tom", "colour": "black", "$type": "Cat"}) == TOM
    assert sent(codec, Horse | Cat, {"$type": "Horse", "name": "Ed"}) == Horse("Ed")


@with_all_codecs
def test_a_class_that_knows_no_tag_reads_past_it(codec):
    assert sent(codec, Cat, {"$type": "Cat", "name": "Tom"}) == TOM


# ── without the tag ──


@with_all_codecs
def test_an_object_without_a_tag_is_known_by_a_required_field_that_only_its_class_has(codec):
    assert sent(codec, Bird | Fish, {"name": "Tweety", "wings": 2}) == Bird("Tweety", 2)
    assert sent(codec, Bird | Fish, {"name": "Wanda", "livesIn": "sea"}) == Fish("Wanda", "sea")
    assert sent(codec, Sold | Lost, {"price": 1.5}) == {"price": 1.5}
    assert sent(codec, Owner | Cat, {"pet": {"$type": "Dog", "name": "Rex"}}) == Owner(Dog("Rex"))


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (Bird | Fish, {"name": "x"}),
        (Bird | Fish, {"wings": 2}),
        (Bird | Fish, {"name": "x", "wings": 2, "livesIn": "sea"}),
        (Cat | Dog, {"name": "x"}),
        (Cat | Dog, {"name": "x", "lives": 9}),
        (Cat | Kitten, {"name": "x", "weeks": 3}),
    ],
)
@with_all_codecs
def test_an_object_that_could_be_more_than_one_is_refused_and_never_guessed(codec, hint, value):
    message = refusal(sent, codec, list[hint], [value])
    assert message.startswith("$.p[0]: expected ")
    assert message.endswith(
        "got an object that could not be told to be one of them; it needs '$type'"
    )


@with_all_codecs
def test_an_object_without_a_tag_beside_a_dict_is_the_dict(codec):
    assert sent(codec, Bird | dict, {"name": "Tweety", "wings": 2}) == {
        "name": "Tweety",
        "wings": 2,
    }


# ── what does not fit ──


@pytest.mark.parametrize(
    ("hint", "value", "message"),
    [
        (Cat | Dog, {"$type": "Cow"}, "$.p.$type: unknown class 'Cow', expected 'Cat' or 'Dog'"),
        (Cat | Dog, {"$type": 1}, "$.p.$type: unknown class 1, expected 'Cat' or 'Dog'"),
        (Cat | Dog, {"$type": None}, "$.p.$type: unknown class None, expected 'Cat' or 'Dog'"),
        (
            Cat | Dog,
            {"$type": ["Cat"]},
            "$.p.$type: unknown class ['Cat'], expected 'Cat' or 'Dog'",
        ),
        (Cat | dict, {"$type": "Cow"}, "$.p.$type: unknown class 'Cow', expected 'Cat'"),
        (Cat | Dog, {"$type": "Cat", "name": 1}, "$.p.name: expected str, got int"),
        (Cat | Dog, {"$type": "Cat"}, "$.p: object missing required field name"),
        (Cat | Dog | None, 3, "$.p: expected Cat | Dog | None, got int"),
        (Cat | Dog, None, "$.p: expected Cat | Dog, got null"),
        (Cat | Dog | list[int], [1, "x"], "$.p[1]: expected int, got str"),
        (Cat | Dog | list[int], 1.5, "$.p: expected Cat | Dog | list[int], got float"),
        (
            Owner,
            {"pet": {"$type": "Cow"}},
            "$.p.pet.$type: unknown class 'Cow', expected 'Cat' or 'Dog'",
        ),
        (Owner, {}, "$.p: object missing required field pet"),
        (
            list[Owner],
            [
                {
                    "pet": {"$type": "Cat", "name": "x"},
                    "others": [{"$type": "Dog", "name": "x", "tricks": ["a", 1]}],
                }
            ],
            "$.p[0].others[0].tricks[1]: expected str, got int",
        ),
        (
            Branch,
            {"children": [{"$type": "Branch", "children": [{"$type": "Leaf", "value": "x"}]}]},
            "$.p.children[0].children[0].value: expected float | null, got str",
        ),
        (Seat, [{"$type": "Dog", "name": 3}], "$.p[0].name: expected str, got int"),
        (
            Holder[Cat | Dog],
            {"content": {"$type": "Dog", "name": 3}},
            "$.p.content.name: expected str, got int",
        ),
        (
            tuple[Cat | Dog, int],
            [{"$type": "Dog", "name": "x"}, "y"],
            "$.p[1]: expected int, got str",
        ),
        (
            Sold | Lost,
            {"price": 1.0, "since": 1},
            (
                "$.p: expected Sold | Lost, got an object that could not be told to be one of"
                " them; it needs '$type'"
            ),
        ),
    ],
    ids=lambda part: named(part, 40),
)
@with_all_codecs
def test_what_does_not_fit_is_refused_with_its_path(codec, hint, value, message):
    assert refusal(sent, codec, hint, value) == message
    result = codec.bind(Signature.dynamic("f")).encode_result(value)
    assert refusal(taking(codec, Any, hint).decode_result, result) == message.replace("$.p", "$", 1)


@pytest.mark.parametrize(
    ("hint", "value", "message"),
    [
        (Cat | Dog, Bird("x", 2), "$.p: expected Cat | Dog, got an object that could not be told"),
        (Cat | Dog, Cat(3), "$.p.name: expected str, got int"),  # type: ignore[arg-type]
        (
            Owner,
            Owner(TOM, [TOM, Dog("x", [1])]),  # type: ignore[list-item]
            "$.p.others[1].tricks[0]: expected str, got int",
        ),
        (Cat | Dog, object(), "$.p: a value of type object cannot be encoded"),
        (
            Cat | Dog,
            Cat(object()),  # type: ignore[arg-type]
            "$.p.name: a value of type object cannot be encoded",
        ),
    ],
    ids=lambda part: named(part, 40),
)
@with_all_codecs
def test_what_does_not_fit_is_refused_before_it_is_sent(codec, hint, value, message):
    assert refusal(taking(codec, hint).encode_args, (value,), {}).startswith(message)
    assert refusal(taking(codec, Any, hint).encode_result, value).startswith(
        message.replace("$.p", "$", 1)
    )


@pytest.mark.parametrize("hint", [list[Cat | dict], list[Cat | Sold]], ids=str)
@with_all_codecs
def test_a_dict_with_the_key_of_the_tag_never_turns_into_an_object_of_a_class(codec, hint):
    message = refusal(taking(codec, hint).encode_args, ([TOM, {"price": 1.0, "$type": "Cat"}],), {})
    assert (
        message
        == "$.p[1]: a dict with the key '$type' would arrive as an object of a class; rename the"
        " key, or use no dict here"
    )


def test_a_nan_inside_a_union_has_a_path_with_the_names_of_the_fields():
    message = refusal(
        taking(JsonCodec(), list[Leaf | Branch]).encode_args, ([Branch([Leaf(float("nan"))])],), {}
    )
    assert message == "$.p[0].children[0].value: JSON has no number for nan"


@with_all_codecs
def test_a_union_that_is_nested_too_deeply_is_an_invalid_argument(codec):
    method = taking(codec, Leaf | Branch)
    tree = Branch([])
    for _ in range(15):  # protobuf carries 32 containers in one another
        tree = Branch([tree])
    assert method.decode_args(*method.encode_args((tree,), {})) == ((tree,), {})
    form, body = method.encode_args((tree,), {})
    for depth in (400, 3000, 100_000):
        tree = Branch([])
        for _ in range(depth):
            tree = Branch([tree])
        assert "nested too deeply" in refusal(method.encode_args, (tree,), {})
        while (
            tree.children
        ):  # one by one: to let go of so deep a chain at once is beyond Python before 3.12
            (tree,) = tree.children  # type: ignore[assignment]
    for body in (b'[{"$type":"Branch","children":' * depth for depth in (400, 3000, 100_000)):
        assert refusal(method.decode_args, form, body).startswith("$")


@with_all_codecs
def test_an_object_that_holds_itself_is_an_invalid_argument(codec):
    loop = Branch([])
    loop.children.append(loop)
    assert (
        refusal(taking(codec, Leaf | Branch).encode_args, (loop,), {})
        == "$.p: nested too deeply, or refers to itself"
    )


# ── what cannot be told apart is refused when a method is bound ──


@pytest.mark.parametrize(
    ("hint", "problem"),
    [
        (
            Cat | dataclasses.make_dataclass("Cat", [("x", int)]),
            "both have the name 'Cat'; rename one",
        ),
        (Union[Holder[int], Holder[str]], "both have the name 'Holder'; rename one"),
        (
            dict[str, int] | dict[str, str],
            (
                "its dicts cannot be told apart; give each TypedDict a required key that no other"
                " has, or use dataclasses"
            ),
        ),
        (Cat | dict[str, int] | Lost, "its dicts cannot be told apart"),
        (Lost | TypedDict("Found", {"since": int}), "its dicts cannot be told apart"),
        (
            Cat | TypedDict("Odd", {"$type": str}),
            r"Odd has a field '\$type', which tells the classes of a union apart; rename the field",
        ),
        (
            Cat | msgspec.defstruct("Odd", [("x", int)], rename={"x": "$type"}),
            r"Odd has a field '\$type'",
        ),
        (
            Cat | Dog | list[int] | tuple[int],
            "more than one array-like .* put one of them into a class of its own",
        ),
        (Seat | list[int] | Cat, "more than one array-like"),
        (Cat | Dog | str | bytes, "more than one str-like"),
        (dict[Heads | Tails, int], "keys of a dict must be"),
        (Cat | Dog | complex, "complex is no type for data; use a dataclass"),
        (Cat | dataclasses.make_dataclass("Odd", [("x", complex)]), "complex is no type for data"),
        (Owner | dataclasses.make_dataclass("Odd", [("x", "Nowhere")]), "Nowhere"),
        (Derived, "Derived is not made of its fields: missing a required argument: 'seed'"),
    ],
    ids=str,
)
@with_all_codecs
def test_an_ambiguous_union_is_a_type_error_that_says_what_to_do(codec, hint, problem):
    with pytest.raises(
        TypeError, match=f"^f: the type .* of its parameter p cannot be carried: .*{problem}"
    ):
        taking(codec, hint)
    with pytest.raises(
        TypeError, match=f"^f: the type .* of its result cannot be carried: .*{problem}"
    ):
        taking(codec, Any, list[hint])


@with_all_codecs
def test_the_same_union_may_be_bound_by_many_threads_at_a_time(codec):
    failures, all_there = [], threading.Barrier(4)

    def work() -> None:
        try:
            all_there.wait(30)
            for _ in range(5):
                method = taking(codec, Owner | Branch, Leaf | Branch)
                assert method.decode_args(*method.encode_args((Owner(REX),), {})) == (
                    (Owner(REX),),
                    {},
                )
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []


@with_all_codecs
def test_every_kind_of_parameter_may_be_a_union(codec):
    def adopt(
        first: Cat | Dog,
        /,
        second: Cat | Dog,
        *rest: Cat | Dog,
        only: Cat | Dog,
        other: int = 0,
        **more: Cat | Dog,
    ) -> None: ...

    method = codec.bind(Signature.of(adopt, "adopt"))
    args, kwargs = method.decode_args(
        *method.encode_args((TOM, REX, TOM, REX), {"only": REX, "other": 3, "extra": TOM})
    )
    assert (list(args), dict(kwargs)) == (
        [TOM, REX, TOM, REX],
        {"only": REX, "other": 3, "extra": TOM},
    )
    assert (
        refusal(method.encode_args, (TOM, REX, 3), {"only": REX})
        == "$[2]: expected Cat | Dog, got int"
    )
    assert (
        refusal(method.encode_args, (TOM, REX), {"only": REX, "extra": 3})
        == "$.extra: expected Cat | Dog, got int"
    )
    assert (
        refusal(method.encode_args, (TOM, REX), {"only": None})
        == "$.only: expected Cat | Dog, got null"
    )


@with_all_codecs
def test_a_method_of_which_only_the_result_is_known_may_give_a_union(codec):
    method = codec.bind(Signature("f", None, Cat | Dog))
    assert method.decode_result(method.encode_result(REX)) == REX
    args, kwargs = method.decode_args(*method.encode_args((1,), {"b": 2}))
    assert (list(args), dict(kwargs)) == ([1], {"b": 2})


# ── through a server ──


class Shelter(Protocol):
    def adopt(self, pet: Cat | Dog) -> Owner: ...
    def swap(
        self, pets: list[Cat | Dog], fallback: Cat | Dog | None = None
    ) -> dict[str, Cat | Dog]: ...


class ServedShelter:
    def adopt(self, pet: Cat | Dog) -> Owner:
        return Owner(pet, [type(pet)(pet.name + "2")])

    async def swap(
        self, pets: list[Cat | Dog], fallback: Cat | Dog | None = None
    ) -> dict[str, Cat | Dog]:
        return {pet.name: Dog(pet.name) if isinstance(pet, Cat) else Cat(pet.name) for pet in pets}


@pytest.mark.parametrize("name", ["json", "msgpack"])
def test_unions_travel_between_a_client_and_a_server(name):
    server = bee_core.build_server(
        {
            "bee": {
                "rpc": {
                    "server": {
                        "name": "shelter",
                        "version": "1.0",
                        "codec": name,
                        "address": "127.0.0.1:0",
                    }
                }
            }
        }
    )
    server.add(ServedShelter())
    with server.in_thread():
        config = {
            "bee": {
                "rpc": {
                    "client": {"shelter": {"address": server.address, "codec": name, "timeout": 20}}
                }
            }
        }
        with bee_core.build_client(config) as client:
            shelter: Shelter = client.service("shelter", Shelter)
            assert shelter.adopt(TOM) == Owner(TOM, [Cat("Tom2")])
            assert shelter.swap([TOM, REX], fallback=REX) == {"Tom": Dog("Tom"), "Rex": Cat("Rex")}
            with pytest.raises(InvalidArgument) as caught:
                shelter.adopt("Tom")  # type: ignore[arg-type]
            assert (caught.value.path, caught.value.attempts) == ("$.pet", 0)
            untyped = client.service("shelter")
            assert untyped.adopt({"$type": "Dog", "name": "Rex"})["pet"] == {
                "$type": "Dog",
                "name": "Rex",
                "tricks": [],
            }
            with pytest.raises(InvalidArgument) as caught:
                untyped.adopt({"$type": "Cow", "name": "Rex"})
            assert (caught.value.path, caught.value.executed) == ("$.pet.$type", "no")
        asyncio.run(asyncio_client(config))


async def asyncio_client(config):
    async with bee_core.build_async_client(config) as client:
        assert await client.service("shelter").swap([{"$type": "Cat", "name": "Tom"}]) == {
            "Tom": {"$type": "Dog", "name": "Tom", "tricks": []}
        }
