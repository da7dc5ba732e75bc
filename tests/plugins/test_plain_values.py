"""The native look at plain values: what it says, and that the path in Python gives the same."""

from __future__ import annotations

import datetime as dt
import enum
import importlib
import inspect
import math
import shutil
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path
from typing import Any

import attrs
import hypothesis
import pytest
from hypothesis import strategies as st

from bee_core.errors import InvalidArgument
from bee_core.interfaces import Signature
from bee_plugins.codecs import plain_values
from bee_plugins.codecs.json_codec import JsonCodec
from bee_plugins.codecs.plain_values import is_plain, load

needs_native = pytest.mark.skipif(is_plain is None, reason="bee is installed without native parts")
SOURCE = Path(__file__).parents[2] / "plugins" / "bee_plugins" / "codecs" / "_plain.c"


class PureCodec(JsonCodec):
    """The same codec without the native look."""

    format = attrs.evolve(JsonCodec.format, is_plain=None)


class Text(str):
    """A text of another class."""

    __slots__ = ()


class Number(enum.IntEnum):
    ONE = 1


def plain_by_definition(value: Any, room: int = 100) -> bool:
    """What the head of the C file says, in Python."""
    kind = type(value)
    if kind in {str, int, bool, type(None)}:
        return True
    if kind is float:
        return math.isfinite(value)
    if room == 0:
        return False
    if kind is dict:
        return all(
            type(key) is str and plain_by_definition(item, room - 1) for key, item in value.items()
        )
    return kind in {list, tuple} and all(plain_by_definition(item, room - 1) for item in value)


TEXTS = st.sampled_from(["", "a", "1", "null", ":", '"', "é", "+01:00", "2020-01-01T00:00:00Z"])
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**63, 2**64, 2**70, -(2**64)]),
    st.floats(),
    TEXTS,
    st.binary(max_size=3),
    st.sampled_from(
        [
            Text("a"),
            Number.ONE,
            {1, 2},
            dt.datetime(2020, 1, 1, tzinfo=dt.timezone(dt.timedelta(seconds=561))),
            dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc),
            dt.time(1, tzinfo=dt.timezone(dt.timedelta(seconds=561))),
            dt.date(2020, 1, 1),
            object(),
        ]
    ),
)
KEYS = st.one_of(TEXTS, st.integers(0, 2), st.none(), st.booleans(), st.just(Text("1")))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(TEXTS, inner, max_size=4),
        st.dictionaries(KEYS, inner, max_size=4),
    ),
    max_leaves=12,
)


def any_method(one, *, two=None): ...


def dict_method(one: dict[str, Any]) -> dict[str, Any]: ...


def float_method(one: float) -> float: ...


def list_method(one: list[int]) -> list[int]: ...


def outcome(function, *args):
    """What comes out, or the error in words."""
    try:
        return function(*args)
    except InvalidArgument as error:
        return error.path, error.message, error.executed


SIGNATURES = [
    Signature("m", None, Any),
    *(Signature.of(method, "m") for method in (any_method, dict_method, float_method, list_method)),
]


@needs_native
@hypothesis.given(VALUES)
def test_it_says_what_its_definition_says(value):
    assert is_plain(value) is plain_by_definition(value)


@needs_native
@hypothesis.given(VALUES, st.sampled_from(SIGNATURES))
def test_results_and_arguments_are_the_same_with_and_without_it(value, signature):
    native, pure = JsonCodec().bind(signature), PureCodec().bind(signature)
    assert outcome(native.encode_result, value) == outcome(pure.encode_result, value)
    for args, kwargs in (((value,), {}), ((), {"one": value}), ((value,), {"two": value})):
        assert outcome(native.encode_args, args, kwargs) == outcome(pure.encode_args, args, kwargs)


@needs_native
@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: (v,), lambda v: {"a": v}])
def test_its_depth_is_bounded(wrap):
    value: Any = 1
    for _ in range(100):
        value = wrap(value)
    assert is_plain(value)
    assert not is_plain(wrap(value))
    for _ in range(5000):
        value = wrap(value)
    assert not is_plain(value)


@needs_native
def test_it_ends_on_what_holds_itself():
    value: list[Any] = []
    value.append(value)
    assert not is_plain(value)


@needs_native
def test_it_runs_on_the_smallest_stack_of_a_thread():
    value: Any = 1
    for _ in range(100):
        value = [value]
    found = []
    before = threading.stack_size(32768 * 2)
    try:
        thread = threading.Thread(target=lambda: found.append(is_plain(value)))
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join(30)
    assert found == [True]


@needs_native
def test_it_keeps_no_object():
    value = {"a": [1.5, (object(),)], "b": "text"}
    before = [sys.getrefcount(part) for part in (value, value["a"], value["b"], True, False)]
    for _ in range(1000):
        is_plain(value)
    after = [sys.getrefcount(part) for part in (value, value["a"], value["b"], True, False)]
    assert all(abs(now - then) < 100 for now, then in zip(after, before, strict=True))


def test_bee_native_0_leaves_it_aside():
    assert load("0") is None


@needs_native
@pytest.mark.parametrize("wanted", ["", "1"])
def test_it_runs_where_it_is_there(wanted):
    assert load(wanted) is not None


@pytest.mark.parametrize("why", ["it is not there", "it is of other sources"])
def test_where_it_is_missing_python_looks_unless_bee_native_is_1(monkeypatch, why):
    def find(name):
        if why == "it is not there":
            raise ImportError(f"No module named {name!r}")
        return type(sys)(name)

    monkeypatch.setattr(plain_values, "import_module", find)
    assert load("") is None
    with pytest.raises(
        ImportError, match=r"BEE_NATIVE=1 asks for .* C compiler .* unset BEE_NATIVE"
    ):
        load("1")


@pytest.mark.skipif(
    shutil.which("cc") is None or not SOURCE.exists(), reason="needs a C compiler and the sources"
)
@pytest.mark.parametrize("standard", ["c99", "c11"])
def test_the_source_has_no_warning(tmp_path, standard):
    include = sysconfig.get_path("include")
    if not Path(include, "Python.h").exists():
        pytest.skip("needs Python's headers")
    subprocess.run(
        [
            *("cc", f"-std={standard}", "-O2", "-fPIC", "-shared"),
            *("-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wno-sign-conversion"),
            *("-isystem", include, str(SOURCE), "-o", str(tmp_path / "_plain.so")),
        ],
        check=True,
    )


@needs_native
def test_it_can_be_imported_again():
    module = importlib.import_module("bee_plugins.codecs._plain")
    spec = importlib.util.spec_from_file_location("_plain", module.__file__)
    again = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(again)
    assert inspect.isbuiltin(again.is_plain)
    assert again.API == module.API
