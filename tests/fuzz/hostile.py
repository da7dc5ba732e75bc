"""Inputs that make decoders slow, for each decoder, at any size.

Each was slow once, or is of a kind that made other libraries slow. ``tests/wire/test_decoding_time.py``
measures how the time grows with the size.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import uuid
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message_factory import GetMessageClass

from bee_core.errors import BeeError
from bee_core.methods.signatures import Signature
from fuzz.harnesses import _plugins, all_harnesses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Input = tuple["Callable[[Any], Any]", "Callable[[int], Any]"]
"""A decoder, and what makes an input of about that many bytes for it."""

_P = 2**61 - 1
"""Python hashes an integer by its remainder."""


# ── values of one hash ──


def integers(count: int) -> list[int]:
    """Integers whose hashes are all 0."""
    return [number * _P for number in range(1, count + 1)]


def tuples(count: int) -> list[tuple[int, int]]:
    """Pairs of integers of 62 bits, whose hashes are all equal (xxHash, solved backwards)."""
    first, second, start = 11400714785074694791, 14029467366897019727, 2870177450012600261
    everything = (1 << 64) - 1

    def turned(number: int, bits: int) -> int:
        return (number << bits | number >> (64 - bits)) & everything

    wanted = turned(12345 * pow(first, -1, 1 << 64) & everything, 33)
    found: list[tuple[int, int]] = []
    left = 1
    while len(found) < count:
        left += 1
        lane = turned((start + left * second) & everything, 31) * first & everything
        right = (wanted - lane) * pow(second, -1, 1 << 64) & everything
        right -= (1 << 64) * (right >> 63)
        if -_P < right < _P:
            found.append((left, right))
    return found


def uuids(count: int) -> list[uuid.UUID]:
    """UUIDs whose hashes are all 0."""
    return [uuid.UUID(int=number) for number in integers(count)]


@dataclasses.dataclass(frozen=True)
class Point:
    """A record that a set can hold."""

    x: int
    y: int


@dataclasses.dataclass
class Cart:
    """A record that holds a set."""

    owners: set[uuid.UUID]
    prices: dict[Decimal, int]


# ── codecs ──

_pack = msgspec.msgpack.encode


def packed_map(count: int) -> bytes:
    """A map of MessagePack whose keys are :func:`tuples`."""
    return (
        b"\xdf" + count.to_bytes(4, "big") + b"".join(_pack(key) + b"\x01" for key in tuples(count))
    )


def _bound(codec: Any, hint: Any) -> Callable[[bytes], Any]:
    def method(v: Any) -> None: ...

    method.__annotations__["v"] = hint
    bound = codec.bind(Signature.of(method, "method"))
    return partial(bound.decode_args, 0)


def _joined(part: Callable[[int], str], size: int, count: int) -> bytes:
    return ("[[" + ",".join(map(part, range(1, max(size // count, 2)))) + "]]").encode()


def _same(text: str) -> Callable[[int], bytes]:
    return lambda size: _joined(lambda _: text, size, len(text) + 1)


def _json(codec: Any) -> Iterator[tuple[str, Input]]:
    def read(hint: Any) -> Callable[[bytes], Any]:
        return _bound(codec, hint)

    encode = msgspec.json.encode
    yield "set[int]", (read(set[int]), lambda size: encode([integers(size // 23)]))
    yield (
        "dict[int, int]",
        (
            read(dict[int, int]),
            lambda size: encode([{str(key): 1 for key in integers(size // 27)}]),
        ),
    )
    yield "set[UUID]", (read(set[uuid.UUID]), lambda size: encode([uuids(size // 39)]))
    yield (
        "dict[UUID, int]",
        (
            read(dict[uuid.UUID, int]),
            lambda size: encode([{str(key): 1 for key in uuids(size // 41)}]),
        ),
    )
    yield (
        "set[Decimal]",
        (read(set[Decimal]), lambda size: encode([list(map(str, integers(size // 25)))])),
    )
    yield (
        "set[tuple[int, int]]",
        (read(set[tuple[int, int]]), lambda size: encode([tuples(size // 30)])),
    )
    yield (
        "frozenset[Point] | None",
        (
            read(frozenset[Point] | None),
            lambda size: encode([[Point(*pair) for pair in tuples(size // 36)]]),
        ),
    )
    yield (
        "sets in records",
        (
            read(list[Cart]),
            lambda size: encode(
                [
                    [
                        {
                            "owners": uuids(size // 80),
                            "prices": {str(n): 1 for n in integers(size // 60)},
                        }
                    ]
                ]
            ),
        ),
    )
    yield "set[Any]", (read(set[Any]), lambda size: encode([integers(size // 23)]))
    for number in ("1e-308", "5E-324", "2.2250738585072011e-308", "1.7976931348623157e+308"):
        yield f"untyped {number}", (read(Any), _same(number))
        yield f"typed {number}", (read(list[float]), _same(number))
    yield "long integers", (read(Any), lambda size: _joined(lambda _: "9" * 4000, size, 4001))
    yield "escapes", (read(Any), _same('"\\u0041\\n"'))
    yield "empty lists", (read(Any), _same("[]"))
    yield "brackets", (read(Any), lambda size: b"[" * size)
    yield "one long word", (read(Any), lambda size: b'["' + b"a" * size + b'"]')
    yield (
        "a long wrong name",
        (
            partial(codec.bind(Signature.of(_named, "named")).decode_args, 1),
            lambda size: b'{"' + b"a" * size + b'":1}',
        ),
    )
    yield (
        "many wrong names",
        (
            partial(codec.bind(Signature.of(_named, "named")).decode_args, 1),
            lambda size: encode({f"first{number}": 1 for number in range(size // 14)}),
        ),
    )


def _named(first: int, second: int) -> None: ...


def _msgpack(codec: Any) -> Iterator[tuple[str, Input]]:
    untyped = codec.bind(Signature("method", None, Any))
    yield (
        "untyped keys",
        (
            partial(untyped.decode_args, 0),
            lambda size: b"\x91" + packed_map(size // 20),
        ),
    )
    yield (
        "keys after others",
        (
            _bound(codec, dict[str, Any]),
            lambda size: (
                b"\x91\x82"
                + _pack("a")
                + _pack([[], {}, "b" * 40, 1.5, {n: n for n in range(40)}])
                + _pack("b")
                + b"\x91"
                + packed_map(size // 20)
            ),
        ),
    )  # fmt: skip
    yield (
        "set[tuple[int, int]]",
        (_bound(codec, set[tuple[int, int]]), lambda size: _pack([tuples(size // 19)])),
    )
    yield "set[Any]", (_bound(codec, set[Any]), lambda size: _pack([tuples(size // 19)]))
    yield "set[UUID]", (_bound(codec, set[uuid.UUID]), lambda size: _pack([uuids(size // 38)]))
    yield (
        "set[int]",
        (_bound(codec, set[int]), lambda size: _pack([[n << 44 for n in range(size // 9)]])),
    )
    yield (
        "small arrays beside a map",
        (
            _bound(codec, Any),
            lambda size: _pack([[{n: n for n in range(40)}, [[None]] * (size // 2)]]),
        ),
    )


def _varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def map_message(key: int = 3) -> Any:
    """A message class with one map: ``map<int64, int64> items = 1``, inside another message."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"hostile{key}.proto", package=f"hostile{key}", syntax="proto3"
    )
    outer = file.message_type.add(name="Outer")
    message = file.message_type.add(name="Message")
    entry = message.nested_type.add(name="ItemsEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=key, label=1)
    entry.field.add(name="value", number=2, type=3, label=1)
    here = f".hostile{key}.Message"
    message.field.add(
        name="items", number=1, type=11, label=3, type_name=f"{here}.ItemsEntry"
    )  # fmt: skip
    outer.field.add(name="inner", number=1, type=11, label=1, type_name=here)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName(f"hostile{key}.Outer"))


