"""The JSON Schema of single values: numbers, texts, times, sizes, as YAML may give them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..options import BYTES, DIAL, LISTEN, OPTIONS, RANGE, SECONDS, VERSION
from .values import SIZE_PATTERN, TIME_PATTERN

if TYPE_CHECKING:
    from collections.abc import Mapping

Schema = dict[str, Any]

REFERENCE: Schema = {"type": "string", "pattern": r"\$\{"}
TEXT: Schema = {"type": ["string", "number", "boolean"]}
_VERSION: Schema = {"type": ["string", "number"]}
_TRUTH = "|".join(
    form(word)
    for word in ("true", "yes", "on", "false", "no", "off")
    for form in (str.lower, str.capitalize, str.upper)
)


def bounded(schema: Schema, bounds: Mapping[str, float]) -> Schema:
    """The schema of a number, within bounds. A text is not bounded."""
    if schema.get("type") in ("integer", "number"):  # it may be a list
        return {**schema, **bounds}
    if "anyOf" in schema:
        return {**schema, "anyOf": [bounded(one, bounds) for one in schema["anyOf"]]}
    return dict(schema)


def _or_text(value: Schema, pattern: str) -> Schema:
    return {"anyOf": [value, {"type": "string", "pattern": f"^{pattern}$"}, REFERENCE]}


SCALARS: dict[Any, Schema] = {
    str: TEXT,
    Path: {"type": "string"},
    bool: _or_text({"type": "boolean"}, f"({_TRUTH})"),
    int: _or_text({"type": "integer"}, "[-+]?[0-9]+"),
    float: _or_text({"type": "number"}, r"[-+]?[0-9.]+([eE][-+]?[0-9]+)?"),
    SECONDS: _or_text({"type": "number", "minimum": 0}, TIME_PATTERN),
    BYTES: _or_text({"type": "integer", "minimum": 0}, SIZE_PATTERN),
    VERSION: _VERSION,
    RANGE: _VERSION,
    DIAL: {"type": "string"},
    OPTIONS: {"type": ["object", "null"]},
    LISTEN: {
        "anyOf": [
            {"type": "string"},
            {
                "type": "object",
                "properties": {"url": {"type": "string"}},
                "additionalProperties": False,
                "required": ["url"],
            },
        ]
    },
}
