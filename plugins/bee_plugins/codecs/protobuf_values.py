"""Plain Python values as ``bee.v1.Value``, and back: see ``bee/v1/value.proto``."""

from __future__ import annotations

import datetime as dt
import functools
from typing import TYPE_CHECKING, Any

import msgspec
from google.protobuf import descriptor_pool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from .invalid_argument import Misfit, below
from .msgspec_format import plain_subclass
from .offsets import has_odd_offset, in_utc
from .protobuf_messages import MessageType, missing

if TYPE_CHECKING:
    from collections.abc import Collection

    from .bee.v1.value_pb2 import Value

DEEPEST = 32
"""How many containers may be inside one another.

Protobuf's readers in most languages give up at 100 messages inside one another. A dictionary in a
dictionary takes three.
"""

BYTES = (bytes, bytearray, memoryview)
_FIRST_BIG = 2**63
_TOO_DEEP = f"nested more than {DEEPEST} deep"


def write(target: Value, value: Any, room: int = DEEPEST) -> None:
    """Put a value into a new message.

    Tuples, sets and named tuples become lists, records become dictionaries, dates and the like
    become text, enums become their values, and subclasses become their base class.

    Args:
        target: A message without a kind.
        value: Anything; writing finds what cannot be carried.
        room: How many containers may still be inside one another.

    Raises:
        RecursionError: It is nested too deeply, or refers to itself.
        Exception: It holds something that has no kind; the text of a TypeError or ValueError says
            what.
    """
    kind = type(value)
    if kind is str:
        target.text = value
    elif kind is int:
        _write_integer(target, value)
    elif kind is float:
        target.number = value
    elif kind is bool:
        target.boolean = value
    elif value is None:
        target.null = 0  # type: ignore[assignment]  # an enum's number
    elif kind is dict:
        _write_dict(target, value, room)
    elif kind is list or kind is tuple:
        _write_list(target, value, room)
    elif kind is bytes:
        target.data = value
    else:
        _write_other(target, value, room)


def plain(value: Any) -> Any:
    """A value as :func:`write` writes it, in builtin types; messages stay as they are."""
    try:
        return _builtins(value)
    except _HoldsMessage:
        return _plain_around_messages(value)


def read(value: Value) -> Any:
    """The Python value in a message.

    It is None, a bool, int, float, str, bytes, list or dict, or a message of a known class.

    Raises:
        Misfit: It has no kind, or one that is not known here, or a message or a key that cannot be.
    """
    kind = value.WhichOneof("kind")
    if kind is None:
        raise Misfit("", "a value without a kind, or of one that only a newer version knows")
    found = getattr(value, kind)
    return _READERS[kind](found) if kind in _READERS else found


# ── writing ──


def _write_integer(target: Value, value: int) -> None:
    try:
        target.integer = value
    except ValueError:
        if not 0 <= value < 2 * _FIRST_BIG:
            raise ValueError("an integer that does not fit into 64 bits") from None
        target.big_integer = value


def _write_list(target: Value, items: Collection[Any], room: int) -> None:
    if not room:
        raise RecursionError(_TOO_DEEP)
    kinds = set(map(type, items))
    if len(kinds) == 1:
        (kind,) = kinds
        if kind is str:
            target.texts.items.extend(items)
            return
        if kind is float:
            target.numbers.items.extend(items)
            return
        if kind is int and min(items) >= -_FIRST_BIG and max(items) < _FIRST_BIG:
            target.integers.items.extend(items)
            return
    elif not kinds:
        target.list.SetInParent()
    add = target.list.items.add
    room -= 1
    for item in items:
        write(add(), item, room)


def _write_dict(target: Value, value: dict[Any, Any], room: int) -> None:
    if not room:
        raise RecursionError(_TOO_DEEP)
    room -= 1
    pairs: Any = value.items()
    if not _TEXT.issuperset(map(type, value)):
        pairs = [(_key(key), item) for key, item in pairs]
        if any(type(key) is not str for key, _ in pairs):
            add_pair = target.pairs.pairs.add
            for key, item in pairs:
                pair = add_pair()
                write(pair.key, key)
                write(pair.value, item, room)
            return
    elif not value:
        target.map.SetInParent()
    add = target.map.entries.add
    for key, item in pairs:
        entry = add()
        entry.key = key
        write(entry.value, item, room)


