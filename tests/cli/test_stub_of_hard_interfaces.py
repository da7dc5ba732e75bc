from __future__ import annotations

import sys
import typing

import pytest

import bee_core

HARD = """
from __future__ import annotations

import builtins
import datetime
import enum
from typing import Dict, List, Protocol, Tuple, TypeVar, overload

import bee_core


class Perm(enum.Flag):
    R = 1
    W = 2


class User: ...


U = TypeVar("U", bound="User")


class Hard(Protocol):
    def list(self, n: int = 3) -> builtins.list[User]: ...
    def date(self, when: datetime.date) -> datetime.date: ...
    def perms(self, both: Perm = Perm.R | Perm.W, none: Perm = Perm(0)) -> Perm: ...
    def bare(self, a: List, b: Dict, c: Tuple) -> dict: ...
    def empty(self) -> tuple[()]: ...


class Bound(Protocol[U]):
    def put(self, user: U) -> U: ...


class Over(Protocol):
    @overload
    def get(self, key: int) -> int: ...
    @overload
    def get(self, key: str) -> str: ...
    @bee_core.idempotent
    def get(self, key: int | str) -> int | str: ...
    @overload
    def bare(self, key: int) -> int: ...
    @overload
    def bare(self, key: str) -> str: ...
"""
OTHER = """
from typing import Protocol, TypeVar

U = TypeVar("U", bound=int)


class Other(Protocol[U]):
    def put(self, number: U) -> U: ...
"""
OF_3_12 = """
from typing import Protocol


class Store[K: (int, str), V](Protocol):
    def get(self, key: K) -> V: ...
"""


@pytest.fixture
def written(run, tmp_path, monkeypatch):
    """Writes the twins of interfaces, and returns the source and what it makes."""
    for name, source in {"hard": HARD, "other": OTHER, "newest": OF_3_12}.items():
        (tmp_path / f"{name}.py").write_text(source)
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)

    def write(*targets):
        result = run("stub", *targets)
        assert (result.code, result.err) == (0, "")
        made = {"__name__": "twin"}
        exec(compile(result.out, "twin", "exec"), made)  # what was just written
        return result.out, made

    yield write
    for name in ("hard", "other", "newest"):
        sys.modules.pop(name, None)


def test_a_method_named_as_a_type_does_not_stand_in_the_way_of_the_type(written):
    source, made = written("hard:Hard")
    assert "async def list(self, n: int = 3) -> list_[User]: ..." in source
    assert "async def date(self, when: date_) -> date_: ..." in source
    hints = typing.get_type_hints(made["AsyncHard"].date, made)
    assert hints["when"].__name__ == "date"


def test_defaults_of_several_flags_or_none_are_written_by_their_number(written):
    source, made = written("hard:Hard")
    assert "both: Perm = Perm(3), none: Perm = Perm(0)" in source
    assert [one.value for one in made["AsyncHard"].perms.__defaults__] == [3, 0]


def test_classes_without_their_types_hold_anything(written):
    source, _ = written("hard:Hard")
    for hint in ("a: list_[Any],", "b: dict[Any, Any],", "c: tuple[Any, ...],"):
        assert hint in source
    assert ") -> dict[Any, Any]: ..." in source
    assert "async def empty(self) -> tuple[()]: ..." in source


def test_a_type_variable_may_be_bound_by_the_text_of_a_name(written):
    source, made = written("hard:Bound")
    assert 'U = TypeVar("U", bound=User)' in source
    assert made["U"].__bound__ is sys.modules["hard"].User


def test_two_type_variables_of_one_name_stay_apart(written):
    source, made = written("hard:Bound", "other:Other")
    assert "class AsyncOther(Protocol[U2]):" in source
    assert made["U2"].__bound__ is int
    assert "async def put(self, number: U2) -> U2: ..." in source


@pytest.mark.skipif(sys.version_info < (3, 12), reason="new syntax")
def test_type_parameters_are_written_as_they_were_because_of_their_variance(written):
    source, _ = written("newest:Store")
    assert "class AsyncStore[K: (int, str), V](Protocol):" in source


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python forgets overloads")
def test_overloads_stay(written, run, tmp_path):
    source, made = written("hard:Over")
    assert source.count("    @overload\n") == 4
    assert "async def get(self, key: str) -> str: ...\n    @bee_core.idempotent\n" in source
    assert "Helper for @overload" not in source
    found = bee_core.methods.interface_methods.interface_methods(made["AsyncOver"])
    assert found["get"].idempotent
    assert not found["bare"].idempotent
    (tmp_path / "twin.py").write_text(source.replace("get(self, key: int) -> int", "get(self)"))
    assert "AsyncOver.get" in run("stub", "hard:Over", "--check", tmp_path / "twin.py").err


@pytest.mark.parametrize(
    "mark",
    [
        bee_core.idempotent,
        bee_core.oneway,
        bee_core.nonblocking,
        bee_core.raises(type("E", (Exception,), {})),
    ],
)
def test_a_mark_on_an_overload_would_be_one_on_all_overloads_so_it_is_refused(mark):
    @typing.overload
    def other(key: int) -> int: ...

    with pytest.raises(TypeError, match="implementation of a method with overloads"):
        mark(other)
    assert not any(name.startswith("__bee") for name in vars(other))


def test_a_path_with_backslashes_stands_in_the_head_as_it_is(run, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "odd_place", raising=False)
    folder = tmp_path / "a\\Users"
    folder.mkdir()
    (folder / "odd_place.py").write_text("class Shop:\n    def get(self) -> int: ...\n")
    source = run("stub", f"{folder}/odd_place.py:Shop").out
    sys.modules.pop("odd_place", None)
    assert str(folder) in compile(source, "twin", "exec").co_consts[0]
