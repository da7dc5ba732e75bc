"""Translates type hints for msgspec, with custom types for what it cannot read by itself.

For each hint it also makes the function that brings values into the shape in which they are
encoded.
"""

from __future__ import annotations

import collections
import collections.abc
import functools
import typing
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from bee_core.interfaces import hint_text

from .class_unions import ClassUnion, Member, tags_for
from .invalid_argument import Misfit
from .keyed_hints import has_guessable_hashes, keyed_parts, keyed_reader
from .msgspec_hints import (
    UNIONS,
    CustomType,
    bare,
    msgspec_hint,
    read_custom,
)
from .plain_classes import MAPPINGS, is_text_class, mapping_maker, text_reader
from .pydantic_models import ModelType, is_model, is_root_model
from .record_classes import has_open_variables, is_record, record_of
from .record_structs import reader, reading_shape, writer
from .union_parts import is_mapping, is_special_union, sorted_parts, union_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .record_classes import Tag
    from .record_structs import Read, Write


_ARRAYS = (list, tuple, set, frozenset, collections.deque)
_NEVER = tuple(getattr(typing, name) for name in ("NoReturn", "Never") if hasattr(typing, name))


class Translator:
    """Translates the hints of one method. For one thread; what it makes is for any.

    Args:
        conversion: Options of ``msgspec.convert`` for plain values of the format.
        check: Raises TypeError for a hint that the format cannot carry.
    """

    def __init__(self, conversion: Mapping[str, Any], check: Callable[[Any], None]) -> None:
        self._convert = functools.partial(msgspec.convert, dec_hook=read_custom, **conversion)
        self._text_keys = bool(conversion.get("str_keys"))
        self._check = check
        self._customs: dict[Any, CustomType] = {}

    def translate(self, hint: Any) -> tuple[Any, Write | None]:
        """The hint for a decoder, and the function for values before they are encoded, or None.

        The decoder has :func:`~.msgspec_hints.read_custom` as its hook.

        Raises:
            TypeError: A union whose parts cannot be told apart. The message says what to do.
        """
        hint = msgspec_hint(hint)
        if not self._needs_custom(hint, set()):
            return hint, None
        if typing.get_origin(hint) is typing.Annotated:
            inner, write = self.translate(typing.get_args(hint)[0])
            parts = (inner, *typing.get_args(hint)[1:])
            return typing.Annotated[parts], write
        hint = bare(hint)
        origin = typing.get_origin(hint)
        if origin in UNIONS:
            return self._custom(hint, self._fill_union)
        fill = self._filling(hint)
        if fill is not None:
            return self._custom(hint, fill)
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

    def _filling(self, hint: Any) -> Callable[[CustomType, Any], None] | None:
        """What fills the custom type that one hint needs; None if it needs none by itself."""
        if hint in _NEVER:
            return _fill_never
        if is_model(hint):
            return _fill_model
        if is_record(hint):
            return self._fill_record
        if _class_of(hint) is collections.deque:
            return self._fill_deque
        if _class_of(hint) in MAPPINGS or self._has_own_keys(hint):
            return self._fill_mapping
        return self._fill_keyed if has_guessable_hashes(hint) else None

    def _has_own_keys(self, hint: Any) -> bool:
        """Whether the keys of a mapping are of a class that travels as text.

        In a format that makes text of every key, a union of them is no less.
        """
        args = typing.get_args(hint)
        if not is_mapping(hint) or len(args) != 2:
            return False
        key = bare(args[0])
        if typing.get_origin(key) in UNIONS:
            return self._text_keys or any(map(is_text_class, map(bare, typing.get_args(key))))
        return is_text_class(key)

    def _needs_custom(self, hint: Any, seen: set[Any]) -> bool:
        """Whether a hint contains, at any depth, what msgspec cannot read or write by itself."""
        hint = bare(hint)
        if typing.get_origin(hint) in UNIONS:
            if is_special_union(hint):
                return True
        elif is_record(hint) and not is_model(hint):
            if has_open_variables(hint):
                return True
            if hint in seen:
                return False
            seen.add(hint)
            record = record_of(hint)
            return record.is_foreign or any(
                self._needs_custom(field.hint, seen) for field in record.fields
            )
        elif typing.get_origin(hint) is typing.Literal:
            return False
        elif self._filling(hint) is not None:
            return True
        return any(self._needs_custom(part, seen) for part in typing.get_args(hint))

    def _fill_deque(self, custom: CustomType, hint: Any) -> None:
        inner, write = self.translate((typing.get_args(hint) or (Any,))[0])
        shape = list[inner]  # type: ignore[valid-type]
        self._check(shape)
        custom.read = lambda value: collections.deque(self._convert(value, shape))
        custom.write = _container_writer(list, [inner], [write]) or _unchanged

    def _fill_keyed(self, custom: CustomType, hint: Any) -> None:
        origin, args = keyed_parts(hint)
        inner_hints, writes = zip(*map(self.translate, args), strict=True)
        self._check(origin[inner_hints])
        custom.read = keyed_reader(origin, inner_hints, self._convert)
        custom.write = _container_writer(origin, inner_hints, writes) or _unchanged

    def _fill_mapping(self, custom: CustomType, hint: Any) -> None:
        args = typing.get_args(hint) or (Any, Any)
        if _class_of(hint) is collections.Counter:
            args = (args[0], int)
        has_own_keys = self._has_own_keys(dict[args])  # type: ignore[misc,valid-type]
        inner, write = self.translate(args[1])
        keys = Any if has_own_keys else self.translate(args[0])[0]
        shape = dict.__class_getitem__((keys, inner))
        self._check(shape)
        read_keyed = keyed_reader(dict, (keys, inner), self._convert)
        make = mapping_maker(hint)
        read_key = self._key_reader(bare(args[0])) if has_own_keys else None

        def read(value: Any) -> Any:
            found = read_keyed(value)
            if read_key is not None:
                found = {read_key(key): part for key, part in found.items()}
            return make(found)

        custom.read = read
        custom.write = _container_writer(dict, args, [None, write]) or _unchanged

    def _key_reader(self, hint: Any) -> Read:
        """What makes a key of its text: text itself is the last that is tried."""
        members = typing.get_args(hint) if typing.get_origin(hint) in UNIONS else (hint,)
        shapes = [
            dict[part, Any]  # type: ignore[valid-type]
            for part in sorted(map(bare, members), key=lambda part: part is str)
            if not is_text_class(part)
        ]
        for shape in shapes:
            self._check(shape)
        texts = [part for part in map(bare, members) if is_text_class(part)]
        read = text_reader(texts) if texts else None
        if read is not None and str in members:
            raise TypeError("text and a class that travels as text cannot be told apart as keys")

        def read_key(key: Any) -> Any:
            for shape in shapes:
                with suppress(msgspec.ValidationError):
                    return next(iter(self._convert({key: None}, shape)))
            if read is None:
                raise Misfit("", f"a key of the object: expected {hint_text(hint)}, got {key!r}")
            return read(key)

        return read_key

    def _fill_record(self, custom: CustomType, hint: Any) -> None:
        record = record_of(hint)
        inner = [self.translate(field.hint) for field in record.fields]
        shape = reading_shape(record, [part for part, _ in inner])
        self._check(shape)
        custom.read = reader(record, shape, self._convert)
        custom.write = writer(record, [write for _, write in inner], None)

    def _fill_union(self, custom: CustomType, hint: Any) -> None:
        parts = [part for part in map(bare, typing.get_args(hint)) if part is not type(None)]
        if len(parts) == 1 and is_model(parts[0]) and is_root_model(parts[0]):
            model = ModelType(parts[0])  # it may be anything
            custom.read = lambda value: None if value is None else model.read(value)
            custom.write = model.write
            return
        records, dicts, rest = sorted_parts(hint)
        classes = [record_of(part) for part in records]
        others = [
            Member(record_of(part) if is_record(part) else None, *self._member(part))
            for part in dicts
        ]
        tags = tags_for(classes, [member.record for member in others])
        members = []
        for index, (part, record) in enumerate(zip(records, classes, strict=True)):
            tag = tags[index] if tags else None
            read, write_model = self._member(part)
            if is_model(part):
                write = _tagging(write_model, tag)
            else:
                writes = [self.translate(field.hint)[1] for field in record.fields]
                write = writer(record, writes, tag)
            members.append((Member(record, read, write), tag))
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
        # What msgspec allows beside nothing else: a deque, a NamedTuple that contains a union.
        for part in map(bare, parts):
            if is_model(part):  # of the class RootModel
                raise TypeError(f"{part.__name__} may be anything; put it into a model of its own")
        arrays = [part for part in translated if isinstance(part, CustomType)]
        texts = [part for part in translated if is_text_class(part)]
        others = [part for part in translated if part not in arrays and part not in texts]
        # With stand-ins, msgspec itself finds what cannot be told apart.
        self._check(union_of([*others, *[list[Any]] * len(arrays), *[str] * bool(texts)]))
        if len(arrays) > 1 or (texts and str in others):
            raise TypeError("parts of the union cannot be told apart; put one into a class")
        read_other = functools.partial(self._convert, type=union_of(others))
        read_text_part = text_reader(texts) if texts else None
        write = next((write for write in writes if write is not None), None)

        def read(value: Any) -> Any:
            if arrays and isinstance(value, list):
                return arrays[0].read(value)
            if read_text_part is not None and isinstance(value, str):
                return read_text_part(value)
            return read_other(value)

        return read, write


def _fill_never(custom: CustomType, _hint: Any) -> None:
    def read(value: Any) -> Any:
        raise Misfit("", f"expected nothing, because the method never returns, got {value!r:.60}")

    custom.read, custom.write = read, _unchanged


def _fill_model(custom: CustomType, hint: Any) -> None:
    model = ModelType(hint)
    custom.read, custom.write = model.read, model.write


def _tagging(write: Write | None, tag: Tag | None) -> Write:
    """A model's plain values, with the tag in front."""

    def tagged(value: Any) -> Any:
        plain = value if write is None else write(value)
        return {tag[0]: tag[1], **plain} if tag and isinstance(plain, dict) else plain

    return tagged


def _unchanged(value: Any) -> Any:
    return value


def _class_of(hint: Any) -> Any:
    return typing.get_origin(hint) or hint


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
