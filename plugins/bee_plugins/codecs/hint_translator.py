"""Translates type hints for msgspec, with custom types for what it cannot read by itself.

For each hint it also makes the function that brings values into the shape in which they are
encoded.
"""

from __future__ import annotations

import collections.abc
import functools
import typing
from typing import TYPE_CHECKING, Any

import msgspec

from bee_core.interfaces import hint_text

from .class_unions import ClassUnion, Member, tags_for
from .msgspec_hints import (
    UNIONS,
    CustomType,
    msgspec_hint,
    read_custom,
    special_form,
    without_alias,
)
from .record_classes import is_record, reader, reading_shape, record_of, writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from .record_classes import Read, Write


_ARRAYS = (list, tuple, set, frozenset)
_WRAPPERS = {"Annotated", "Required", "NotRequired", "ReadOnly", "Final"}


class Translator:
    """Translates the hints of one method. For one thread; what it makes is for any.

    Args:
        conversion: Options of ``msgspec.convert`` for plain values of the format.
        check: Raises TypeError for a hint that the format cannot carry.
    """

    def __init__(self, conversion: Mapping[str, Any], check: Callable[[Any], None]) -> None:
        self._convert = functools.partial(msgspec.convert, dec_hook=read_custom, **conversion)
        self._check = check
        self._customs: dict[Any, CustomType] = {}

    def translate(self, hint: Any) -> tuple[Any, Write | None]:
        """The hint for a decoder, and the function for values before they are encoded, or None.

        The decoder has :func:`~.msgspec_hints.read_custom` as its hook.

        Raises:
            TypeError: A union whose parts cannot be told apart. The message says what to do.
        """
        hint = msgspec_hint(hint)
        if not _needs_custom(hint, set()):
            return hint, None
        if typing.get_origin(hint) is typing.Annotated:
            inner, write = self.translate(typing.get_args(hint)[0])
            parts = (inner, *typing.get_args(hint)[1:])
            return typing.Annotated[parts], write
        hint = _bare(hint)
        origin = typing.get_origin(hint)
        if origin in UNIONS:
            return self._custom(hint, self._fill_union)
        if is_record(hint):
            return self._custom(hint, self._fill_record)
        inner_hints, writes = zip(*map(self.translate, typing.get_args(hint)), strict=True)
        return origin[inner_hints], _container_writer(origin, inner_hints, writes)

    def _custom(
        self, hint: Any, fill: Callable[[CustomType, Any], None]
    ) -> tuple[CustomType, Write]:
        """The custom type of a hint; in a type that contains itself, one that is not yet filled."""
        custom = self._customs.get(hint)
        if custom is None:
            custom = self._customs[hint] = CustomType(hint_text(hint), (), {})
            fill(custom, hint)
        return custom, lambda value: custom.write(value)  # noqa: PLW0108 - it may not be filled yet

    def _fill_record(self, custom: CustomType, hint: Any) -> None:
        record = record_of(hint)
        inner = [self.translate(field.hint) for field in record.fields]
        shape = reading_shape(record, [part for part, _ in inner])
        self._check(shape)
        custom.read = reader(record, shape, self._convert)
        custom.write = writer(record, [write for _, write in inner], None)

    def _fill_union(self, custom: CustomType, hint: Any) -> None:
        records, dicts, rest = _sorted_parts(hint)
        classes = [record_of(part) for part in records]
        others = [
            Member(record_of(part) if is_record(part) else None, *self._member(part))
            for part in dicts
        ]
        tags = tags_for(classes, [member.record for member in others])
        members = []
        for index, (part, record) in enumerate(zip(records, classes, strict=True)):
            tag = tags[index] if tags else None
            writes = [self.translate(field.hint)[1] for field in record.fields]
            read, _ = self._member(part)
            members.append((Member(record, read, writer(record, writes, tag)), tag))
        union = ClassUnion(hint_text(hint), members, others, *self._rest(rest))
        custom.read, custom.write = union.read, union.write

    def _member(self, hint: Any) -> tuple[Read, Write | None]:
        """The functions that read and rewrite a member of a union that is an object."""
        translated, write = self.translate(hint)
        if isinstance(translated, CustomType):
            # It may not be filled yet.
            return lambda value: translated.read(value), write  # noqa: PLW0108
        self._check(translated)
        return functools.partial(self._convert, type=translated), write

    def _rest(self, parts: Sequence[Any]) -> tuple[Read | None, Write | None]:
        """The functions that read and rewrite the members of a union that are not objects."""
        if not parts:
            return None, None
        translated, writes = zip(*map(self.translate, parts), strict=True)
        for part in translated:
            self._check(part)
        # A NamedTuple that contains a union. msgspec allows nothing else beside a custom type.
        arrays = [part for part in translated if isinstance(part, CustomType)]
        self._check(
            _union_of(list[Any] if isinstance(part, CustomType) else part for part in translated)
        )
        read = functools.partial(
            self._convert,
            type=_union_of(part for part in translated if not isinstance(part, CustomType)),
        )
        write = next((write for write in writes if write is not None), None)
        return (
            lambda value: arrays[0].read(value) if isinstance(value, list) else read(value)
        ) if arrays else read, write


