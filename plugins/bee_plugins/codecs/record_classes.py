"""Record classes: their fields, the types of these, and how instances are made.

A record class is a dataclass, an attrs class, a ``msgspec.Struct``, a ``TypedDict`` or a
``NamedTuple``, also a generic one with its types given.
"""

from __future__ import annotations

import dataclasses
import typing
from typing import Any, Literal

import attrs
import msgspec

from bee_core.interfaces import attribute_hints, hint_text, stands_for

from .msgspec_hints import special_form
from .pydantic_models import is_model, is_root_model, model_fields, wire_name

Tag = tuple[str, str | int]
_MARKS = ("__attrs_attrs__", "__dataclass_fields__", "__struct_fields__")


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
    def is_foreign(self) -> bool:
        """Whether msgspec would not read or write it whole."""
        return (
            self.has_private_fields
            or self.is_made_by_itself
            or self.inherits_types
            or _has_textual_parameters(self.cls)
        )

    @property
    def is_made_by_itself(self) -> bool:
        """Whether its constructor must run: somebody wrote it, or a field has a converter."""
        return _is_made_by_itself(self.cls)

    @property
    def inherits_types(self) -> bool:
        """Whether it is a ``TypedDict`` with a base that was given types."""
        bases = vars(self.cls).get("__orig_bases__", ())
        return self.form == "dict" and any(
            is_record(base) and (typing.get_args(base) or record_of(base).inherits_types)
            for base in bases
        )

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
        is_model(cls)
        or _is_typed_dict(cls)
        or _is_named_tuple(cls)
        or any(hasattr(cls, mark) for mark in _MARKS)
    )


def record_of(hint: Any) -> Record:
    """The parts of a record class.

    Args:
        hint: One for which :func:`is_record` is true.

    Raises:
        TypeError: A hint of a field cannot be resolved, or the class keeps too little.
    """
    cls = typing.get_origin(hint) or hint
    if is_model(cls):
        return _record_of_model(cls)
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
    for name, part in _init_only(cls).items():
        if not _has_default(part):
            raise TypeError(
                f"{cls.__name__}.{name} is an InitVar, which no instance keeps, so it cannot be"
                " sent; give it a default, or make it a field"
            )
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


def _record_of_model(cls: Any) -> Record:
    if is_root_model(cls):
        raise TypeError(f"{cls.__name__} stands for any value; put it into a model of its own")
    return Record(
        cls,
        "object",
        tuple(
            Field(name, wire_name(name, part), Any, part.is_required(), name)
            for name, part in model_fields(cls).items()
            if not part.exclude
        ),
    )


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

    Raises:
        TypeError: A hint cannot be resolved. Or nobody knows what a type variable stands for:
            Python 3.11 and before forget of what a ``TypedDict`` was made.
    """
    cls = typing.get_origin(hint) or hint
    names = _field_names(cls)
    hints = attribute_hints(hint, cls.__qualname__, lambda name: names is None or name in names)
    if _is_typed_dict(cls):
        own = set(getattr(cls, "__parameters__", ()))
        for name, part in hints.items():
            is_variable = isinstance(part, typing.TypeVar)
            variables = {part} if is_variable else set(getattr(part, "__parameters__", ()))
            if not typing.get_args(hint) and variables - own:
                raise TypeError(
                    f"{cls.__name__}.{name} is a {hint_text(part)}, and this Python does not say"
                    f" what that stands for; state the field in {cls.__name__} again"
                )
    return hints


def _field_names(cls: Any) -> frozenset[str] | None:
    """The names of the fields; None if every annotated name is one."""
    if _is_typed_dict(cls):
        return None
    if _is_named_tuple(cls):
        return frozenset(cls._fields)
    if issubclass(cls, msgspec.Struct):
        return frozenset(cls.__struct_fields__)
    parts: Any = attrs.fields(cls) if attrs.has(cls) else dataclasses.fields(cls)
    return frozenset(part.name for part in parts)


def has_open_variables(hint: Any) -> bool:
    """Whether a generic class was given no types, and not every type will do.

    msgspec takes anything then, whatever default or constraints a type variable has.
    """
    variables = () if typing.get_args(hint) else getattr(hint, "__parameters__", ())
    return any(isinstance(one, typing.TypeVar) and stands_for(one) is not Any for one in variables)


def _has_textual_parameters(cls: Any) -> bool:
    """Whether a hint may name, in a text, a type parameter of Python 3.12.

    msgspec looks for the name in the module, and may find another one there.
    """
    return any(
        "'" in repr(hint)
        for base in cls.__mro__
        if getattr(base, "__type_params__", ())
        for hint in vars(base).get("__annotations__", {}).values()
    )


# ── how a class makes its instances ──


def _is_made_by_itself(cls: Any) -> bool:
    """Whether a class has code of its own that makes an instance: msgspec would pass over it.

    A method that attrs, dataclasses or collections wrote has no file of its own.
    """
    if _is_typed_dict(cls):
        return False
    if _init_only(cls):
        return True
    if attrs.has(cls) and any(part.converter is not None for part in attrs.fields(cls)):
        return True
    if type(cls).__call__ is not type.__call__ and not issubclass(cls, msgspec.Struct):
        return True
    return any(_is_written(getattr(cls, name)) for name in ("__init__", "__new__"))


def _is_written(method: Any) -> bool:
    """Whether somebody wrote a method, as against a generated one and one in C."""
    code = getattr(method, "__code__", None)
    return code is not None and not code.co_filename.startswith("<")


def _init_only(cls: Any) -> dict[str, Any]:
    """What a dataclass's constructor takes and its instances do not keep, by name."""
    return {
        name: part
        for name, part in getattr(cls, "__dataclass_fields__", {}).items()
        if getattr(part._field_type, "name", "") == "_FIELD_INITVAR"  # noqa: SLF001
    }
