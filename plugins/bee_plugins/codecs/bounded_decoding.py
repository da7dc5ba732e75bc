"""Bodies that would take a decoder far longer than their size are found before they are decoded.

A decoder runs on the server's event loop and holds the interpreter's lock. Four kinds of values
make it slow, and a caller can choose them:

- Keys and members of sets whose hashes are all equal. Python hashes numbers, UUIDs, tuples and
  records without a secret, so such values are easily made, and n of them take n² steps.
- Arrays as keys of an untyped map, which MessagePack allows: tuples.
- Keys of protobuf's maps (:mod:`~.protobuf_maps`).
- Floats at the ends of their range: msgspec takes 15 µs for ``1e-308``.

A body below :data:`SMALL` is not looked at, because nothing in it can take long.
"""

from __future__ import annotations

import functools
import json
import re
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from .invalid_argument import Misfit

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    Decode = Callable[[Any], Any]

SMALL = 8192
"""Bytes. The worst values in so small a body take a decoder about ten milliseconds."""
MOST_COLLIDING = 32
"""Different keys with one hash. Honest data has two or three; n of these cost n times 32 steps."""
_MOST_EXPONENTS = 2000
"""Numbers with an exponent of two digits that msgspec may read: 30 ms at the worst."""

# Integers of 64 bits cannot do harm: at most 12 of them have one hash. Longer texts are in no body
# that can be decoded.
_LONG_INTEGER = re.compile(rb"[0-9]{20,4300}")
_LONG = b"0" * 20
_AS_ZERO = bytes(ord("0") if chr(byte).isdecimal() and byte < 128 else 1 for byte in range(256))
_EXPONENTS = (re.compile(rb"e[-+]?[0-9]{2}"), re.compile(rb"E[-+]?[0-9]{2}"))
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_MODULUS = sys.hash_info.modulus


def distinct(items: Collection[Any], what: str) -> set[Any]:
    """The set of some values, in time proportional to their number.

    Args:
        items: Hashable values.
        what: They, for the message: ``members of the set``.

    Raises:
        Misfit: More than :data:`MOST_COLLIDING` different ones have the same hash.
    """
    if len(items) > MOST_COLLIDING:
        counts = Counter(map(hash, items))
        if counts.most_common(1)[0][1] > MOST_COLLIDING:
            groups: dict[int, set[Any]] = {}
            for item in items:
                if counts[hash(item)] > MOST_COLLIDING:
                    group = groups.setdefault(hash(item), set())
                    group.add(item)
                    if len(group) > MOST_COLLIDING:
                        _refuse(what)
    return set(items)


def _refuse(what: str) -> NoReturn:
    raise Misfit(
        "",
        f"more than {MOST_COLLIDING} different {what} have the same hash; such values would stop"
        " the process for seconds",
    )


# ── JSON ──


def bounded_json(hint: Any, decode: Decode, convert: Callable[..., Any]) -> Decode:
    """The decoder of a type, with a look at large bodies in front of it where that is needed.

    Args:
        hint: The type, as msgspec knows it.
        decode: The decoder.
        convert: Makes a value of the type from plain values: ``convert(value, type=hint)``.
    """
    kinds = set(_kinds(msgspec.inspect.type_info(hint), set()))
    floats, integers = "float" in kinds, "integer key" in kinds
    if not kinds:
        return decode

    def bounded(body: Any) -> Any:
        if len(body) < SMALL:
            return decode(body)
        if integers:
            _refuse_colliding_integers(body)
        if floats and _has_many_exponents(body):
            return convert(_loads(body), type=hint)
        return decode(body)

    return bounded


def _refuse_colliding_integers(body: Any) -> None:
    """Raise Misfit for many long integers of one hash, wherever they stand."""
    if _LONG not in bytes(body).translate(_AS_ZERO):  # much faster than the expression
        return
    texts = set(_LONG_INTEGER.findall(body))
    if len(texts) > MOST_COLLIDING:
        counts = Counter(int(text) % _MODULUS for text in texts)
        if counts.most_common(1)[0][1] > MOST_COLLIDING:
            _refuse("integers beyond 64 bits")


def _has_many_exponents(body: Any) -> bool:
    for pattern in _EXPONENTS:
        for count, _ in enumerate(pattern.finditer(body)):
            if count >= _MOST_EXPONENTS:
                return True
    return False


def _loads(body: Any) -> Any:
    """Plain values, read by Python's decoder: slower, and never slow for one number."""
    value = json.loads(
        str(body, "utf-8"),
        parse_float=functools.lru_cache(maxsize=1024)(_finite),
        parse_constant=_refuse_constant,
    )
    if _SURROGATE.search(body):  # a lone one is no Unicode; this decoder takes it
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _finite(text: str) -> float:
    number = float(text)
    if number - number:  # NaN is true
        raise Misfit("", "number out of range")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise Misfit("", f"JSON has no number {name}")


def _kinds(info: Any, seen: set[int]) -> Iterator[str]:
    """What in a tree of ``msgspec.inspect`` can make a JSON decoder slow."""
    if id(info) in seen:
        return
    seen.add(id(info))
    inspect = msgspec.inspect
    if isinstance(info, (inspect.CustomType, inspect.AnyType)):
        # A custom type makes its value of a plain one, and may make sets and dicts.
        yield from ("float", "integer key") if isinstance(info, inspect.CustomType) else ("float",)
    elif isinstance(info, inspect.FloatType):
        yield "float"
    elif isinstance(info, (inspect.SetType, inspect.FrozenSetType, inspect.DictType)):
        key = info.key_type if isinstance(info, inspect.DictType) else info.item_type
        if any(_takes_integers(part) for part in getattr(key, "types", (key,))):
            yield "integer key"
    for value in (getattr(info, name) for name in getattr(info, "__struct_fields__", ())):
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, (inspect.Type, inspect.Field)):
                yield from _kinds(part, seen)


