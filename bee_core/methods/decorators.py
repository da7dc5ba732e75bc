"""Decorators that say something about a method, on handlers and on interfaces."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import BeeError

if TYPE_CHECKING:
    from collections.abc import Callable

    F = TypeVar("F", bound=Callable[..., Any])

NONBLOCKING = "__bee_nonblocking__"
IDEMPOTENT = "__bee_idempotent__"
ONEWAY = "__bee_oneway__"
RAISES = "__bee_raises__"
PROTO_NAME = "__bee_proto_name__"
STREAMS = "__bee_streams__"
"""Why a method of a ``.proto`` cannot be called: it would stream."""

_OVERLOAD: Any = typing.overload(lambda: None)
"""What ``typing.overload`` leaves in a class: one function for all overloads of a program."""


def is_overload(function: Any) -> bool:
    """Whether it is what is left of a method with overloads and no implementation."""
    return getattr(function, "__func__", function) is _OVERLOAD


def _marked(function: F, mark: str, value: Any) -> F:
    """The function with a mark.

    Raises:
        TypeError: It is an overload, and every overload of the program would have the mark.
    """
    if is_overload(function):
        raise TypeError(
            "a mark stands on the implementation of a method with overloads: write one after the "
            "overloads, def name(self, *args: Any, **kwargs: Any) -> Any: ..., and mark that"
        )
    setattr(function, mark, value)
    return function


def nonblocking(function: F) -> F:
    """Mark a ``def`` handler that never blocks: it runs on the event loop, not in a thread.

    If it does block, it holds up every other call of its process.
    """
    return _marked(function, NONBLOCKING, True)


def idempotent(function: F) -> F:
    """Mark a method that may run twice: it is retried even when it is unknown whether it ran.

    The configuration can override the mark for a method (``methods: {name: {idempotent: false}}``).
    """
    return _marked(function, IDEMPOTENT, True)


def oneway(function: F) -> F:
    """Mark a method of an interface whose calls do not wait for an answer.

    Such a call returns None once the system has the request. The method must declare no result. The
    configuration can override the mark for a method (``methods: {name: {oneway: false}}``), and
    ``with_options(oneway=False)`` for a call. On a handler it has no effect: the caller decides.
    """
    return _marked(function, ONEWAY, True)


def raises(*errors: type[Exception]) -> Callable[[F], F]:
    """Declare exceptions of a method: each reaches the client as itself.

    Mark the method of an interface, or the handler, or both. The exception that the client gets is
    raised from its ``RemoteError``: ``error.__cause__`` has node, attempts and ``executed``. A
    client that does not know the declaration gets that ``RemoteError``.

    Args:
        *errors: Classes of your own: a plain class with annotated fields, a dataclass, a pydantic
            dataclass or an attrs class. Not a frozen one: Python sets the traceback of what is
            raised. A subclass that is not declared arrives as the nearest class that is.

    Raises:
        TypeError: One is no exception of that kind. Fields that the codec cannot carry are found
            when the client makes a typed proxy, and in ``Server.add``.
    """
    for error in errors:
        problem = _undeclarable(error)
        if problem:
            raise TypeError(f"raises({getattr(error, '__qualname__', repr(error))}): {problem}")

    def mark(function: F) -> F:
        known = getattr(function, RAISES, ())
        more = (error for error in errors if error not in known)
        return _marked(function, RAISES, (*known, *more))

    return mark


def _undeclarable(error: Any) -> str:
    """Why something cannot be declared, or the empty string."""
    if not isinstance(error, type) or not issubclass(error, Exception):
        return "raises() takes classes that derive from Exception"
    if issubclass(error, (StopIteration, StopAsyncIteration)):
        return "no coroutine can raise it: Python makes a RuntimeError of it"
    if issubclass(error, BeeError):
        return (
            "bee's own errors are not declared. Derive a class of your own from Exception, or raise"
            " bee_core.ServiceError: it needs no declaration"
        )
    if error.__module__ == "builtins":
        return (
            "Python's own exceptions are not declared, because a bug may raise them too. Derive a"
            " class of your own"
        )
    return ""
