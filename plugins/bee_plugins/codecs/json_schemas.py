"""JSON Schemas of type hints: what the values of a type look like as JSON.

The dialect is that of 2020-12. Classes of records stand once, by name, and are referred to as
``#/types/<name>``. What no schema says (the numbers of a message's fields) stands under keys that
begin with ``x-``.
"""

from __future__ import annotations

import collections
import collections.abc
import datetime as dt
import decimal
import enum
import inspect
import re
import typing
import uuid
from typing import Any

import msgspec

from bee_core.interfaces import hint_text, stands_for

from .class_unions import tags_for
from .message_schemas import is_message_class, message_schema
from .msgspec_hints import UNIONS, special_form, without_alias
from .plain_classes import is_text_class
from .pydantic_models import is_model
from .record_classes import Record, is_record, record_of
from .union_parts import is_mapping, sorted_parts

Schema = dict[str, Any]

REFERENCE = "#/types/"
_DEEPEST = 40
"""Levels of a hint that are described. A type that contains itself has a name, and ends there."""
_LONGEST_TEXT = 2000
_WRAPPERS = {"Required", "NotRequired", "ReadOnly", "Final"}
_ATOMS: dict[Any, Schema] = {
    type(None): {"type": "null"},
    None: {"type": "null"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    dt.datetime: {"type": "string", "format": "date-time"},
    dt.date: {"type": "string", "format": "date"},
    dt.time: {"type": "string", "format": "time"},
    dt.timedelta: {"type": "string", "format": "duration"},
    uuid.UUID: {"type": "string", "format": "uuid"},
    decimal.Decimal: {"type": "string", "format": "decimal"},
    bytes: {"type": "string", "contentEncoding": "base64"},
    bytearray: {"type": "string", "contentEncoding": "base64"},
    memoryview: {"type": "string", "contentEncoding": "base64"},
}
_BOUNDS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
    "pattern": "pattern",
    "title": "title",
    "description": "description",
}
_LENGTHS = {"string": "Length", "array": "Items", "object": "Properties"}


def json_schemas(hints: typing.Iterable[Any]) -> tuple[list[Schema], dict[str, Schema]]:
    """The schemas of some hints, in their order, and by name those of the classes in them.

    A hint of which nothing is known has the schema that everything fits, ``{}``.
    """
    made = _Schemas()
    return [made.of(hint) for hint in hints], made.named


