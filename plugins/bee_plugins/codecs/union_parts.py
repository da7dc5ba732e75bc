"""The parts of a union, sorted by what they are on the wire."""

from __future__ import annotations

import collections.abc
import typing
from typing import TYPE_CHECKING, Any

from .msgspec_hints import bare
from .plain_classes import is_text_class
from .pydantic_models import is_model, is_root_model
from .record_classes import is_record, record_of

if TYPE_CHECKING:
    from collections.abc import Iterable


def is_special_union(hint: Any) -> bool:
    """Whether msgspec cannot tell the parts of a union apart by itself, or one of them is foreign.

    Tags that the classes bring themselves are enough for it.
    """
    records, dicts, rest = sorted_parts(hint)
    several = len(records) + len(dicts) > 1
    if Any in rest or object in rest:
        return several  # Any takes everything, but msgspec would object to the others
    if any(map(is_text_class, rest)) and len(rest) + len(records) + len(dicts) > 1:
        return [part for part in rest if not is_text_class(part)] != [type(None)] or len(rest) > 2
    return several and (bool(dicts) or not all(record_of(part).tag for part in records))


def sorted_parts(hint: Any) -> tuple[list[Any], list[Any], list[Any]]:
    """The parts of a union: classes of objects, dicts of every kind, and all else."""
    classes: list[Any] = []
    dicts: list[Any] = []
    rest: list[Any] = []
    for part in map(bare, typing.get_args(hint)):
        if is_model(part) and is_root_model(part):
            rest.append(part)
            continue
        form = record_of(part).form if is_record(part) else "dict" if is_mapping(part) else ""
        (classes if form == "object" else dicts if form == "dict" else rest).append(part)
    return classes, dicts, rest


def is_mapping(hint: Any) -> bool:
    """Whether a hint is a dict or another mapping."""
    cls = typing.get_origin(hint) or hint
    return isinstance(cls, type) and issubclass(cls, collections.abc.Mapping)


def union_of(hints: Iterable[Any]) -> Any:
    """The union of some hints, which may be none."""
    return typing.Union.__getitem__(tuple(hints) or (None,))
