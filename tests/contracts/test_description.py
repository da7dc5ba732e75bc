"""Descriptions that others wrote are read, or refused with a reason."""

from __future__ import annotations

import json
import random

import msgspec
import pytest
from typing_extensions import NotRequired, TypedDict

from bee_core.contracts.breaking import breaking_changes
from bee_core.contracts.describing import About, describe, describe_interface
from bee_core.contracts.description import read_description
from bee_core.contracts.endpoint import ServedMethod
from bee_core.methods.signatures import Signature
from bee_plugins.codecs.json_codec import JsonCodec


class Line(msgspec.Struct):
    sku: str
    more: list[Line] | None = None


class Api:
    def get(self, line: Line, n: int = 5, *, big: float = float("inf")) -> dict[str, Line]:
        """Get it.

        Again.
        """


def plain():
    return describe_interface(Api, JsonCodec()).plain


def test_what_was_written_is_read_back():
    found = plain()
    assert read_description(json.loads(json.dumps(found))).plain == found


def test_an_interface_has_its_name_and_no_version():
    found = describe_interface(Api, JsonCodec())
    assert (found.service, found.version, found.codecs) == ("Api", "", ())


def test_a_default_that_json_has_not_is_left_out():
    (method,) = describe_interface(Api, JsonCodec()).methods
    assert [param.default for param in method.params] == [None, 5, None]


def test_without_a_codec_that_tells_schemas_names_of_types_stay():
    (method,) = describe_interface(Api, None).methods
    assert method.params[0].schema == {}
    assert method.params[0].type == "Line"


def test_a_method_of_which_nothing_is_known_has_no_parameters():
    found = describe(About("s"), [ServedMethod("m", Signature.dynamic("m"))], JsonCodec())
    assert found.methods[0].params is None
    assert found.methods[0].signature == "m(...)"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (7, "Expected `object`, got `int`"),
        ({"format": 2}, "it has the format 2, this bee reads 1"),
        ({"methods": [{}]}, "missing required field `name`"),
        ({"methods": [{"name": "m", "params": [{"name": 7}]}]}, "params[0].name"),
        ({"types": {"A": []}}, "Expected `object`, got `array`"),
        ({"types": {"A": {"properties": []}}}, "impossible 'properties'"),
        ({"types": {"A": {"anyOf": [7]}}}, "a schema is an object"),
        ({"types": {"A": {"type": 7}}}, "impossible 'type'"),
        ({"types": {"A": {"minimum": "1"}}}, "impossible 'minimum'"),
        ({"types": {"A": {"x-proto": {"number": "1"}}}}, "impossible 'x-proto'"),
        ({"types": {"A": {"x-reserved": {"numbers": [[1]]}}}}, "impossible 'x-reserved'"),
        ({"methods": [{"name": "m", "result": {"enum": 7}}]}, "impossible 'enum'"),
    ],
)
def test_what_is_no_description_is_refused(value, said):
    with pytest.raises(ValueError) as caught:
        read_description(value)
    assert said in str(caught.value)


def test_one_that_is_nested_too_deep_is_refused():
    schema = {}
    for _ in range(300):
        schema = {"items": schema}
    with pytest.raises(ValueError, match="nested too deep"):
        read_description({"types": {"A": schema}})


def test_any_damage_is_refused_or_can_be_compared():
    """No description that is read breaks what compares it."""
    rng = random.Random(7)
    odd = [None, 7, "x", [], {}, [7], {"x": 7}, "#/types/Line", True, 1.5]

    def damage(value):
        if isinstance(value, dict) and value and rng.random() < 0.9:
            key = rng.choice(list(value))
            return {**value, key: damage(value[key])}
        if isinstance(value, list) and value and rng.random() < 0.9:
            place = rng.randrange(len(value))
            return [damage(part) if at == place else part for at, part in enumerate(value)]
        return rng.choice(odd)

    good = read_description(plain())
    read, whole = 0, plain()
    for _ in range(1000):
        try:
            found = read_description(damage(whole))
        except ValueError:
            continue
        read += 1
        breaking_changes(good, found)
        breaking_changes(found, good)
    assert read > 100


def test_a_declared_error_that_knows_its_fields_is_described_by_them():
    shape_of = TypedDict("shape_of", {"sku": str, "left": NotRequired[int]})  # noqa: UP013  # as text it would not be read

    class OutOfStock(Exception):
        """None is left."""

    class Declared:
        cls, shape = OutOfStock, shape_of

    method = ServedMethod("m", Signature.dynamic("m"), errors=(Declared(),))
    (error,) = describe(About("s"), [method], JsonCodec()).methods[0].errors
    assert (error.type, error.doc) == ("OutOfStock", "None is left.")
    assert error.schema == {
        "type": "object",
        "properties": {"sku": {"type": "string"}, "left": {"type": "integer"}},
        "required": ["sku"],
    }
