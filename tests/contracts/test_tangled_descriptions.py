"""Descriptions that somebody made so that comparing them takes for ever."""

from __future__ import annotations

import pytest

from bee_core.contracts.breaking import breaking_changes
from bee_core.contracts.description import read_description
from bee_core.contracts.schema_references import Effort, TangledError


def described(result, types):
    method = {"name": "get", "params": [], "result": result}
    return read_description({"service": "shop", "methods": [method], "types": types})


def unions(levels, end):
    """Each type is a union of twice the next one: 2 to the power of the levels."""
    types = {
        f"T{level}": {"anyOf": [{"$ref": f"#/types/T{level + 1}"}] * 2} for level in range(levels)
    }
    return described({"$ref": "#/types/T0"}, {**types, f"T{levels}": end})


def records(levels, end):
    """As :func:`unions`, with records in the unions, so that references meet references."""
    types = {}
    for level in range(levels):
        below = {"$ref": f"#/types/T{level + 1}"}
        record = {"type": "object", "properties": {"a": below, "b": end}}
        types[f"T{level}"] = {"anyOf": [record, {**record, "required": ["b"]}]}
    return described({"$ref": "#/types/T0"}, {**types, f"T{levels}": end})


@pytest.mark.parametrize("shape", [unions, records])
def test_types_that_refer_to_one_another_without_end_are_given_up(shape):
    sides = shape(50, {"type": "string"}), shape(50, {"type": "integer"})
    with pytest.raises(TangledError, match="too often to be compared"):
        breaking_changes(*sides, Effort(20_000))


def test_thousands_of_methods_are_compared():
    def side(letter):
        methods = [
            {"name": f"{letter}{number}", "signature": f"{letter}{number}(x{number}: int)"}
            for number in range(5000)
        ]
        return read_description({"methods": methods})

    found = breaking_changes(side("a"), side("b"))
    assert len(found) == 5000
    assert found[7].message == "the method is gone; is it b7 now?"


def test_a_large_interface_is_not_too_much():
    fields = {f"field{number}": {"type": "string"} for number in range(50)}
    types = {
        f"T{number}": {"type": "object", "properties": {**fields, "next": {"$ref": "#/types/T0"}}}
        for number in range(300)
    }
    methods = [
        {
            "name": f"m{number}",
            "params": [{"name": "order", "schema": {"$ref": f"#/types/T{number}"}}],
            "result": {"$ref": f"#/types/T{number}"},
        }
        for number in range(300)
    ]
    description = read_description({"methods": methods, "types": types})
    assert breaking_changes(description, description) == []


@pytest.mark.parametrize("size", [20_000])
def test_lists_of_values_are_compared_by_looking_them_up(size):
    old = described({"enum": [f"a{number}" for number in range(size)]}, {})
    new = described({"enum": [f"b{number}" for number in range(size)]}, {})
    assert [change.rule for change in breaking_changes(old, new)] == ["RESULT_VALUE"]
