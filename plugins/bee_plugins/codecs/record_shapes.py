"""Records that hold what msgspec cannot read or write by itself, in the shape of a ``msgspec.Struct`` that it can."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .records import Record

    Read = Callable[[Any], Any]
    Write = Callable[[Any], Any]

_UNSET = msgspec.UNSET


def reading_shape(record: Record, hints: Sequence[Any]) -> type[msgspec.Struct]:
    """A Struct that is decoded like the record.

    Args:
        record: The record.
        hints: The types of its fields, in their order, that msgspec can read.
    """
    fields = [
        (f"f{index}", hint) if field.required else (f"f{index}", hint, _UNSET)
        for index, (field, hint) in enumerate(zip(record.fields, hints, strict=True))
    ]
    return _shape(
        record,
        fields,
        record.tag,
        kw_only=record.form != "array",
        forbid_unknown_fields=record.closed,
    )


def reader(record: Record, shape: type[msgspec.Struct], convert: Callable[[Any, Any], Any]) -> Read:
    """Makes a record of decoded plain values.

    Args:
        record: The record.
        shape: Of :func:`reading_shape`.
        convert: ``msgspec.convert`` with the options of the format.

    Raises:
        TypeError: The class's constructor does not take its fields.
    """
    cls, names = record.cls, [field.name for field in record.fields]
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

    def read_dict(value: Any) -> Any:
        found = msgspec.structs.astuple(convert(value, shape))
        return {name: part for name, part in zip(names, found, strict=True) if part is not _UNSET}

    if record.form == "dict":
        return read_dict
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


def writer(
    record: Record, writes: Sequence[Write | None], tag: tuple[str, str | int] | None
) -> Write:
    """Puts an instance of the record into a Struct that is encoded like it. What is no instance passes through.

    Args:
        record: The record.
        writes: What is done to its fields, in their order.
        tag: A field and its value to write in front, or None.
    """
    cls = dict if record.form == "dict" else record.cls
    shape = _shape(
        record,
        [(f"f{index}", Any, _UNSET) for index in range(len(record.fields))],
        tag or record.tag,
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


def _shape(
    record: Record, fields: Sequence[Any], tag: tuple[str, str | int] | None, **options: Any
) -> type[msgspec.Struct]:
    if record.form != "array":
        options["rename"] = {f"f{index}": field.name for index, field in enumerate(record.fields)}
    if tag is not None:
        options["tag_field"], options["tag"] = tag
    return msgspec.defstruct(
        record.cls.__name__, fields, array_like=record.form == "array", **options
    )
