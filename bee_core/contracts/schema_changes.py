"""Whether every value of one JSON Schema is a value of another one, and where not.

It knows the schemas that codecs tell of types (:class:`bee_core.interfaces.Codec`); what it does
not know, it lets through. Messages of a ``.proto`` are compared by the numbers, names and types of
their fields, as buf does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from .schema_references import REFERENCE, reference_of, renamed_fields, resolved

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .schema_references import Effort

    Schema = Mapping[str, Any]
    Types = Mapping[str, Schema]

_DEEPEST = 60
_KINDS = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_EXACT = ("pattern", "multipleOf")
_BINARY_APART = {"date-time"}
"""Formats of text in JSON that are no text in the codec msgpack."""
_SAME_BINARY = (
    {"int32", "uint32", "int64", "uint64", "bool", "enum"},
    {"sint32", "sint64"},
    {"fixed32", "sfixed32"},
    {"fixed64", "sfixed64"},
    {"string", "bytes"},
)
"""Types of a message's field that have one binary form (buf: FIELD_WIRE_COMPATIBLE_TYPE)."""
_SAME_JSON = (
    {"int32", "uint32", "sint32", "fixed32", "sfixed32"},
    {"int64", "uint64", "sint64", "fixed64", "sfixed64"},
    {"float", "double"},
)


class Misfit(NamedTuple):
    """Where values of a writer do not fit a reader.

    Attributes:
        rule: In one word: ``TYPE``, ``REQUIRED``, ``FIELD_REMOVED``, …
        path: ``.lines[].qty``; empty for the whole value.
        message: What changed.
        breaks: ``all``, ``json`` or ``binary``.
        is_particular: Whether the message says more than that the type is another one.
    """

    rule: str
    path: str
    message: str
    breaks: str = "all"
    is_particular: bool = True


def misfits(
    writer: Schema, writer_types: Types, reader: Schema, reader_types: Types, effort: Effort
) -> list[Misfit]:
    """Where values of the writer's schema do not fit the reader's.

    Args:
        writer: What is sent.
        writer_types: The schemas to which it refers.
        reader: What is expected.
        reader_types: The schemas to which it refers.
        effort: What the comparison may cost.

    Raises:
        TangledError: It costs more.
    """
    return list(_Comparison(writer_types, reader_types, effort).of(writer, reader, "", 0))


