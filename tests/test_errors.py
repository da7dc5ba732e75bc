"""Errors say what happened, where, and whether it ran; they cross process pools."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from bee_core import errors
from bee_core.errors import (
    CALL_ERRORS,
    BeeError,
    CallError,
    ConfigError,
    DeadlineExceeded,
    InvalidArgument,
    Overloaded,
    PluginError,
    RegistryError,
    RemoteError,
    ServiceError,
)
from bee_core.terms.node import Node

NODE = Node("a", "tcp://10.0.0.1:9000")
CLASSES = [
    cls
    for _, cls in inspect.getmembers(errors, inspect.isclass)
    if issubclass(cls, BeeError) and cls.__module__ == errors.__name__
]


def test_the_tree_in_the_docstring_is_the_tree():
    drawn, parents = {}, {}
    for line in (errors.__doc__ or "").splitlines():
        text = line.lstrip(" │├└─")
        name, indent = text.partition(" ")[0], len(line) - len(text)
        if name in {cls.__name__ for cls in CLASSES} and line.startswith("    "):
            parents[indent] = name
            drawn[name] = next(
                (parents[column] for column in sorted(parents, reverse=True) if column < indent),
                None,
            )
    assert drawn == {
        cls.__name__: None if cls is BeeError else cls.__bases__[0].__name__ for cls in CLASSES
    }


def test_every_kind_of_a_call_error_has_one_class():
    assert set(CALL_ERRORS.values()) == {
        cls for cls in CLASSES if issubclass(cls, CallError) and cls is not CallError
    }
    assert all(cls.kind == kind for kind, cls in CALL_ERRORS.items())


def test_a_call_that_ran_out_of_time_is_a_timeout_error_too():
    assert issubclass(DeadlineExceeded, TimeoutError)
    with pytest.raises(TimeoutError):
        raise DeadlineExceeded("late", service="calc", method="add")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (CallError("it failed"), "it failed"),
        (CallError("it failed", service="calc"), "calc: it failed (executed: no)"),
        (
            CallError("it failed", service="calc", method="add", attempts=1),
            "calc.add: it failed (1 attempt, executed: no)",
        ),
        (
            CallError(
                "it failed", service="calc", method="add", node=NODE, attempts=3, executed="maybe"
            ),
            "calc.add: it failed (node tcp://10.0.0.1:9000, 3 attempts, executed: maybe)",
        ),
    ],
)
def test_the_text_says_method_trouble_node_attempts_and_whether_it_ran(error, text):
    assert str(error) == text


@pytest.mark.parametrize("cls", CALL_ERRORS.values())
@pytest.mark.parametrize(
    "again",
    [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy],
    ids=["pickle", "copy", "deepcopy"],
)
def test_a_call_error_survives_with_all_it_knows(cls, again):
    error = cls("it failed", service="calc", method="add", node=NODE, attempts=2, executed="maybe")
    if isinstance(error, RemoteError):
        error.type, error.traceback = "ValueError", "tb"
    elif isinstance(error, InvalidArgument):
        error.path = "$.a"
    elif isinstance(error, Overloaded):
        error.retry_after = 1.5
    twin = again(error)
    assert type(twin) is cls
    assert vars(twin) == vars(error)
    assert str(twin) == str(error)


def test_an_error_says_nothing_that_was_not_said():
    assert (
        RemoteError("x").type,
        RemoteError("x").traceback,
        InvalidArgument("x").path,
        Overloaded("x").retry_after,
    ) == ("", None, "", None)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConfigError("not a mapping"), "not a mapping"),
        (ConfigError("unknown", path="bee.rpc"), "bee.rpc: unknown"),
        (
            ConfigError("unknown", path="bee.rpc", line=3, source="bee.yml"),
            "bee.yml:3: bee.rpc: unknown",
        ),
        (ConfigError("unknown", path="bee.rpc", source="bee.yml"), "bee.yml: bee.rpc: unknown"),
    ],
)
def test_a_configuration_error_says_file_line_and_key(error, text):
    assert str(error) == text


def test_a_configuration_error_that_holds_several_lists_them_all():
    problems = [ConfigError("one", path="a"), ConfigError("two", path="b")]
    error = ConfigError("one", path="a", problems=problems)
    assert str(error) == "a: one\nb: two"
    assert problems[0].problems == (problems[0],)


@pytest.mark.parametrize("several", [False, True])
def test_a_configuration_error_can_be_pickled(several):
    problems = (
        [ConfigError("one", path="a", value=3, expected="a text"), ConfigError("two", path="b")]
        if several
        else []
    )
    error = ConfigError(
        "one", path="a", value=3, expected="a text", line=4, source="bee.yml", problems=problems
    )
    twin = pickle.loads(pickle.dumps(error))
    assert str(twin) == str(error)
    assert (twin.path, twin.value, twin.expected, twin.line, twin.source) == (
        "a",
        3,
        "a text",
        4,
        "bee.yml",
    )
    assert [problem.path for problem in twin.problems] == [
        problem.path for problem in error.problems
    ]


@pytest.mark.parametrize("cls", [PluginError, RegistryError])
def test_the_others_carry_a_message(cls):
    assert str(pickle.loads(pickle.dumps(cls("install it")))) == "install it"


class OutOfStock(ServiceError):
    """A subclass with a constructor of its own."""

    def __init__(self, sku):
        super().__init__("OUT_OF_STOCK", f"none of {sku} is left", details={"sku": sku})
        self.sku = sku


@pytest.mark.parametrize(
    "error", [ServiceError("NO", "no", details=[1], retry_after=2), OutOfStock(7)]
)
@pytest.mark.parametrize("twin_of", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_a_service_error_can_be_pickled_and_copied(error, twin_of):
    twin = twin_of(error)
    assert type(twin) is type(error)
    assert (str(twin), vars(twin)) == (str(error), vars(error))


def test_a_service_error_says_its_code_and_its_message():
    assert str(ServiceError("NOT_FOUND", "no such order")) == "NOT_FOUND: no such order"


@pytest.mark.parametrize("code", ["", " ", "OK", "x" * 65, "two\nlines", None, 404])
def test_a_service_error_with_a_code_that_is_none_is_refused_where_it_is_raised(code):
    with pytest.raises(ValueError, match="1 to 64 printable characters"):
        ServiceError(code, "no")


@pytest.mark.parametrize(
    ("seconds", "error"),
    [("2", TypeError), (True, TypeError), (-1, ValueError), (float("nan"), ValueError)],
)
def test_a_time_to_wait_that_is_none_is_refused(seconds, error):
    with pytest.raises(error, match="retry_after"):
        ServiceError("NO", "no", retry_after=seconds)


@pytest.mark.parametrize(
    ("kind", "code", "executed", "text"),
    [
        ("KeyError", "", "yes", "the handler raised KeyError: no"),
        ("ServiceError", "GONE", "yes", "the handler raised ServiceError (GONE): no"),
        ("Gone", "Gone", "yes", "the handler raised Gone: no"),
        ("ServiceError", "GONE", "no", "refused with ServiceError (GONE): no"),
    ],
)
def test_a_remote_error_says_class_and_code_once(kind, code, executed, text):
    error = RemoteError("no", service="calc", method="add", executed=executed)
    error.type, error.code = kind, code
    assert str(error) == f"calc.add: {text} (executed: {executed})"
