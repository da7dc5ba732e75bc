"""What would be lost or changed on the way, found at the sender.

A codec reads back what it is about to send. The result is compared with the value by the type hint,
so nothing is lost in silence: a field that the hinted class does not have, keys that become one,
bytes that become text, what a constructor changes.

Parts under ``Any`` are not compared: without a type a value arrives as what the format holds.
"""

from __future__ import annotations

import collections
import collections.abc
import enum
import operator
import typing
from typing import TYPE_CHECKING, Any

from .change_finders import (
    EXACT,
    LEAF_FINDS,
    LEAVES,
    MOMENTS,
    class_name,
    in_collection,
    in_literal,
    in_mapping,
    in_model,
    in_sequence,
    inside,
    of_class,
)
from .invalid_argument import TOO_DEEP, below, invalid
from .msgspec_hints import UNIONS, bare
from .plain_classes import is_text_class
from .pydantic_models import is_model
from .record_classes import Record, is_record, record_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from bee_core.errors import Executed

    from .change_finders import Change, Find


def refuse_change(
    find: Find | None, sent: Any, arrived: Any, path: str, executed: Executed
) -> None:
    """Raise InvalidArgument if a value would not arrive as it was sent."""
    try:
        change = find and find(sent, arrived)
    except RecursionError:
        raise invalid(path, TOO_DEEP, executed) from None
    if change:
        raise invalid(path + change[0], change[1], executed)


class Comparison:
    """Compares values of the hints of one method. For one thread; what it makes is for any.

    Attributes:
        has_any: Whether a part of a hint seen so far takes anything.
        has_moments: Whether one takes a moment.
    """

    def __init__(self) -> None:
        self._found: dict[Any, Find | None] = {}
        self.has_any = False
        self.has_moments = False

    def of(self, hint: Any) -> Find | None:
        """What finds the first change in a value of a hint; None if nothing can change."""
        hint = bare(hint)
        if hint not in self._found:
            # A class may contain itself.
            self._found[hint] = lambda sent, arrived: (
                found(sent, arrived) if (found := self._found[hint]) else None
            )
            self._found[hint] = self._make(hint)
        return self._found[hint]

    def _make(self, hint: Any) -> Find | None:
        cls = typing.get_origin(hint) or hint
        if hint in LEAVES:
            self.has_any = self.has_any or hint is Any or hint is object
            return LEAVES[hint]
        if cls in UNIONS:
            return self._union(hint)
        if cls is typing.Literal:
            return in_literal
        if not isinstance(cls, type):
            return None
        if is_model(cls):
            return in_model
        if is_record(hint):
            return self._record(record_of(hint))
        self.has_moments = self.has_moments or issubclass(cls, MOMENTS)
        if issubclass(cls, (*EXACT, enum.Enum)) or is_text_class(cls):
            return of_class(cls)
        args = typing.get_args(hint)
        if cls is tuple and args and args[-1] is not ...:
            return in_sequence([self.of(part) for part in args])
        if issubclass(cls, collections.abc.Mapping):
            if cls is collections.Counter:
                args = (*args, int)
            return in_mapping(*(self.of(part) for part in args[:2] or (Any, Any)))
        if issubclass(cls, collections.abc.Iterable):
            return in_collection(self.of(args[0] if args else Any))
        return None

    def _union(self, hint: Any) -> Find | None:
        """By the class of what arrives."""
        by_class: dict[Any, Find | None] = {}
        for part in map(bare, typing.get_args(hint)):
            cls = typing.get_origin(part) or part
            if cls is Any or cls is object:
                self.has_any = True
                return None
            if cls is typing.Literal:
                by_class.update({type(choice): in_literal for choice in typing.get_args(part)})
                continue
            if cls not in LEAVES:
                cls = next((real for abstract, real in _REAL if _is_a(cls, abstract)), cls)
            # Several dicts in a union: their own readers have told them apart.
            by_class[cls] = None if cls in by_class else self.of(part)
        return _in_union(by_class) if any(by_class.values()) else None

    def _record(self, record: Record) -> Find:
        finds = [(field.attribute, field.name, self.of(field.hint)) for field in record.fields]
        if record.form == "array" and issubclass(record.cls, tuple):
            return in_sequence([find for _, _, find in finds])
        known = record.known
        if record.form == "dict":
            return _in_fields(record, known, {name: find for _, name, find in finds if find})
        return _in_object(
            record, [(attribute, name, find) for attribute, name, find in finds if find]
        )


