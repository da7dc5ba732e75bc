"""Single values: text until the type of the field is known, then read strictly.

Every ``read_…`` function takes text of a file or an object from Python. It returns a value of its
type, or raises :class:`~bee_core.options.MisfitError`. :data:`BY_TYPE` and :data:`BY_KIND` say
which function reads which type.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .. import options
from ..options import Kind, MisfitError
from ..terms.addresses import parse

# Beyond this, timers of the operating system overflow; nobody means it.
_LONGEST = 100_000_000.0
_LARGEST = 1 << 62
_MOST_DIGITS = 18

_NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_FLOAT = re.compile(rf"[-+]?{_NUMBER}(?:[eE][-+]?[0-9]+)?")
_INT = re.compile(r"[-+]?[0-9]+")
_DURATION = re.compile(rf"(-?{_NUMBER})[ ]*(ms|s|m|h)?")
_SIZE = re.compile(rf"(-?{_NUMBER})[ ]*(?:([kmg])(?:i?b)?|b)?", re.IGNORECASE)
TIME_PATTERN = rf" *{_NUMBER} *(ms|s|m|h)? *"
SIZE_PATTERN = rf" *{_NUMBER} *([kKmMgG]([iI]?[bB])?|[bB])? *"
"""What :func:`read_seconds` and :func:`read_bytes` read, as editors understand it."""
_PER_UNIT = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SHIFTS = {"": 0, "k": 10, "m": 20, "g": 30}
_BOOLS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}

# The core schema of YAML 1.2, for fields whose type nobody knows.
_CORE_NULLS = ("", "~", "null", "Null", "NULL")
_CORE_WORDS = {
    **dict.fromkeys(_CORE_NULLS),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
_CORE_OTHER_BASE = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_LONGEST_NUMBER = 100
"""Characters. Python reads integers of many digits in quadratic time, or refuses them."""


class Text(str):
    """A scalar of a file, whose type is not known yet.

    Attributes:
        line: Where it stands, from 1; None when it came from Python.
        plain: Written without quotes, so ``Any`` fields may take it for a number, a bool or null.
        written: How it stood there before ``${NAME}`` was replaced, or None when nothing was
            replaced. Messages show this, so that secrets stay out of logs.
        source: The file; None when it came from Python.
    """

    __slots__ = ("line", "plain", "source", "written")

    line: int | None
    plain: bool
    written: str | None
    source: str | None

    def __new__(  # noqa: PYI034  # 3.10 has no Self
        cls,
        value: str,
        line: int | None = None,
        plain: bool = False,
        written: str | None = None,
        source: str | None = None,
    ) -> Text:
        """Make a text with its place and style."""
        text = super().__new__(cls, value)
        text.line, text.plain, text.written, text.source = line, plain, written, source
        return text


def as_written(value: object) -> object:
    """The value as it stood in the file: references to the environment, not what they gave."""
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
    return value is None or (isinstance(value, Text) and value.plain and value in _CORE_NULLS)


def misfit(value: object, why: str, expected: str) -> MisfitError:
    """The error for a value: ``why`` follows the value in the message."""
    return MisfitError(f"{show(value)} {why}", value=as_written(value), expected=expected)


def _no(value: object, expected: str) -> MisfitError:
    if is_null(value):
        return MisfitError(
            f"no value is given here; write {expected}, or remove the key",
            value=as_written(value),
            expected=expected,
        )
    return misfit(value, f"is not {expected}", expected)


def read_text(value: object) -> str:
    """Text. A number of a file is taken as it is written; one from Python is refused."""
    if is_null(value) or not isinstance(value, str):
        raise _no(value, "text")
    return str(value)


def read_metadata(value: object) -> str | bytes:
    """Text as in :func:`read_text`, or bytes: ``!!binary`` in a file, bytes from Python."""
    if isinstance(value, bytes):
        return value
    if is_null(value) or not isinstance(value, str):
        raise _no(value, "text, or bytes as !!binary")
    return str(value)


def read_bool(value: object) -> bool:
    """``true``, ``yes``, ``on``, ``false``, ``no``, ``off`` in any case; nothing else."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _BOOLS:
        return _BOOLS[value.lower()]
    raise _no(value, "true or false")


