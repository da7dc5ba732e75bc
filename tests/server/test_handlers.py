from __future__ import annotations

import contextlib
import functools
from typing import Any, Protocol

import pytest

from bee_core.methods import decorators as marks
from bee_core.server.handlers import collect


class Base:
    def inherited(self) -> str:
        return "base"

    def overridden(self) -> str:
        return "base"


class Service(Base):
    attribute = 3
    helper = print

    def __init__(self):
        self.on_the_instance = lambda: "attribute"
        self.state = "own state"

    def read(self) -> str:
        return self.state

    async def wait(self, seconds: float) -> None: ...

    @marks.nonblocking
    def quick(self) -> int:
        return 1

    @marks.idempotent
    def safe(self) -> int:
        return 1

    @staticmethod
    def static(x: int) -> int:
        return x

    @classmethod
    def of_class(cls) -> str:
        return cls.__name__

    def overridden(self) -> str:
        return "service"

    def _private(self): ...

    def __call__(self): ...

    @property
    def prop(self):
        raise AssertionError("evaluated")

    @functools.cached_property
    def cached_prop(self):
        raise AssertionError("evaluated")

    class Nested:
        def method(self): ...


def free(x: int) -> int:
    return x


# What is exposed.


def test_the_public_methods_of_an_object_and_its_bases_are_exposed():
    assert set(collect(Service())) == {
        "inherited",
        "overridden",
        "read",
        "wait",
        "quick",
        "safe",
        "static",
        "of_class",
    }


def test_a_name_stands_before_the_methods():
    handlers = collect(Service(), "Stats")
    assert handlers["Stats.read"].signature.method == "Stats.read"
    assert all(name.startswith("Stats.") for name in handlers)


def test_handlers_are_bound_to_their_object():
    handlers = collect(Service())
    assert [
        handlers[name].function() for name in ("read", "inherited", "overridden", "of_class")
    ] == ["own state", "base", "service", "Service"]
    assert handlers["static"].function(3) == 3


def test_nothing_that_builtin_types_define_is_exposed():
    class Store(dict):
        def fetch(self, key: str) -> Any:
            return self[key]

    assert set(collect(Store())) == {"fetch"}


def test_a_method_that_is_set_to_none_is_hidden():
    class Less(Service):
        read = None

    assert "read" not in collect(Less())


def test_a_function_is_exposed_under_its_own_name_or_a_given_one():
    assert set(collect(free)) == {"free"}
    assert set(collect(free, "other")) == {"other"}
    assert collect(free)["free"].function is free


def test_a_partial_is_exposed_under_its_function_s_name():
    handler = collect(functools.partial(free, 3))["free"]
    assert handler.function() == 3


def test_a_cached_function_is_a_function():
    assert set(collect(functools.cache(free))) == {"free"}


def test_a_bound_method_is_a_function():
    assert set(collect(Service().read)) == {"read"}


def test_a_callable_object_needs_a_name():
    class Adder:
        def __call__(self, a: int) -> int:
            return a

    assert str(collect(Adder(), "add")["add"].signature) == "add(a: int)"
    with pytest.raises(TypeError, match="no public name of its own"):
        collect(Adder())


def test_a_lambda_needs_a_name():
    with pytest.raises(TypeError, match="no public name of its own"):
        collect(lambda: 0)


@pytest.mark.parametrize("thing", [object(), 3, "text", None, {}])
def test_nothing_to_expose_is_an_error_that_says_so(thing):
    with pytest.raises(TypeError, match="nothing to expose"):
        collect(thing)


def test_a_class_is_not_an_instance():
    with pytest.raises(TypeError, match=r"Service is a class: add an instance of it, Service\(\)"):
        collect(Service)


@pytest.mark.parametrize("name", ["", "_x", "a b", "Stats.", "Stats._x", "1a"])
def test_a_name_that_no_client_can_say_is_refused(name):
    with pytest.raises(ValueError, match="cannot be called by a client"):
        collect(Service(), name)


# How it is run.


def test_the_kind_follows_from_the_definition():
    handlers = collect(Service())
    assert {handlers[name].kind for name in ("read", "static", "of_class", "safe")} == {"threaded"}
    assert (handlers["wait"].kind, handlers["quick"].kind) == ("async", "nonblocking")


def test_the_kind_is_seen_through_partials_and_callable_objects():
    async def wait(seconds: float) -> None: ...

    class Caller:
        @marks.nonblocking
        def __call__(self): ...

    assert collect(functools.partial(wait, 1))["wait"].kind == "async"
    assert collect(functools.partial(marks.nonblocking(free), 1))["free"].kind == "nonblocking"
    assert collect(Caller(), "call")["call"].kind == "nonblocking"


def test_streams_are_refused():
    class Streams:
        async def numbers(self):
            yield 1

    def numbers():
        yield 1

    for target in (Streams(), numbers):
        with pytest.raises(
            TypeError, match="numbers is a generator, and streams are not there yet"
        ):
            collect(target)


def test_a_generator_behind_a_decorator_is_the_decorator_s_affair():
    @contextlib.contextmanager
    def managed():
        yield 1

    assert collect(managed)["managed"].kind == "threaded"


# Behind an interface.


class StatsApi(Protocol):
    def mean(self, values: list[float]) -> float: ...


class Api(Protocol):
    Stats: StatsApi

    @marks.idempotent
    def read(self) -> str: ...

    def scale(self, x: int, *, by: int = 1) -> int: ...


class Plain:
    def read(self):
        return "plain"

    def scale(self, x, *, by=1, extra=0):
        return x * by

    def other(self): ...


class Stats:
    def mean(self, values):
        return sum(values) / len(values)


def test_only_what_the_interface_declares_is_exposed_with_its_hints():
    handlers = collect(Plain(), interface=Api)
    assert set(handlers) == {"read", "scale"}
    assert str(handlers["scale"].signature) == "scale(x: int, *, by: int = 1)"


def test_an_object_under_a_name_in_the_interface_is_taken_from_the_target():
    target = Plain()
    target.Stats = Stats()
    handler = collect(target, interface=Api)["Stats.mean"]
    assert handler.function([1, 3]) == 2
    assert str(handler.signature) == "Stats.mean(values: list[float])"


def test_a_name_and_an_interface_go_together():
    assert set(collect(Stats(), "Stats", StatsApi)) == {"Stats.mean"}


def test_missing_methods_are_all_named():
    with pytest.raises(
        TypeError, match="Stats does not implement Api: it has no public method read, scale"
    ):
        collect(Stats(), interface=Api)


def test_a_method_that_takes_something_else_is_refused():
    class Wrong(Plain):
        def scale(self, y, *, by=1): ...

    with pytest.raises(
        TypeError,
        match=r"scale does not take what its interface declares, "
        r"scale\(x: int, \*, by: int = 1\): .*'x'",
    ):
        collect(Wrong(), interface=Api)


def test_a_method_that_asks_for_more_is_refused():
    class Wrong(Plain):
        def scale(self, x, *, by=1, unit): ...

    with pytest.raises(TypeError, match="is missing 'unit'"):
        collect(Wrong(), interface=Api)
