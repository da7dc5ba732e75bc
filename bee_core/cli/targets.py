"""What ``bee serve`` is to serve: a TARGET is found, made where it is a class or a factory."""

from __future__ import annotations

import inspect
import re
import typing
from typing import TYPE_CHECKING, Any

import attrs

from ..methods.interface_methods import public_methods
from ..server.server import Server
from .application_code import load_attribute, load_failed
from .command_group import UnusableCommandError

if TYPE_CHECKING:
    from collections.abc import Callable

_NAMED = re.compile(r"([A-Za-z_][\w.]*)=(.+)", re.DOTALL)
_MAKERS = ("make_", "create_", "build_")
_UNKNOWN = object()


@attrs.frozen
class Target:
    """What a TARGET means.

    Attributes:
        text: As it was written.
        name: What stands before ``=``, or None.
        value: An instance, a function, or a :class:`bee_core.Server`. A class was instantiated and
            a factory called.
    """

    text: str
    name: str | None
    value: Any


def load_target(text: str) -> Target:
    """Import a TARGET. The current folder, or that of the file, comes first on ``sys.path``.

    Raises:
        UnusableCommandError: No such module, file or attribute, a class that needs arguments, or a
            factory that made nothing to serve.
        ClickException: The module, the class or the factory raised.
    """
    named = _NAMED.fullmatch(text)
    name, rest = (named[1], named[2]) if named else (None, text)
    place = rest.removesuffix("()")
    value = load_attribute(place, "a TARGET")
    if inspect.isclass(value):
        value = _call(value, place, "make an instance in the module and name that")
    elif place != rest or _is_factory(value):
        value = _made(value, place)
    return Target(text, name, value)


def _is_factory(value: Any) -> bool:
    """Whether a function is called for what is to be served, and not served itself.

    It takes no arguments, and says that it makes a server; or it is called ``make_…``, ``create_…``
    or ``build_…`` and does not say that it makes anything but an object with methods.
    """
    if not inspect.isfunction(value) or inspect.iscoroutinefunction(value):
        return False
    try:
        inspect.signature(value).bind()
    except TypeError:
        return False
    result = _result_of(value)
    if result is Server:
        return True
    return value.__name__.startswith(_MAKERS) and (result is _UNKNOWN or _has_methods(result))


def _result_of(function: Callable[..., Any]) -> Any:
    """The type that a function says it returns; ``_UNKNOWN`` if it does not."""
    written = function.__annotations__.get("return", _UNKNOWN)
    try:
        return typing.get_type_hints(function).get("return", _UNKNOWN)
    except Exception:  # a name that is only there for type checkers
        return Server if str(written).rpartition(".")[2] == "Server" else _UNKNOWN


def _has_methods(result: Any) -> bool:
    return isinstance(result, type) and bool(public_methods(result))


def _made(factory: Any, text: str) -> Any:
    made = _call(factory, text, "a factory takes none")
    if inspect.iscoroutine(made):
        made.close()
        raise UnusableCommandError(f"{text} is async def; a factory is a plain def")
    kind = type(made)
    if made is None or isinstance(made, type) or not (callable(made) or public_methods(kind)):
        said = "None" if made is None else f"an object of {kind.__qualname__}"
        raise UnusableCommandError(
            f"{text}() returned {said}, and a factory returns an object with methods, a function or"
            " a bee_core.Server; a function that is to be served itself says what it returns,"
            " or has another name than make_…, create_… or build_…"
        )
    return made


def _call(function: Any, text: str, advice: str) -> Any:
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        what = "made" if inspect.isclass(function) else "called"
        raise UnusableCommandError(
            f"{text} cannot be {what} without arguments ({error}); {advice}"
        ) from error
    except ValueError:  # one in C has no signature; trying it tells
        pass
    try:
        return function()
    except Exception as error:
        raise load_failed(f"{text}()", error) from error
