"""Makes ``InvalidArgument`` out of what msgspec and Python raise, with the path of the bad value."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import msgspec

from bee_core.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from bee_core.errors import Executed
    from bee_core.interfaces import Mismatch

_PLACE = re.compile(r"(.*) - at (`key` in )?`\$(.*)`", re.DOTALL)
_NON_FINITE = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")
"""NaN or an infinity in MessagePack; other data can look so, nothing that holds one can fail to."""

TOO_DEEP = "nested too deeply"


class Misfit(ValueError):
    """A value that does not fit, found while reading what msgspec does not read by itself.

    Attributes:
        path: From that value on, without ``$``: ``.lines[2].qty``.
        message: What is wrong.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path
        self.message = message


def invalid(path: str, message: str, executed: Executed = "no") -> InvalidArgument:
    """The error for a value at a path."""
    error = InvalidArgument(f"{path}: {message}", executed=executed)
    error.path = path
    return error


def misfit(mismatch: Mismatch) -> InvalidArgument:
    """The error for arguments that do not fit by count or name. Its message says what the method takes."""
    error = InvalidArgument(mismatch.message)
    error.path = mismatch.path
    return error


def undecodable(error: Exception, path: str, executed: Executed = "no") -> InvalidArgument:
    """What a decoder raised about the value at ``path``.

    Raises:
        MemoryError: That is what ``error`` is: not the value's fault.
    """
    if isinstance(error, MemoryError):
        raise error
    if isinstance(error, RecursionError):
        return invalid(path, TOO_DEEP, executed)
    if isinstance(error, UnicodeError):
        return invalid(path, "text that is not UTF-8", executed)
    if not isinstance(error, msgspec.DecodeError):  # a record's own validation
        return invalid(path, f"{type(error).__name__}: {error}", executed)
    inner, message = located(error)
    return invalid(path + inner, message, executed)


def located(error: msgspec.DecodeError) -> tuple[str, str]:
    """The path in what was decoded, without ``$``, and what is wrong there, from the text of an error of msgspec."""
    message, cause = str(error), error.__cause__
    if isinstance(cause, Misfit):
        outer = _PLACE.fullmatch(message[len(str(cause)) :])
        return (outer[3] if outer else "") + cause.path, cause.message
    place = _PLACE.fullmatch(message)
    path = place[3] if place else ""
    message = (place[1] if place else message).replace("`", "")
    message = message[:1].lower() + message[1:] if message[1:2].islower() else message
    return path, f"a key of the object: {message}" if place and place[2] else message


def unencodable(
    error: Exception,
    named: Iterable[tuple[str, Any]],
    encode: Callable[[Any], bytes],
    executed: Executed = "no",
) -> InvalidArgument:
    """What an encoder raised.

    Args:
        error: The exception.
        named: The values with their paths, one of which is at fault.
        encode: The encoder.
        executed: For the error.
    """
    if isinstance(error, MemoryError):
        raise error
    named = list(named)
    for start, value in named:
        if isinstance(
            error, RecursionError
        ):  # no walk: it would be as long as the value is deep, and may be as endless
            if _problem(value, encode):
                return invalid(start, f"{TOO_DEEP}, or refers to itself", executed)
            continue
        for path, part in _parts(value, start):
            problem = _unencodable_part(part, encode)
            if problem:
                return invalid(path, problem, executed)
    path = named[0][0] if len(named) == 1 else "$"
    return invalid(
        path,
        f"{TOO_DEEP}, or refers to itself" if isinstance(error, RecursionError) else str(error),
        executed,
    )


def refuse_non_finite(
    value: Any,
    named: Callable[[], Iterable[tuple[str, Any]]],
    pack: Callable[[Any], bytes],
    executed: Executed = "no",
) -> None:
    """Raise for a NaN or an infinity anywhere in a value.

    Args:
        value: All that was encoded.
        named: The same in parts, with their paths.
        pack: A MessagePack encoder. It is much faster than a walk in Python, and shows what JSON hides: there, NaN and None are both ``null``.
        executed: For the error.

    Raises:
        InvalidArgument: With the path.
    """
    try:
        if not _NON_FINITE.search(pack(value)):
            return
    except Exception:  # noqa: S110 - what MessagePack cannot hold (integers over 64 bits) is walked
        pass
    for start, part in named():
        for path, leaf in _parts(part, start):
            if isinstance(leaf, float) and not math.isfinite(leaf):
                raise invalid(path, f"JSON has no number for {leaf}", executed)


def place_of(part: Any, value: Any, path: str) -> str:
    """The path of an object inside a value that lies at ``path``."""
    return next((found for found, inner in _parts(value, path) if inner is part), path)


def _parts(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every value inside a value with its path, outer ones first. Each container once, so one that holds itself is no trap."""
    seen: set[int] = set()
    waiting = [(path, value)]
    while waiting:
        path, value = waiting.pop()
        yield path, value
        children = list(_children(value, path))
        if children and id(value) not in seen:
            seen.add(id(value))
            waiting.extend(reversed(children))


def _children(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield (
                (
                    f"{path}.{key}"
                    if isinstance(key, str) and key.isidentifier()
                    else f"{path}[{key!r}]"
                ),
                item,
            )
    elif isinstance(value, (list, tuple, set, frozenset)):
        for index, item in enumerate(value):
            yield f"{path}[{index}]", item
    else:
        for attribute, name in _fields(type(value)):
            yield f"{path}.{name}", getattr(value, attribute, None)


def _fields(cls: type) -> Iterator[tuple[str, str]]:
    """The fields of a record (msgspec.Struct, dataclass, attrs): the attribute, and the name on the wire."""
    yield from zip(
        getattr(cls, "__struct_fields__", ()),
        getattr(cls, "__struct_encode_fields__", ()),
        strict=True,
    )
    for name in getattr(cls, "__dataclass_fields__", ()):
        yield name, name
    for field in getattr(cls, "__attrs_attrs__", ()):
        yield field.name, field.name


def _unencodable_part(value: Any, encode: Callable[[Any], bytes]) -> str:
    """Why a value cannot be encoded by itself, its own parts aside, or nothing."""
    if isinstance(value, dict):
        return next(
            (
                f"the key {key!r} cannot be encoded: {problem}"
                for key in value
                if (problem := _problem({key: None}, encode))
            ),
            "",
        )
    if isinstance(value, (list, tuple, set, frozenset)) or any(True for _ in _fields(type(value))):
        return ""
    return _problem(value, encode)


def _problem(value: Any, encode: Callable[[Any], bytes]) -> str:
    try:
        encode(value)
    except UnicodeError:
        return "text with a lone surrogate is not Unicode"
    except Exception as error:
        return str(error)
    return ""