_REAL = (
    (collections.abc.Mapping, dict),
    (collections.deque, collections.deque),
    (tuple, tuple),
    (frozenset, frozenset),
    (collections.abc.Set, set),
    (str, str),
    (collections.abc.Sequence, list),
    (collections.abc.Collection, list),
)
"""The class that arrives for a hint of an abstract one, or of a subclass."""


def _is_a(cls: Any, abstract: type) -> bool:
    is_plain = not (is_record(cls) and not issubclass(cls, dict)) and not _is_enum(cls)
    return isinstance(cls, type) and is_plain and issubclass(cls, abstract)


def _is_enum(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, enum.Enum)


def _at(name: str, find: Find, sent: Any, arrived: Any, attribute: str) -> Change | None:
    """The change in one attribute."""
    try:
        before = getattr(sent, attribute)
    except AttributeError:  # a Struct or a slotted class may leave one out
        return None
    return inside(below(name), find(before, getattr(arrived, attribute, None)))


def _in_object(record: Record, finds: list[tuple[str, str, Find]]) -> Find:
    """Of an instance of the record's class, or of a dict in its place.

    Args:
        record: The record.
        finds: For each field that can change its attribute, its name on the wire, and what finds
            the change.
    """
    cls, known = record.cls, record.known
    deeper = [part for part in finds if part[2] not in LEAF_FINDS]
    leaves = [attribute for attribute, _, find in finds if find in LEAF_FINDS]
    are_equal = _equal_in(leaves)
    in_dict = _in_fields(
        record,
        known,
        {name: _by_class_only(find) if find in LEAF_FINDS else find for _, name, find in finds},
    )

    def find_in(sent: Any, arrived: Any) -> Change | None:
        if type(sent) is not cls:  # an isinstance with Mapping would cost much more
            if isinstance(sent, collections.abc.Mapping):
                return in_dict(sent, arrived)
            change = _of_other_class(record, sent)
            if change:
                return change
        # Leaves are compared one by one only where one of them differs.
        for attribute, name, find in deeper if are_equal(sent, arrived) else finds:
            change = _at(name, find, sent, arrived, attribute)
            if change:
                return change
        return None

    return find_in


def _equal_in(attributes: list[str]) -> Callable[[Any, Any], bool]:
    if not attributes:
        return lambda _sent, _arrived: True
    get = operator.attrgetter(*attributes)

    def are_equal(sent: Any, arrived: Any) -> bool:
        try:
            return bool(get(sent) == get(arrived))
        except AttributeError:  # one is left out
            return False

    return are_equal


def _by_class_only(find: Find) -> Find:
    """Of a leaf that the record's converters may change: they run on a dict for the first time."""
    return lambda sent, _arrived: find(sent, sent)


def _of_other_class(record: Record, sent: Any) -> Change | None:
    """What is wrong with an instance of another class than the hint's."""
    if not isinstance(sent, record.cls):
        return "", f"expected {record.cls.__name__}, got {class_name(sent)}"
    lost = _wire_names(type(sent)) - record.known
    if not lost:
        return None
    return _no_field(record, min(lost), f"; let the hint name {class_name(sent)} too")


def _in_union(by_class: dict[Any, Find | None]) -> Find:
    def find_in(sent: Any, arrived: Any) -> Change | None:
        cls = next((cls for cls in type(arrived).__mro__ if cls in by_class), None)
        find = by_class[cls] if cls is not None else None
        return find(sent, arrived) if find is not None else None

    return find_in


def _no_field(record: Record, name: str, advice: str = "") -> Change:
    return below(name), f"{record.cls.__name__} has no such field, so it would be lost{advice}"


def _wire_names(cls: type) -> frozenset[str]:
    try:
        return record_of(cls).known if is_record(cls) else frozenset()
    except TypeError:  # a class that nobody hinted may have hints that nobody can resolve
        return frozenset()


def _in_fields(record: Record, known: frozenset[str], finds: dict[str, Find]) -> Find:
    """Of a dict for a record: a ``TypedDict``, or a dict in place of a class."""
    attributes = {field.name: field.attribute for field in record.fields}

    def find_in(sent: Any, arrived: Any) -> Change | None:
        if not isinstance(sent, collections.abc.Mapping):
            return "", f"expected {record.cls.__name__}, got {class_name(sent)}"
        for name in sent:
            if name not in known:
                return _no_field(record, name)
        for name, find in finds.items():
            if name not in sent:
                continue
            after = (
                arrived[name] if isinstance(arrived, dict) else getattr(arrived, attributes[name])
            )
            change = find(sent[name], after)
            if change:
                return inside(below(name), change)
        return None

    return find_in
