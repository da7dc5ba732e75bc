"""Fields that a type had and has no more: what is sent in them is lost, and nobody hears of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .schema_changes import Misfit, reference_of, renamed_fields, resolved

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Schema = Mapping[str, Any]
    Types = Mapping[str, Schema]


def lost_fields(old: Schema, old_types: Types, new: Schema, new_types: Types) -> list[Misfit]:
    """The fields of records that the old schema has and the new one does not, at any depth."""
    return list(_lost(old, old_types, new, new_types, "", set()))


def _lost(
    old: Schema, old_types: Types, new: Schema, new_types: Types, path: str, seen: set[Any]
) -> Iterator[Misfit]:
    if len(path) > 1000:
        return
    if "$ref" in old and "$ref" in new:
        pair = (reference_of(old), reference_of(new))
        if pair in seen:
            return
        seen.add(pair)
    old, new = resolved(old, old_types), resolved(new, new_types)
    mine, theirs = old.get("properties", {}), new.get("properties", {})
    if mine and theirs:
        numbers = {one.get("x-proto", {}).get("number") for one in theirs.values()}
        for name, one in mine.items():
            number = one.get("x-proto", {}).get("number")
            if name in theirs:
                yield from _lost(one, old_types, theirs[name], new_types, f"{path}.{name}", seen)
            elif number is not None:
                yield from _lost_number(name, number, numbers, new, path)
            elif name not in renamed_fields(mine, theirs):
                yield Misfit("FIELD_REMOVED", f"{path}.{name}", "the field is gone")
    for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if isinstance(old.get(key), dict) and isinstance(new.get(key), dict):
            yield from _lost(old[key], old_types, new[key], new_types, path + mark, seen)
    for one, other in zip(old.get("anyOf", ()), new.get("anyOf", ()), strict=False):
        yield from _lost(one, old_types, other, new_types, path, seen)


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
