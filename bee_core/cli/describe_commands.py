"""``bee methods`` and ``bee describe``: what a service can do, as it says itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from ..terms.printable import printable
from .completion import complete_service, complete_target
from .described import ask, of_interface, open_service, split_target
from .output import echo, print_json
from .shared_options import config_option, interface_option, printing_options

if TYPE_CHECKING:
    from ..contracts.description import MethodDescription, Schema, ServiceDescription

_REFERENCE = "#/types/"
_DEEPEST = 8
_LONGEST_LINE = 10_000


@click.command()
@click.argument("service", shell_complete=complete_service)
@config_option
@printing_options("Print a list of objects.")
def methods(service: str, config_path: str, as_json: bool) -> None:
    """List the methods of SERVICE, a line each: the signature, and what it does.

    SERVICE is a key under bee.rpc.client, or the url of a node such as tcp://127.0.0.1:9000. The
    service itself is asked.
    """
    with open_service(config_path, service) as client:
        found = ask(client, service, brief=True)
    _print_faults(found, err=True)  # the list stays a list
    if as_json:
        listed = found.plain["methods"]
        keys = ("name", "signature", "doc", "kind", "idempotent", "oneway")
        print_json([{key: method[key] for key in keys} for method in listed])
        return
    width = max((len(method.signature) for method in found.methods), default=0)
    for method in found.methods:
        doc = f"  {method.doc}" if method.doc else ""
        line = f"{method.signature.ljust(min(width, 60))}{doc}".rstrip()
        echo(printable(line, _LONGEST_LINE))  # what a server says makes no lines of its own


@click.command()
@click.argument("target", metavar="SERVICE[.METHOD]", shell_complete=complete_target)
@click.argument("method", metavar="[METHOD]", required=False)
@config_option
@interface_option
@printing_options("Print the description, with types as JSON Schema.")
def describe(
    target: str, method: str | None, config_path: str, interface: Any, as_json: bool
) -> None:
    """Say what SERVICE, or one METHOD of it, takes and gives.

    SERVICE is a key under bee.rpc.client, or the url of a node such as tcp://127.0.0.1:9000. The
    service itself is asked. With --interface the interface is described and nobody is asked; then
    SERVICE is only a name.
    """
    service, named = target, None
    if interface is None:
        service, named = split_target(config_path, target)
    method = method or named
    if interface is not None:
        found = of_interface(interface)
        only = None if method is None else found.method(method)
        found = found if only is None else found.only(only)
    else:
        with open_service(config_path, service) as client:
            found = ask(client, service, method)
    _print_faults(found, err=as_json)
    if as_json:
        print_json(found.plain)
        return
    if method is None:
        echo(_head(found))
    for index, one in enumerate(found.methods):
        if index or method is None:
            echo("")
        _print_method(one)
    _print_types(found)


def _print_faults(found: ServiceDescription, *, err: bool) -> None:
    """Say what goes wrong there on purpose, if anything does."""
    if found.faults:
        line = f"FAULTS ARE INJECTED into the requests of {found.service}: "
        echo(printable(line + "; ".join(found.faults), _LONGEST_LINE), err=err)


def _head(found: ServiceDescription) -> str:
    version = f" {found.version}" if found.version else ""
    desc = f": {found.desc}" if found.desc else ""
    codecs = f"; codecs: {', '.join(found.codecs)}" if found.codecs else ""
    return f"{found.service}{version}{desc} ({len(found.methods)} methods{codecs})"


def _print_method(method: MethodDescription) -> None:
    echo(method.signature)
    marks = [name for name in ("idempotent", "oneway") if getattr(method, name)]
    if method.proto:
        marks.append(f"rpc {method.proto}")
    if marks:
        echo(f"    {', '.join(marks)}")
    for line in method.doc.splitlines():
        echo(f"    {line}".rstrip())
    for error in method.errors:
        fields = ", ".join(
            f"{name}: {schema_text(part)}"
            for name, part in error.schema.get("properties", {}).items()
        )
        echo(f"    raises {error.type}({fields}){'  ' + error.doc if error.doc else ''}")


def _print_types(found: ServiceDescription) -> None:
    for name, schema in found.types.items():
        doc = str(schema.get("description", "")).partition("\n")[0]
        echo(f"\n{name}{': ' + doc if doc else ''}")
        properties = schema.get("properties")
        if not isinstance(properties, dict):
            echo(f"    {schema_text(schema)}")
            continue
        required = frozenset(schema.get("required", ()))
        for field, part in properties.items():
            may = "" if field in required or "x-message" in schema else "  (may be left out)"
            echo(f"    {field}: {schema_text(part)}{may}")


def schema_text(schema: Schema, depth: int = 0) -> str:
    """A schema in a few words: ``integer``, ``list of Order``, ``string (date-time)``."""
    if depth > _DEEPEST:
        return "…"
    target = schema.get("$ref")
    if isinstance(target, str):
        return target.removeprefix(_REFERENCE)
    parts = schema.get("anyOf") or schema.get("oneOf")
    if isinstance(parts, list):
        return " or ".join(schema_text(part, depth + 1) for part in parts)
    if "enum" in schema:
        return "one of " + ", ".join(json.dumps(one, ensure_ascii=False) for one in schema["enum"])
    if "const" in schema:
        return json.dumps(schema["const"], ensure_ascii=False)
    kind = schema.get("type")
    if kind == "array":
        if "prefixItems" in schema:
            inner = ", ".join(schema_text(part, depth + 1) for part in schema["prefixItems"])
            return f"list of ({inner})"
        return f"list of {schema_text(schema.get('items', {}), depth + 1)}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {schema_text(schema['additionalProperties'], depth + 1)}"
    if isinstance(kind, list):
        return " or ".join(map(str, kind))
    if kind is None:
        return str(schema.get("title", "anything"))
    more = [str(schema["format"])] if "format" in schema else []
    if "contentEncoding" in schema:
        more.append(str(schema["contentEncoding"]))
    more += [
        f"{word} {schema[word]}"
        for word in schema
        if word.startswith(("min", "max", "exclusive", "multiple", "pattern"))
    ]
    return f"{kind} ({', '.join(more)})" if more else str(kind)
