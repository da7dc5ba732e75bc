"""What references in JSON Schemas stand for, and what comparing schemas may cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    Schema = Mapping[str, Any]
    Types = Mapping[str, Schema]

REFERENCE = "#/types/"
MOST_STEPS = 250_000
"""Of one comparison. 300 methods with records of 50 fields need 130,000; types that refer to one
another in unions may need billions."""
_DEEPEST = 60


class TangledError(ValueError):
    """Two descriptions cost too much to compare."""


class Effort:
    """What one comparison may still cost.

    Args:
        steps: Schemas that it may look at.
    """

    def __init__(self, steps: int = MOST_STEPS) -> None:
        self._left = steps

    def spend(self, steps: int = 1) -> None:
        """Take some steps.

        Raises:
            TangledError: There are no more.
        """
        self._left -= steps
        if self._left < 0:
            raise TangledError("the types refer to one another too often to be compared")


def renamed_fields(mine: Schema, theirs: Schema) -> dict[str, str]:
    """Fields that one side lacks and that stand at the same place of the other, of one type."""
    return {
        name: other
        for (name, one), (other, two) in zip(mine.items(), theirs.items(), strict=False)
        if name not in theirs and other not in mine and one == two
    }


def reference_of(schema: Schema) -> Any:
    """What a reference means, to compare it with others."""
    return schema["$ref"], str(schema.get("properties", ""))


def resolved(schema: Schema, types: Types) -> Schema:
    """A schema in place of a reference, with what stands beside the reference."""
    for _ in range(_DEEPEST):
        target = schema.get("$ref")
        if not isinstance(target, str):
            return schema
        found = types.get(target.removeprefix(REFERENCE), {})
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        if "properties" in beside:
            beside["properties"] = {**found.get("properties", {}), **beside["properties"]}
            beside["required"] = [*found.get("required", ()), *beside.get("required", ())]
        schema = {**found, **beside}
    return {}
