"""Arguments of a call as they are typed: JSON, texts, ``name=…``, ``@file`` and ``-``."""

from __future__ import annotations

import json
import re
import shlex
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from .command_group import UnusableCommandError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..contracts.description import (
        MethodDescription,
        ParameterDescription,
        Schema,
        ServiceDescription,
    )

_NAMED = re.compile(r"([^\W\d]\w*)=(.*)", re.DOTALL)
_LARGEST = 64 << 20  # bytes of a file or of standard input
_ALL = frozenset({"string", "integer", "number", "boolean", "null", "array", "object"})
_KINDS = {str: "string", bool: "boolean", int: "integer", float: "number"}
_POSITIONAL = ("positional_or_keyword", "positional_only")
_BY_NAME = ("positional_or_keyword", "keyword_only")
_REFERENCE = "#/types/"


@attrs.frozen
class Typed:
    """One value as it was typed.

    Attributes:
        text: What stands there, or in the file.
        number: Which argument it is, from 1.
        shown: The argument up to the value: empty, or ``name=``.
        place: ``@file`` or ``-`` for what was read from there; else empty.
    """

    text: str
    number: int
    shown: str = ""
    place: str = ""

    def json(self) -> Any:
        """The value that it is as JSON.

        Raises:
            ValueError, RecursionError: It is not JSON.
        """
        return json.loads(self.text, parse_constant=_refuse_constant)

    def value(self) -> Any:
        """The same; what is wrong with it says how to write it.

        Raises:
            UnusableCommandError: It is not JSON.
        """
        try:
            return self.json()
        except (ValueError, RecursionError) as error:
            raise self._misfit(error) from error

    def value_for(self, schema: Schema, types: Mapping[str, Schema], what: str) -> Any:
        """The value for a parameter: a bare text where only text will do.

        Args:
            schema: What the parameter takes.
            types: The schemas to which it refers.
            what: The parameter, for messages: ``a: int``.

        Raises:
            UnusableCommandError: It is not JSON, and no text either.
        """
        kinds = kinds_of(schema, types)
        takes_text = "string" in kinds and kinds != _ALL
        try:
            value = self.json()
        except (ValueError, RecursionError) as error:
            if takes_text:
                return self._line
            if kinds == _ALL or self.text[:1] in {"{", "[", '"'} or self.place:
                raise self._misfit(error) from error
            raise UnusableCommandError(
                f"argument {self.number}: {what} cannot be {self.text[:100] or 'empty'}"
            ) from error
        if takes_text and not _is_one_of(value, kinds):
            return self._line
        return value

    @property
    def _line(self) -> str:
        """The text; that of a file without the end of its last line."""
        return self.text.removesuffix("\n") if self.place else self.text

    def _misfit(self, error: Exception) -> UnusableCommandError:
        text, number = self.text, self.number
        if self.place:
            return UnusableCommandError(
                f"argument {number}: what {self.place} has is not JSON ({error})"
            )
        if not self.shown and text.startswith("--"):
            return UnusableCommandError(f"there is no option {text.partition('=')[0]}")
        if text[:1] in {"{", "[", '"'}:
            return UnusableCommandError(f"argument {number} is not JSON: {text} ({error})")
        quoted = shlex.quote(self.shown + json.dumps(text, ensure_ascii=False))
        return UnusableCommandError(
            f"argument {number} is not JSON: {self.shown}{text}; a text wants double quotes,"
            f" and the shell takes one pair: {quoted}"
        )


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


