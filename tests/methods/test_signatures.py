from __future__ import annotations

import abc
import dataclasses
import functools
from collections.abc import Awaitable  # noqa: TC003 - resolved at run time
from typing import TYPE_CHECKING, Annotated, Any, Generic, Protocol, TypeVar

import pytest

from bee_core.methods import decorators as marks
from bee_core.methods.interface_methods import interface_methods, public_methods
from bee_core.methods.signatures import MISSING, Signature
from bee_core.methods.type_hints import hint_text

if TYPE_CHECKING:
    from nowhere import Hidden

T = TypeVar("T")


class Calculator:
    def add(self, a: int, b: int = 5) -> int:
        return a + b

    async def slow(self, a: Later) -> Later:
        return a

    @staticmethod
    def double(x: float) -> float:
        return x * 2

    @classmethod
    def parse(cls, text: str) -> int:
        return int(text)

    def untyped(self, value, *rest, flag=False, **more):
        return value

    triple = functools.partialmethod(add, b=3)


@dataclasses.dataclass
class Later:
    x: int


def all_kinds(
    a: int, /, b: str, c: float = 0.5, *rest: bytes, d: bool, e: int = 1, **more: str
) -> None: ...


def hints(signature):
    return [(parameter.name, parameter.hint) for parameter in signature.params]


# ── reading ──


def test_a_function_s_parameters_and_result_are_read():
    signature = Signature.of(all_kinds, "all_kinds")
    assert hints(signature) == [
        ("a", int),
        ("b", str),
        ("c", float),
        ("rest", bytes),
        ("d", bool),
        ("e", int),
        ("more", str),
    ]
    assert [parameter.required for parameter in signature.params] == [
        True,
        True,
        False,
        False,
        True,
        False,
        False,
    ]
    assert [parameter.default for parameter in signature.params] == [
        MISSING,
        MISSING,
        0.5,
        MISSING,
        MISSING,
        1,
        MISSING,
    ]
    assert signature.result is type(None)


@pytest.mark.parametrize("function", [Calculator.add, Calculator().add], ids=["unbound", "bound"])
def test_self_is_dropped(function):
    assert hints(Signature.of(function, "add")) == [("a", int), ("b", int)]


@pytest.mark.parametrize(
    "function", [Calculator.parse, Calculator.__dict__["parse"]], ids=["bound", "raw"]
)
def test_cls_is_dropped(function):
    assert hints(Signature.of(function, "parse")) == [("text", str)]


@pytest.mark.parametrize(
    "function", [Calculator.double, Calculator.__dict__["double"]], ids=["function", "raw"]
)
def test_a_static_method_keeps_its_first_parameter(function):
    assert hints(Signature.of(function, "double")) == [("x", float)]


def test_a_plain_function_keeps_a_parameter_called_self():
    def function(self: int) -> None: ...

    assert hints(Signature.of(function, "function")) == [("self", int)]


def test_a_method_of_a_class_in_a_function_loses_self():
    class Inner:
        def method(self, a: int) -> None: ...

    assert hints(Signature.of(Inner.method, "method")) == [("a", int)]


def test_the_result_of_async_def_is_the_awaited_one():
    assert Signature.of(Calculator.slow, "slow").result is Later


def test_the_result_of_a_def_that_returns_an_awaitable_is_the_awaited_one():
    def later() -> Awaitable[int]: ...

    assert Signature.of(later, "later").result is int


def test_what_has_no_hint_is_any():
    signature = Signature.of(Calculator.untyped, "untyped")
    assert {hint for _, hint in hints(signature)} == {Any}
    assert signature.result is Any


def test_a_default_of_none_admits_none_on_every_version_of_python():
    def function(a: int = None, b: list[int] = None): ...  # noqa: RUF013

    assert hints(Signature.of(function, "f")) == [("a", int | None), ("b", list[int] | None)]


def test_annotated_keeps_its_extras():
    def function(a: Annotated[int, "extra"]): ...

    assert hints(Signature.of(function, "f")) == [("a", Annotated[int, "extra"])]


