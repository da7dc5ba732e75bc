"""Makes ``InvalidArgument`` of what msgspec, protobuf and Python raise, with the value's path."""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from bee_core.errors import Executed, InvalidArgument
from bee_core.interfaces import text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from bee_core.interfaces import Signature

T = TypeVar("T")

_LOCATION = re.compile(r"(.*) - at (`key` in )?`\$(.*)`", re.DOTALL)

TOO_DEEP = "nested too deeply"


class Misfit(ValueError):
    """A value that does not fit, found by bee and not by msgspec.

    Attributes:
        path: The path inside what was read, without ``$``: ``.lines[2].qty``. Empty for the whole.
            The reader of an outer value adds its own part in front.
        message: What is wrong.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path
        self.message = message


class UnsendablePartError(ValueError):
    """A part of a value cannot be sent, though the encoder would take it.

    Attributes:
        part: The part.
    """

    def __init__(self, part: Any, message: str) -> None:
        super().__init__(message)
        self.part = part


def invalid(path: str, message: str, executed: Executed = "no") -> InvalidArgument:
    """The error for a value at a path."""
    error = InvalidArgument(f"{path}: {message}", executed=executed)
    error.path = path
    return error


def check_call(signature: Signature, count: int, names: Collection[str]) -> None:
    """Check that arguments fit a method by count and by name.

    Raises:
        InvalidArgument: They do not. The message says what the method takes.
    """
    mismatch = signature.mismatch(count, names)
    if mismatch:
        error = InvalidArgument(mismatch.message)
        error.path = mismatch.path
        raise error


def undecodable(error: Exception, path: str, executed: Executed = "no") -> InvalidArgument:
    """The error for the value at ``path``, made of what a decoder raised.

    Raises:
        MemoryError: ``error`` is one: the value is not at fault.
    """
    if isinstance(error, MemoryError):
        raise error
    if isinstance(error, RecursionError):
        return invalid(path, TOO_DEEP, executed)
    if isinstance(error, UnicodeError):
        return invalid(path, "text that is not UTF-8", executed)
    if isinstance(error, Misfit):
        return invalid(path + error.path, error.message, executed)
    if not isinstance(error, msgspec.DecodeError):  # a record's own validation
        return invalid(path, f"{type(error).__name__}: {text_of(error)}", executed)
    inner, message = located(error)
    return invalid(path + inner, message, executed)


def decoded(decode: Callable[[Any], T], value: Any, path: str, executed: Executed = "no") -> T:
    """What ``decode`` makes of the value at ``path``.

    Raises:
        InvalidArgument: It raised something else than a MemoryError.
    """
    try:
        return decode(value)
    except Exception as error:
        raise undecodable(error, path, executed) from error


def located(error: msgspec.DecodeError) -> tuple[str, str]:
    """The path and the problem, read from the text of an error of msgspec.

    The path is that inside what was decoded, without ``$``.
    """
    message, cause = str(error), error.__cause__
    if isinstance(cause, Misfit):
        outer = _LOCATION.fullmatch(message[len(str(cause)) :])
        return (outer[3] if outer else "") + cause.path, cause.message
    found = _LOCATION.fullmatch(message)
    path = found[3] if found else ""
    message = (found[1] if found else message).replace("`", "")
    message = message[:1].lower() + message[1:] if message[1:2].islower() else message
    return path, f"a key of the object: {message}" if found and found[2] else message


def unencodable(
    error: Exception,
    named: Iterable[tuple[str, Any]],
    encode: Callable[[Any], bytes],
    executed: Executed = "no",
) -> InvalidArgument:
    """The error for values, made of what an encoder raised.

    Args:
        error: The exception.
        named: The values with their paths; one of them is at fault.
        encode: The encoder.
        executed: For the error.

    Raises:
        MemoryError: ``error`` is one: the values are not at fault.
    """
    if isinstance(error, MemoryError):
        raise error
    named = list(named)
    message = str(error)
    inner = (found for path, value in named for found in parts(value, path))
    if isinstance(error, RecursionError):
        # No look at the parts: they may be very deep, or endless.
        message = f"{TOO_DEEP}, or refers to itself"
    elif isinstance(error, UnsendablePartError):
        path = next((path for path, part in inner if part is error.part), named[0][0])
        return invalid(path, message, executed)
    else:
        for path, part in inner:
            problem = _unencodable_part(part, encode)
            if problem:
                return invalid(path, problem, executed)
    # No part is at fault by itself.
    whole = (path for path, value in named if _problem(value, encode))
    return invalid(named[0][0] if len(named) == 1 else next(whole, "$"), message, executed)


def parts(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every value inside a value with its path, outer ones first.

    Each container comes once, so one that holds itself ends too.
    """
    seen: set[int] = set()
    waiting = [(path, value)]
    while waiting:
        path, value = waiting.pop()
        yield path, value
        children = list(_children(value, path))
        if children and id(value) not in seen:
            seen.add(id(value))
            waiting.extend(reversed(children))


def below(key: Any) -> str:
    """The part of a path that leads to the value of a key: ``.name`` or ``['a key']``."""
    return f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{key!r}]"


def _children(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield path + below(key), item
    elif isinstance(value, (list, tuple, set, frozenset, deque)):
        for index, item in enumerate(value):
            yield f"{path}[{index}]", item
    else:
        for attribute, name in _fields(type(value)):
            yield f"{path}.{name}", getattr(value, attribute, None)


def _fields(cls: type) -> Iterator[tuple[str, str]]:
    """The fields of a record class: attribute and name on the wire."""
    yield from zip(
        getattr(cls, "__struct_fields__", ()),
        getattr(cls, "__struct_encode_fields__", ()),
        strict=True,
    )
    for mark in ("__dataclass_fields__", "__pydantic_fields__"):
        for name in getattr(cls, mark, ()):
            yield name, name
    for field in getattr(cls, "__attrs_attrs__", ()):
        yield field.name, field.name


def _unencodable_part(value: Any, encode: Callable[[Any], bytes]) -> str:
    """Why a value cannot be encoded by itself, without its parts; empty if it can."""
    if isinstance(value, dict):
        problems = ((key, _problem({key: None}, encode)) for key in value)
        return next(
            (
                f"the key {key!r} cannot be encoded: {problem}"
                for key, problem in problems
                if problem
            ),
            "",
        )
    if isinstance(value, (list, tuple, set, frozenset, deque)) or any(
        True for _ in _fields(type(value))
    ):
        return ""
    return _problem(value, encode)


def _problem(value: Any, encode: Callable[[Any], bytes]) -> str:
    try:
        encode(value)
    except UnicodeError:
        return "text with a lone surrogate is not Unicode"
    except Exception as error:
        return text_of(error)
    return ""
