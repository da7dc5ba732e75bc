"""Fields that a type had and has no more: what is sent in them is lost, and nobody hears of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .schema_changes import Misfit
from .schema_references import reference_of, renamed_fields, resolved

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .schema_references import Effort

    Schema = Mapping[str, Any]
    Types = Mapping[str, Schema]


def lost_fields(
    old: Schema, old_types: Types, new: Schema, new_types: Types, effort: Effort
) -> list[Misfit]:
    """The fields of records that the old schema has and the new one does not, at any depth.

    Raises:
        TangledError: Finding them costs more than the effort.
    """
    return list(_Search(old_types, new_types, effort).of(old, new, ""))


class _Search:
    def __init__(self, old_types: Types, new_types: Types, effort: Effort) -> None:
        self._old_types = old_types
        self._new_types = new_types
        self._effort = effort
        self._seen: set[Any] = set()

    def of(self, old: Schema, new: Schema, path: str) -> Iterator[Misfit]:
        if len(path) > 1000:
            return
        if "$ref" in old and "$ref" in new:
            pair = (reference_of(old), reference_of(new))
            if pair in self._seen:
                return
            self._seen.add(pair)
        old, new = resolved(old, self._old_types), resolved(new, self._new_types)
        self._effort.spend(1 + (len(old) + len(new)) // 50)
        yield from self._fields(old, new, path)
        for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
            if isinstance(old.get(key), dict) and isinstance(new.get(key), dict):
                yield from self.of(old[key], new[key], path + mark)
        for one, other in zip(old.get("anyOf", ()), new.get("anyOf", ()), strict=False):
            yield from self.of(one, other, path)

    def _fields(self, old: Schema, new: Schema, path: str) -> Iterator[Misfit]:
        mine, theirs = old.get("properties", {}), new.get("properties", {})
        if not mine or not theirs:
            return
        self._effort.spend((len(mine) + len(theirs)) // 10)
        numbers = {one.get("x-proto", {}).get("number") for one in theirs.values()}
        renamed = renamed_fields(mine, theirs)
        for name, one in mine.items():
            number = one.get("x-proto", {}).get("number")
            if name in theirs:
                yield from self.of(one, theirs[name], f"{path}.{name}")
            elif number is not None:
                reserved = new.get("x-reserved", {})
                self._effort.spend(sum(map(len, reserved.values())) // 10)
                yield from _lost_number(name, number, numbers, new, path)
            elif name not in renamed:
                yield Misfit("FIELD_REMOVED", f"{path}.{name}", "the field is gone")


def _lost_number(
    name: str, number: int, numbers: set[Any], new: Schema, path: str
) -> Iterator[Misfit]:
    """A field that a message lacks: it breaks nobody if its name and number are reserved."""
    if number in numbers:
        return  # it has another name; that is said elsewhere
    reserved = new.get("x-reserved", {})
    kept = any(start <= number < end for start, end in reserved.get("numbers", ()))
    if not kept:
        message = f"the field is gone, and its number {number} is not reserved"
        yield Misfit("FIELD_REMOVED", f"{path}.{name}", message)
    elif name not in reserved.get("names", ()):
        message = "the field is gone, and its name is not reserved"
        yield Misfit("FIELD_REMOVED", f"{path}.{name}", message, "json")
