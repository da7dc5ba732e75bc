"""Whether what a peer or a file calls a JSON Schema has the shape of one, and can be read."""

from __future__ import annotations

from typing import Any

_DEEPEST = 100
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SCHEMAS = ("items", "additionalProperties", "propertyNames", "not")
_NUMBERS = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf")
_COUNTS = tuple(
    f"{end}{unit}" for end in ("min", "max") for unit in ("Length", "Items", "Properties")
)
_OBJECTS = ("x-proto", "x-numbers", "x-reserved")


def check_schema(schema: Any, depth: int = 0) -> None:
    """Check a schema, at any depth.

    Raises:
        ValueError: A word of it has a value that it cannot have; the message names the word.
    """
    if not isinstance(schema, dict) or depth > _DEEPEST:
        raise ValueError("a schema is an object, and not nested too deep")
    for word, value in schema.items():
        _check_word(word, value, depth)


def _check_word(word: str, value: Any, depth: int) -> None:
    if word in _LISTS:
        _want(word, isinstance(value, list) and bool(value))
        for part in value:
            check_schema(part, depth + 1)
    elif word in _SCHEMAS:
        if not isinstance(value, bool):
            check_schema(value, depth + 1)
    elif word == "properties":
        _want(word, isinstance(value, dict))
        for part in value.values():
            check_schema(part, depth + 1)
    elif word == "required":
        _want(word, _are_texts(value))
    elif word == "type":
        _want(word, isinstance(value, str) or _are_texts(value))
    elif word == "enum":
        _want(word, isinstance(value, list))
    elif word in {"$ref", "title", "description", "format", "contentEncoding", "pattern"}:
        _want(word, isinstance(value, str))
    elif word in _NUMBERS or word in _COUNTS:
        _want(word, isinstance(value, (int, float)) and not isinstance(value, bool))
    elif word in _OBJECTS:
        _want(word, isinstance(value, dict) and _is_ours(word, value))


def _is_ours(word: str, value: dict[str, Any]) -> bool:
    """Whether a word of bee's own has the parts that bee reads."""
    if word == "x-proto":
        return isinstance(value.get("number"), int) and isinstance(value.get("type"), str)
    if word == "x-reserved":
        numbers, names = value.get("numbers", []), value.get("names", [])
        pairs = isinstance(numbers, list) and all(
            isinstance(one, list) and [type(end) for end in one] == [int, int] for one in numbers
        )
        return pairs and _are_texts(names)
    return True


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _want(word: str, fits: bool) -> None:
    if not fits:
        raise ValueError(f"a schema has an impossible {word!r}")
