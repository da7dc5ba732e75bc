"""Single values: text until the type of the field is known, then read strictly.

Plugin authors annotate the fields of their option classes with the types here::

    @attrs.frozen
    class EtcdOptions:
        request_timeout: Seconds = 5.0      # 5, 0.5, 500ms, 2s, 1m, 1h
        max_reply: Bytes = 4 << 20          # 100, 64k, 2 m, 2MiB; powers of 1024
        prefix: str = "/bee"

To a type checker ``Seconds`` is a float and ``Bytes`` an int.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

import attrs


@attrs.frozen
class Kind:
    """Marks an ``Annotated`` type as one that is read in a way of its own."""

    name: str


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
"""A time, in seconds; in a file also ``500ms``, ``2s``, ``1m``, ``1h``."""

Bytes = Annotated[int, BYTES]
"""A size, in bytes; in a file also ``64k``, ``2 m``, ``2MiB``, ``1g``, all powers of 1024."""

# Beyond this, timers of the operating system overflow; nobody means it.
_LONGEST = 100_000_000.0
_LARGEST = 1 << 62
_MOST_DIGITS = 18

_NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_FLOAT = re.compile(rf"[-+]?{_NUMBER}(?:[eE][-+]?[0-9]+)?")
_INT = re.compile(r"[-+]?[0-9]+")
_DURATION = re.compile(rf"(-?{_NUMBER})[ ]*(ms|s|m|h)?")
_SIZE = re.compile(rf"(-?{_NUMBER})[ ]*(?:([kmg])(?:i?b)?|b)?", re.IGNORECASE)
_PER_UNIT = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SHIFTS = {"": 0, "k": 10, "m": 20, "g": 30}
_BOOLS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})

_CORE_BOOLS = {
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
_CORE_OTHER_BASE = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_CORE_INFINITY = re.compile(r"[-+]?\.(?:inf|Inf|INF)")


class MisfitError(ValueError):
    """A value that does not fit its field.

    Attributes:
        expected: What would have been right, as a noun phrase.
        value: What stood there; for text from the environment the reference, not the secret.
    """

    def __init__(self, message: str, *, value: object, expected: str) -> None:
        super().__init__(message)
        self.value = value
        self.expected = expected


class Text(str):
    """A scalar of a file, whose type is not known yet.

    Attributes:
        line: Where it stands, from 1; None when it came from Python.
        plain: Written without quotes, so that ``Any`` fields may take it for a number, a bool or null.
        written: How it stood there before ``${NAME}`` was replaced, or None when nothing was. Messages show this, so that secrets stay out of logs.
    """

    __slots__ = ("line", "plain", "written")

    line: int | None
    plain: bool
    written: str | None

    def __new__(  # noqa: PYI034  # 3.10 has no Self
        cls, value: str, line: int | None = None, plain: bool = False, written: str | None = None
    ) -> Text:
        """Make a text with its place and style."""
        text = super().__new__(cls, value)
        text.line, text.plain, text.written = line, plain, written
        return text


def as_written(value: object) -> object:
    """The value as it stood in the file: with references to the environment instead of what they gave."""
    if isinstance(value, Text):
        return value.written if value.written is not None else str(value)
    return value


def show(value: object) -> str:
    """The value for a message: as it was written, quoted, cut when long."""
    written = as_written(value)
    if isinstance(written, dict):
        return "a mapping"
    if isinstance(written, list):
        return "a list"
    text = repr(written)
    return text if len(text) <= 80 else f"{text[:77]}..."  # a line of a terminal


def is_null(value: object) -> bool:
    """Nothing, ``null`` or ``~``, unquoted."""
    return value is None or (isinstance(value, Text) and value.plain and value in _NULLS)


def _misfit(value: object, expected: str, why: str = "") -> MisfitError:
    what = (
        "no value is given here"
        if is_null(value)
        else f"{show(value)} {why}"
        if why
        else f"{show(value)} is not {expected}"
    )
    return MisfitError(
        f"{what}; write {expected}, or remove the key" if is_null(value) else what,
        value=as_written(value),
        expected=expected,
    )


def read_text(value: object) -> str:
    """Text. A number of a file is taken as it is written; one that came from Python is refused."""
    if is_null(value) or not isinstance(value, str):
        raise _misfit(value, "text")
    return str(value)


def read_bool(value: object) -> bool:
    """``true``, ``false``, ``yes``, ``no``, ``on``, ``off`` in any case. Nothing else is true or false."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _BOOLS:
        return _BOOLS[value.lower()]
    raise _misfit(value, "true or false")


