"""What a plugin author writes the options of a plugin with: types, validators, errors.

A plugin takes its options as an attrs class. bee fills it from ``options: {…}`` of the
configuration, strictly: a key that the class lacks, or a value of another type, is an error with
the key and the line. The fields may have these types:

======================================  ==========================================================
``str`` ``int`` ``float`` ``bool``      As they are. ``2.7`` is no int, ``1`` is no bool.
``pathlib.Path``                        A text.
:data:`Seconds`                         ``5``, ``0.5``, ``500ms``, ``2s``, ``1m``, ``1h``.
:data:`Bytes`                           ``100``, ``64k``, ``2 m``, ``2MiB``; powers of 1024.
``Literal[…]``, an ``enum.Enum``        One of the values.
``list[T]``, ``tuple[T, …]``,           A list. ``Sequence[T]`` gives a tuple.
``set[T]``, ``frozenset[T]``
``dict[str, T]``, ``Mapping[str, T]``   A mapping.
another attrs class                     A mapping with the keys of that class.
``T | None``, ``T | U``                 Null, or the first type that fits.
``Annotated[T, Plugin("balancer")]``    A plugin: a name, or ``{name, options}``. bee makes it first
                                        and hands it over made. A default is a name.
``Any``                                 What YAML says.
======================================  ==========================================================

A whole class::

    @attrs.frozen
    class EtcdOptions:
        request_timeout: Seconds = attrs.field(default=5.0, validator=positive)
        max_reply: Bytes = attrs.field(default=4 << 20, validator=at_least(1024))
        prefix: str = attrs.field(default="/bee", validator=some_text)

The validators of attrs do as well, and any function of that form. What a validator raises as a
``ValueError`` is shown at the key of its field. A factory that refuses an option later, such as a
file that is missing, raises :class:`OptionError`.

This module imports nothing else of bee.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import attrs

Validator = Callable[[Any, "attrs.Attribute[Any]", Any], None]
"""What attrs takes as a validator: gets the instance, the field and the value."""


class MisfitError(ValueError):
    """A value that does not fit its field.

    Args:
        field: The field, where the message does not name it; ``str()`` of the error does then.

    Attributes:
        message: What is wrong, without the name of the field: a configuration shows its key.
        expected: What would have been right, as a noun phrase.
        value: What stood there. For text from the environment this is the reference, such as
            ``${TOKEN}``, and not the secret.
    """

    def __init__(self, message: str, *, value: object, expected: str, field: str = "") -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.message = message
        self.value = value
        self.expected = expected


class OptionError(ValueError):
    """Raised by a plugin's factory for an option that it cannot use.

    The error that the user sees then has the path and the line of the option.

    Args:
        option: Its name.
        message: What is wrong, and what to do.
    """

    def __init__(self, option: str, message: str) -> None:
        super().__init__(message)
        self.option = option


# ── types ────────────────────────────────────────────────────────────────────────────────────────


@attrs.frozen
class Kind:
    """Marks an ``Annotated`` type as one that is read in a way of its own."""

    name: str


@attrs.frozen
class Plugin:
    """Marks an ``Annotated`` type as a plugin of a kind, which is handed over made.

    ``within: Annotated[Balancer, Plugin("balancer")]`` is a balancer for a balancer to ask. A list
    is ``tuple[Annotated[Limiter, Plugin("limiter")], ...]``.

    Attributes:
        kind: The kind of plugin, as ``balancer``.
    """

    kind: str


SECONDS = Kind("a time in seconds")
BYTES = Kind("a size")
VERSION = Kind("a version")
RANGE = Kind("a version range")
DIAL = Kind("a url to dial")
LISTEN = Kind("a url to listen on")
SEVERAL = Kind("one or a list")
COMMAS = Kind("one, a list, or comma-separated")
OPTIONS = Kind("options, left as they are")

Seconds = Annotated[float, SECONDS]
"""A time in seconds, a float to type checkers. In a file also ``500ms``, ``2s``, ``1m``, ``1h``."""

Bytes = Annotated[int, BYTES]
"""A size in bytes, an int to type checkers. In a file also ``64k``, ``2 m``, ``2MiB``, ``1g``."""


# ── validators; None passes each of them ─────────────────────────────────────────────────────────


UNTIL_RESTART = {"bee.until_restart": True}
"""The ``metadata`` of a field that a program which runs cannot change: ``bee diff`` then says
``restart``. A reload that changes it should be refused by an :class:`OptionError`."""


def validator(check: Callable[[Any], str], bounds: Mapping[str, float] | None = None) -> Validator:
    """A validator from a function that says what would have been right; None always passes.

    Args:
        check: Returns the empty text for a value that is right. It may also raise a ValueError.
        bounds: The same for numbers in the words of JSON Schema, such as ``{"minimum": 1}``.
            ``bee schema`` shows them to editors.
    """

    def validate(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value is None:
            return
        try:
            expected = check(value)
        except ValueError as error:
            raise MisfitError(
                str(error), value=value, expected="something else", field=attribute.name
            ) from None
        except TypeError:
            raise MisfitError(
                f"{attribute.name} cannot be {value!r}",
                value=value,
                expected="a value of the right type",
            ) from None
        if expected:
            shown = list(value) if isinstance(value, tuple) else value  # as in the file
            raise MisfitError(
                f"{shown!r} is impossible here; write {expected}",
                value=value,
                expected=expected,
                field=attribute.name,
            )

    vars(validate)["bounds"] = bounds or {}  # for ``bounds_of``
    return validate


def bounds_of(check: object) -> Mapping[str, float]:
    """The bounds of a validator, in the words of JSON Schema; none where it states none."""
    inner = getattr(check, "validator", check)  # that of ``attrs.validators.optional``
    found: Mapping[str, float] = getattr(inner, "bounds", {})
    return found


def at_least(minimum: float) -> Validator:
    """A validator: not below ``minimum``, and finite."""
    return validator(
        lambda value: "" if value >= minimum and math.isfinite(value) else f"{minimum} or more",
        {"minimum": minimum},
    )


def between(minimum: int, maximum: int, words: str) -> Validator:
    """A validator: from ``minimum`` to ``maximum``. ``words`` say this for people."""
    return validator(
        lambda value: "" if minimum <= value <= maximum else words,
        {"minimum": minimum, "maximum": maximum},
    )


positive = validator(
    lambda value: "" if value > 0 and math.isfinite(value) else "more than 0",
    {"exclusiveMinimum": 0},
)
"""A number above 0, and finite."""
some_text = validator(lambda value: "" if value.strip() else "a text that is not empty")
"""A text with more than blanks in it."""
some = validator(lambda value: "" if value else "at least one")
"""A list with at least one entry."""


# ── places ───────────────────────────────────────────────────────────────────────────────────────


def place_of(path: str, origin: Any) -> tuple[str | None, int | None]:
    """The file and the line of a key, or of the section that the key is missing from.

    Args:
        path: The key, dotted from the root: ``bee.rpc.client.calc.codec.options.level``.
        origin: A configuration, which knows its files and the lines of its keys. Or a function
            from a path to a line; then the file is None. Or None.
    """
    find = getattr(origin, "origin", origin)
    source, elsewhere = getattr(origin, "source", None), getattr(origin, "sources", {})
    line = None
    while find is not None and path and line is None:
        line = find(path)
        if line is not None:
            source = elsewhere.get(path, source)
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return source, line
