"""What a service says about itself: its methods with their types, as plain data.

A server answers the reserved method ``_bee.describe`` with it. ``docs/wire-protocol.md`` has the
fields. Tools read it back with :func:`read_description`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import msgspec

from .schema_shape import check_schema

if TYPE_CHECKING:
    from collections.abc import Iterable


FORMAT = 1
LARGEST = 1 << 20
"""Bytes of a description as JSON, at most: half of what a body may have by default."""


_REFERENCE = "#/types/"


Schema = dict[str, Any]


@attrs.frozen
class ParameterDescription:
    """A parameter.

    Attributes:
        name: Its name.
        kind: ``positional_or_keyword``, ``positional_only``, ``keyword_only``, ``var_positional``
            or ``var_keyword``.
        required: Whether a call must give it.
        type: Its type as Python writes it.
        schema: Its type as a JSON Schema.
        default: Its default as JSON; None also where it cannot be told.
    """

    name: str
    kind: str = "positional_or_keyword"
    required: bool = True
    type: str = "Any"
    schema: Schema = attrs.field(factory=dict)
    default: Any = None


@attrs.frozen
class ErrorDescription:
    """An exception that a method is declared to raise.

    Attributes:
        type: The name of its class.
        schema: Its fields, as a JSON Schema.
        doc: What its class says.
    """

    type: str
    schema: Schema = attrs.field(factory=dict)
    doc: str = ""


@attrs.frozen
class MethodDescription:
    """A method.

    Attributes:
        name: ``add`` or ``Stats.mean``.
        signature: As in source: ``add(a: int, b: int = 5) -> int``.
        doc: Its docstring; in a brief description the first line.
        kind: How its handler runs; see :class:`.transport.ServedMethod`.
        idempotent: Whether it may run twice.
        oneway: Whether nobody waits for an answer.
        proto: Its full name in a ``.proto``, or None.
        params: The parameters in order; None where nobody knows them, and in a brief description.
        type: The type of its result as Python writes it.
        result: The same as a JSON Schema.
        errors: What it is declared to raise.
    """

    name: str
    signature: str = ""
    doc: str = ""
    kind: str = ""
    idempotent: bool = False
    oneway: bool = False
    proto: str | None = None
    params: tuple[ParameterDescription, ...] | None = None
    type: str = "Any"
    result: Schema = attrs.field(factory=dict)
    errors: tuple[ErrorDescription, ...] = ()

    @property
    def first_line(self) -> str:
        """The first line of its documentation."""
        return self.doc.partition("\n")[0]


@attrs.frozen
class ServiceDescription:
    """A service, or an interface.

    Attributes:
        service: Its name; of an interface that of the class.
        version: The version served; empty for an interface.
        desc: What it is, for people.
        bee: The version of bee that serves it.
        codecs: The codecs that it offers; of an interface none.
        methods: Its methods, by name.
        types: The schemas to which others refer as ``#/types/<name>``.
        faults: What the server's configuration makes go wrong on purpose, a sentence each.
        format: 1.
    """

    service: str = ""
    version: str = ""
    desc: str = ""
    bee: str = ""
    codecs: tuple[str, ...] = ()
    methods: tuple[MethodDescription, ...] = ()
    types: dict[str, Schema] = attrs.field(factory=dict)
    faults: tuple[str, ...] = ()
    format: int = FORMAT

    def method(self, name: str) -> MethodDescription | None:
        """A method by its name, or None."""
        return next((method for method in self.methods if method.name == name), None)

    @property
    def plain(self) -> dict[str, Any]:
        """The same as values of JSON."""
        found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        return found

    @property
    def brief(self) -> ServiceDescription:
        """The same with first lines of docs, and without parameters and types."""
        methods = tuple(
            MethodDescription(
                method.name,
                method.signature,
                method.first_line,
                method.kind,
                method.idempotent,
                method.oneway,
            )
            for method in self.methods
        )
        return attrs.evolve(self, methods=methods, types={})

    def with_faults(self, faults: Iterable[str]) -> ServiceDescription:
        """The same, with what goes wrong there on purpose."""
        return attrs.evolve(self, faults=tuple(faults))

    def only(self, method: MethodDescription) -> ServiceDescription:
        """The same with one method, and the types that it needs."""
        needed: dict[str, Schema] = {}
        todo: list[Any] = [
            *(param.schema for param in method.params or ()),
            method.result,
            *(error.schema for error in method.errors),
        ]
        for name in _references(todo):
            if name not in needed and name in self.types:
                needed[name] = self.types[name]
                todo.append(self.types[name])
        return attrs.evolve(self, methods=(method,), types=needed)


def _references(todo: list[Any]) -> Iterable[str]:
    """The names to which schemas refer; the caller may append more schemas."""
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            target = value.get("$ref")
            if isinstance(target, str) and target.startswith(_REFERENCE):
                yield target.removeprefix(_REFERENCE)
            todo.extend(value.values())
        elif isinstance(value, list):
            todo.extend(value)


def read_description(value: Any) -> ServiceDescription:
    """A description from plain values of JSON, which anybody may have written.

    Raises:
        ValueError: It is none; the message says where.
    """
    if isinstance(value, dict) and value.get("format", FORMAT) != FORMAT:
        raise ValueError(f"it has the format {value['format']!r:.20}, this bee reads {FORMAT}")
    found = msgspec.convert(value, ServiceDescription)
    for method in found.methods:
        for param in method.params or ():
            check_schema(param.schema)
        check_schema(method.result)
        for error in method.errors:
            check_schema(error.schema)
    for schema in found.types.values():
        check_schema(schema)
    return found


def too_large(description: ServiceDescription) -> int:
    """The bytes of a description as JSON, if they are more than :data:`LARGEST`; else 0."""
    size = len(msgspec.json.encode(description))
    return size if size > LARGEST else 0