def test_a_wrapped_function_is_seen_through():
    def wrap(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return function(*args, **kwargs)

        return wrapper

    assert str(Signature.of(wrap(all_kinds), "f")) == str(Signature.of(all_kinds, "f"))
    assert hints(Signature.of(functools.cache(Calculator.double), "f")) == [("x", float)]


def test_a_partial_takes_what_is_left():
    signature = Signature.of(functools.partial(all_kinds, 1, "x", d=True), "f")
    assert [parameter.name for parameter in signature.params if parameter.required] == []
    assert hints(signature)[0] == ("c", float)


def test_a_partial_method_takes_what_is_left():
    assert hints(Signature.of(Calculator().triple, "triple"))[0] == ("a", int)


def test_a_callable_object_is_read_by_its_call():
    class Adder:
        def __call__(self, a: int) -> int:
            return a

    signature = Signature.of(Adder(), "adder")
    assert (hints(signature), signature.result) == ([("a", int)], int)


def test_a_class_nested_in_the_method_s_own_class_is_found():
    class Shop:
        @dataclasses.dataclass
        class Item:
            x: int

        def buy(self, item: Item) -> Item:
            return item

    assert hints(Signature.of(Shop().buy, "buy")) == [("item", Shop.Item)]


def test_a_hint_that_leads_nowhere_names_method_and_hint():
    def function(a: int, b: list[Hidden]): ...

    with pytest.raises(
        TypeError,
        match=r"^Stats\.mean: the type hint `b: list\[Hidden\]` cannot be resolved .*TYPE_CHECKING",
    ):
        Signature.of(function, "Stats.mean")


@pytest.mark.parametrize("thing", [3, None, "add"])
def test_what_is_not_callable_has_no_signature(thing):
    with pytest.raises(TypeError, match=r"^f: "):
        Signature.of(thing, "f")


def test_a_dynamic_signature_knows_nothing():
    signature = Signature.dynamic("Stats.mean")
    assert (signature.params, signature.result, str(signature)) == (None, Any, "Stats.mean(...)")
    assert signature.mismatch(99, ["anything"]) is None


# ── writing ──


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (Calculator.add, "f(a: int, b: int = 5)"),
        (
            all_kinds,
            "f(a: int, /, b: str, c: float = 0.5, *rest: bytes, d: bool, e: int = 1, **more: str)",
        ),
        (Calculator.untyped, "f(value, *rest, flag=False, **more)"),
        (lambda *, a: a, "f(*, a)"),
        (lambda a, /: a, "f(a, /)"),
        (lambda a="x" * 50: a, "f(a=...)"),
        (lambda: 0, "f()"),
    ],
)
def test_a_signature_reads_as_in_source(function, text):
    assert str(Signature.of(function, "f")) == text


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        (int, "int"),
        (None, "None"),
        (list[Later], "list[Later]"),
        (Later | None, "Later | None"),
        (Any, "Any"),
        (dict[str, "Later"], "dict[str, 'Later']"),
    ],
)
def test_a_hint_reads_as_in_source(hint, text):
    assert hint_text(hint) == text


# ── comparing ──


@pytest.mark.parametrize(
    ("count", "names"), [(2, ["d"]), (1, ["b", "d"]), (9, ["d", "e", "x"]), (2, ["d", "a"])]
)
def test_a_call_that_fits_has_no_mismatch(count, names):
    assert Signature.of(all_kinds, "f").mismatch(count, names) is None


@pytest.mark.parametrize(
    ("function", "count", "names", "path", "words"),
    [
        (Calculator.add, 0, [], "$.a", "is missing 'a'"),
        (Calculator.add, 3, [], "$", "takes at most 2 arguments by position, 3 were given"),
        (Calculator.add, 1, ["a"], "$.a", "was given 'a' twice"),
        (Calculator.add, 1, ["bb"], "$.bb", "has no argument 'bb'; did you mean 'b'?"),
        (all_kinds, 0, ["a", "b", "d"], "$.a", "is missing 'a'"),
        (all_kinds, 2, [], "$.d", "is missing 'd'"),
        (lambda a, /: a, 0, ["a"], "$.a", "takes by position only 'a'"),
        (lambda: 0, 1, [], "$", "takes at most 0 arguments by position, 1 was given"),
    ],
)
def test_a_mismatch_says_where_and_what(function, count, names, path, words):
    mismatch = Signature.of(function, "f").mismatch(count, names)
    assert mismatch is not None
    assert mismatch.path == path
    assert words in mismatch.message
    assert mismatch.message.startswith("f(")


