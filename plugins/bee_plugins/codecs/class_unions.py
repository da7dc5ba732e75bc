"""Unions of record classes, and of records and dicts. A field of the object says its class.

msgspec refuses them. ``docs/wire-protocol.md`` says what is on the wire, and
``docs/decisions/unions-of-classes.md`` says why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import msgspec

from .invalid_argument import Misfit, UnsendablePartError, located

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from .record_classes import Record, Tag
    from .record_structs import Read, Write

TAG = "$type"
"""The field that names the class. No attribute in Python can have this name."""

_KINDS = {type(None): "null", list: "array", tuple: "array"}


@attrs.frozen
class Member:
    """One member of a union that is an object: a record class, or a plain dict (no record)."""

    record: Record | None
    read: Read
    write: Write | None


def tags_for(records: Sequence[Record], dicts: Sequence[Record | None]) -> list[Tag] | None:
    """The field and value that tell each class of a union from the others.

    Args:
        records: The classes.
        dicts: The other objects of the union: ``TypedDict`` classes, and None for a plain dict.

    Returns:
        Tags in the same order, or None if there is a single class, which needs none.

    Raises:
        TypeError: Two classes have one name, or a field has the tag's name.
    """
    if len(records) + len(dicts) == 1:
        return None
    tags = [record.tag for record in records if record.tag is not None]
    if dicts or len(tags) < len(records) or len({field for field, _ in tags}) > 1:
        tags = [(TAG, record.cls.__name__) for record in records]
    for index, (tag, record) in enumerate(zip(tags, records, strict=True)):
        if tag in tags[:index]:
            raise TypeError(
                "two classes in the union would be told apart by their names, and both have the"
                f" name {tag[1]!r}; rename one, or put one into a class of its own"
            )
        holder = next(
            (other for other in (record, *dicts) if other is not None and tag[0] in other.known),
            None,
        )
        if holder is not None:
            raise TypeError(
                f"{holder.cls.__name__} has a field {tag[0]!r}, which tells the classes of a union"
                " apart; rename the field"
            )
    return tags


class ClassUnion:
    """One union, as it is read and written. Immutable; for any thread.

    Args:
        expected: The union in words, for messages.
        classes: Its classes of objects, each with its tag, or with None if it needs none.
        dicts: Its ``TypedDict`` classes, and its plain dict.
        read_rest: Reads what is not an object; None if the union has nothing else.
        write_rest: Rewrites what is not an object; None if nothing has to be done.

    Raises:
        TypeError: Its dicts cannot be told apart. The message says what to do.
    """

    __slots__ = (
        "_by_class",
        "_by_tag",
        "_candidates",
        "_expected",
        "_plain",
        "_read_rest",
        "_tag_field",
        "_write_rest",
    )

    def __init__(
        self,
        expected: str,
        classes: Sequence[tuple[Member, Tag | None]],
        dicts: Sequence[Member],
        read_rest: Read | None,
        write_rest: Write | None,
    ) -> None:
        self._expected = expected
        self._read_rest = read_rest
        self._write_rest = write_rest
        self._by_class = {member.record.cls: member.write for member, _ in classes if member.record}
        self._by_tag = {tag[1]: member for member, tag in classes if tag}
        self._tag_field = next((tag[0] for _, tag in classes if tag), None)
        untagged = list(dicts) or [member for member, _ in classes]
        self._plain = untagged[0] if len(untagged) == 1 else None
        self._candidates = _by_their_fields(untagged)
        if dicts and len(untagged) > len(self._candidates) and not self._plain:
            raise TypeError(
                "its dicts cannot be told apart; give each TypedDict a required key that no other"
                " has, or use dataclasses"
            )

    def read(self, value: Any) -> Any:
        """The typed value of a decoded plain value. It takes the tags out of the dicts.

        Raises:
            Misfit: It is not in the union, or an object that could be several classes.
            Exception: What msgspec and the classes raise about its parts.
        """
        if type(value) is dict:
            return self._member(value).read(value)
        if self._read_rest is not None:
            try:
                return self._read_rest(value)
            except msgspec.ValidationError as error:
                path, message = located(error)
                if path or ", got " not in message:
                    raise
        raise Misfit(
            "", f"expected {self._expected}, got {_KINDS.get(type(value), type(value).__name__)}"
        )

    def _member(self, value: dict[Any, Any]) -> Member:
        if self._tag_field is not None and self._tag_field in value:
            tag = value.pop(self._tag_field)
            member = self._by_tag.get(tag) if type(tag) in {str, int} else None
            if member is None:
                raise Misfit(
                    f".{self._tag_field}",
                    f"unknown class {tag!r}, expected {' or '.join(map(repr, self._by_tag))}",
                )
            return member
        member = self._plain or self._recognised(value)
        if member is None:
            raise Misfit(
                "",
                f"expected {self._expected}, got an object that could not be told to be one of"
                f" them; it needs {self._tag_field or TAG!r}",
            )
        return member

    def _recognised(self, keys: Collection[Any]) -> Member | None:
        """The member whose required fields are all there, at least one of which no other has.

        None if there are several, or none.
        """
        found = [
            member for member, required, own in self._candidates if own and required.issubset(keys)
        ]
        return found[0] if len(found) == 1 else None

    def write(self, value: Any) -> Any:
        """A value in the shape in which it is encoded.

        A value that is not in the union is returned as it is; a later check refuses it.

        Raises:
            UnsendablePartError: A dict has the tag's key.
        """
        for cls in type(value).__mro__:
            if cls in self._by_class:
                write = self._by_class[cls]
                return value if write is None else write(value)
        if not isinstance(value, dict):
            return value if self._write_rest is None else self._write_rest(value)
        member = self._plain or self._recognised(value)
        if member is None or (member.record is not None and member.record.form == "object"):
            return value  # a dict in place of a class
        if self._tag_field in value:
            raise UnsendablePartError(
                value,
                f"a dict with the key {self._tag_field!r} would arrive as an object of a class;"
                " rename the key, or use no dict here",
            )
        return value if member.write is None else member.write(value)


def _by_their_fields(
    members: Sequence[Member],
) -> list[tuple[Member, frozenset[str], frozenset[str]]]:
    """The members that need no tag.

    Each comes with its required fields, and with those of them that no other member has at all.
    """
    records = [(member, member.record) for member in members if member.record]
    if len(records) < len(members):  # a plain dict may have any field
        return []
    found = []
    for member, record in records:
        others = frozenset().union(*(other.known for _, other in records if other is not record))
        if record.required - others:
            found.append((member, record.required, record.required - others))
    return found