@attrs.frozen
class Given:
    """The arguments of a call as they were typed.

    Attributes:
        args: By position.
        kwargs: By name.
        whole: What one ``@file`` or ``-`` alone has: an object stands for all arguments by name.
    """

    args: tuple[Typed, ...] = ()
    kwargs: dict[str, Typed] = attrs.field(factory=dict)
    whole: bool = False

    @classmethod
    def of(cls, texts: Iterable[str]) -> Given:
        """Read what was typed: JSON or text, ``name=…``; ``@file`` and ``-`` are read.

        Raises:
            UnusableCommandError: A name is given twice, a positional argument follows a named one,
                or a file cannot be read.
        """
        args: list[Typed] = []
        kwargs: dict[str, Typed] = {}
        places: list[str] = []
        for number, text in enumerate(texts, 1):
            named = _NAMED.fullmatch(text)
            if named is None:
                if kwargs:
                    raise UnusableCommandError(
                        f"argument {number} ({text}) follows a named one;"
                        " positional arguments come first"
                    )
                args.append(_typed(text, number, "", places))
            elif named[1] in kwargs:
                raise UnusableCommandError(f"argument {number}: {named[1]!r} is given twice")
            else:
                kwargs[named[1]] = _typed(named[2], number, f"{named[1]}=", places)
        whole = len(args) == 1 and not kwargs and bool(args[0].place)
        return cls(tuple(args), kwargs, whole)

    def plain(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments by position and by name, as JSON.

        Raises:
            UnusableCommandError: One is not JSON.
        """
        args = tuple(typed.value() for typed in self.args)
        if self.whole and isinstance(args[0], dict):
            return (), args[0]
        return args, {name: typed.value() for name, typed in self.kwargs.items()}

    def fitting(
        self, method: MethodDescription, types: Mapping[str, Schema]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The same for a method that is known: a bare text stands for text.

        Raises:
            UnusableCommandError: One is not JSON, or the method does not take it.
        """
        params = method.params
        if params is None:
            return self.plain()
        given = self
        if self.whole and not _takes_one_by_position(params):
            try:
                fields = self.args[0].json()
            except (ValueError, RecursionError):
                fields = None
            if isinstance(fields, dict):
                given = Given(
                    (), {name: Typed(json.dumps(part), 1) for name, part in fields.items()}
                )
        problem = mismatch(method, len(given.args), list(given.kwargs))
        if problem:
            raise UnusableCommandError(problem)
        takers = [param for param in params if param.kind in _POSITIONAL]
        rest = [param for param in params if param.kind == "var_positional"]
        takers += rest * (len(given.args) - len(takers))
        args = tuple(
            typed.value_for(param.schema, types, _shown(param))
            for typed, param in zip(given.args, takers, strict=False)
        )
        by_name = {param.name: param for param in params}
        others = next((param for param in params if param.kind == "var_keyword"), None)
        kwargs = {}
        for name, typed in given.kwargs.items():
            param = by_name.get(name) or others
            assert param is not None  # noqa: S101  # mismatch() has looked
            kwargs[name] = typed.value_for(param.schema, types, _shown(param))
        return args, kwargs


def _takes_one_by_position(params: tuple[ParameterDescription, ...]) -> bool:
    """Whether a method takes one value that has no name, such as a message of a ``.proto``."""
    return len(params) == 1 and params[0].kind == "positional_only"


def _typed(text: str, number: int, shown: str, places: list[str]) -> Typed:
    if text == "-" or (text.startswith("@") and len(text) > 1):
        if text == "-" and "-" in places:
            raise UnusableCommandError("- stands twice, and standard input can be read once")
        places.append(text)
        return Typed(_read(text), number, shown, text)
    return Typed(text, number, shown)


def _read(place: str) -> str:
    try:
        if place == "-":
            content: bytes = sys.stdin.buffer.read(_LARGEST + 1)
        else:
            with Path(place[1:]).open("rb") as file:
                content = file.read(_LARGEST + 1)
    except OSError as error:
        raise UnusableCommandError(f"{place} cannot be read: {error.strerror or error}") from error
    if len(content) > _LARGEST:
        raise UnusableCommandError(f"{place} has more than {_LARGEST >> 20} MiB")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise UnusableCommandError(f"{place} is no text in UTF-8: {error}") from error


def read_arguments(texts: tuple[str, ...]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Read the arguments of a call of which nothing is known: JSON, or ``name=JSON``.

    Raises:
        UnusableCommandError: One is not JSON, a name is given twice, or a positional one follows a
            named one.
    """
    return Given.of(texts).plain()


# What a method takes.


def kinds_of(schema: Schema, types: Mapping[str, Schema], depth: int = 0) -> frozenset[str]:
    """The kinds of JSON values that a schema lets through, by JSON Schema's names."""
    if depth > 20:
        return _ALL
    target = schema.get("$ref")
    if isinstance(target, str):
        return kinds_of(types.get(target.removeprefix(_REFERENCE), {}), types, depth + 1)
    parts = schema.get("anyOf") or schema.get("oneOf")
    if isinstance(parts, list):
        return frozenset().union(*(kinds_of(part, types, depth + 1) for part in parts))
    values = schema["enum"] if "enum" in schema else [schema["const"]] if "const" in schema else ()
    if values:
        return frozenset(_KINDS.get(type(value), "null") for value in values)
    kind = schema.get("type")
    if isinstance(kind, list):
        return frozenset(kind)
    return frozenset({kind}) if isinstance(kind, str) else _ALL


def _is_one_of(value: Any, kinds: frozenset[str]) -> bool:
    if isinstance(value, dict):
        return "object" in kinds
    if isinstance(value, list):
        return "array" in kinds
    if isinstance(value, int) and not isinstance(value, bool) and "number" in kinds:
        return True
    return _KINDS.get(type(value), "null") in kinds


def mismatch(method: MethodDescription, count: int, names: list[str]) -> str:
    """What is wrong with a call by count and by name; empty if it fits.

    Args:
        method: The method; its parameters are known.
        count: How many arguments are given by position.
        names: The names of the others.
    """
    params = method.params or ()
    positional = [param.name for param in params if param.kind in _POSITIONAL]
    kinds = {param.kind for param in params}
    given = ", ".join([*([f"{count} by position"] if count else []), *names]) or "nothing"
    takes = f"{method.name} takes {', '.join(map(_shown, params)) or 'nothing'}; you gave "
    if count > len(positional) and "var_positional" not in kinds:
        more = "" if len(positional) == 1 else "s"
        return f"{takes}{count} by position, and {len(positional)} value{more} fit there"
    for name in names:
        if name in positional[:count]:
            return f"{takes}{name} twice, by position and by name"
        unknown = _unknown(name, params)
        if unknown is not None:
            return f"{takes}{given}{unknown}"
    here = {*positional[:count], *names}
    absent = [param.name for param in params if param.required and param.name not in here]
    return f"{takes}{given}; {', '.join(absent)} is missing" if absent else ""


def _unknown(name: str, params: Iterable[ParameterDescription]) -> str | None:
    """What to say of a name that no parameter has; None for one that may be given."""
    by_name = [param.name for param in params if param.kind in _BY_NAME]
    if name in by_name or any(param.kind == "var_keyword" for param in params):
        return None
    if any(param.name == name for param in params):
        return f"; {name} goes by position only, without its name"
    close = get_close_matches(name[:128], by_name, 1)
    return f"; did you mean {close[0]}=…?" if close else ""


def _shown(param: ParameterDescription) -> str:
    """A parameter for people: ``a: int``, ``b: int = 5``, ``*rest: str``."""
    star = {"var_positional": "*", "var_keyword": "**"}.get(param.kind, "")
    hint = "" if param.type == "Any" else f": {param.type}"
    if param.required or star:
        return f"{star}{param.name}{hint}"
    default = "…" if param.default is None and "None" not in param.type else repr(param.default)
    return f"{param.name}{hint} = {default}"


def fitting(given: Given, known: ServiceDescription | None, method: str) -> Any:
    """The arguments for a method as it is described, or None where nothing is known of it.

    Raises:
        UnusableCommandError: As :meth:`Given.fitting`.
    """
    described = None if known is None else known.method(method)
    if known is None or described is None:
        return None
    return given.fitting(described, known.types)
