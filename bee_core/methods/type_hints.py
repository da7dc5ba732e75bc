"""Type hints of callables and classes: resolved, or an error that says which one cannot be."""

from __future__ import annotations

import collections.abc
import functools
import inspect
import re
import types
import typing
from typing import Any

_AWAITABLES = (collections.abc.Awaitable, collections.abc.Coroutine)
_STREAMS = (
    collections.abc.Iterator,
    collections.abc.Generator,
    collections.abc.AsyncIterable,
    collections.abc.AsyncIterator,
    collections.abc.AsyncGenerator,
)
NO_STREAMS = (
    "streams are not there yet: a call has one request and one reply; use a list, or take a cursor"
    " and return a page"
)
"""What is said about a method that would stream."""


def callable_hints(function: Any, method: str) -> dict[str, Any]:
    """The hints of a function, method, ``partial`` or callable object, by parameter.

    The hint of the result has the name ``return``.

    Args:
        function: The callable.
        method: Its name for messages.

    Raises:
        TypeError: A hint cannot be resolved; the message names the method and the hint.
    """
    owner = _owner(function)
    source = _annotated(function)
    # Python 3.12 has type parameters, and get_type_hints does not look for them in each release.
    name = getattr(source, "__name__", "")
    definers = (base for base in getattr(owner, "__mro__", ()) if name in vars(base))
    variables = {
        variable.__name__: variable
        for holder in (next(definers, None), source)
        for variable in getattr(holder, "__type_params__", ())
    }
    try:  # resolving a hint runs whatever stands in it, so anything can be raised
        return typing.get_type_hints(source, localns=variables or None, include_extras=True)
    except Exception as error:
        problem = error
    if owner is not None:
        # A class that is nested in the method's own class is in no scope that Python looks into.
        scope = {
            key: value
            for base in reversed(owner.__mro__)
            for key, value in vars(base).items()
            if isinstance(value, type)
        }
        try:
            return typing.get_type_hints(source, localns=scope | variables, include_extras=True)
        except Exception as error:
            problem = error
    namespace = getattr(inspect.unwrap(source), "__globals__", {})
    for name, hint in getattr(source, "__annotations__", {}).items():
        evaluated(name, hint, namespace, method)
    raise TypeError(f"{method}: its type hints cannot be resolved: {problem}") from problem


def awaited(hint: Any) -> tuple[Any, bool]:
    """The type that awaiting gives, and whether the hint is one of an awaitable.

    ``(int, True)`` for ``Awaitable[int]``, ``(int, False)`` for ``int``.
    """
    if typing.get_origin(hint) in _AWAITABLES:
        return typing.get_args(hint)[-1], True
    return (type(None) if hint is None else hint), False


def is_stream(hint: Any) -> bool:
    """Whether a hint is one of a generator or of another iterator, such as ``Iterator[int]``."""
    return (typing.get_origin(hint) or hint) in _STREAMS


def hint_text(hint: Any) -> str:
    """A type as a person writes it: ``list[Order]`` for ``list[shop.model.Order]``."""
    if hint is None or hint is type(None):
        return "None"
    text = hint.__qualname__ if isinstance(hint, type) and not typing.get_args(hint) else repr(hint)
    # On some versions of Python a class of another metaclass inside a union shows like this.
    text = re.sub(r"<class '([^']*)'>", r"\1", text)
    return re.sub(r"(?:\w+\.|<locals>\.)+", "", text).replace("NoneType", "None")


def evaluated(name: str, hint: Any, namespace: dict[str, Any], owner: str) -> Any:
    """A hint with every name in its text looked up.

    Args:
        name: The parameter or attribute, for messages.
        hint: The hint, or its text.
        namespace: Where names are looked up.
        owner: What has the hint, for messages.

    Raises:
        TypeError: A name is not there; the message has owner, name and hint.
    """
    # A class, because only there a hint may be a ClassVar or the like.
    holder = type("Holder", (), {"__annotations__": {name: hint}})
    try:
        # A text that knows its module looks for names there, unless they are local ones.
        return typing.get_type_hints(holder, namespace, {**namespace}, include_extras=True)[name]
    except Exception as error:
        advice = (
            "import what it names where it can be found at run time, not under `if TYPE_CHECKING`"
        )
        raise TypeError(
            f"{owner}: the type hint `{name}: {hint}` cannot be resolved ({error}); {advice}"
        ) from error


def _annotated(function: Any) -> Any:
    """The function that carries the hints, behind what wraps it."""
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif isinstance(function, types.MethodType):
            function = function.__func__
        elif hasattr(function, "__wrapped__") and not hasattr(function, "__annotations__"):
            function = function.__wrapped__
        elif not hasattr(function, "__annotations__") and not inspect.isroutine(function):
            function = type(function).__call__
        else:
            return function


def _owner(function: Any) -> type | None:
    while isinstance(function, functools.partial):
        function = function.func
    owner = getattr(function, "__self__", None)
    return owner if isinstance(owner, type) or owner is None else type(owner)
