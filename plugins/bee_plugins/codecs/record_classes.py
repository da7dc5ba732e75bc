"""Record classes, and Structs of the same shape, for what msgspec cannot read or write by itself.

A record class is a dataclass, an attrs class, a ``msgspec.Struct``, a ``TypedDict`` or a
``NamedTuple``, also a generic one with its types given.
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from typing import TYPE_CHECKING, Any, Literal

import attrs
import msgspec

from .msgspec_hints import special_form

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Read = Callable[[Any], Any]
    Write = Callable[[Any], Any]
    Tag = tuple[str, str | int]

_MARKS = ("__attrs_attrs__", "__dataclass_fields__", "__struct_fields__")
_UNSET = msgspec.UNSET


@attrs.frozen
class Field:
    """One field of a record.

    Attributes:
        attribute: Its name in Python.
        name: Its name on the wire.
        hint: Its type.
        required: Whether a body must have it.
        parameter: The constructor's parameter for it; None if the constructor sets the field.
    """

    attribute: str
    name: str
    hint: Any
    required: bool
    parameter: str | None


@attrs.frozen
class Record:
    """One class of records.

    Attributes:
        cls: The class, without type arguments.
        form: On the wire an ``array`` by position, or an object; an object is an ``object`` or a
            ``dict`` in Python.
        fields: In order.
        closed: Whether an unknown field is an error.
        tag: Field and value with which a Struct itself says its class, or None.
    """

    cls: Any
    form: Literal["object", "dict", "array"]
    fields: tuple[Field, ...]
    closed: bool = False
    tag: Tag | None = None

    @property
    def known(self) -> frozenset[str]:
        """The names of its fields on the wire."""
        return frozenset(field.name for field in self.fields)

    @property
    def required(self) -> frozenset[str]:
        """The names of the fields that a body must have."""
        return frozenset(field.name for field in self.fields if field.required)

    @property
    def has_private_fields(self) -> bool:
        """Whether it is an attrs class with a field such as ``_secret``.

        msgspec reads such a field and does not write it.
        """
        return attrs.has(self.cls) and any(field.name.startswith("_") for field in self.fields)


def is_record(hint: Any) -> bool:
    """Whether a hint is a record class, or a generic one with its types given."""
    cls = typing.get_origin(hint) or hint
    return isinstance(cls, type) and (
        _is_typed_dict(cls) or _is_named_tuple(cls) or any(hasattr(cls, mark) for mark in _MARKS)
    )


def record_of(hint: Any) -> Record:
    """The parts of a record class.

    Args:
        hint: One for which :func:`is_record` is true.

    Raises:
        NameError: A hint of a field cannot be resolved.
    """
    cls = typing.get_origin(hint) or hint
    hints = _field_hints(hint)

    def field(name: str, required: bool, parameter: str | None) -> Field:
        return Field(name, name, hints.get(name, Any), required, parameter)

    if _is_typed_dict(cls):
        return Record(
            cls, "dict", tuple(field(name, _is_required(cls, name, hints), name) for name in hints)
        )
    if _is_named_tuple(cls):
        return Record(
            cls,
            "array",
            tuple(field(name, name not in cls._field_defaults, name) for name in cls._fields),
            closed=True,
        )
    if issubclass(cls, msgspec.Struct):
        config = cls.__struct_config__
        return Record(
            cls,
            "array" if config.array_like else "object",
            tuple(
                Field(part.name, part.encode_name, hints[part.name], part.required, part.name)
                for part in msgspec.structs.fields(cls)
            ),
            config.forbid_unknown_fields,
            None if config.tag is None else (config.tag_field, config.tag),
        )
    parts: Any = attrs.fields(cls) if attrs.has(cls) else dataclasses.fields(cls)
    return Record(
        cls,
        "object",
        tuple(
            field(
                part.name,
                part.init and not _has_default(part),
                getattr(part, "alias", part.name) if part.init else None,
            )
            for part in parts
        ),
    )


# ── Structs of the same shape ──


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


# ── what a class says about its fields ──


def _is_typed_dict(cls: type) -> bool:
    return issubclass(cls, dict) and hasattr(cls, "__required_keys__")


def _is_required(typed_dict: Any, name: str, hints: dict[str, Any]) -> bool:
    said = special_form(hints[name])  # if hints are text, the class itself has not seen it
    return said == "Required" or (said != "NotRequired" and name in typed_dict.__required_keys__)


def _is_named_tuple(cls: type) -> bool:
    return issubclass(cls, tuple) and hasattr(cls, "_fields")


def _has_default(part: Any) -> bool:
    """Whether a field of attrs or of dataclasses has a default."""
    if part.default is attrs.NOTHING or part.default is dataclasses.MISSING:
        # A dataclass has its factories apart.
        return getattr(part, "default_factory", dataclasses.MISSING) is not dataclasses.MISSING
    return True


def _field_hints(hint: Any) -> dict[str, Any]:
    """The hints of a record's fields, with the types that a generic class was given.

    A class that derives from a generic one gives them too: ``class IntBox(Box[int])``.
    """
    cls = typing.get_origin(hint) or hint
    hints = typing.get_type_hints(cls, include_extras=True)
    given: dict[type, dict[Any, Any]] = {}
    _collect_arguments(hint, given)
    owners = {
        name: base
        for base in reversed(cls.__mro__)
        for name in vars(base).get("__annotations__", ())
    }
    return {
        name: _filled(part, given.get(owners.get(name, cls), {})) for name, part in hints.items()
    }


def _collect_arguments(hint: Any, given: dict[type, dict[Any, Any]]) -> None:
    cls = typing.get_origin(hint) or hint
    if not isinstance(cls, type) or cls in given:
        return
    given[cls] = dict(zip(getattr(cls, "__parameters__", ()), typing.get_args(hint), strict=False))
    for base in vars(cls).get("__orig_bases__", cls.__bases__):
        _collect_arguments(_filled(base, given[cls]), given)


def _filled(hint: Any, given: dict[Any, Any]) -> Any:
    """The hint with type variables replaced."""
    if isinstance(hint, typing.TypeVar):
        return given.get(hint, hint)
    is_plain_class = isinstance(hint, type) and not typing.get_args(hint)
    open_ = () if is_plain_class else getattr(hint, "__parameters__", ())
    if not open_ or typing.get_origin(hint) in {typing.Generic, typing.Protocol}:
        return hint
    return hint[tuple(given.get(variable, variable) for variable in open_)]