def map_body(keys: Iterator[int] | list[int] | range) -> bytes:
    """The bytes of an ``Outer`` whose map has these keys."""
    inner = bytearray()
    for key in keys:
        entry = b"\x08" + _varint(key) + b"\x10\x01"
        inner += b"\x0a" + _varint(len(entry)) + entry
    return b"\x0a" + _varint(len(inner)) + bytes(inner)


def _protobuf(codec: Any) -> Iterator[tuple[str, Input]]:
    def encoded(value: Any) -> bytes:
        return bytes(codec.bind(Signature("method", None, Any)).encode_args((value,), {})[1])

    yield (
        "set[UUID]",
        (
            _bound(codec, set[uuid.UUID]),
            lambda size: encoded(list(map(str, uuids(size // 38)))),
        ),
    )
    yield (
        "dict[Decimal, int]",
        (
            _bound(codec, dict[Decimal, int]),
            lambda size: encoded({str(number): 1 for number in integers(size // 30)}),
        ),
    )
    outer = map_message()
    for name, key in {
        "folded": lambda n: n << 32 | n,
        "low bits": lambda n: n << 16,
        "high bits": lambda n: n << 32,
    }.items():

        def body(size: int, key: Callable[[int], int] = key) -> bytes:
            return map_body([key(number) for number in range(size // 13)])

        # A method of one message, which comes bare: form 3.
        def method(v: Any) -> None: ...

        method.__annotations__["v"] = outer
        bound = codec.bind(Signature.of(method, "method"))
        yield f"map<int64, int64> of {name}", (partial(bound.decode_args, 3), body)


# ── everything else ──


def _others() -> Iterator[tuple[str, Input]]:
    run = all_harnesses()
    config = run["config"]
    head = b"bee: {rpc: {client: {s: {zone: '"

    def value(part: bytes) -> Callable[[int], bytes]:
        return lambda size: head + part * (size // len(part)) + b"'}}}}"

    for part in (b"${A:-", b"${", b"$${", b"${A}", b"${A:-}", b"${1}"):
        yield f"config value {part.decode()}", (config, value(part))
    yield (
        "config names",
        (
            config,
            lambda size: (
                head
                + b"".join(b"${A%d}" % number for number in range(size // 8))
                + b"'}}}}"
            ),
        ),
    )  # fmt: skip
    yield (
        "config key in key",
        (
            config,
            lambda size: (
                b"bee: {? " + b"k" * (size // 2) + b" : {" + b"".join(b"a%d: 1, " % number for number in range(size // 20)) + b"}}"
            ),
        ),
    )  # fmt: skip
    yield "config list", (config, lambda size: b"bee: [" + b"a," * (size // 2) + b"]")
    yield "config lines", (config, lambda size: b"bee: a\n" + b"  a\n" * (size // 4))
    for part in (b"1.", b"1.2.3-a.", b" || 1", b">=1, ", b"1 - ", b"x.", b" "):
        yield f"range {part.decode()!r}", (run["range"], partial(_repeated, part))
    for part in (b"a.", b"a", b":", b"[", b"unix:///a", b"1.", b"@"):
        yield f"address {part.decode()!r}", (run["address"], partial(_repeated, part))
    yield (
        "record tags",
        (
            run["record"],
            lambda size: json.dumps(
                {"address": "h:1", "version": "1", "tags": [str(n) for n in range(size // 10)]}
            ).encode(),
        ),
    )
    yield (
        "record version",
        (
            run["record"],
            lambda size: json.dumps({"address": "h:1", "version": "1." * (size // 2)}).encode(),
        ),
    )
    yield (
        "record weight",
        (run["record"], lambda size: b'{"address":"h:1","version":"1","a":' + b"9" * size + b"}"),
    )
    yield "fields", (run["fields"], lambda size: b"\x05\x00\x02\x01a" * (size // 5))
    yield "frames", (run["server"], lambda size: b"\x27" + bytes(size))
    for name, compressor in _plugins("compressor"):
        empty = compressor.compress(b"")

        def many(size: int, empty: bytes = empty) -> bytes:
            return bytes(empty * (size // len(empty)))

        yield f"compressor {name}", (run[f"compressor-{name}"], many)


def _repeated(part: bytes, size: int) -> bytes:
    return part * (size // len(part))


def inputs() -> dict[str, Input]:
    """Each input by its name."""
    codecs = dict(_plugins("codec"))
    found = dict(_others())
    for name, cases in (("json", _json), ("msgpack", _msgpack), ("protobuf", _protobuf)):
        found |= {f"{name}: {case}": made for case, made in cases(codecs[name])}
    return found


def attempt(read: Callable[[Any], Any], data: Any) -> None:
    """Read an input; what a decoder says of it does not matter here."""
    with contextlib.suppress(BeeError):
        read(data)
