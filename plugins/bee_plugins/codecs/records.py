"""What a record class is made of: dataclasses, attrs classes, ``msgspec.Struct``, ``TypedDict`` and ``NamedTuple``, generic ones with their types filled in."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any, Literal

import attrs
import msgspec


@attrs.frozen
class Field:
    """One field of a record.

    Attributes:
        attribute: Its name in Python.
        name: Its name on the wire.
        hint: Its type.
        required: Whether a body must have it.
        parameter: The constructor's parameter for it, or None where the constructor sets it by itself.
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
        form: An object on the wire that is an object or a dict in Python, or an array by position.
        fields: In order.
        closed: Whether a field that it does not know is an error.
        tag: Field and value by which a Struct of its own says what it is, or None.
    """

    cls: Any
    form: Literal["object", "dict", "array"]
    fields: tuple[Field, ...]
    closed: bool = False
    tag: tuple[str, str | int] | None = None

    @property
    def known(self) -> frozenset[str]:
        """The names of its fields on the wire."""
        return frozenset(field.name for field in self.fields)

    @property
    def required(self) -> frozenset[str]:
        """The names of those that a body must have."""
        return frozenset(field.name for field in self.fields if field.required)


def is_record(hint: Any) -> bool:
    """Whether a hint is a record class, or a generic one with its types given."""
    cls = typing.get_origin(hint) or hint
    return isinstance(cls, type) and (
        _is_typed_dict(cls) or _is_named_tuple(cls) or any(hasattr(cls, mark) for mark in _MARKS)
    )


def record_of(hint: Any) -> Record:
    """The parts of a record class.

    Args:
        hint: One of which :func:`is_record` holds.

    Raises:
        NameError: A hint of a field cannot be resolved.
    """
    cls = typing.get_origin(hint) or hint
    hints = _field_hints(hint)
    if _is_typed_dict(cls):
        return Record(
            cls,
            "dict",
            tuple(
                Field(name, name, part, _is_required(cls, name, part), name)
                for name, part in hints.items()
            ),
        )
    if _is_named_tuple(cls):
        return Record(
            cls,
            "array",
            tuple(
                Field(name, name, hints.get(name, Any), name not in cls._field_defaults, name)
                for name in cls._fields
            ),
            closed=True,
        )
    if issubclass(cls, msgspec.Struct):
        config = cls.__struct_config__
        fields = tuple(
            Field(field.name, field.encode_name, hints[field.name], field.required, field.name)
            for field in msgspec.structs.fields(cls)
        )
        tag = None if config.tag is None else (config.tag_field, config.tag)
        return Record(
            cls,
            "array" if config.array_like else "object",
            fields,
            config.forbid_unknown_fields,
            tag,
        )
    if attrs.has(cls):
        return Record(
            cls, "object", tuple(_attrs_field(field, hints) for field in attrs.fields(cls))
        )
    return Record(
        cls, "object", tuple(_dataclass_field(field, hints) for field in dataclasses.fields(cls))
    )


def special_form(hint: Any) -> str:
    """The name of what surrounds a hint, such as ``Annotated`` or ``NotRequired``, of ``typing`` or ``typing_extensions``; else some other text."""
    origin = typing.get_origin(hint)
    return str(getattr(origin, "_name", None) or getattr(origin, "__name__", ""))


def has_private_fields(hint: Any) -> bool:
    """Whether it is an attrs class with a field such as ``_secret``, which msgspec reads and does not write."""
    cls = typing.get_origin(hint) or hint
    return attrs.has(cls) and any(field.name.startswith("_") for field in attrs.fields(cls))


_MARKS = ("__attrs_attrs__", "__dataclass_fields__", "__struct_fields__")


def _is_typed_dict(cls: type) -> bool:
    return issubclass(cls, dict) and hasattr(cls, "__required_keys__")


def _is_required(typed_dict: Any, name: str, hint: Any) -> bool:
    said = special_form(hint)  # where hints are text, the class itself has not seen it
    return said == "Required" or (said != "NotRequired" and name in typed_dict.__required_keys__)


def _is_named_tuple(cls: type) -> bool:
    return issubclass(cls, tuple) and hasattr(cls, "_fields")


def _attrs_field(field: Any, hints: dict[str, Any]) -> Field:
    required = field.default is attrs.NOTHING and field.init
    return Field(
        field.name,
        field.name,
        hints.get(field.name, Any),
        required,
        field.alias if field.init else None,
    )


def _dataclass_field(field: dataclasses.Field[Any], hints: dict[str, Any]) -> Field:
    required = (
        field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
        and field.init
    )
    return Field(
        field.name,
        field.name,
        hints.get(field.name, Any),
        required,
        field.name if field.init else None,
    )


def _field_hints(hint: Any) -> dict[str, Any]:
    """The hints of a record's fields, with the types that a generic one was given, also by a class that derives from it (``class IntBox(Box[int])``)."""
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
    open_ = (
        ()
        if isinstance(hint, type) and not typing.get_args(hint)
        else getattr(hint, "__parameters__", ())
    )
    if not open_ or typing.get_origin(hint) in {typing.Generic, typing.Protocol}:
        return hint
    return hint[tuple(given.get(variable, variable) for variable in open_)]
