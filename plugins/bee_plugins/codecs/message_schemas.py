"""JSON Schemas of protobuf messages: their JSON form, and what their binary form depends on.

Each field has ``x-proto``: its number, its type, and whether it is repeated. protobuf is not
imported here: who has a message has its descriptor.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

# The numbers of google.protobuf.FieldDescriptorProto.Type.
_TYPES = {
    1: "double",
    2: "float",
    3: "int64",
    4: "uint64",
    5: "int32",
    6: "fixed64",
    7: "fixed32",
    8: "bool",
    9: "string",
    10: "group",
    11: "message",
    12: "bytes",
    13: "uint32",
    14: "enum",
    15: "sfixed32",
    16: "sfixed64",
    17: "sint32",
    18: "sint64",
}
_REPEATED = 3  # of FieldDescriptorProto.Label
_WELL_KNOWN = "google.protobuf."
"""Messages whose JSON form is not the object of their fields."""


def is_message_class(cls: Any) -> bool:
    """Whether a class is one of protobuf messages."""
    return hasattr(cls, "DESCRIPTOR") and hasattr(cls, "SerializeToString")


def message_schema(descriptor: Any, named: dict[str, Schema], reference: str) -> Schema:
    """The schema of a message.

    Args:
        descriptor: The message's descriptor.
        named: Takes the schemas of messages and enums by their full names.
        reference: Stands before a name where a schema refers to it.
    """
    name = descriptor.full_name
    if name not in named:
        named[name] = {}  # its place, before it may come back in itself
        named[name] = _object(descriptor, named, reference)
    return {"$ref": reference + name}


def _object(descriptor: Any, named: dict[str, Schema], reference: str) -> Schema:
    if descriptor.full_name.startswith(_WELL_KNOWN):
        return {"title": descriptor.full_name, "x-message": descriptor.full_name}
    found: Schema = {
        "title": descriptor.name,
        "type": "object",
        "x-message": descriptor.full_name,
        "properties": {field.name: _field(field, named, reference) for field in descriptor.fields},
    }
    reserved = _reserved(descriptor)
    return found | {"x-reserved": reserved} if reserved else found


def _reserved(descriptor: Any) -> Schema:
    from google.protobuf.descriptor_pb2 import DescriptorProto

    proto = DescriptorProto()
    descriptor.CopyToProto(proto)
    if not proto.reserved_range and not proto.reserved_name:
        return {}
    return {
        "numbers": [[one.start, one.end] for one in proto.reserved_range],
        "names": list(proto.reserved_name),
    }


def _field(field: Any, named: dict[str, Schema], reference: str) -> Schema:
    kind = _TYPES.get(field.type, "message")
    repeated = _is_repeated(field)
    proto: Schema = {"number": field.number, "type": kind}
    if repeated:
        proto["repeated"] = True
    if field.containing_oneof is not None:
        proto["oneof"] = field.containing_oneof.name
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        value = _value(message.fields_by_name["value"], named, reference)
        proto["type"] = f"map<{_TYPES[message.fields_by_name['key'].type]}>"
        return {"type": "object", "additionalProperties": value, "x-proto": proto}
    schema = _value(field, named, reference)
    return ({"type": "array", "items": schema} if repeated else schema) | {"x-proto": proto}


def _is_repeated(field: Any) -> bool:
    said = getattr(field, "is_repeated", None)  # since protobuf 6.31; `label` warns there
    return bool(field.label == _REPEATED if said is None else said)


def _value(field: Any, named: dict[str, Schema], reference: str) -> Schema:
    kind = _TYPES.get(field.type, "message")
    if field.message_type is not None:
        return message_schema(field.message_type, named, reference)
    if field.enum_type is not None:
        name = field.enum_type.full_name
        values = {value.name: value.number for value in field.enum_type.values}
        named[name] = {"title": field.enum_type.name, "enum": list(values), "x-numbers": values}
        return {"$ref": reference + name}
    if kind == "bool":
        return {"type": "boolean"}
    if kind in {"string", "bytes"}:
        return {"type": "string"} | ({"contentEncoding": "base64"} if kind == "bytes" else {})
    if kind in {"double", "float"}:
        return {"type": "number"}
    # Integers of 64 bits are text in the JSON form.
    return {"type": ["string", "integer"]} if kind.endswith("64") else {"type": "integer"}
