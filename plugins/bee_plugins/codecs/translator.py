"""Type hints in the words of msgspec, with places for what it does not know; and how values are brought into the shape in which they are encoded."""

from __future__ import annotations

import collections.abc
import functools
import types
import typing
from typing import TYPE_CHECKING, Any

import msgspec

from bee_core.interfaces import hint_text

from .class_unions import ClassUnion, Member, tags_for
from .hints import in_words_of_msgspec, without_alias
from .places import Place, read_place
from .record_shapes import reader, reading_shape, writer
from .records import has_private_fields, is_record, record_of, special_form

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Write = Callable[[Any], Any]

_UNIONS = (typing.Union, types.UnionType)
_ARRAYS = (list, tuple, set, frozenset)
_WRAPPERS = {"Annotated", "Required", "NotRequired", "ReadOnly", "Final"}


class Translator:
    """Translates the hints of one method. For one thread; what it makes is for any.

    Args:
        conversion: Options of ``msgspec.convert`` for plain values of the format.
        check: Raises TypeError for a hint that the format cannot carry.
    """

    def __init__(self, conversion: Mapping[str, Any], check: Callable[[Any], None]) -> None:
        self._convert = functools.partial(msgspec.convert, dec_hook=read_place, **conversion)
        self._check = check
        self._places: dict[Any, Place] = {}

    def translate(self, hint: Any) -> tuple[Any, Write | None]:
        """The hint for a decoder with :func:`places.read_place` as its hook, and the function that values are put through before they are encoded, or None.

        Raises:
            TypeError: A union whose parts cannot be told apart. The message says what to do.
        """
        hint = in_words_of_msgspec(hint)
        if not _needs_places(hint, set()):
            return hint, None
        if typing.get_origin(hint) is typing.Annotated:
            inner, write = self.translate(typing.get_args(hint)[0])
            parts = (inner, *typing.get_args(hint)[1:])
            return typing.Annotated[parts], write
        hint = _bare(hint)
        origin = typing.get_origin(hint)
        if origin in _UNIONS:
            return self._place(hint, self._fill_union)
        if is_record(hint):
            return self._place(hint, self._fill_record)
        inner_hints, writes = zip(*map(self.translate, typing.get_args(hint)), strict=True)
        return origin[inner_hints], _container_writer(origin, inner_hints, writes)

    def _place(self, hint: Any, fill: Callable[[Place, Any], None]) -> tuple[Any, Write]:
        """The place of a hint. One that is being filled is taken as it is: a type that holds itself."""
        place = self._places.get(hint)
        if place is None:
            place = self._places[hint] = Place(hint_text(hint), (), {})
            fill(place, hint)
        return place, lambda value: place.write(value)  # noqa: PLW0108 - it may not be filled yet

    def _fill_record(self, place: Place, hint: Any) -> None:
        record = record_of(hint)
        inner = [self.translate(field.hint) for field in record.fields]
        shape = reading_shape(record, [part for part, _ in inner])
        self._check(shape)
        place.read = reader(record, shape, self._convert)
        place.write = writer(record, [write for _, write in inner], None)

    def _fill_union(self, place: Place, hint: Any) -> None:
        records, dicts, rest = _sorted_parts(hint)
        classes = [record_of(part) for part in records]
        others = [self._dict(part) for part in dicts]
        tags = tags_for(classes, [member.record for member in others])
        members = []
        for index, (part, record) in enumerate(zip(records, classes, strict=True)):
            tag = tags[index] if tags else None
            writes = [self.translate(field.hint)[1] for field in record.fields]
            members.append(
                (Member(record, self._reading_place(part), writer(record, writes, tag)), tag)
            )
        read_rest, write_rest = self._rest(rest)
        union = ClassUnion(hint_text(hint), members, others, read_rest, write_rest)
        place.read, place.write = union.read, union.write

    def _reading_place(self, hint: Any) -> Place:
        """Where a part of a union is read: its own place, or one that leaves it to msgspec."""
        translated, _ = self.translate(hint)
        if isinstance(translated, Place):
            return translated
        self._check(translated)
        place = Place(hint_text(hint), (), {})
        place.read = functools.partial(self._convert, type=translated)
        return place

    def _dict(self, hint: Any) -> Member:
        return Member(
            record_of(hint) if is_record(hint) else None,
            self._reading_place(hint),
            self.translate(hint)[1],
        )

    def _rest(self, parts: Sequence[Any]) -> tuple[Callable[[Any], Any] | None, Write | None]:
        """What reads and what rewrites the parts of a union that are no objects."""
        if not parts:
            return None, None
        translated, writes = zip(*map(self.translate, parts), strict=True)
        for part in translated:
            self._check(part)
        arrays = [
            part for part in translated if isinstance(part, Place)
        ]  # a NamedTuple that holds a union; msgspec takes no place beside anything else
        self._check(
            _union_of(list[Any] if isinstance(part, Place) else part for part in translated)
        )
        read = functools.partial(
            self._convert,
            type=_union_of(part for part in translated if not isinstance(part, Place)),
        )
        write = next((write for write in writes if write is not None), None)
        return (
            lambda value: arrays[0].read(value) if isinstance(value, list) else read(value)
        ) if arrays else read, write


def _union_of(hints: Iterable[Any]) -> Any:
    """The union of some hints, which may be none."""
    return typing.Union.__getitem__(tuple(hints) or (None,))


def _needs_places(hint: Any, seen: set[Any]) -> bool:
    """Whether something in a hint, however deep, is not for msgspec: a union of records, or a record that it would not write whole."""
    hint = _bare(hint)
    if typing.get_origin(hint) in _UNIONS:
        records, dicts, rest = _sorted_parts(hint)
        if Any in rest or object in rest:
            return (
                len(records) + len(dicts) > 1
            )  # it is for Any, but msgspec would object to the others
        if len(records) + len(dicts) > 1 and (
            dicts or not all(record_of(part).tag for part in records)
        ):  # msgspec tells Structs apart that have tags
            return True
    elif is_record(hint):
        if hint in seen:
            return False
        seen.add(hint)
        try:
            fields = record_of(hint).fields
        except Exception:  # a hint that cannot be resolved: msgspec will say so
            return False
        return has_private_fields(hint) or any(_needs_places(field.hint, seen) for field in fields)
    elif typing.get_origin(hint) is typing.Literal:
        return False
    return any(_needs_places(part, seen) for part in typing.get_args(hint))


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
    """A hint without what surrounds it: ``Annotated``, ``Required``, a name of its own; a type variable is what bounds it."""
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
    if issubclass(origin, collections.abc.Mapping):
        return _mapping_writer(writes[1])
    if origin is tuple and not (len(hints) == 2 and hints[1] is Ellipsis):
        return _tuple_writer(writes)
    return _array_writer(writes[0])


def _mapping_writer(write: Write | None) -> Write | None:
    return write and (
        lambda value: (
            {key: write(part) for key, part in value.items()} if isinstance(value, dict) else value
        )
    )


def _array_writer(write: Write | None) -> Write | None:
    return write and (
        lambda value: [write(part) for part in value] if isinstance(value, _ARRAYS) else value
    )


def _tuple_writer(writes: Sequence[Write | None]) -> Write:
    def write_tuple(value: Any) -> Any:
        if not isinstance(value, (list, tuple)) or len(value) != len(writes):
            return value
        return [
            part if write is None else write(part)
            for part, write in zip(value, writes, strict=True)
        ]

    return write_tuple
