"""The fallbacks ``static`` and ``function``."""

from __future__ import annotations

import sys
import types

import pytest

from bee_core import build_client
from bee_core.errors import (
    ConfigError,
    DeadlineExceeded,
    InvalidArgument,
    MessageTooLarge,
    MethodNotFound,
    Overloaded,
    PluginFault,
    RemoteError,
    Unauthenticated,
    Unavailable,
)
from bee_core.testing import FallbackContract
from bee_plugins.fallbacks.function import FunctionFallback, FunctionOptions
from bee_plugins.fallbacks.static import Static, StaticOptions

MODULE = "the_applications_fallbacks"


@pytest.fixture(autouse=True)
def module():
    made = types.ModuleType(MODULE)
    exec(
        """
asked = []
def total(service, method, args, kwargs, error):
    asked.append((service, method, args, kwargs, error))
    return sum(args)
def declines(service, method, args, kwargs, error):
    raise error
async def waits(service, method, args, kwargs, error):
    return 1
def one(error):
    return 1
class Cache:
    def __call__(self, service, method, args, kwargs, error):
        return "cached"
cache = Cache()
number = 3
""",
        made.__dict__,
    )
    sys.modules[MODULE] = made
    yield made
    del sys.modules[MODULE]


class TestStatic(FallbackContract):
    def make_fallback(self):
        return Static(StaticOptions({"items": []}))


class TestStaticForApplicationErrorsToo(FallbackContract):
    def make_fallback(self):
        return Static(StaticOptions(0, when=("CallError",)))


class TestFunction(FallbackContract):
    def make_fallback(self):
        return FunctionFallback(FunctionOptions(f"{MODULE}:declines"))


def answer(fallback, error):
    return fallback.answer("calc", "add", (1, 2), {}, error)


@pytest.mark.parametrize(
    "error",
    [Unavailable("no node"), DeadlineExceeded("late"), Overloaded("full")],
    ids=lambda error: error.kind,
)
def test_static_answers_where_the_call_could_not_be_made(error):
    assert answer(Static(StaticOptions([1])), error) == [1]


@pytest.mark.parametrize(
    "error",
    [
        RemoteError("raised"),
        InvalidArgument("a is no number"),
        MessageTooLarge("over max_size"),
        MethodNotFound("no such method"),
        Unauthenticated("a wrong token"),
        PluginFault("pick raised KeyError"),
    ],
    ids=lambda error: error.kind,
)
@pytest.mark.parametrize(
    "make",
    [
        lambda **more: Static(StaticOptions(3, **more)),
        lambda **more: FunctionFallback(FunctionOptions(f"{MODULE}:total", **more)),
    ],
    ids=["static", "function"],
)
def test_what_does_not_pass_by_itself_is_answered_for_only_if_asked(make, error):
    with pytest.raises(type(error)) as caught:
        answer(make(), error)
    assert caught.value is error
    assert answer(make(when=(type(error).__name__,)), error) == 3
    assert answer(make(when=("CallError",)), error) == 3


def test_with_when_no_other_error_is_answered_for():
    error = Overloaded("full")
    with pytest.raises(Overloaded):
        answer(Static(StaticOptions(3, when=("Unavailable",))), error)


def test_a_name_that_is_no_error_is_refused_at_its_key():
    options = {"value": 3, "when": ["Unavailable", "Unauthorised"]}
    client = {"fallback": {"name": "static", "options": options}, "address": "127.0.0.1:1"}
    with pytest.raises(ConfigError, match=r"fallback\.options\.when: .*Unauthenticated") as caught:
        build_client({"bee": {"rpc": {"client": {"calc": client}}}})
    assert caught.value.path == "bee.rpc.client.calc.fallback.options.when"


def test_each_caller_gets_a_value_of_its_own():
    fallback = Static(StaticOptions({"items": []}))
    answer(fallback, Unavailable("no node"))["items"].append(1)
    assert answer(fallback, Unavailable("no node")) == {"items": []}


def test_the_function_gets_the_call_and_the_error(module):
    error = Unavailable("no node")
    assert answer(FunctionFallback(FunctionOptions(f"{MODULE}:total")), error) == 3
    assert module.asked == [("calc", "add", (1, 2), {}, error)]


def test_anything_that_can_be_called_will_do():
    assert (
        answer(FunctionFallback(FunctionOptions(f"{MODULE}:cache")), Unavailable("no node"))
        == "cached"
    )


def configured(fallback):
    return {"bee": {"rpc": {"client": {"calc": {"address": "127.0.0.1:1", "fallback": fallback}}}}}


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("no colon", "not of the form package.module:function"),
        ("no_such_module_at_all:f", "cannot be imported: No module named"),
        (f"{MODULE}:absent", "cannot be imported"),
        (f"{MODULE}:number", "is not a function but a int"),
        (f"{MODULE}:waits", "is async; a fallback answers at once"),
        (f"{MODULE}:one", "does not take (service, method, args, kwargs, error)"),
    ],
)
def test_a_target_that_cannot_be_used_is_found_when_the_client_is_built(target, message):
    with pytest.raises(ConfigError) as caught:
        build_client(configured({"name": "function", "options": {"target": target}}))
    assert message in str(caught.value)
    assert caught.value.path.startswith("bee.rpc.client.calc.fallback")


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("7", 7),
        ("'7'", "7"),
        ("true", True),
        ("null", None),
        ("1.5", 1.5),
        ("[1, x, {a: no}]", [1, "x", {"a": "no"}]),
        ("{}", {}),
    ],
)
def test_the_value_has_the_type_that_yaml_says(tmp_path, written, value):
    path = tmp_path / "bee.yml"
    path.write_text(
        "bee:\n"
        "  rpc:\n"
        "    client:\n"
        "      calc:\n"
        "        address: 127.0.0.1:1\n"
        "        retries: 0\n"
        f"        fallback: {{name: static, options: {{value: {written}}}}}\n",
        encoding="utf-8",
    )
    with build_client(str(path)) as client:
        got = client.service("calc").add(1, 2)
    assert got == value
    assert type(got) is type(value)


def test_static_without_a_value_is_an_error():
    with pytest.raises(ConfigError, match="value"):
        build_client(configured("static"))