# ── interfaces ──


class StatsApi(Protocol):
    def mean(self, values: list[float]) -> float: ...


class Deep:
    def __call__(self): ...

    def _private(self): ...


class Base(abc.ABC, Generic[T]):
    Stats: StatsApi
    name: str
    when: Later
    deep: Deep
    _hidden: Hidden

    @abc.abstractmethod
    def inherited(self, x: int) -> str: ...

    def overridden(self) -> int: ...

    def removed(self) -> int: ...

    @property
    def prop(self) -> int:
        raise AssertionError("evaluated")

    def _private(self) -> Hidden: ...


class Api(Base[int]):
    constant = 3
    removed = None

    @marks.idempotent
    async def overridden(self) -> str: ...

    def future(self) -> Awaitable[int]: ...

    @staticmethod
    def static(x: int) -> int: ...

    @classmethod
    def of_class(cls, x: int) -> int: ...

    class Nested:
        def method(self): ...


def test_an_interface_has_its_public_methods_and_those_of_interfaces_under_a_name():
    assert set(interface_methods(Api)) == {
        "inherited",
        "overridden",
        "future",
        "static",
        "of_class",
        "Stats.mean",
    }


def test_a_nested_method_carries_its_whole_name():
    method = interface_methods(Api)["Stats.mean"]
    assert (method.name, str(method.signature)) == ("Stats.mean", "Stats.mean(values: list[float])")


def test_async_and_idempotent_are_read():
    methods = interface_methods(Api)
    assert {name for name, method in methods.items() if method.is_async} == {"overridden", "future"}
    assert {name for name, method in methods.items() if method.idempotent} == {"overridden"}
    assert methods["future"].signature.result is int


def test_the_first_parameter_of_static_and_class_methods_is_right():
    methods = interface_methods(Api)
    assert (
        hints(methods["static"].signature) == hints(methods["of_class"].signature) == [("x", int)]
    )


def test_a_protocol_is_an_interface():
    assert set(interface_methods(StatsApi)) == {"mean"}


@pytest.mark.parametrize("thing", [Calculator(), "Api", None])
def test_what_is_not_a_class_is_no_interface(thing):
    with pytest.raises(TypeError, match="an interface is a class, a Protocol or an ABC"):
        interface_methods(thing)


@pytest.mark.parametrize("empty", [Deep, int, dict, Exception])
def test_a_class_without_public_methods_of_its_own_is_no_interface(empty):
    with pytest.raises(TypeError, match="declares no public method"):
        interface_methods(empty)


def test_an_unresolvable_hint_of_an_interface_names_the_method():
    class Broken:
        def ask(self, a: Hidden) -> int: ...

    with pytest.raises(TypeError, match=r"^ask: the type hint `a: Hidden`"):
        interface_methods(Broken)


def test_an_unresolvable_attribute_of_an_interface_names_the_attribute():
    class Broken:
        Stats: Hidden

        def ask(self) -> int: ...

    with pytest.raises(TypeError, match=r"interface .*Broken: the type hint `Stats: Hidden`"):
        interface_methods(Broken)


def test_a_decorated_method_is_a_method_and_a_callable_attribute_is_not():
    class Mixed:
        @functools.cache  # noqa: B019
        def cached(self): ...

        helper = Deep()

    assert set(public_methods(Mixed)) == {"cached"}


def test_oneway_is_read_and_must_declare_no_result():
    class Log:
        @marks.oneway
        def write(self, line: str) -> None: ...

        @marks.oneway
        async def write_async(self, line: str) -> None: ...

        @marks.oneway
        def unhinted(self, line): ...

        def read(self) -> str: ...

    assert {name for name, method in interface_methods(Log).items() if method.oneway} == {
        "write",
        "write_async",
        "unhinted",
    }

    class Wrong:
        @marks.oneway
        def count(self) -> int: ...

    with pytest.raises(TypeError, match="count is marked oneway and declares a result, int"):
        interface_methods(Wrong)