def read_int(value: object) -> int:
    """A whole number in decimal digits. 2.7 and true are none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, str) and _INT.fullmatch(value) and len(value) <= _MOST_DIGITS:
        return int(value)
    raise _no(value, "a whole number")


def read_float(value: object, expected: str = "a number") -> float:
    """A finite number."""
    is_number = (
        _FLOAT.fullmatch(value)
        if isinstance(value, str)
        else isinstance(value, (int, float)) and not isinstance(value, bool)
    )
    # Larger whole numbers from Python may not fit into a float.
    too_large = isinstance(value, int) and abs(value) > _LARGEST
    number = float(value) if is_number and not too_large else math.nan  # type: ignore[arg-type]
    if not math.isfinite(number):
        raise _no(value, expected)
    return number


def read_seconds(value: object) -> float:
    """A time: a number of seconds, or one with ``ms``, ``s``, ``m`` or ``h``. Never negative."""
    expected = "a time in seconds, such as 0.5, 10, 500ms or 1m"
    if isinstance(value, str):
        match = _DURATION.fullmatch(value.strip())
        if match is None:
            raise _no(value, expected)
        seconds = float(match[1]) * _PER_UNIT[match[2] or "s"]
    else:
        seconds = read_float(value, expected)
    if seconds < 0:
        raise misfit(value, "is negative; a time cannot be", expected)
    if seconds > _LONGEST:
        raise misfit(value, "is longer than three years", expected)
    return seconds


def read_bytes(value: object) -> int:
    """A size: bytes, or with ``k``, ``m``, ``g`` (also ``KiB``, ``kb``), all powers of 1024."""
    expected = "a size in bytes, such as 65536, 64k, 2 m or 2MiB"
    if isinstance(value, str):
        match = _SIZE.fullmatch(value.strip())
        if match is None:
            raise _no(value, expected)
        whole, _, fraction = match[1].partition(".")
        if len(whole) > _MOST_DIGITS:
            raise misfit(value, "is too large", expected)
        number = float(match[1]) if fraction.strip("0") else int(whole or "0")
        size = number * (1 << _SHIFTS[(match[2] or "").lower()])
        if size != int(size):
            raise misfit(value, "is not a whole number of bytes", expected)
    elif isinstance(value, int) and not isinstance(value, bool):
        size = value
    else:
        raise _no(value, expected)
    if size < 0:
        raise misfit(value, "is negative; a size cannot be", expected)
    if size > _LARGEST:
        raise misfit(value, "is too large", expected)
    return int(size)


def read_version(value: object) -> str:
    """The text of a version: ``1.10`` of a file stays so. From Python, quote it."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(read_float(value) if isinstance(value, float) else value)
    if isinstance(value, str) and value.strip() and not is_null(value):
        return str(value).strip()
    raise _no(value, 'a version such as "2.0"')


def read_section(value: Any) -> Mapping[str, Any]:
    """A mapping, where nothing at all is an empty one."""
    if is_null(value):
        return {}
    if not isinstance(value, Mapping):
        raise misfit(value, "stands where a section with keys is wanted", "a mapping")
    return value


def read_url(value: Any) -> str:
    """A url in its canonical form."""
    text = read_text(value)
    try:
        return parse(text).url
    except ValueError as error:
        hidden = as_written(value) != text
        raise MisfitError(
            f"what {show(value)} stands for is not an address" if hidden else str(error),
            value=as_written(value),
            expected="a url, such as tcp://127.0.0.1:9000",
        ) from None


def resolve(value: Any) -> Any:
    """A tree in which plain scalars have the type that YAML's core schema says.

    Args:
        value: A tree as :mod:`bee_core.config.yaml_tree` makes it.
    """
    if isinstance(value, dict):
        return {str(key): resolve(item) for key, item in value.items()}
    if isinstance(value, list):
        return [resolve(item) for item in value]
    if not isinstance(value, Text):
        return value
    return _core(value) if value.plain else str(value)


def _core(value: Text) -> object:
    if value in _CORE_WORDS:
        return _CORE_WORDS[value]
    if len(value) <= _LONGEST_NUMBER:
        if _INT.fullmatch(value):
            return int(value)
        if _CORE_OTHER_BASE.fullmatch(value):
            return int(value, 0)
        if _FLOAT.fullmatch(value):
            return float(value)
    return str(value)


BY_TYPE: dict[type, Callable[[Any], Any]] = {
    str: read_text,
    bool: read_bool,
    int: read_int,
    float: read_float,
    Path: lambda value: value if isinstance(value, Path) else Path(read_text(value)),
}

BY_KIND: dict[Kind, Callable[[Any], Any]] = {
    options.SECONDS: read_seconds,
    options.BYTES: read_bytes,
    options.VERSION: read_version,
    options.RANGE: read_version,
    options.DIAL: read_url,
    options.OPTIONS: read_section,
}