def _key(key: Any) -> Any:
    if type(key) not in _KEYS:
        key = _as_text(key)  # enums, dates, UUIDs
        if type(key) not in _KEYS:
            raise TypeError("a key is text, a number, bytes, None, an enum, a date or a UUID")
    return key


_TEXT = frozenset((str,))
_KEYS = frozenset((str, int, float, bool, bytes, type(None)))


def _write_other(target: Value, value: Any, room: int) -> None:
    if isinstance(value, Message):
        if not value.IsInitialized():
            path, problem = missing(value)
            raise ValueError(f"{path}: {problem}")
        target.message.Pack(value)
    elif isinstance(value, dict):
        _write_dict(target, dict(value), room)
    elif isinstance(value, (list, tuple, set, frozenset)):
        _write_list(target, value, room)
    elif isinstance(value, _MOMENTS):
        target.text = _as_text(value)
    elif isinstance(value, BYTES):
        target.data = bytes(value)
    else:
        write(target, _builtins(value), room)


class _HoldsMessage(Exception):
    """A message is inside a value that msgspec walks, where only builtin types can be."""


def _base_value(value: Any) -> Any:
    """The ``enc_hook``: a value of a subclass of text, numbers or bytes as its base class."""
    if isinstance(value, Message):
        raise _HoldsMessage("a record cannot hold a message; make the record a message too")
    return bytes(value) if isinstance(value, bytes) else plain_subclass(value)


_MOMENTS = (dt.datetime, dt.time)
_builtins = functools.partial(
    msgspec.to_builtins, builtin_types=(*BYTES, *_MOMENTS), enc_hook=_base_value
)


def _as_text(value: Any) -> Any:
    """A moment, an enum, a UUID and the like as what carries it."""
    if isinstance(value, dt.time) and has_odd_offset(value):
        raise ValueError("a time of day with seconds in its offset")
    return msgspec.to_builtins(in_utc(value), builtin_types=BYTES, enc_hook=_base_value)


def _plain_around_messages(value: Any) -> Any:
    if isinstance(value, Message):
        return value
    if isinstance(value, dict):
        return {_key(key): _plain_around_messages(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain_around_messages(item) for item in value]
    return _builtins(value)


# ── reading ──


def _read_null(number: int) -> None:
    if number:
        raise Misfit("", f"{number} is not in the enum bee.v1.Null")


def _read_list(message: Any) -> list[Any]:
    found: list[Any] = []
    try:
        for item in message.items:
            found.append(read(item))  # noqa: PERF401  # the length is the index of the faulty one
    except Misfit as misfit:
        misfit.path = f"[{len(found)}]{misfit.path}"
        raise
    return found


def _read_map(message: Any) -> dict[str, Any]:
    found = {}
    entry = None
    try:
        for entry in message.entries:
            found[entry.key] = read(entry.value)
    except Misfit as misfit:
        misfit.path = below(entry.key) + misfit.path  # type: ignore[union-attr]  # it is at fault
        raise
    return found


def _read_pairs(message: Any) -> dict[Any, Any]:
    found = {}
    for index, pair in enumerate(message.pairs):
        try:
            key = read(pair.key)
        except Misfit as misfit:
            raise Misfit("", f"the key of pair {index}: {misfit.message}") from None
        if type(key) not in _KEYS:
            raise Misfit("", f"the key of pair {index}: a {type(key).__name__} cannot be a key")
        try:
            found[key] = read(pair.value)
        except Misfit as misfit:
            misfit.path = below(key) + misfit.path
            raise
    return found


def _read_items(message: Any) -> list[Any]:
    return list(message.items)


def _read_message(packed: Any) -> Message:
    name = packed.TypeName()
    try:
        kind = _known(name)
    except KeyError:
        raise Misfit(
            "",
            f"a message {name!r}, which this program does not know; import the module that protoc"
            " made of it",
        ) from None
    return kind.read(packed.value)


@functools.cache
def _known(name: str) -> MessageType:
    return MessageType(GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(name)))


_READERS = {
    "null": _read_null,
    "list": _read_list,
    "map": _read_map,
    "pairs": _read_pairs,
    "integers": _read_items,
    "numbers": _read_items,
    "texts": _read_items,
    "message": _read_message,
}