class _Comparison:
    """One comparison; it remembers which pairs of classes it has seen."""

    def __init__(self, writer_types: Types, reader_types: Types, effort: Effort) -> None:
        self._effort = effort
        self._writer_types = writer_types
        self._reader_types = reader_types
        self._seen: set[tuple[Any, Any]] = set()

    def of(self, writer: Schema, reader: Schema, path: str, depth: int) -> Iterator[Misfit]:
        if depth > _DEEPEST:
            return
        if "$ref" in writer and "$ref" in reader:
            pair = (reference_of(writer), reference_of(reader))
            if pair in self._seen:
                return
            self._seen.add(pair)
        writer = resolved(writer, self._writer_types)
        reader = resolved(reader, self._reader_types)
        self._effort.spend(1 + (len(writer) + len(reader) + len(self._seen)) // 50)
        if _takes_all(reader):
            return
        if "x-message" in writer and "x-message" in reader:
            yield from self._messages(writer, reader, path, depth)
        elif "anyOf" in writer or "oneOf" in writer:
            for part in writer.get("anyOf") or writer["oneOf"]:
                yield from self.of(part, reader, path, depth + 1)
        elif "anyOf" in reader or "oneOf" in reader:
            yield from self._one_of(writer, reader, path, depth)
        elif _takes_all(writer):
            yield Misfit(
                "TYPE", path, f"anything is sent, and only {_text(reader)} is taken", "all", False
            )
        elif _values(writer) is not None or _values(reader) is not None:
            yield from _enums(writer, reader, path)
        else:
            yield from self._plain(writer, reader, path, depth)

    def _one_of(self, writer: Schema, reader: Schema, path: str, depth: int) -> Iterator[Misfit]:
        parts = reader.get("anyOf") or reader["oneOf"]
        best: list[Misfit] | None = None
        for part in parts:
            seen = set(self._seen)
            found = list(self.of(writer, part, path, depth + 1))
            if not found:
                return
            self._seen = seen
            if best is None or not any(misfit.is_particular for misfit in best):
                best = found
        if best and any(misfit.is_particular for misfit in best) and len(parts) <= 2:
            yield from best
            return
        message = f"{_text(writer)} does not fit {_text(reader)}"
        yield Misfit("TYPE", path, message, "all", is_particular=False)

    def _plain(self, writer: Schema, reader: Schema, path: str, depth: int) -> Iterator[Misfit]:
        kind, wanted = writer.get("type"), reader.get("type")
        if kind != wanted and not (kind == "integer" and wanted == "number"):
            message = f"{_text(writer)} does not fit {_text(reader)}"
            yield Misfit("TYPE", path, message, "all", is_particular=False)
            return
        yield from _bounds(writer, reader, path)
        if kind == "string":
            yield from _formats(writer, reader, path)
        elif kind == "array":
            yield from self._arrays(writer, reader, path, depth)
        elif kind == "object":
            yield from self._objects(writer, reader, path, depth)

    def _arrays(self, writer: Schema, reader: Schema, path: str, depth: int) -> Iterator[Misfit]:
        mine, theirs = writer.get("prefixItems", ()), reader.get("prefixItems", ())
        for index, (one, other) in enumerate(zip(mine, theirs, strict=False)):
            yield from self.of(one, other, f"{path}[{index}]", depth + 1)
        if not theirs:
            items = reader.get("items", {})
            for index, one in enumerate(mine):
                yield from self.of(one, items, f"{path}[{index}]", depth + 1)
            if not mine:
                yield from self.of(writer.get("items", {}), items, f"{path}[]", depth + 1)
        elif not mine:
            yield Misfit("TYPE", path, "a list of any length does not fit one of fixed places")

    def _objects(self, writer: Schema, reader: Schema, path: str, depth: int) -> Iterator[Misfit]:
        mine: Schema = writer.get("properties", {})
        theirs: Schema = reader.get("properties", {})
        always = set(writer.get("required", ()))
        rest = reader.get("additionalProperties", {})
        if not mine and theirs and isinstance(writer.get("additionalProperties"), dict):
            yield Misfit("TYPE", path, "a mapping does not fit an object of fixed fields")
            return
        self._effort.spend((len(mine) + len(theirs)) // 10)
        renamed = renamed_fields(mine, theirs)
        elsewhere = set(renamed.values())
        for name in reader.get("required", ()):
            if name not in mine and name not in elsewhere:
                yield Misfit("REQUIRED", f"{path}.{name}", "it is required, and not sent")
            elif name in mine and name not in always:
                yield Misfit("REQUIRED", f"{path}.{name}", "it is required, and may be left out")
        for name, one in mine.items():
            where = f"{path}.{name}"
            if name in theirs:
                yield from self.of(one, theirs[name], where, depth + 1)
            elif name in renamed:
                message = f"{name} and {renamed[name]} are one field under two names"
                yield Misfit("FIELD_RENAMED", where, message)
            elif isinstance(rest, dict) and rest:
                yield from self.of(one, rest, where, depth + 1)
            elif rest is False:
                yield Misfit("FIELD_UNKNOWN", where, "it is sent, and refused where it arrives")
            # Another field that the reader does not know is ignored; see ``lost_fields``.
        inner = writer.get("additionalProperties")
        if not mine and isinstance(inner, dict) and isinstance(rest, dict):
            yield from self.of(inner, rest, f"{path}{{}}", depth + 1)
            yield from self.of(
                writer.get("propertyNames", {"type": "string"}),
                reader.get("propertyNames", {}),
                f"{path}{{key}}",
                depth + 1,
            )

    def _messages(self, writer: Schema, reader: Schema, path: str, depth: int) -> Iterator[Misfit]:
        mine, theirs = _fields_of(writer), _fields_of(reader)
        by_number = {one["x-proto"]["number"]: name for name, one in theirs.items()}
        for name, one in mine.items():
            where, proto = f"{path}.{name}", one["x-proto"]
            other = theirs.get(name)
            number = proto["number"]
            if other is None and number in by_number:
                message = f"the field {number} is called {by_number[number]} elsewhere"
                yield Misfit("FIELD_RENAMED", where, message, "json")
                other = theirs[by_number[number]]
            if other is None:
                continue
            if other["x-proto"]["number"] != number:
                message = f"its number is {number} here and {other['x-proto']['number']} there"
                yield Misfit("FIELD_NUMBER", where, message, "binary")
            yield from _proto_types(proto, other["x-proto"], where)
            yield from self.of(_value_of(one), _value_of(other), where, depth + 1)


# ── parts ──


def _takes_all(schema: Schema) -> bool:
    """Whether a schema says nothing of its values."""
    said = ("type", "anyOf", "oneOf", "enum", "const", "not", "x-message", "properties", "format")
    return not any(word in schema for word in said)


def _values(schema: Schema) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    found = schema.get("enum")
    return found if isinstance(found, list) else None


def _enums(writer: Schema, reader: Schema, path: str) -> Iterator[Misfit]:
    mine, theirs = _values(writer), _values(reader)
    if mine is None:
        message = f"{_text(writer)} does not fit {_text(reader)}"
        yield Misfit("TYPE", path, message, "all", is_particular=False)
    elif theirs is None:
        wrong = [one for one in mine if not _fits(one, reader.get("type"))]
        if wrong:
            message = f"{_listed(wrong)} does not fit {_text(reader)}"
            yield Misfit("TYPE", path, message, "all", is_particular=False)
    else:
        known = set(map(repr, theirs))
        unknown = [one for one in mine if repr(one) not in known]
        if unknown:
            message = f"the value {_listed(unknown)} is sent, and not known where it arrives"
            # An enum of a .proto is open in the binary form.
            is_open = "x-numbers" in writer and "x-numbers" in reader
            yield Misfit("VALUE", path, message, "json" if is_open else "all")
        yield from _enum_numbers(writer.get("x-numbers", {}), reader.get("x-numbers", {}), path)


def _enum_numbers(mine: Schema, theirs: Schema, path: str) -> Iterator[Misfit]:
    """Values of an enum of a ``.proto`` whose names stay and whose numbers do not."""
    for name, number in mine.items():
        if theirs.get(name, number) != number:
            message = f"the value {name} is {number} where it is sent, {theirs[name]} elsewhere"
            yield Misfit("VALUE_NUMBER", path, message, "binary")


def _fits(value: Any, kind: Any) -> bool:
    own = _KINDS.get(type(value))
    return own == kind or (own == "integer" and kind == "number")


def _bounds(writer: Schema, reader: Schema, path: str) -> Iterator[Misfit]:
    for word in (*_LOWER, *_UPPER, *_EXACT):
        bound, own = reader.get(word), writer.get(word)
        if bound is None or bound == own or (word in _LOWER and bound == 0):
            continue
        wider = own is None or word in _EXACT or (own < bound if word in _LOWER else own > bound)
        if wider:
            sent = "nothing" if own is None else own
            message = f"{word} is {bound} where it arrives, and {sent} where it is sent"
            yield Misfit("BOUND", path, message)


def _formats(writer: Schema, reader: Schema, path: str) -> Iterator[Misfit]:
    mine = writer.get("format"), writer.get("contentEncoding")
    theirs = reader.get("format"), reader.get("contentEncoding")
    if mine == theirs:
        return
    if theirs == (None, None) and mine[1] is None:
        if mine[0] in _BINARY_APART:
            message = f"{_text(writer)} is no text in the codec msgpack"
            yield Misfit("FORMAT", path, message, "binary")
        return
    message = f"{_text(writer)} does not fit {_text(reader)}"
    yield Misfit("TYPE", path, message, "all", is_particular=False)


def _proto_types(mine: Schema, theirs: Schema, path: str) -> Iterator[Misfit]:
    one, other = mine["type"], theirs["type"]
    if bool(mine.get("repeated")) != bool(theirs.get("repeated")):
        yield Misfit("FIELD_TYPE", path, "repeated on one side only")
    elif one != other:
        message = f"{one} on one side and {other} on the other"
        binary = any({one, other} <= same for same in _SAME_BINARY)
        textual = any({one, other} <= same for same in _SAME_JSON)
        if not binary or not textual:
            breaks = "json" if binary else "binary" if textual else "all"
            yield Misfit("FIELD_TYPE", path, message, breaks)
    elif mine.get("oneof") != theirs.get("oneof"):
        yield Misfit("FIELD_ONEOF", path, "in a oneof on one side only", "binary")


def _fields_of(message: Schema) -> Schema:
    """The fields of a message, by name."""
    fields = message.get("properties", {})
    return {name: one for name, one in fields.items() if "x-proto" in one}


def _value_of(schema: Schema) -> Schema:
    """What is below a field of a message: a message or an enum, or nothing that matters."""
    if "$ref" in schema:
        return schema
    for key in ("items", "additionalProperties"):
        inner = schema.get(key)
        if isinstance(inner, dict) and "$ref" in inner:
            return inner
    return {}


def _listed(values: list[Any]) -> str:
    return ", ".join(map(repr, values[:5])) + (", …" if len(values) > 5 else "")


def _text(schema: Schema) -> str:
    """A schema in a few words."""
    parts = schema.get("anyOf") or schema.get("oneOf")
    if isinstance(parts, list):
        return " or ".join(_text(part) for part in parts[:5])
    values = _values(schema)
    if values is not None:
        return f"one of {_listed(values)}"
    kind = str(schema.get("format") or schema.get("contentEncoding") or schema.get("type") or "")
    title = schema.get("title") or str(schema.get("$ref", "")).removeprefix(REFERENCE)
    return str(title or kind or "anything")
