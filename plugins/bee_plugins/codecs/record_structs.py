"""Structs of the shape of a record class, for what msgspec cannot read or write by itself."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from .record_classes import Record, Tag

    Read = Callable[[Any], Any]
    Write = Callable[[Any], Any]

_UNSET = msgspec.UNSET


def struct_of(
    name: str,
    fields: Iterable[tuple[str, Any, bool]],
    *,
    array_like: bool,
    tag: Tag | None = None,
    **options: Any,
) -> type[msgspec.Struct]:
    """A Struct; its attributes are numbered, because a wire name may be impossible in a class.

    Args:
        name: Its name.
        fields: For each field the name on the wire, the type and whether it is required. Others
            are ``UNSET`` when they are absent.
        array_like: Whether it is an array on the wire.
        tag: A field and its value in front of the others, or None.
        options: More options of ``msgspec.defstruct``.
    """
    numbered = {f"f{index}": field for index, field in enumerate(fields)}
    tag_field, tag_value = tag or (None, None)
    return msgspec.defstruct(
        name,
        [
            (attribute, hint) if required else (attribute, hint, _UNSET)
            for attribute, (_, hint, required) in numbered.items()
        ],
        rename=None if array_like else {key: field[0] for key, field in numbered.items()},
        array_like=array_like,
        tag_field=tag_field,
        tag=tag_value,
        **options,
    )


def reading_shape(record: Record, hints: Sequence[Any]) -> type[msgspec.Struct]:
    """A Struct that is decoded like the record.

    Args:
        record: The record.
        hints: The types of its fields, in their order, that msgspec can read.
    """
    return struct_of(
        record.cls.__name__,
        (
            (field.name, hint, field.required)
            for field, hint in zip(record.fields, hints, strict=True)
        ),
        array_like=record.form == "array",
        tag=record.tag,
        kw_only=record.form != "array",
        forbid_unknown_fields=record.closed,
    )


def reader(record: Record, shape: type[msgspec.Struct], convert: Callable[[Any, Any], Any]) -> Read:
    """The function that makes a record of decoded plain values.

    Args:
        record: The record.
        shape: What :func:`reading_shape` made.
        convert: ``msgspec.convert`` with the options of the format.

    Raises:
        TypeError: The class's constructor does not take its fields.
    """
    cls = record.cls
    constructed = [
        (index, field.parameter)
        for index, field in enumerate(record.fields)
        if field.parameter is not None
    ]
    assigned = [
        (index, field.attribute)
        for index, field in enumerate(record.fields)
        if field.parameter is None
    ]

    if record.form != "dict":
        try:
            inspect.signature(cls).bind(**{parameter: None for _, parameter in constructed})
        except TypeError as error:
            raise TypeError(f"{cls.__name__} is not made of its fields: {error}") from None

    def read(value: Any) -> Any:
        found = msgspec.structs.astuple(convert(value, shape))
        made = cls(
            **{
                parameter: found[index]
                for index, parameter in constructed
                if found[index] is not _UNSET
            }
        )
        for index, attribute in assigned:
            if found[index] is not _UNSET:
                object.__setattr__(made, attribute, found[index])
        return made

    return read


def writer(record: Record, writes: Sequence[Write | None], tag: Tag | None) -> Write:
    """The function that puts an instance of the record into a Struct that is encoded like it.

    It returns other values as they are.

    Args:
        record: The record.
        writes: What is done to the fields, in their order.
        tag: A field and its value to write in front, or None.
    """
    cls = dict if record.form == "dict" else record.cls
    shape = struct_of(
        record.cls.__name__,
        ((field.name, Any, False) for field in record.fields),
        array_like=record.form == "array",
        tag=tag or record.tag,
    )
    attributes = [field.attribute for field in record.fields]
    rewritten = [(index, write) for index, write in enumerate(writes) if write is not None]

    def write_record(value: Any) -> Any:
        if not isinstance(value, cls):
            return value
        parts = (
            [value.get(name, _UNSET) for name in attributes]
            if cls is dict
            else [getattr(value, name, _UNSET) for name in attributes]
        )
        for index, write in rewritten:
            if parts[index] is not _UNSET:
                parts[index] = write(parts[index])
        return shape(*parts)

    return write_record