class _Schemas:
    """Schemas with their classes.

    Attributes:
        named: The schemas of the classes by name.
    """

    def __init__(self) -> None:
        self.named: dict[str, Schema] = {}
        self._names: dict[Any, str] = {}

    def of(self, hint: Any, depth: int = 0) -> Schema:
        """The schema of a hint."""
        if depth > _DEEPEST:
            return {}
        hint = without_alias(hint)
        form = special_form(hint)
        if form == "Annotated":
            inner, *remarks = typing.get_args(hint)
            return _with_remarks(self.of(inner, depth + 1), remarks)
        if form in _WRAPPERS:
            return self.of(typing.get_args(hint)[0], depth + 1)
        if hasattr(hint, "__supertype__"):
            return self.of(hint.__supertype__, depth + 1)
        if isinstance(hint, typing.TypeVar):
            return self.of(stands_for(hint), depth + 1)
        try:
            return self._of_plain(hint, depth)
        except (TypeError, AttributeError, RecursionError):  # the codec refuses it by itself
            return {"title": hint_text(hint)}

    def _of_plain(self, hint: Any, depth: int) -> Schema:
        if hint is Any:
            return {}
        if hint in _ATOMS:
            return dict(_ATOMS[hint])
        origin, args = typing.get_origin(hint) or hint, typing.get_args(hint)
        if origin in UNIONS:
            return self._union(hint, depth)
        if origin is typing.Literal:
            return {"enum": list(args)}
        if str(hint) in {"typing.NoReturn", "typing.Never"}:
            return {"not": {}}
        if not isinstance(origin, type) or origin is object:
            return {}
        named = self._of_named(hint, origin, depth)
        if named is not None:
            return named
        if is_mapping(hint):
            return self._mapping(origin, args, depth)
        if origin is tuple:
            return self._tuple(args, depth)
        if issubclass(origin, str):
            return {"type": "string"}
        if issubclass(origin, collections.abc.Iterable) or origin is collections.abc.Container:
            found: Schema = {"type": "array", "items": self.of(args[0] if args else Any, depth + 1)}
            if issubclass(origin, collections.abc.Set):
                found["uniqueItems"] = True
            return found
        return {"title": hint_text(hint)}

    def _of_named(self, hint: Any, origin: type, depth: int) -> Schema | None:
        """The schema of a class of the application, which stands under its name."""
        if is_text_class(origin):
            return {"type": "string", "format": _text_format(origin)}
        if issubclass(origin, enum.Enum):
            return self._class(hint, lambda: _enum(origin))
        if is_message_class(origin):
            descriptor: Any = origin
            return message_schema(descriptor.DESCRIPTOR, self.named, REFERENCE)
        if is_model(origin):
            return self._class(hint, lambda: self._model(origin))
        if is_record(hint):
            return self._class(hint, lambda: self._record(record_of(hint), depth))
        return None

    def _class(self, hint: Any, make: typing.Callable[[], Schema]) -> Schema:
        name = self._names.get(hint)
        if name is None:
            plain = re.sub(r"\W+", "_", hint_text(hint)).strip("_")
            name, number = plain, 1
            while name in self.named:
                number += 1
                name = f"{plain}-{number}"
            self._names[hint] = name
            self.named[name] = {}  # its place, before it may come back in itself
            self.named[name] = make()
        return {"$ref": REFERENCE + name}

    def _union(self, hint: Any, depth: int) -> Schema:
        records, dicts, rest = sorted_parts(hint)
        if Any in rest or object in rest:
            return {}
        try:
            tags = tags_for(
                [record_of(part) for part in records],
                [record_of(part) if is_record(part) else None for part in dicts],
            )
        except TypeError:
            tags = None
        parts = []
        for part in typing.get_args(hint):
            found = self.of(part, depth + 1)
            plain = without_alias(part)
            if tags and plain in records:
                field, value = tags[records.index(plain)]
                found |= {"properties": {field: {"const": value}}, "required": [field]}
            parts.append(found)
        return {"anyOf": parts} if len(parts) > 1 else parts[0]

    def _record(self, record: Record, depth: int) -> Schema:
        found: Schema = {"title": record.cls.__name__}
        doc = _own_doc(record.cls)
        if doc:
            found["description"] = doc
        fields = [(field.name, self.of(field.hint, depth + 1)) for field in record.fields]
        required = [field.name for field in record.fields if field.required]
        if record.form == "array":
            parts = [schema | {"title": name} for name, schema in fields]
            found |= {"type": "array", "prefixItems": parts, "minItems": len(required)}
            if record.closed:
                found["maxItems"] = len(fields)
            return found
        if record.tag is not None:
            field, value = record.tag
            fields.insert(0, (field, {"const": value}))
            required.insert(0, field)
        found |= {"type": "object", "properties": dict(fields), "required": required}
        if record.closed:
            found["additionalProperties"] = False
        return found

    def _model(self, cls: Any) -> Schema:
        import pydantic

        name = self._names[cls]
        try:
            found = pydantic.TypeAdapter(cls).json_schema(
                ref_template=f"{REFERENCE}{name}.{{model}}"
            )
        except pydantic.PydanticUserError:
            return {"title": cls.__name__}
        for inner, schema in found.pop("$defs", {}).items():
            self.named[f"{name}.{inner}"] = schema
        return dict(found)

    def _mapping(self, origin: Any, args: tuple[Any, ...], depth: int) -> Schema:
        key, value = args if len(args) == 2 else ((args or (Any,))[0], Any)
        if origin is collections.Counter:
            value = int
        found: Schema = {
            "type": "object",
            "additionalProperties": self.of(value, depth + 1),
        }
        keys = self.of(key, depth + 1)
        kind = keys.get("type")
        if kind in {"integer", "number"}:
            keys = {"format": kind}  # a name is text, of a number too
        if keys not in ({}, {"type": "string"}):
            found["propertyNames"] = keys
        return found

    def _tuple(self, args: tuple[Any, ...], depth: int) -> Schema:
        if not args or args == (Any, ...):
            return {"type": "array", "items": {}}
        if len(args) == 2 and args[1] is Ellipsis:
            return {"type": "array", "items": self.of(args[0], depth + 1)}
        count = 0 if args == ((),) else len(args)
        parts = [self.of(part, depth + 1) for part in args[:count]]
        return {"type": "array", "prefixItems": parts, "minItems": count, "maxItems": count}


def _with_remarks(schema: Schema, remarks: typing.Iterable[Any]) -> Schema:
    """A schema with what ``msgspec.Meta`` says beside the type."""
    for remark in remarks:
        if not isinstance(remark, msgspec.Meta):
            continue
        said = {
            word: value
            for name, word in _BOUNDS.items()
            if (value := getattr(remark, name, None)) is not None
        }
        unit = _LENGTHS.get(str(schema.get("type")), "Length")
        for name in ("min", "max"):
            value = getattr(remark, f"{name}_length", None)
            if value is not None:
                said[name + unit] = value
        schema = schema | said | (remark.extra_json_schema or {})
    return schema


def _enum(cls: type[enum.Enum]) -> Schema:
    values = [member.value for member in cls]
    found: Schema = {"title": cls.__name__, "enum": values}
    doc = _own_doc(cls)
    return found | {"description": doc} if doc else found


def _text_format(cls: type) -> str:
    name = cls.__name__.lower()
    return "path" if "path" in name else name.removesuffix("address")


def _own_doc(cls: Any) -> str:
    """What somebody wrote about a class: dataclasses and enums have a docstring of Python's."""
    doc = inspect.cleandoc(vars(cls).get("__doc__") or "")
    if doc.startswith(f"{cls.__name__}(") or doc == "An enumeration.":
        return ""
    return doc[:_LONGEST_TEXT]
