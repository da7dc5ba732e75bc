"""Makes the description of methods from what Python says of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from ..methods.interface_methods import interface_methods
from ..methods.signatures import MISSING, Signature
from ..methods.type_arguments import attribute_hints
from ..methods.type_hints import hint_text
from .description import (
    ErrorDescription,
    MethodDescription,
    ParameterDescription,
    Schema,
    ServiceDescription,
)
from .endpoint import ServedMethod

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..methods.signatures import Parameter

_LONGEST_DEFAULT = 200  # characters
_LONGEST_DOC = 20_000  # characters
_IGNORED = (object, BaseException)


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
    # A shape is a TypedDict, in which a field with a default may be missing.
    needed = getattr(getattr(error, "shape", None), "__required_keys__", properties)
    required = [name for name in properties if name in needed]
    return ErrorDescription(
        cls.__name__,
        {"type": "object", "properties": properties, "required": required},
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
