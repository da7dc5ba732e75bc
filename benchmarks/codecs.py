"""Compare the codecs: ``python -m benchmarks.codecs [--rounds N] [--json]``.

What a call's arguments cost: ``encode_args`` at the client and ``decode_args`` at the server, with
the codec bound to a method as both have it. Each round measures every contender once, in turn. A
ratio is taken within a round; the median of the rounds is reported with the least and the most.
Codecs that are not installed are left out.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from statistics import median
from typing import TYPE_CHECKING, Any

import attrs

from bee_core.errors import PluginError
from bee_core.methods.signatures import Parameter, Signature
from bee_core.plugins.hub import PluginHub

from .record import RECORD

if TYPE_CHECKING:
    from collections.abc import Callable

    from bee_core.interfaces import MethodCodec

CODECS = ("json", "msgpack", "protobuf")
SECONDS = 0.02
"""How long a contender is measured in a round, at least."""


@attrs.frozen
class Line:
    sku: str
    qty: int
    price: float


@attrs.frozen
class Record:
    id: int
    customer: str
    status: str
    total: float
    currency: str
    paid: bool
    lines: list[Line]
    note: str


def record(line_type: Any = Line, record_type: Any = Record) -> Any:
    """The record as an object of a class."""
    return record_type(**{**RECORD, "lines": [line_type(**line) for line in RECORD["lines"]]})


SIZES = {"small": 1, "medium": 50, "1 MB": 5000}
NUMBERS = [index * 0.37 for index in range(110_000)]


@attrs.frozen
class Contender:
    """One way to send one value.

    Attributes:
        name: What the table calls it.
        method: The bound codec.
        make: Makes the argument; its time counts.
        read: Reads all of what arrives; its time counts.
    """

    name: str
    method: MethodCodec
    make: Callable[[], Any]
    read: Callable[[Any], object] = lambda _: None

    def encode(self) -> tuple[int, bytes]:
        """What the client does."""
        return self.method.encode_args((self.make(),), {})

    def decode(self, form: int, body: bytes) -> None:
        """What the server does."""
        args, kwargs = self.method.decode_args(form, body)
        self.read(next(iter(args or kwargs.values())))


def given(value: Any) -> Callable[[], Any]:
    """A value that is there already."""
    return lambda: value


def contenders(size: str) -> list[Contender]:
    """Every codec with what is sent in this size."""
    found = []
    hub = PluginHub()
    for name in CODECS:
        try:
            codec = hub.load("codec", name).factory()
        except PluginError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue

        def bound(hint: Any, codec: Any = codec) -> MethodCodec:
            method: MethodCodec = codec.bind(
                Signature("take", (Parameter("value", hint=hint),), None)
            )
            return method

        if size == "1 MB of numbers":
            found += [
                Contender(f"{name}, no type", bound(Any), given(NUMBERS)),
                Contender(f"{name}, list[float]", bound(list[float]), given(NUMBERS)),
            ]
        else:
            count = SIZES[size]
            plain = RECORD if count == 1 else [RECORD] * count
            typed = record() if count == 1 else [record()] * count
            hint = Record if count == 1 else list[Record]
            found += [
                Contender(f"{name}, no type", bound(Any), given(plain)),
                Contender(f"{name}, attrs class", bound(hint), given(typed)),
            ]
        if name == "protobuf":
            found += messages(size, bound)
    return found


def messages(size: str, bound: Callable[[Any], MethodCodec]) -> list[Contender]:
    """The same as protobuf messages: as they are, and with all of them made and read in Python."""
    from . import record_pb2 as pb

    def make() -> Any:
        if size == "1 MB of numbers":
            return pb.Numbers(numbers=NUMBERS)
        return (
            record(pb.Line, pb.Record)
            if SIZES[size] == 1
            else pb.Records(records=(record(pb.Line, pb.Record) for _ in range(SIZES[size])))
        )

    def read_record(it: Any) -> object:
        lines = [(line.sku, line.qty, line.price) for line in it.lines]
        return it.id, it.customer, it.status, it.total, it.currency, it.paid, lines, it.note

    def read(it: Any) -> object:
        if size == "1 MB of numbers":
            return list(it.numbers)
        return read_record(it) if SIZES[size] == 1 else [read_record(one) for one in it.records]

    method = bound(type(make()))
    return [
        Contender("protobuf, message", method, given(make())),
        Contender("protobuf, message, made and read", method, make, read),
    ]


def seconds(action: Callable[[], object]) -> float:
    """Processor seconds of one run, over as many runs as fill the time.

    A codec does not wait, and the machine may be shared.
    """
    runs, begun = 0, time.process_time()
    while True:
        action()
        runs += 1
        passed = time.process_time() - begun
        if passed >= SECONDS:
            return passed / runs


def measure(size: str, rounds: int) -> dict[str, dict[str, Any]]:
    """One size."""
    all_ = contenders(size)
    bodies = {one.name: one.encode() for one in all_}
    times: dict[str, list[tuple[float, float]]] = {one.name: [] for one in all_}
    for _ in range(rounds):
        for one in all_:
            form, body = bodies[one.name]
            times[one.name].append(
                (
                    seconds(one.encode),
                    seconds(lambda one=one, form=form, body=body: one.decode(form, body)),
                )
            )  # type: ignore[misc]
    first = times[all_[0].name]
    rows = {}
    for one in all_:
        ratios = [sum(own) / sum(base) for own, base in zip(times[one.name], first, strict=True)]
        rows[one.name] = {
            "bytes": len(bodies[one.name][1]),
            "encode_us": round(median(own[0] for own in times[one.name]) * 1e6, 2),
            "decode_us": round(median(own[1] for own in times[one.name]) * 1e6, 2),
            "over_first": [round(value, 2) for value in (median(ratios), min(ratios), max(ratios))],
        }
    return rows


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.codecs", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = {size: measure(size, options.rounds) for size in (*SIZES, "1 MB of numbers")}
    if options.json:
        print(json.dumps(results, indent=2))
        return
    for size, rows in results.items():
        print(
            f"\n{size:34}{'bytes':>10}{'encode us':>12}{'decode us':>12}"
            "   both, over the first (from to)"
        )
        for name, row in rows.items():
            middle, least, most = row["over_first"]
            print(
                f"  {name:32}{row['bytes']:>10,}{row['encode_us']:>12,}{row['decode_us']:>12,}"
                f"   {middle:>6} ({least} to {most})"
            )


if __name__ == "__main__":
    main()
