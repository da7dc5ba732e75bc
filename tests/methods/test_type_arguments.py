"""Type arguments of generic classes: in an interface, in a handler's class, in what they inherit."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import AsyncIterator, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import pytest

from bee_core.methods.interface_methods import interface_methods
from bee_core.methods.type_arguments import attribute_hints, stands_for, type_arguments
from bee_core.server.handlers import collect

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")


@dataclass
class User:
    id: int


class Repo(Protocol[T]):
    def get(self, key: int) -> T: ...

    def save(self, item: T, others: dict[str, list[T]]) -> T | None: ...


class UserRepo(Repo[User], Protocol): ...


class ByText(Repo["User"], Protocol): ...


class Mapper(Generic[K, V]):
    def put(self, key: K, value: V) -> None: ...


class Lists(Mapper[K, list[V]], Generic[V, K]):
    def first(self, key: K) -> V: ...


class Numbers(Lists[int, str]):
    def more(self) -> int: ...


class Deeper(Numbers): ...


class Stats(Protocol[T]):
    def mean(self, values: list[T]) -> T: ...


class Holder(Generic[T]):
    Stats: Stats[T]
    Users: UserRepo

    def top(self) -> T: ...


class FloatHolder(Holder[float]): ...


def hints(methods: Any) -> dict[str, list[Any]]:
    return {
        name: [*(parameter.hint for parameter in method.signature.params), method.signature.result]
        for name, method in methods.items()
    }


SAVE = [User, dict[str, list[User]], User | None]


@pytest.mark.parametrize("interface", [UserRepo, ByText, Repo[User]])
def test_an_interface_has_the_types_that_its_generic_base_was_given(interface):
    assert hints(interface_methods(interface)) == {"get": [int, User], "save": SAVE}


@pytest.mark.parametrize("interface", [Numbers, Deeper, Lists[int, str]])
def test_types_are_handed_through_several_levels_and_another_order(interface):
    found = hints(interface_methods(interface))
    assert found["put"] == [str, list[int], type(None)]
    assert found["first"] == [str, int]


def test_a_base_that_is_given_a_part_leaves_the_rest_open():
    assert hints(interface_methods(Lists))["put"] == [K, list[V], type(None)]


@pytest.mark.parametrize("interface", [FloatHolder, Holder[float]])
def test_an_interface_under_a_name_has_them_too(interface):
    found = hints(interface_methods(interface))
    assert found["top"] == [float]
    assert found["Stats.mean"] == [list[float], float]
    assert found["Users.save"] == SAVE


def test_handlers_have_the_types_that_the_base_of_their_class_was_given():
    class Base(Generic[T]):
        def save(self, item: T) -> int:
            return 1

    class Users(Base[User]):
        def get(self, key: int) -> User:
            return User(key)

    assert hints(collect(Users())) == {"save": [User, int], "get": [int, User]}


def test_an_object_of_a_class_with_its_types_given_has_them():
    class Base(Generic[T]):
        def save(self, item: T) -> int:
            return 1

    assert hints(collect(Base[User]())) == {"save": [User, int]}
    assert hints(collect(Base())) == {"save": [T, int]}


def test_handlers_take_the_types_of_a_generic_interface():
    class Users:
        def get(self, key): ...

        def save(self, item, others): ...

    assert hints(collect(Users(), interface=Repo[User])) == {"get": [int, User], "save": SAVE}


def test_a_variable_stands_for_its_bound_or_one_of_its_constraints_or_anything():
    assert stands_for(TypeVar("A", bound=User)) is User
    assert stands_for(TypeVar("B", bound="User")) is User
    assert stands_for(TypeVar("C", int, str)) == int | str
    assert stands_for(T) is Any


def test_a_variable_stands_for_its_default_first():
    extensions = pytest.importorskip("typing_extensions")
    assert stands_for(extensions.TypeVar("D", bound=object, default=int)) is int
    assert stands_for(extensions.TypeVar("D")) is Any


def test_the_arguments_of_each_class_are_known():
    assert type_arguments(Numbers)[Mapper] == {K: str, V: list[int]}
    assert type_arguments(UserRepo)[Repo] == {T: User}
    assert attribute_hints(FloatHolder) == {"Stats": Stats[float], "Users": UserRepo}


@pytest.mark.skipif(sys.version_info < (3, 11), reason="TypeVarTuple is of Python 3.11")
def test_a_variable_for_many_types_takes_what_the_others_leave():
    from typing import TypeVarTuple, Unpack

    many = TypeVarTuple("many")

    class Row(Generic[K, Unpack[many], V]):
        def read(self) -> tuple[K, Unpack[many], V]: ...

    read = Row.read
    read.__annotations__ = {"return": tuple[K, Unpack[many], V]}

    class Wide(Row[int, str, bytes, float]): ...

    assert hints(interface_methods(Wide))["read"] == [tuple[int, str, bytes, float]]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters are of Python 3.12")
@pytest.mark.parametrize("head", ["", "from __future__ import annotations\n"])
def test_type_parameters_of_python_3_12_are_filled_in(head):
    space: dict[str, Any] = {"__name__": __name__}
    source = textwrap.dedent("""
            from typing import Protocol
            class Repo[T](Protocol):
                def get(self, key: int) -> T: ...
                def echo[U](self, value: U, item: T) -> U: ...
            class Users(Repo[str], Protocol): ...
            type Pair[A, B] = tuple[B, A]
            class Pairs[T]:
                def read(self) -> Pair[T, int]: ...
            class Some(Pairs[str]): ...
        """)
    exec(compile(head + source, __file__, "exec", dont_inherit=True), space)
    found = hints(interface_methods(space["Users"]))
    assert found["get"] == [int, str]
    assert found["echo"][1] is str
    assert found["echo"][0] is found["echo"][2]
    assert hints(interface_methods(space["Some"]))["read"] == [space["Pair"][str, int]]


# ── streams ──


@pytest.mark.parametrize(
    "hint", [Iterator[int], AsyncIterator[int], Generator[int, None, None], Iterator]
)
def test_a_hint_of_a_generator_says_that_streams_are_not_there_yet(hint):
    class Export:
        def rows(self): ...

        def load(self, rows): ...

    Export.rows.__annotations__ = {"return": hint}
    with pytest.raises(
        TypeError, match=r"^rows: its result is a .*, and streams are not there yet"
    ):
        interface_methods(Export)
    with pytest.raises(TypeError, match="streams are not there yet"):
        collect(Export())
    Export.rows.__annotations__ = {}
    Export.load.__annotations__ = {"rows": hint}
    with pytest.raises(TypeError, match=r"load: its parameter rows is a .*streams are not there"):
        collect(Export())
