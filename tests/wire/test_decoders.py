"""Every decoder of the core and of the plugins with any bytes.

The harnesses of ``tests/fuzz``, under hypothesis. A longer session that is guided by coverage:
``nox -s fuzz``.
"""

from __future__ import annotations

import gc
import hashlib
import json
import random
import tracemalloc
import zlib
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bee_core.config import yaml_tree
from bee_core.control.snapshot_cache import FORMAT, SnapshotCache
from bee_core.errors import ConfigError
from bee_core.terms import versions
from bee_core.wire import frames, protocol
from fuzz.harnesses import MAX_BODY, MAX_INFLATED, all_harnesses, chunks, seeds
from support.wire_vectors import FOLDER

HARNESSES = all_harnesses()


@pytest.fixture(autouse=True)
def quiet(caplog):
    caplog.set_level("CRITICAL", "bee.client")


@st.composite
def damaged(draw, name):
    """A seed with some bytes changed, lost, doubled or put in.

    What stays close to the format finds more than noise does.
    """
    raw = bytearray(draw(st.sampled_from(seeds(name))))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(raw)))
        size = draw(st.integers(1, 8))
        what = draw(st.sampled_from(["flip", "cut", "drop", "insert", "double"]))
        if what == "flip" and at < len(raw):
            raw[at] = draw(st.integers(0, 255))
        elif what == "cut":
            del raw[at:]
        elif what == "drop":
            del raw[at : at + size]
        elif what == "double":
            raw[at:at] = raw[at : at + size]
        else:
            raw[at:at] = draw(st.binary(max_size=size))
    return bytes(raw)


@pytest.mark.parametrize("name", HARNESSES)
def test_the_seeds_hold(name):
    for seed in seeds(name):
        HARNESSES[name](seed)


@pytest.mark.parametrize("name", HARNESSES)
@settings(deadline=None, max_examples=50)
@given(data=st.data())
def test_any_bytes_give_a_value_or_a_documented_error(name, data):
    HARNESSES[name](data.draw(st.binary(max_size=200) | damaged(name)))


@pytest.mark.slow
@pytest.mark.parametrize("name", HARNESSES)
@settings(deadline=None, max_examples=3000)
@given(data=st.data())
def test_any_bytes_give_a_value_or_a_documented_error_in_a_long_run(name, data):
    HARNESSES[name](data.draw(st.binary(max_size=400) | damaged(name)))


def test_every_codec_and_compressor_that_is_installed_has_a_harness():
    assert {"codec-json", "compressor-gzip"} <= set(HARNESSES)


def test_the_seeds_of_the_wire_are_the_vectors():
    streams = {raw[1:].hex() for raw in seeds("frames")}
    assert {
        vector["hex"]
        for vector in json.loads((FOLDER / "valid.json").read_text("utf-8"))
        if "[" not in vector["hex"]
    } <= streams


def test_the_seed_of_the_cache_is_a_list_that_is_believed(tmp_path):
    (content,) = seeds("cache")
    cache = SnapshotCache("local", tmp_path)
    raw = {"format": FORMAT, "sha256": hashlib.sha256(content).hexdigest(), "content": "X"}
    cache.path("calc").write_text(json.dumps(raw).replace('"X"', content.decode()))
    assert [node.id for node in cache.load("calc").nodes] == ["a"]


def test_chunks_are_the_input_again():
    raw, parts = chunks(bytes(range(100)))
    assert b"".join(parts) == raw == bytes(range(1, 100))


# Memory. What is read may cost a small multiple of itself, and never what it merely announces.


def peak(act):
    """Bytes that were allocated at a time, at most."""
    gc.collect()
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def bomb(size):
    stream = zlib.compressobj(9, zlib.DEFLATED, 16 | zlib.MAX_WBITS)
    return stream.compress(bytes(size)) + stream.flush()


def fields_of(kind, count):
    return b"".join(bytes([kind, 0, 3, 1, 97 + number % 26, 98]) for number in range(count))


@pytest.mark.parametrize(
    ("name", "data", "most"),
    [
        ("frames", b"\x06" + b"\xff" * 14, 100_000),
        (
            "frames",
            b"\x06"
            + (10 + 0xFFFF + MAX_BODY).to_bytes(4, "big")
            + b"\x01\x03\x00\x00\x00\x00\x00\x01\xff\xff",
            100_000,
        ),
        ("server", b"\x06" + b"\x00\x00\x00\x0a\x01\x01" + bytes(9) * 1000, 2_000_000),
        ("fields", fields_of(0x03, 10_000), 15_000_000),
        ("fields", fields_of(0x60, 10_000), 1_000_000),
        ("codec-json", b"\x00" + b"[" * 100_000, 3_000_000),
        ("codec-json", b"\x00[" + b"9" * 100_000 + b"]", 3_000_000),
        ("codec-json", b"\x00" + b"[" + b"[]," * 30_000 + b"[]]", 20_000_000),
        ("compressor-gzip", partial(bomb, 1 << 26), 100_000 + 8 * MAX_INFLATED),
        ("range", b"1" * 200_000, 3_000_000),
        ("range", b"||" * 100_000, 3_000_000),
        ("address", b"tcp://" + b"a." * 50_000, 3_000_000),
        ("config", b"a: " + b"[" * 50_000, 5_000_000),
        ("config", b"a: &a [x]\n" + b"b: *a\n" * 1000, 5_000_000),
        ("cache", b"[" * 100_000, 3_000_000),
        ("local-record", b"{" + b'"a":' * 20_000, 3_000_000),
        ("local-record", b" " * (1 << 20), 3_000_000),
        ("record", b"{" + b'"a":' * 20_000, 3_000_000),
        ("record", b" " * (1 << 20), 3_000_000),
    ],
)
def test_memory_is_bounded_by_what_is_there(name, data, most):
    data = data() if callable(data) else data
    HARNESSES[name](data)  # what is made once, tables and caches, does not count
    assert peak(lambda: HARNESSES[name](data)) < most


def test_a_server_keeps_no_more_than_one_frame_of_a_stream_without_end():
    machine = protocol.ServerProtocol(MAX_BODY)
    whole = frames.encode(frames.REQUEST, 1, b"", bytes(MAX_BODY))
    machine.check(machine.receive(frames.encode(frames.HELLO, 0, b"\x20\x00\x00\x21\x00\x00"))[0])

    def flood():
        rng = random.Random(1)
        for _ in range(20_000):
            cut = rng.randrange(len(whole))
            machine.receive(whole[:cut])
            machine.receive(whole[cut:])

    assert peak(flood) < 50_000


def test_aliases_that_multiply_are_refused_before_they_are_written_out():
    levels = [
        "a0: &a0 [x, x, x, x, x, x, x, x, x]",
        *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)),
    ]

    def parse():
        with pytest.raises(ConfigError, match="written out"):
            yaml_tree.parse("\n".join(levels))

    assert peak(parse) < 30_000_000


def test_a_range_of_many_parts_is_refused_in_time():
    with pytest.raises(ValueError, match="characters"):
        versions.Range.parse(" || ".join(["1.2.3"] * 100_000))
