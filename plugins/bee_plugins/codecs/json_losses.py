"""What JSON would lose in silence: numbers, keys that become one text, seconds of an offset."""

from __future__ import annotations

import datetime as dt
import math
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from .invalid_argument import invalid, parts
from .msgspec_format import plain_subclass
from .offsets import has_odd_offset, in_utc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from bee_core.errors import Executed

_NON_FINITE = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")
"""NaN or an infinity in MessagePack. Other data can look like that, so a match proves nothing."""
_OFFSET = re.compile(rb'(?::(?<=[+-]\d\d:)\d\d|Z)"')
"""The end of a moment with an offset: one of less than a minute is cut to ``Z``. Other text can
look like that."""
KEY_OR_OFFSET = b":"
"""What :func:`without_loss` looks at has a key or a moment, and so a colon."""

pack = msgspec.msgpack.Encoder(enc_hook=plain_subclass).encode
encode = msgspec.json.Encoder(enc_hook=plain_subclass).encode
_read = msgspec.json.Decoder().decode
_CANNOT = (msgspec.MsgspecError, OverflowError, TypeError, ValueError, RecursionError)
"""What msgspec raises for a value that it cannot hold. Not more, since what a handler of signals
raises must reach the caller."""


def refuse_non_finite(value: Any, named: Iterable[tuple[str, Any]], executed: Executed) -> None:
    """Raise InvalidArgument for a NaN or an infinity anywhere in a value.

    In JSON both NaN and None are ``null``; MessagePack tells them apart. Its encoder is also much
    faster than a walk in Python.
    """
    with suppress(*_CANNOT):  # MessagePack cannot hold it, such as an integer over 64 bits
        if not _NON_FINITE.search(pack(value)):
            return
    for path, leaf in _all_parts(named):
        if isinstance(leaf, float) and not math.isfinite(leaf):
            raise invalid(path, f"JSON has no number for {leaf}", executed)


def without_loss(
    value: Any,
    body: bytes,
    named: Callable[[], Iterable[tuple[str, Any]]],
    executed: Executed,
    *,
    any_keys: bool,
) -> bytes:
    """The body of a value, in which moments with seconds in their offset are written in UTC.

    RFC 3339 has no such offsets: ``+00:09:21`` would be cut to ``+00:09``.

    Args:
        value: The value.
        body: What the encoder made of it.
        named: Gives its parts by path.
        executed: For the error.
        any_keys: Whether no type says what keys its dicts have.

    Raises:
        InvalidArgument: Two keys of a dict are one text. Or a time of day has such an offset.
    """
    if any_keys and _is_plain(value):
        return body  # nearly every value
    if any_keys and b'":' in body and not _keeps_keys(body):
        for path, part in _all_parts(named()):
            if isinstance(part, dict):
                _refuse_meeting_keys(part, path, executed)
    if not _OFFSET.search(body):
        return body
    found = None
    for path, part in _all_parts(named()):
        if isinstance(part, (dt.datetime, dt.time)) and has_odd_offset(part):
            if isinstance(part, dt.time):
                raise invalid(path, "a time of day with seconds in its offset", executed)
            found = path if found is None else found
    if found is None:
        return body
    try:
        return encode(_in_utc(value))
    except OverflowError as error:
        raise invalid(found, f"a moment that has no date in UTC: {error}", executed) from error


def _all_parts(named: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    for start, whole in named:
        yield from parts(whole, start)


def _is_plain(value: Any) -> bool:
    """Whether a value has no moments, and no keys but text.

    What msgspec changes to a type of JSON, keys and moments among them, then differs from what was
    given. Two keys that become one text leave a shorter dict.
    """
    try:
        return bool(msgspec.to_builtins(value, str_keys=True) == value)
    except _CANNOT:
        return False


def _keeps_keys(body: bytes) -> bool:
    """Whether it is certain that no object has a key twice.

    Where a key is twice, the second one is all that is read, so what is written again is shorter.
    This is faster than a walk through the value in Python.
    """
    try:
        return encode(_read(body)) == body
    except _CANNOT:
        return False


def _refuse_meeting_keys(value: dict[Any, Any], path: str, executed: Executed) -> None:
    texts: dict[bytes, Any] = {}
    for key in value:
        text = encode({key: None})
        if text in texts:
            raise invalid(
                path, f"the keys {texts[text]!r} and {key!r} are the same text in JSON", executed
            )
        texts[text] = key


def _in_utc(value: Any) -> Any:
    """A value in builtin types, with its moments in UTC where their offsets have seconds."""
    return _each_in_utc(
        msgspec.to_builtins(
            value, builtin_types=(dt.datetime,), str_keys=True, enc_hook=plain_subclass
        )
    )


def _each_in_utc(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _each_in_utc(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_each_in_utc(part) for part in value]
    return in_utc(value)