def _takes_integers(info: Any) -> bool:
    return isinstance(info, (msgspec.inspect.IntType, msgspec.inspect.AnyType))


# ── MessagePack ──

_LARGE_MAP = re.compile(rb"\xde(?:[\x01-\xff]|\x00[\x20-\xff])|\xdf")
_ONE_BYTE = rb"[\x00-\x80\x90\xa0\xc0-\xc3\xe0-\xff]"
_RUNS: dict[int, tuple[re.Pattern[bytes], int]] = {
    **dict.fromkeys(
        (first for first in range(256) if re.match(_ONE_BYTE, bytes([first]))),
        (re.compile(_ONE_BYTE + b"+"), 1),
    ),
    **dict.fromkeys((0xCB, 0xCF, 0xD3), (re.compile(rb"(?:[\xcb\xcf\xd3][\x00-\xff]{8})+"), 9)),
    **{
        0x90 + size: (re.compile(rb"(?:[%c]%s{%d})+" % (0x90 + size, _ONE_BYTE, size)), 1 + size)
        for size in range(1, 16)
    },
}
"""By the first byte: many values of that many bytes each, which are passed at once."""
_NO_RUN = (None, 1)
_FIXED = {0xA0 + size: 1 + size for size in range(1, 32)} | dict(
    zip(range(0xCA, 0xD9), (5, 9, 2, 3, 5, 9, 2, 3, 5, 9, 3, 4, 6, 10, 18), strict=True)
)
"""Bytes of a value, by its first byte."""
_STATED = dict(
    zip(
        (0xC4, 0xC5, 0xC6, 0xD9, 0xDA, 0xDB, 0xC7, 0xC8, 0xC9),
        ((1, 2), (2, 3), (4, 5), (1, 2), (2, 3), (4, 5), (1, 3), (2, 4), (4, 6)),
        strict=True,
    )
)
"""Where the first byte is followed by a length: bytes of the length, and of the whole head."""
_CONTAINERS = (
    {0x90 + size: (0, size, 1) for size in range(1, 16)}
    | {0x80 + size: (0, 2 * size, 2) for size in range(1, 16)}
    | {0xDC: (2, 0, 1), 0xDD: (4, 0, 1), 0xDE: (2, 0, 2), 0xDF: (4, 0, 2)}
)
"""Arrays and maps: bytes of the count, the values inside where it needs none, values an entry."""


def bounded_msgpack(hint: Any, decode: Decode, _convert: Callable[..., Any]) -> Decode:
    """As :func:`bounded_json`: looks for arrays as keys where a type lets them through."""
    if not any(
        isinstance(info, (msgspec.inspect.AnyType, msgspec.inspect.CustomType))
        for info in _tree(msgspec.inspect.type_info(hint), set())
    ):
        return decode

    def bounded(body: Any) -> Any:
        if len(body) >= SMALL:
            data = bytes(body)  # of one argument it is a msgspec.Raw
            if (b"\xde" in data or b"\xdf" in data) and _LARGE_MAP.search(data):
                _refuse_array_keys(data)
        return decode(body)

    return bounded


def _tree(info: Any, seen: set[int]) -> Iterator[Any]:
    if id(info) in seen:
        return
    seen.add(id(info))
    yield info
    for value in (getattr(info, name) for name in getattr(info, "__struct_fields__", ())):
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, (msgspec.inspect.Type, msgspec.inspect.Field)):
                yield from _tree(part, seen)


def _refuse_array_keys(body: bytes) -> None:
    """Raise Misfit for a map with more than :data:`MOST_COLLIDING` arrays as keys.

    Bytes that are no MessagePack are left to the decoder.
    """
    at, end = 0, len(body)
    left, in_map, arrays = 1, False, 0
    outer: list[tuple[int, bool, int]] = []
    while True:
        while not left:
            if not outer:
                return
            left, in_map, arrays = outer.pop()
        if at >= end:
            return
        first = body[at]
        pattern, size = _RUNS.get(first, _NO_RUN)
        if pattern is not None and not (in_map and first in _CONTAINERS):
            run = pattern.match(body, at, at + size * left)
            if run is not None:
                left -= (run.end() - at) // size
                at = run.end()
                continue
        left -= 1
        if first not in _CONTAINERS:
            at += _length(body, at, first)
            continue
        size, inside, per_entry = _CONTAINERS[first]
        if per_entry == 1 and in_map and left % 2:  # an odd number is left: this was a key
            arrays += 1
            if arrays > MOST_COLLIDING:
                raise Misfit("", f"a map with more than {MOST_COLLIDING} arrays as keys; use text")
        outer.append((left, in_map, arrays))
        left = inside or per_entry * int.from_bytes(body[at + 1 : at + 1 + size], "big")
        in_map, arrays = per_entry == 2, 0
        at += 1 + size


def _length(body: bytes, at: int, first: int) -> int:
    """Bytes of a value that is no container."""
    if first in _FIXED:
        return _FIXED[first]
    size, head = _STATED[first]
    return head + int.from_bytes(body[at + 1 : at + 1 + size], "big")
