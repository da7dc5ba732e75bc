"""Maps with numbers as keys, counted before protobuf puts them into its tables.

Protobuf's tables have no secret: numbers that agree in their low bits go into one chain, and n of
them take n² steps while the message is parsed. So a large body is first read as a message of the
same shape in which each map is what it is on the wire, a list of entries. That takes time
proportional to its length.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message_factory import GetMessageClass

from .bounded_decoding import SMALL
from .invalid_argument import Misfit

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_PAIRS = 2_000_000
"""Pairs of keys in one chain, which the parser compares: about 20 ms."""
_LOW = 0xFFFFFFFF


class NumberedMaps:
    """The maps with numbers as keys in a message class and in what it contains.

    Immutable; for any thread.
    """

    __slots__ = ("_shape",)

    def __init__(self, descriptor: Any) -> None:
        self._shape: Any = None
        if _has_numbered_maps(descriptor, set()):
            pool = descriptor_pool.DescriptorPool()
            _add(pool, descriptor.file, set())
            self._shape = GetMessageClass(pool.FindMessageTypeByName(descriptor.full_name))

    def check(self, body: bytes) -> None:
        """Look at the keys in a body.

        Raises:
            Misfit: So many agree in their low bits that parsing them would take too long.
            Exception: The body is not of the message.
        """
        if self._shape is None or len(body) < SMALL:
            return
        for path, keys in _keys(self._shape.FromString(body), ""):
            if _pairs(keys) > _MOST_PAIRS:
                raise Misfit(
                    path,
                    f"a map of {len(keys):,} numbers, of which too many agree in their low bits;"
                    " such keys would stop the process for seconds",
                )


def _pairs(keys: list[int]) -> int:
    """How many pairs of different keys meet in a chain of the table, at the worst size it has."""
    folded = [(key ^ key >> 32) & _LOW for key in set(keys)]
    worst, mask = 0, (1 << len(folded).bit_length()) - 1
    while mask > 15:  # while it grew, the table was smaller
        left, pairs = mask + 1, 0  # it holds so many keys at the most
        for _, count in Counter(key & mask for key in folded).most_common():
            pairs += min(count, left) ** 2 // 2
            left -= count
            if left <= 0:
                break
        worst = max(worst, pairs)
        mask >>= 2
    return worst


def _keys(message: Any, path: str) -> Iterator[tuple[str, list[int]]]:
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        here = f"{path}.{field.name}"
        if not isinstance(value, list) and hasattr(value, "DESCRIPTOR"):
            yield from _keys(value, here)
            continue
        if _is_entry(field.message_type) and _is_number(field.message_type):
            yield here, [entry.key for entry in value]
        for item in value:
            yield from _keys(item, here)


def _has_numbered_maps(descriptor: Any, seen: set[str]) -> bool:
    if descriptor.full_name in seen:
        return False
    seen.add(descriptor.full_name)
    return any(
        (inner.GetOptions().map_entry and _is_number(inner)) or _has_numbered_maps(inner, seen)
        for inner in (field.message_type for field in descriptor.fields)
        if inner is not None
    )


def _is_entry(descriptor: Any) -> bool:
    return bool(descriptor.name.endswith("Entry")) and set(descriptor.fields_by_name) == {
        "key",
        "value",
    }


def _is_number(entry: Any) -> bool:
    key = entry.fields_by_name["key"]
    return key.type not in {key.TYPE_STRING, key.TYPE_BOOL}


def _add(pool: Any, file: Any, added: set[str]) -> None:
    """Copy a file and what it imports into a pool, with plain messages in place of maps."""
    if file.name in added:
        return
    added.add(file.name)
    for imported in file.dependencies:
        _add(pool, imported, added)
    copy = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(copy)
    waiting = list(copy.message_type)
    while waiting:
        message = waiting.pop()
        message.options.ClearField("map_entry")
        waiting.extend(message.nested_type)
    pool.Add(copy)
