"""Values that are made to stop a decoder for seconds are refused; honest ones of the kind arrive."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from bee_core.errors import InvalidArgument
from bee_core.methods.signatures import Signature
from bee_plugins.codecs.bounded_decoding import MOST_COLLIDING, SMALL
from bee_plugins.codecs.json_codec import JsonCodec
from bee_plugins.codecs.msgpack_codec import MsgpackCodec
from bee_plugins.codecs.protobuf_codec import ProtobufCodec
from fuzz.hostile import (
    Cart,
    Point,
    integers,
    map_body,
    map_message,
    packed_map,
    tuples,
    uuids,
)

CODECS = {"json": JsonCodec(), "msgpack": MsgpackCodec(), "protobuf": ProtobufCodec()}
MANY = 1000


def bound(codec: Any, hint: Any) -> Any:
    def method(v: Any) -> None: ...

    method.__annotations__["v"] = hint
    return codec.bind(Signature.of(method, "method"))


def passed(codec: Any, hint: Any, value: Any) -> Any:
    """What a method with the hint gets of a value of a caller who has no hint."""
    untyped = codec.bind(Signature("method", None, Any))
    return bound(codec, hint).decode_args(*untyped.encode_args((value,), {}))[0][0]


def test_the_values_of_these_tests_have_one_hash() -> None:
    for values in (integers(MANY), tuples(MANY), uuids(MANY)):
        assert len({hash(value) for value in values}) == 1
        assert len(set(map(str, values))) == MANY


@pytest.mark.parametrize(
    ("hint", "body"),
    [
        (set[int], integers(MANY)),
        (frozenset[int | str], integers(MANY)),
        (list[set[int]], [integers(MANY)]),
        (dict[int, int], {str(key): 1 for key in integers(MANY)}),
        (set[Any], integers(MANY)),
        (set, integers(MANY)),
    ],
    ids=lambda value: str(value)[:40],
)
def test_long_integers_of_one_hash_are_refused(hint: Any, body: Any) -> None:
    with pytest.raises(InvalidArgument, match="have the same hash") as caught:
        bound(CODECS["json"], hint).decode_args(0, msgspec.json.encode([body]))
    assert caught.value.path == "$.v"


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize(
    ("hint", "value", "path"),
    [
        (set[uuid.UUID], list(map(str, uuids(MANY))), "$.v"),
        (frozenset[uuid.UUID] | None, list(map(str, uuids(MANY))), "$.v"),
        (dict[uuid.UUID, int], {str(key): 1 for key in uuids(MANY)}, "$.v"),
        (set[Decimal], list(map(str, integers(MANY))), "$.v"),
        (set[tuple[int, int]], list(map(list, tuples(MANY))), "$.v"),
        (list[set[Point]], [[{"x": x, "y": y} for x, y in tuples(MANY)]], "$.v[0]"),
        (
            list[Cart],
            [{"owners": list(map(str, uuids(MANY))), "prices": {}}],
            "$.v[0].owners",
        ),
        (set[Any], list(map(list, tuples(MANY))), "$.v"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_members_and_keys_of_one_hash_are_refused(
    name: str, hint: Any, value: Any, path: str
) -> None:
    with pytest.raises(InvalidArgument, match="have the same hash") as caught:
        passed(CODECS[name], hint, value)
    assert caught.value.path == path


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize(
    ("hint", "value", "expected"),
    [
        (set[int], list(range(5000)) * 2, set(range(5000))),
        (set[int], [2**63 + n for n in range(500)], {2**63 + n for n in range(500)}),
        (set[uuid.UUID], [str(uuid.UUID(int=7))] * MANY, {uuid.UUID(int=7)}),
        (
            dict[uuid.UUID, int],
            {str(uuid.UUID(int=n)): n for n in range(MANY)},
            {uuid.UUID(int=n): n for n in range(MANY)},
        ),
        (set[tuple[int, int]], [[n, n] for n in range(MANY)], {(n, n) for n in range(MANY)}),
        (
            set[tuple[int, int]],
            list(map(list, tuples(MOST_COLLIDING))) * 9,
            set(tuples(MOST_COLLIDING)),
        ),
        (
            Cart,
            {"owners": [str(uuid.UUID(int=7))], "prices": {"1.50": 2}},
            Cart({uuid.UUID(int=7)}, {Decimal("1.50"): 2}),
        ),
        (frozenset[Point] | str, "a", "a"),
        (frozenset[Point] | str, [{"x": 1, "y": 2}], frozenset({Point(1, 2)})),
    ],
    ids=lambda value: str(value)[:40],
)
def test_honest_sets_and_dicts_arrive(name: str, hint: Any, value: Any, expected: Any) -> None:
    found = passed(CODECS[name], hint, value)
    assert found == expected
    assert type(found) is type(expected)


def test_a_wrong_member_is_found_at_its_place() -> None:
    with pytest.raises(InvalidArgument) as caught:
        passed(CODECS["json"], set[uuid.UUID], [str(uuid.uuid4())] * 40 + ["x"])
    assert caught.value.path == "$.v[40]"


def test_arrays_as_keys_of_an_untyped_map_are_few() -> None:
    untyped = CODECS["msgpack"].bind(Signature("method", None, Any))
    few = dict.fromkeys(tuples(MOST_COLLIDING), 1)
    assert untyped.decode_args(*untyped.encode_args((few, "a" * SMALL), {}))[0][0] == few
    for inside in (b"", b"\x93\xc0\xa1a", b"\x81\xa1k", b"\xdc\x00\x02\x81\x01\x02"):
        with pytest.raises(InvalidArgument, match="arrays as keys; use text"):
            untyped.decode_args(0, b"\x91" + inside + packed_map(MANY))


@pytest.mark.parametrize(
    "value",
    [
        {n: [[n, "a" * n], {"k": b"b" * n, n: None}] for n in range(300)},
        {f"k{n}": (1.5, -(2**40), 2**40, "é" * 20, True) for n in range(2000)},
        {n: {m: [m] for m in range(70)} for n in range(70)},
        [dict.fromkeys(range(40), 1.5), [[1, 2]] * 4000],
        [{str(n): "a" * 70000 for n in range(40)}],
    ],
    ids=range(5),
)
def test_large_untyped_maps_without_arrays_as_keys_arrive(value: Any) -> None:
    untyped = CODECS["msgpack"].bind(Signature("method", None, Any))
    plain = msgspec.msgpack.decode(msgspec.msgpack.encode(value))
    assert untyped.decode_args(*untyped.encode_args((value,), {}))[0][0] == plain


def test_extreme_floats_arrive_as_they_are() -> None:
    values = [5e-324, 1e-308, 1.7976931348623157e308, -1.5, 1e23] * 2000
    for hint in (Any, list[float]):
        assert passed(CODECS["json"], hint, values) == values


@pytest.mark.parametrize("wrong", [b"NaN", b"1e999", b'"\\ud800"', b"[", b"1e-308 1"])
def test_a_large_body_of_extreme_floats_is_checked_as_others_are(wrong: bytes) -> None:
    body = b"[[" + b"1e-308," * 5000 + wrong + b"]]"
    with pytest.raises(InvalidArgument):
        bound(CODECS["json"], Any).decode_args(0, body)


@pytest.mark.parametrize("key", [3, 4, 5, 13, 18])  # int64, uint64, int32, uint32, sint64
def test_keys_of_protobufs_maps_are_counted_before_they_are_parsed(key: int) -> None:
    outer = map_message(key)
    method = bound(CODECS["protobuf"], outer)
    honest = map_body(range(40_000))
    assert len(method.decode_args(3, honest)[0][0].inner.items) == 40_000
    with pytest.raises(InvalidArgument, match="agree in their low bits") as caught:
        method.decode_args(3, map_body([n << 16 for n in range(20_000)]))
    assert caught.value.path == "$.v.inner.items"
