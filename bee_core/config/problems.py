"""From the exception groups of cattrs to :class:`~bee_core.errors.ConfigError`, one a problem, each with path, line and advice."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import attrs
from cattrs import (
    AttributeValidationNote,
    ClassValidationError,
    ForbiddenExtraKeysError,
    IterableValidationError,
    StructureHandlerNotFoundError,
)

from ..errors import ConfigError
from .field_rules import keys_of, remarks
from .model import CALL_FIELDS, ClientConfig, MethodConfig
from .scalars import MisfitError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Origin = Callable[[str], int | None]


class Gathering:
    """Tries several parts and keeps what is wrong with each, so that all problems are reported at once."""

    def __init__(self, cls: type) -> None:
        self._cls = cls
        self.errors: list[Exception] = []

    def part(self, key: str, read: Callable[..., Any], *arguments: Any) -> Any:
        """Read a part; None when it was wrong.

        Args:
            key: Where it stands, from the section at hand.
            read: Reads it; an exception that it raises is kept.
            arguments: What it reads.
        """
        try:
            return read(*arguments)
        except Exception as error:
            note = AttributeValidationNote(f"at {key}", key, None)
            error.__notes__ = [*getattr(error, "__notes__", ()), note]  # type: ignore[attr-defined,unused-ignore]  # Python 3.10 has no add_note
            self.errors.append(error)
            return None

    def whole(self, read: Callable[..., Any], *arguments: Any) -> Any:
        """Read what has no key of its own; None when it was wrong."""
        try:
            return read(*arguments)
        except ClassValidationError as error:
            self.errors.extend(error.exceptions)
        except Exception as error:
            self.errors.append(error)
        return None

    def finish(self) -> None:
        """Raise what was kept, if anything."""
        if self.errors:
            raise ClassValidationError("several parts are wrong", self.errors, self._cls)


def problems(
    error: Exception, path: str, origin: Origin | None, source: str | None
) -> list[ConfigError]:
    """Turn an exception of structuring into configuration errors.

    Args:
        error: What the converter raised.
        path: The dotted path of what was structured.
        origin: Finds the line of a path.
        source: The file's name.
    """
    found = list(_walk(error, path))
    for problem in found:
        problem.line = _nearest_line(problem.path, origin)
        problem.source = source
    return found


def raise_all(found: list[ConfigError]) -> None:
    """Raise one error that holds all problems, in the order of the lines; return when there is none. The converter's own error, pages of it, is not shown with it."""
    if not found:
        return
    found.sort(key=lambda problem: problem.line or 0)
    if len(found) == 1:
        raise found[0] from None
    first = found[0]
    whole = ConfigError(
        first.message,
        path=first.path,
        value=first.value,
        expected=first.expected,
        line=first.line,
        source=first.source,
        problems=found,
    )
    raise whole from None


def _walk(error: Exception, path: str, *, keyed: bool = False) -> Iterator[ConfigError]:
    if isinstance(error, ClassValidationError):
        named, others = error.group_exceptions()
        for inner, note in named:
            yield from _walk(inner, f"{path}.{note.name}" if path else note.name, keyed=True)
        for inner in others:
            yield from _walk(inner, path)
    elif isinstance(error, IterableValidationError):
        at, others = error.group_exceptions()
        for inner, index in at:
            yield from _walk(inner, f"{path}[{index.index}]")
        for inner in others:
            yield from _walk(inner, path)
    elif isinstance(error, ForbiddenExtraKeysError):
        for key in sorted(error.extra_fields):
            yield unknown_key(error.cl, key, path)
    else:
        yield _leaf(error, path, keyed=keyed)


def _leaf(error: Exception, path: str, *, keyed: bool) -> ConfigError:
    if isinstance(error, MisfitError):
        return ConfigError(str(error), path=path, value=error.value, expected=error.expected)
    if isinstance(error, KeyError) and keyed:
        return ConfigError(
            "this key is missing, and it has no default", path=path, expected="a value"
        )
    if isinstance(error, StructureHandlerNotFoundError):
        return ConfigError(
            f"the field has a type that cannot be written in a file: {error.type_!r}", path=path
        )
    # Validators of attrs put more than their sentence into args.
    message = str(error.args[0]) if error.args else type(error).__name__
    return ConfigError(message, path=path)


def unknown_key(cls: type, key: str, path: str) -> ConfigError:
    """The error for a key that a section cannot have, with the best advice there is."""
    known = keys_of(cls)
    where = f"{path}.{key}" if path else key
    if advice := _elsewhere(cls, key, path):
        return ConfigError(advice, path=where, expected="the key at its place")
    near = get_close_matches(key, known, n=1, cutoff=0.6) or [
        name
        for name in known
        if name.replace("_", "") == key.lower().replace("-", "").replace("_", "")
    ]
    hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known) or 'nothing'}"
    return ConfigError(
        f"unknown key {key!r}; {hint}",
        path=where,
        value=key,
        expected=f"one of: {', '.join(known)}",
    )


def _elsewhere(cls: type, key: str, path: str) -> str:
    """What to say of a key that exists, but not here."""
    if cls is MethodConfig and key in keys_of(ClientConfig) and key not in CALL_FIELDS:
        section = path.partition(".methods.")[0]
        return f"{key!r} concerns the service and not one method; write it as {section}.{key}"
    for attribute in attrs.fields(cls):
        at = remarks(attribute).key
        if attribute.name == key and "." in at:
            return f"{key!r} belongs to the codec's options; write it as {path}.{at}"
    return ""


def _nearest_line(path: str, origin: Origin | None) -> int | None:
    """The line of a path, or of the section that it is missing from."""
    while origin is not None and path:
        line = origin(path)
        if line is not None:
            return line
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return None
