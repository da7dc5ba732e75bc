"""What a service says about itself: its methods with their types, as plain data.

A server answers the reserved method ``_bee.describe`` with it. ``docs/wire-protocol.md`` has the
fields. Tools read it back with :func:`read_description`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs
import msgspec

from ..methods.interface_methods import interface_methods
from ..methods.signatures import MISSING, Signature
from ..methods.type_arguments import attribute_hints
from ..methods.type_hints import hint_text
from .schema_shape import check_schema
from .transport import ServedMethod

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ..methods.signatures import Parameter

FORMAT = 1
LARGEST = 1 << 20
"""Bytes of a description as JSON, at most: half of what a body may have by default."""
_LONGEST_DEFAULT = 200  # characters
_LONGEST_DOC = 20_000  # characters
_REFERENCE = "#/types/"
_IGNORED = (object, BaseException)

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
        format: 1.
    """

    service: str = ""
    version: str = ""
    desc: str = ""
    bee: str = ""
    codecs: tuple[str, ...] = ()
    methods: tuple[MethodDescription, ...] = ()
    types: dict[str, Schema] = attrs.field(factory=dict)
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


class About(NamedTuple):
    """What stands in front of the methods; see :class:`ServiceDescription`."""

    service: str
    version: str = ""
    desc: str = ""
    bee: str = ""
    codecs: tuple[str, ...] = ()


def describe(
    about: About, methods: Sequence[ServedMethod], codec: object | None
) -> ServiceDescription:
    """Describe methods.

    Args:
        about: What stands in front of them.
        methods: The methods, in their order.
        codec: A codec that can tell the schemas of types, see
            :class:`bee_core.interfaces.Codec`; None, or one that cannot, tells their names only.
    """
    hints: list[Any] = []
    for method in methods:
        hints += [parameter.hint for parameter in method.signature.params or ()]
        hints.append(method.signature.result)
        for error in method.errors:
            hints += _error_fields(error).values()
    schemas, types = _schemas(hints, codec)
    found = iter(schemas)
    return ServiceDescription(
        *about, methods=tuple([_method(method, found) for method in methods]), types=types
    )


def describe_interface(interface: Any, codec: object | None) -> ServiceDescription:
    """Describe an interface: a class, a Protocol or an ABC.

    Raises:
        TypeError: It cannot be used as one.
    """
    methods = [
        ServedMethod(
            name,
            method.signature,
            method.doc or "",
            method.proto,
            method.errors,
            "",
            method.idempotent,
            method.oneway,
        )
        for name, method in interface_methods(interface).items()
        if not method.streams
    ]
    return describe(About(hint_text(interface)), methods, codec)


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


def _schemas(hints: list[Any], codec: object | None) -> tuple[list[Schema], dict[str, Schema]]:
    tell: Any = getattr(codec, "json_schemas", None)
    if tell is None:
        return [{} for _ in hints], {}
    schemas, types = tell(hints)
    plain = _plain({"schemas": list(schemas), "types": dict(types)})
    return plain["schemas"], plain["types"]


def _method(method: ServedMethod, schemas: Any) -> MethodDescription:
    signature = method.signature
    params = signature.params
    shown = None if params is None else tuple([_parameter(one, next(schemas)) for one in params])
    return MethodDescription(
        method.name,
        signature_text(signature),
        method.doc[:_LONGEST_DOC],
        method.kind,
        method.idempotent,
        method.oneway,
        method.proto,
        shown,
        hint_text(signature.result),
        next(schemas),
        tuple([_error(error, schemas) for error in method.errors]),
    )


def signature_text(signature: Signature) -> str:
    """A signature with its result: ``add(a: int, b: int) -> int``."""
    result = "" if signature.result is Any else f" -> {hint_text(signature.result)}"
    return f"{signature}{result}"


def _parameter(parameter: Parameter, schema: Schema) -> ParameterDescription:
    return ParameterDescription(
        parameter.name,
        _KINDS[int(parameter.kind)],
        parameter.required,
        hint_text(parameter.hint),
        schema,
        None if parameter.default is MISSING else _default(parameter.default),
    )


_KINDS = (
    "positional_only",
    "positional_or_keyword",
    "var_positional",
    "keyword_only",
    "var_keyword",
)
"""The kinds of parameters by their numbers in :mod:`inspect`."""


def _default(value: Any) -> Any:
    """A default that JSON has, and None for others."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if type(value) in {bool, int, float, str} and len(str(value)) <= _LONGEST_DEFAULT:
        return _plain(value)
    return None


def _error_fields(error: Any) -> Mapping[str, Any]:
    """The hints of the fields of an error: a class, or what knows the ``shape`` of one."""
    try:
        shape = getattr(error, "shape", error)
        return attribute_hints(shape, wanted=lambda name: not name.startswith("_"))
    except TypeError:  # a hint that cannot be resolved
        return {}


def _error(error: Any, schemas: Any) -> ErrorDescription:
    cls = getattr(error, "cls", error)
    properties = {name: next(schemas) for name in _error_fields(error)}
    return ErrorDescription(
        cls.__name__,
        {"type": "object", "properties": properties, "required": list(properties)},
        _first_paragraph(cls),
    )


def _first_paragraph(cls: type) -> str:
    doc = "" if cls in _IGNORED else (vars(cls).get("__doc__") or "")
    return "" if doc.startswith(f"{cls.__name__}(") else doc.strip().partition("\n\n")[0]


def _plain(value: Any) -> Any:
    """A value with nothing but what every codec carries: no large integers, NaN or other keys."""
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return value if -(1 << 63) <= value < 1 << 63 else float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)
