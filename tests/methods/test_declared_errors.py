"""Exceptions that methods declare: which classes can, their fields, and how they are made."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Annotated, ClassVar, Protocol, TypedDict

import attrs
import pydantic
import pydantic.dataclasses
import pytest

import bee_core
from bee_core.errors import Overloaded, ServiceError
from bee_core.methods.declared_errors import declared_error, declared_errors
from bee_core.methods.interface_methods import interface_methods


class OutOfStock(Exception):
    sku: int
    left: float
    code: ClassVar[str] = "OUT_OF_STOCK"
    _seen: int

    def __init__(self, sku: int, left: float) -> None:
        super().__init__(f"only {left} of {sku}")
        self.sku = sku
        self.left = left
        self._seen = 0


class Bare(Exception):
    sku: int
    why: str = "it is so"


class Empty(Exception):
    pass


class Key(KeyError):
    pass


class Partly(Exception):
    sku: int
    seen: int = 0

    def __init__(self, sku: int) -> None:
        super().__init__(sku)
        self.sku = sku


@dataclasses.dataclass
class Data(Exception):
    sku: int
    tags: list[str] = dataclasses.field(default_factory=list)
    _hidden: int = 3
    size: int = dataclasses.field(default=0, kw_only=True)


@attrs.define
class WithAttrs(Exception):
    sku: int
    _secret: str = ""
    count: int = attrs.field(kw_only=True, default=3)
    made: str = attrs.field(init=False, default="here")


@pydantic.dataclasses.dataclass
class OfPydantic(Exception):
    sku: Annotated[int, pydantic.Field(gt=0)]


def bare():
    error = Bare("that is why")
    error.sku = 9
    return error


def partly():
    error = Partly(3)
    error.seen = 8
    return error


MADE = [
    OutOfStock(7, 1.5),
    bare(),
    Empty("nothing"),
    Empty(),
    Key("it's"),
    partly(),
    Data(1, ["a"], 5, size=2),
    Data(sku=1),
    WithAttrs(1, "s", count=4),
    OfPydantic(5),
]


@pytest.mark.parametrize("error", MADE, ids=lambda error: f"{type(error).__name__}{error.args}")
def test_an_exception_is_made_again_as_it_was(error):
    declared = declared_error(type(error))
    again = declared.make(declared.values(error), declared.text_of(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert declared.values(again) == declared.values(error)


def test_fields_have_their_names_in_the_constructor_and_those_with_defaults_are_optional():
    assert dict(declared_error(WithAttrs).fields) == {
        "sku": "sku",
        "secret": "_secret",
        "count": "count",
        "made": "made",
    }
    assert declared_error(WithAttrs).shape.__required_keys__ == {"sku"}
    assert declared_error(Data).shape.__required_keys__ == {"sku"}
    assert declared_error(OutOfStock).shape.__required_keys__ == {"sku", "left"}
    assert declared_error(Bare).shape.__optional_keys__ == {"why"}
    assert declared_error(Empty).shape.__annotations__ == {}


def test_a_field_that_an_older_server_does_not_send_has_its_default():
    declared = declared_error(WithAttrs)
    assert declared.values(declared.make({"sku": 4}, "")) == declared.values(WithAttrs(4))
    assert declared_error(Bare).make({"sku": 1}, "no").why == "it is so"


def test_the_code_is_the_attribute_or_the_name_of_the_class():
    assert declared_error(OutOfStock).code_of(OutOfStock(1, 2)) == "OUT_OF_STOCK"
    assert declared_error(Empty).code_of(Empty()) == "Empty"
    odd = Empty()
    odd.code = "no\ncode"
    assert declared_error(Empty).code_of(odd) == "Empty"


@dataclasses.dataclass(frozen=True)
class FrozenData(Exception):
    sku: int


@attrs.frozen
class FrozenAttrs(Exception):
    sku: int


@pydantic.dataclasses.dataclass(frozen=True)
class FrozenPydantic(Exception):
    sku: int


class Unannotated(Exception):
    def __init__(self, sku):
        self.sku = sku


class Unresolved(Exception):
    sku: Nowhere  # noqa: F821


@dataclasses.dataclass
class WithInitVar(Exception):
    sku: dataclasses.InitVar[int]


@pytest.mark.parametrize(
    ("cls", "says"),
    [
        (FrozenData, "it is frozen, and Python sets the traceback"),
        (FrozenAttrs, "it is frozen"),
        (FrozenPydantic, "it is frozen"),
        (Unannotated, "takes 'sku', which is no annotated field"),
        (Unresolved, "Nowhere"),
        (WithInitVar, "an InitVar"),
    ],
)
def test_a_class_that_cannot_be_carried_is_an_error_at_build(cls, says):
    class Api(Protocol):
        @bee_core.raises(cls)
        def sell(self) -> None: ...

    with pytest.raises(TypeError, match=f"sell raises {cls.__name__}: .*{says}"):
        interface_methods(Api)

    class Sales:
        @bee_core.raises(cls)
        def sell(self) -> None: ...

    server = bee_core.build_server({"bee": {"rpc": {"server": {"name": "sales"}}}})
    with pytest.raises(TypeError, match=says):
        server.add(Sales())


class Record(TypedDict):
    sku: int


@pytest.mark.parametrize(
    ("cls", "says"),
    [
        (ValueError, "Python's own"),
        (ServiceError, "bee's own"),
        (Overloaded, "bee's own"),
        (KeyboardInterrupt, "derive from Exception"),
        (Record, "derive from Exception"),
        (Empty(), "derive from Exception"),
    ],
)
def test_what_is_no_exception_of_the_application_is_refused_by_the_decorator(cls, says):
    with pytest.raises(TypeError, match=says):
        bee_core.raises(cls)


def other_empty():
    class Empty(Exception):
        pass

    return Empty


def test_two_classes_of_one_name_cannot_be_told_apart():
    @bee_core.raises(Empty)
    @bee_core.raises(other_empty())
    def sell() -> None: ...

    with pytest.raises(TypeError, match="two classes of the name Empty"):
        declared_errors("sell", sell)


def test_marks_add_up_and_each_class_counts_once():
    @bee_core.raises(Empty, Bare)
    @bee_core.raises(Bare, Data)
    def sell() -> None: ...

    assert [one.cls for one in declared_errors("sell", partial(sell), sell)] == [Bare, Data, Empty]


def test_a_mark_of_a_base_class_holds_for_the_method_that_overrides_it():
    class Api(Protocol):
        @bee_core.raises(Empty)
        def sell(self) -> None: ...

    class More(Api, Protocol):
        @bee_core.raises(Bare)
        def sell(self) -> None: ...

    class Less(Api, Protocol):
        def sell(self) -> None: ...

    assert [one.cls for one in interface_methods(More)["sell"].errors] == [Bare, Empty]
    assert [one.cls for one in interface_methods(Less)["sell"].errors] == [Empty]