def _union_of(hints: Iterable[Any]) -> Any:
    """The union of some hints, which may be none."""
    return typing.Union.__getitem__(tuple(hints) or (None,))


def _needs_custom(hint: Any, seen: set[Any]) -> bool:
    """Whether a hint contains, at any depth, what msgspec cannot read or write by itself.

    That is a union of records, or a record that msgspec would not write whole.
    """
    hint = _bare(hint)
    if typing.get_origin(hint) in UNIONS:
        records, dicts, rest = _sorted_parts(hint)
        several = len(records) + len(dicts) > 1
        if Any in rest or object in rest:
            return several  # Any takes everything, but msgspec would object to the others
        # msgspec itself tells Structs apart that have tags.
        if several and (dicts or not all(record_of(part).tag for part in records)):
            return True
    elif is_record(hint):
        if hint in seen:
            return False
        seen.add(hint)
        try:
            record = record_of(hint)
        except Exception:  # a hint that cannot be resolved: msgspec will say so
            return False
        return record.has_private_fields or any(
            _needs_custom(field.hint, seen) for field in record.fields
        )
    elif typing.get_origin(hint) is typing.Literal:
        return False
    return any(_needs_custom(part, seen) for part in typing.get_args(hint))


def _sorted_parts(hint: Any) -> tuple[list[Any], list[Any], list[Any]]:
    """The parts of a union: classes of objects, dicts of every kind, and all else."""
    classes: list[Any] = []
    dicts: list[Any] = []
    rest: list[Any] = []
    for part in map(_bare, typing.get_args(hint)):
        form = record_of(part).form if is_record(part) else "dict" if _is_mapping(part) else ""
        (classes if form == "object" else dicts if form == "dict" else rest).append(part)
    return classes, dicts, rest


def _is_mapping(hint: Any) -> bool:
    cls = typing.get_origin(hint) or hint
    return isinstance(cls, type) and issubclass(cls, collections.abc.Mapping)


def _bare(hint: Any) -> Any:
    """A hint without what is around it: ``Annotated``, ``Required``, a name of its own.

    A type variable becomes its bound.
    """
    while True:
        hint = without_alias(hint)
        if special_form(hint) in _WRAPPERS:
            hint = typing.get_args(hint)[0]
        elif hasattr(hint, "__supertype__"):
            hint = hint.__supertype__
        elif isinstance(hint, typing.TypeVar):
            hint = hint.__bound__ or (
                typing.Union[hint.__constraints__] if hint.__constraints__ else Any
            )
        else:
            return hint


def _container_writer(
    origin: Any, hints: Sequence[Any], writes: Sequence[Write | None]
) -> Write | None:
    if origin is tuple and not (len(hints) == 2 and hints[1] is Ellipsis):
        return functools.partial(_write_tuple, writes)
    is_mapping = issubclass(origin, collections.abc.Mapping)
    write = writes[1 if is_mapping else 0]
    if write is None:
        return None
    if is_mapping:
        return lambda value: (
            {key: write(part) for key, part in value.items()} if isinstance(value, dict) else value
        )
    return lambda value: [write(part) for part in value] if isinstance(value, _ARRAYS) else value


def _write_tuple(writes: Sequence[Write | None], value: Any) -> Any:
    if not isinstance(value, (list, tuple)) or len(value) != len(writes):
        return value
    return [
        part if write is None else write(part) for part, write in zip(value, writes, strict=True)
    ]
