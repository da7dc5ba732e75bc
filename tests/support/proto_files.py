"""Message classes for the tests, described here instead of by protoc."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

TYPES = {"int32": 5, "int64": 3, "string": 9, "bytes": 12, "double": 1, "uint64": 4, "bool": 8}


def field(name: str, number: int, kind: str, label: str = "LABEL_OPTIONAL") -> dict[str, Any]:
    """A field; a kind with a dot in front is a message, with an ``enum:`` in front an enum."""
    found: dict[str, Any] = {"name": name, "number": number, "label": label}
    if kind.startswith("enum:"):
        found |= {"type": "TYPE_ENUM", "typeName": kind.removeprefix("enum:")}
    elif kind.startswith("."):
        found |= {"type": "TYPE_MESSAGE", "typeName": kind}
    else:
        found["type"] = TYPES[kind]
    return found


def message(name: str, *fields: dict[str, Any], **rest: Any) -> dict[str, Any]:
    """A message."""
    return {"name": name, "field": list(fields), **rest}


def add_file(name: str, package: str, syntax: str, **rest: Any) -> Any:
    """Put a file into the default pool, as importing a module of protoc does; its descriptor."""
    described = json_format.ParseDict(
        {"name": name, "package": package, "syntax": syntax, **rest},
        descriptor_pb2.FileDescriptorProto(),
    )
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(described.SerializeToString())
    return pool.FindFileByName(name)


def classes(file: Any) -> dict[str, Any]:
    """The message classes of a file by name."""
    return {
        name: message_factory.GetMessageClass(descriptor)
        for name, descriptor in file.message_types_by_name.items()
    }


_KINDS = {"name": "Kind", "value": [{"name": "LOOSE", "number": 0}, {"name": "BOXED", "number": 1}]}

NEW = add_file(
    "tests/new.proto",
    "tests.new",
    "proto3",
    enumType=[_KINDS],
    messageType=[
        message(
            "Order",
            field("id", 1, "int64"),
            field("note", 2, "string"),
            field("lines", 3, ".tests.new.Line", "LABEL_REPEATED"),
        ),
        message(
            "Line",
            field("name", 1, "string"),
            field("kind", 2, "enum:.tests.new.Kind"),
            field("inner", 3, ".tests.new.Line"),
        ),
        message("Receipt", field("total", 1, "double"), field("note", 2, "int64")),
        message("Odd", field("value", 1000, "int64")),
    ],
)


def rpc(name: str, takes: str = "Order", gives: str = "Receipt", **rest: Any) -> dict[str, Any]:
    """A method of a service."""
    return {
        "name": name,
        "inputType": f".tests.new.{takes}",
        "outputType": f".tests.new.{gives}",
        **rest,
    }


SERVICES = add_file(
    "tests/services.proto",
    "tests.services",
    "proto3",
    dependency=["tests/new.proto"],
    service=[
        {
            "name": "Shop",
            "method": [
                rpc("Buy"),
                rpc("Look", options={"idempotencyLevel": "NO_SIDE_EFFECTS"}),
                rpc("Pay", "Receipt", "Receipt", options={"idempotencyLevel": "IDEMPOTENT"}),
            ],
        },
        {
            "name": "Streams",
            "method": [
                rpc("Buy"),
                rpc("Watch", serverStreaming=True),
                rpc("Feed", clientStreaming=True),
            ],
        },
        {"name": "OnlyStreams", "method": [rpc("Watch", serverStreaming=True)]},
        {"name": "Empty"},
        {"name": "Private", "method": [rpc("_Buy")]},
        {"name": "Keyword", "method": [rpc("import")]},
    ],
).services_by_name
OLD = add_file(
    "tests/old.proto",
    "tests.old",
    "proto2",
    enumType=[_KINDS],
    messageType=[
        message(
            "Parcel",
            field("id", 1, "int64", "LABEL_REQUIRED"),
            field("kind", 2, "enum:.tests.old.Kind"),
            field("kinds", 3, "enum:.tests.old.Kind", "LABEL_REPEATED"),
            field("parts", 4, ".tests.old.Parcel", "LABEL_REPEATED"),
            field("named", 5, ".tests.old.Parcel.NamedEntry", "LABEL_REPEATED"),
            field("part", 6, ".tests.old.Parcel"),
            field("note", 7, "string"),
            field("tags", 8, "string", "LABEL_REPEATED"),
            field("texts", 9, ".tests.old.Parcel.TextsEntry", "LABEL_REPEATED"),
            nestedType=[
                message(
                    "NamedEntry",
                    field("key", 1, "string"),
                    field("value", 2, ".tests.old.Parcel"),
                    options={"mapEntry": True},
                ),
                message(
                    "TextsEntry",
                    field("key", 1, "string"),
                    field("value", 2, "string"),
                    options={"mapEntry": True},
                ),
            ],
        ),
    ],
)

Order, Line, Receipt, Odd = (classes(NEW)[name] for name in ("Order", "Line", "Receipt", "Odd"))
Parcel = classes(OLD)["Parcel"]