def read_int(value: object) -> int:
    """A whole number in decimal digits. 2.7 and true are none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, str) and _INT.fullmatch(value) and len(value) <= _MOST_DIGITS:
        return int(value)
    raise _misfit(value, "a whole number")


def read_float(value: object) -> float:
    """A finite number."""
    number: float | None = None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        number = float(value) if abs(value) < _LARGEST or isinstance(value, float) else None
    elif isinstance(value, str) and _FLOAT.fullmatch(value):
        number = float(value)
    if number is None or not math.isfinite(number):
        raise _misfit(value, "a number")
    return number


def read_seconds(value: object) -> float:
    """A time: a number of seconds, or one with ``ms``, ``s``, ``m`` or ``h``. Never negative."""
    expected = "a time in seconds, such as 0.5, 10, 500ms or 1m"
    if isinstance(value, str):
        match = _DURATION.fullmatch(value.strip())
        if match is None:
            raise _misfit(value, expected)
        seconds = float(match[1]) * _PER_UNIT[match[2] or "s"]
    else:
        try:
            seconds = read_float(value)
        except MisfitError:
            raise _misfit(value, expected) from None
    if seconds < 0:
        raise _misfit(value, expected, "is negative; a time cannot be")
    if seconds > _LONGEST:
        raise _misfit(value, expected, "is longer than three years")
    return seconds


def read_bytes(value: object) -> int:
    """A size: a number of bytes, or one with ``k``, ``m``, ``g`` (also ``KiB``, ``kb``), all powers of 1024. Never negative."""
    expected = "a size in bytes, such as 65536, 64k, 2 m or 2MiB"
    if isinstance(value, str):
        match = _SIZE.fullmatch(value.strip())
        if match is None:
            raise _misfit(value, expected)
        whole, point, fraction = match[1].partition(".")
        shift = _SHIFTS[(match[2] or "").lower()]
        if len(whole) > _MOST_DIGITS:
            raise _misfit(value, expected, "is too large")
        size = (
            float(match[1]) * (1 << shift)
            if point and fraction.strip("0")
            else int(whole or "0") << shift
        )
        if size != int(size):
            raise _misfit(value, expected, "is not a whole number of bytes")
    elif isinstance(value, int) and not isinstance(value, bool):
        size = value
    else:
        raise _misfit(value, expected)
    if size < 0:
        raise _misfit(value, expected, "is negative; a size cannot be")
    if size > _LARGEST:
        raise _misfit(value, expected, "is too large")
    return int(size)


def read_version(value: object) -> str:
    """The text of a version. ``1.10`` of a file stays as it is; a number from Python is written out, so quote it there."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(read_float(value) if isinstance(value, float) else value)
    if isinstance(value, str) and value.strip() and not is_null(value):
        return str(value).strip()
    raise _misfit(value, 'a version such as "2.0"')


def resolve(value: Any) -> Any:
    """Give plain scalars the type that YAML's core schema says; for fields whose type nobody knows.

    Args:
        value: A tree as :mod:`bee_core.config.source` makes it.

    Returns:
        A tree of ``dict``, ``list``, ``str``, ``int``, ``float``, ``bool`` and None.
    """
    if isinstance(value, dict):
        return {str(key): resolve(item) for key, item in value.items()}
    if isinstance(value, list):
        return [resolve(item) for item in value]
    if not isinstance(value, Text):
        return value
    return _core(value) if value.plain else str(value)


def _core(value: Text) -> object:
    if value in _NULLS:
        return None
    if value in _CORE_BOOLS:
        return _CORE_BOOLS[value]
    # The length is bounded since Python refuses to read integers of many digits, and reads them in quadratic time.
    if len(value) <= 100:
        if _INT.fullmatch(value):
            return int(value)
        if _CORE_OTHER_BASE.fullmatch(value):
            return int(value, 0)
        if _FLOAT.fullmatch(value):
            return float(value)
        if _CORE_INFINITY.fullmatch(value):
            return float(value.replace(".", ""))
        if value in {".nan", ".NaN", ".NAN"}:
            return math.nan
    return str(value)
