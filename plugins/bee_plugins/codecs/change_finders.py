"""Finds the first change between a value and what arrives for it, by kind of value."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import uuid
from typing import TYPE_CHECKING, Any

from bee_core.interfaces import hint_text

from .invalid_argument import below
from .pydantic_models import is_model, model_fields

if TYPE_CHECKING:
    from collections.abc import Callable

    Change = tuple[str, str]
    """The path inside the value, and what would happen to it."""
    Find = Callable[[Any, Any], Change | None]
    """Takes a value and what arrives. Both fit the hint."""

MOMENTS = (dt.datetime, dt.time)
EXACT = (*MOMENTS, dt.date, dt.timedelta, decimal.Decimal, uuid.UUID)
_SETS = (set, frozenset)
_BYTES = (bytes, bytearray, memoryview)


def inside(path: str, change: Change | None) -> Change | None:
    """A change, seen from outside of the part at a path."""
    return change and (path + change[0], change[1])


def class_name(value: Any) -> str:
    """The name of a value's class."""
    return type(value).__qualname__


# ── leaves ──


def in_text(sent: Any, arrived: Any) -> Change | None:
    """Text."""
    if not isinstance(sent, str):
        return "", f"expected str, got {class_name(sent)}"
    return None if sent == arrived else _changed(sent, arrived)


def in_number(sent: Any, arrived: Any) -> Change | None:
    """A number. NaN is NaN."""
    if not isinstance(sent, (int, float)):
        return "", f"expected a number, got {class_name(sent)}"
    same = sent == arrived or (sent != sent and arrived != arrived)  # noqa: PLR0124  # NaN
    return None if same else _changed(sent, arrived)


def in_bytes(sent: Any, arrived: Any) -> Change | None:
    """Bytes."""
    if not isinstance(sent, _BYTES):
        return "", f"expected bytes, got {class_name(sent)}"
    return None if sent == arrived else _changed(sent, arrived)


def in_literal(sent: Any, arrived: Any) -> Change | None:
    """One of some values."""
    return None if sent == arrived else ("", f"expected {arrived!r}, got {sent!r:.60}")


def _changed(sent: Any, arrived: Any) -> Change:
    return "", f"{sent!r:.60} would arrive as {arrived!r:.60}"


LEAVES: dict[Any, Find | None] = {
    str: in_text,
    int: in_number,
    float: in_number,
    bool: in_number,
    bytes: in_bytes,
    bytearray: in_bytes,
    type(None): None,
    Any: None,
    object: None,
}
LEAF_FINDS = {in_text, in_number, in_bytes}


def of_class(cls: type) -> Find:
    """Of classes with one form in text. Such text in their place is no change."""

    def find(sent: Any, arrived: Any) -> Change | None:
        if isinstance(sent, cls):
            # Decimals may be NaN, also one that raises when it is compared. Their text is exact.
            is_same = str(sent) == str(arrived) if cls is decimal.Decimal else sent == arrived
            return None if is_same else _changed(sent, arrived)
        if isinstance(sent, (*EXACT, enum.Enum, bytes)) and not isinstance(arrived, type(sent)):
            return "", f"expected {hint_text(cls)}, got {class_name(sent)}"
        return None

    return find


# ── containers ──


def in_collection(find: Find | None) -> Find:
    """A list, a set or the like, of which each item has one type."""

    def find_in(sent: Any, arrived: Any) -> Change | None:
        if len(sent) != len(arrived):
            return "", f"{len(sent)} items would arrive as {len(arrived)}, because some are equal"
        if find is None or (find in LEAF_FINDS and type(sent) is type(arrived) and sent == arrived):
            return None
        if isinstance(arrived, _SETS):
            return None if set(sent) == arrived else _changed(sent, arrived)
        for index, (before, after) in enumerate(zip(sent, arrived, strict=True)):
            change = find(before, after)
            if change:
                return inside(f"[{index}]", change)
        return None

    return find_in


def in_sequence(finds: list[Find | None]) -> Find:
    """A tuple or the like, of which each item has a type of its own."""

    def find_in(sent: Any, arrived: Any) -> Change | None:
        for index, (find, before, after) in enumerate(zip(finds, sent, arrived, strict=False)):
            change = find and find(before, after)
            if change:
                return inside(f"[{index}]", change)
        return None

    return find_in


def in_mapping(find_key: Find | None, find: Find | None) -> Find:
    """A mapping. Its order is kept on the way."""

    def find_in(sent: Any, arrived: Any) -> Change | None:
        if len(sent) != len(arrived):
            return "", f"{_meeting(sent)} would become one"
        for (key, before), (key_after, after) in zip(sent.items(), arrived.items(), strict=True):
            change = find_key and find_key(key, key_after)
            if change:
                return "", f"the key {key!r:.60}: {change[1]}"
            change = find and find(before, after)
            if change:
                return inside(below(key), change)
        return None

    return find_in


def _meeting(sent: Any) -> str:
    """Two keys that are one on the wire, in words."""
    seen: dict[str, Any] = {}
    for key in sent:
        text = str(key.value if isinstance(key, enum.Enum) else key)
        if text in seen:
            return f"the keys {seen[text]!r:.60} and {key!r:.60}"
        seen[text] = key
    return "two of its keys"


def in_model(sent: Any, arrived: Any) -> Change | None:
    """Of a model of pydantic, which says itself what it leaves out; and of what is inside one."""
    if is_model(type(sent)) and is_model(type(arrived)):
        known = model_fields(type(arrived))
        for name, field in model_fields(type(sent)).items():
            if name not in known:
                return f".{name}", f"{class_name(arrived)} has no such field, so it would be lost"
            if not field.exclude:
                change = in_model(getattr(sent, name), getattr(arrived, name))
                if change:
                    return inside(f".{name}", change)
        return None
    if isinstance(sent, (list, tuple)) and isinstance(arrived, (list, tuple)):
        return (
            in_sequence([in_model] * len(sent))(sent, arrived)
            if len(sent) == len(arrived)
            else _changed(sent, arrived)
        )
    if isinstance(sent, dict) and isinstance(arrived, dict):
        return in_mapping(None, in_model)(sent, arrived)
    is_nan = sent != sent  # noqa: PLR0124
    is_same = sent == arrived or is_nan or not isinstance(sent, type(arrived))
    return None if is_same else _changed(sent, arrived)
