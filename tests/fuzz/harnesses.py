"""Everything that reads bytes or text of strangers, each as one function of bytes.

The function says what must hold: only documented errors, the same events for any chunking, bounded
results.

``tests/wire/test_decoders.py`` runs them with hypothesis, ``tests/fuzz/run.py`` with atheris
(``nox -s fuzz``). Codecs and compressors are found by their entry points, so a new plugin is fuzzed
as soon as it is installed.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bee_core import config
from bee_core.config import yaml_tree
from bee_core.control import snapshot_cache
from bee_core.errors import ConfigError, InvalidArgument, MessageTooLarge, ProtocolError
from bee_core.methods.signatures import Signature
from bee_core.terms import addresses, versions
from bee_core.terms.node import Node
from bee_core.wire import frames, messages, protocol, requests
from bee_plugins.registries.local import folder as local_folder
from bee_plugins.registries.shared import node_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_BODY = 256
MAX_INFLATED = 10_000
VECTORS = Path(__file__).parent.parent / "vectors"


def chunks(data: bytes) -> tuple[bytes, list[bytes]]:
    """The input without its first byte, and cut into pieces of the size that this byte says."""
    if not data:
        return b"", []
    raw, size = data[1:], 1 + data[0] % 40
    return raw, [raw[at : at + size] for at in range(0, len(raw), size)]


# ── the wire ──


def read_frames(data: bytes) -> None:
    """Any chunking gives the same frames and the same error; nothing is kept beyond one frame."""

    def read(parts: list[bytes]) -> Any:
        decoder = frames.FrameDecoder(MAX_BODY)
        found = [frame for part in parts for frame in decoder.feed(part)]
        assert decoder.error is None or type(decoder.error) in {ProtocolError, MessageTooLarge}
        assert all(len(frame.body) <= MAX_BODY for frame in found)
        return found, str(decoder.error), decoder.partial

    raw, parts = chunks(data)
    assert read(parts) == read([raw])


def read_fields(data: bytes) -> None:
    """Each parser gives an object, or ProtocolError."""
    parsers = (
        messages.Hello.parse,
        messages.HelloAck.parse,
        messages.Goaway.parse,
        messages.parse_error,
        messages.parse_pong,
        requests.RequestParser().parse,
    )
    for parse in parsers:
        with suppress(ProtocolError):
            parse(data)


def serve(data: bytes) -> None:
    """A server acts on the same frames whatever the chunking.

    It acts on ids that grow, and on nothing after an error.
    """

    def hear(parts: list[bytes]) -> Any:
        machine = protocol.ServerProtocol(MAX_BODY)
        acts: list[Any] = []
        last = 0
        for part in parts:
            for frame in machine.receive(part):
                if not machine.check(frame):
                    continue
                assert machine.error is None
                acts.append((frame.kind, frame.id, frame.body))
                if frame.kind == frames.HELLO:
                    machine.accept(messages.HelloAck("calc", "1", b"epoch"))
                elif frame.kind == frames.REQUEST:
                    assert last < frame.id <= frames.MAX_ID
                    last = frame.id
                    with suppress(ProtocolError):
                        requests.RequestParser().parse(frame.fields)
            error = machine.error or machine.decoder.error
            if error is not None:
                assert type(error) in {ProtocolError, MessageTooLarge}
                return acts, machine.last_id, str(error)
        return acts, machine.last_id, machine.state

    raw, parts = chunks(data)
    assert hear(parts) == hear([raw])


def call(data: bytes) -> None:
    """A client hears the same answers whatever the chunking, none before the hello-ack."""

    def hear(parts: list[bytes]) -> Any:
        machine = protocol.ClientProtocol(b"", MAX_BODY)
        answers: list[Any] = []
        for part in parts:
            for frame in machine.receive(part):
                assert machine.ack is not None
                answers.append((frame.kind, frame.id, frame.body))
                with suppress(ProtocolError):
                    messages.parse_error(frame.fields)
        assert machine.error is None or type(machine.error) in {ProtocolError, MessageTooLarge}
        assert not (machine.usable and (machine.error or machine.goaway))
        return answers, machine.ack, machine.goaway, str(machine.error)

    raw, parts = chunks(data)
    assert hear(parts) == hear([raw])


# ── bodies ──


@dataclass
class Line:
    """Of an order."""

    name: str
    qty: int
    price: float | None = None


class Handlers:
    """Signatures that a codec is bound to."""

    def plain(self, a: int, b: str = "", *, c: float = 0.0) -> bool:
        """Scalars."""
        raise NotImplementedError

    def nested(
        self, lines: list[Line], by_name: dict[str, Line] | None = None
    ) -> dict[str, list[Line]]:
        """Records in containers."""
        raise NotImplementedError

    def free(self, *args: Any, **kwargs: Any) -> Any:
        """Anything."""
        raise NotImplementedError


def decode_body(codec: Any, data: bytes) -> None:
    """Arguments and results of a codec: a value, or InvalidArgument.

    What was decoded can be encoded.
    """
    if not data:
        return
    form, body = data[0] % 4, data[1:]
    for bound in _bound(codec):
        with suppress(InvalidArgument):
            args, kwargs = bound.decode_args(form, body)
            assert len(args) + len(kwargs) <= len(body)
        with suppress(InvalidArgument):
            value = bound.decode_result(body)
            with suppress(InvalidArgument):  # NaN, say, in what does not forbid it
                bound.encode_result(value)


_BOUND: dict[int, list[Any]] = {}


def _bound(codec: Any) -> list[Any]:
    if id(codec) not in _BOUND:
        signatures = [
            Signature.of(function, function.__name__)
            for function in (Handlers().plain, Handlers().nested, Handlers().free)
        ]
        _BOUND[id(codec)] = [codec.bind(signature) for signature in signatures]
    return _BOUND[id(codec)]


def inflate(compressor: Any, data: bytes) -> None:
    """A body within the limit, or one of the two errors."""
    with suppress(MessageTooLarge, ProtocolError):
        assert len(compressor.decompress(data, MAX_INFLATED)) <= MAX_INFLATED


# ── text of people and files of other processes ──


def read_range(data: bytes) -> None:
    """A range that shows itself as text with the same answers, or ValueError."""
    text = data.decode("utf-8", "replace")
    with suppress(ValueError):
        found = versions.Range.parse(text)
        assert versions.Range.parse(str(found)) == found
        assert versions.Range.parse(found.canonical) == found
        found.matches(versions.parse_version("1.2.3-rc.1"))
    with suppress(ValueError):
        version = versions.parse_version(text)
        assert versions.precedence(versions.parse_version(str(version))) == versions.precedence(
            version
        )


def read_address(data: bytes) -> None:
    """An address whose url is stable, or ValueError."""
    with suppress(ValueError):
        address = addresses.parse(data.decode("utf-8", "replace"))
        assert addresses.parse(address.url) == address


def read_config(data: bytes) -> None:
    """A configuration, or ConfigError whose every problem has a sentence."""
    try:
        config.load_config(
            yaml_tree.parse(yaml_tree.decode(data, "bee.yml"), "bee.yml"), environ={}
        )
    except ConfigError as error:
        assert all(problem.message for problem in error.problems)  # noqa: PT017  # of each problem


def read_cache(data: bytes) -> None:
    """Whatever lies in the file, there are nodes or none, and no error.

    The bytes as the file, and as content with the checksum that fits, so that it is looked at.
    """
    with tempfile.TemporaryDirectory(
        dir="/dev/shm" if Path("/dev/shm").is_dir() else None
    ) as folder:
        cache = snapshot_cache.SnapshotCache("local", Path(folder))
        path = cache.path("calc")
        sha256 = hashlib.sha256(data).hexdigest().encode()
        for raw in (
            data,
            b'{"format":%d,"sha256":"%s","content":%s}' % (snapshot_cache.FORMAT, sha256, data),
        ):
            path.write_bytes(raw)
            assert all(type(node) is Node for node in cache.load("calc").nodes)


def read_record(data: bytes) -> None:
    """A record of the registry ``local``, or ValueError."""
    with suppress(ValueError):
        record, node = local_folder.decode(data, "a.json")
        assert (record.id, node.id) == ("a", "a")


def read_shared_record(data: bytes) -> None:
    """A record of a registry that many machines share, or ValueError."""
    with suppress(ValueError):
        node = node_record.decode_record(data, "a")
        assert node_record.decode_record(node_record.encode_record(node), node.id) == node


# ── which there are ──


class _Registrar:
    """Takes the one plugin that a module offers under a name."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.made: Any = None

    def add(self, name: str, factory: Any, options: Any = None) -> None:
        if name == self._name:
            self.made = factory() if options is None else factory(options())


def _plugins(kind: str) -> Iterator[tuple[str, Any]]:
    """The installed plugins of a kind at their default options.

    Those whose library is not there are left out.
    """
    for entry in sorted(
        importlib.metadata.entry_points(group=f"bee.{kind}"), key=lambda entry: entry.name
    ):
        registrar = _Registrar(entry.name)
        with suppress(ImportError):
            getattr(entry.load(), f"bee_register_{kind}s")(registrar)
        if registrar.made is not None:
            yield entry.name, registrar.made


def all_harnesses() -> dict[str, Callable[[bytes], None]]:
    """Each harness by its name."""
    logging.getLogger("bee.client").setLevel(
        logging.CRITICAL
    )  # a damaged cache is a warning each time
    return {
        "frames": read_frames,
        "fields": read_fields,
        "server": serve,
        "client": call,
        **{f"codec-{name}": partial(decode_body, codec) for name, codec in _plugins("codec")},
        **{
            f"compressor-{name}": partial(inflate, compressor)
            for name, compressor in _plugins("compressor")
        },
        "range": read_range,
        "address": read_address,
        "config": read_config,
        "cache": read_cache,
        "local-record": read_record,
        "record": read_shared_record,
    }


# ── what to begin with ──


def _load(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text("utf-8"))


def _streams() -> Iterator[bytes]:
    for name in ("valid", "tolerated", "invalid_streams"):
        for vector in _load(name):
            if "[" not in vector["hex"]:
                yield b"\x06" + bytes.fromhex(vector["hex"])


def _conversations(name: str) -> Iterator[bytes]:
    for talk in _load(name):
        parts = [step["receive"] for step in talk["steps"] if "receive" in step]
        if not any("[" in part for part in parts):
            yield b"\x06" + bytes.fromhex("".join(parts))


def _blocks() -> Iterator[bytes]:
    yield from (bytes.fromhex(vector["hex"]) for vector in _load("invalid_fields"))
    decoder = frames.FrameDecoder(1 << 20)
    for raw in _streams():
        yield from (frame.fields for frame in decoder.feed(raw[1:]))


_BODIES = [
    b"",
    b"[1,2]",
    b'{"a":1,"b":"x"}',
    b'[[1],{"b":"x"}]',
    b'[[{"name":"a","qty":1,"price":null}]]',
    b"[1e400,NaN]",
    b"null",
    b'"\\ud800"',
]
_NODE = {
    "id": "a",
    "url": "tcp://h:1",
    "version": "1.2.0",
    "weight": 1.0,
    "zone": None,
    "tags": ["x"],
    "workers": 1,
}
_CONTENT = {"identity": "local", "service": "calc", "written": 1.0, "nodes": [_NODE]}
_SHARED = Node("a", "tcp://10.0.0.1:9000", "1.0", 2.0, "west", frozenset({"x"}), 4)
_RECORD = local_folder.LocalRecord(
    renewed=1.0,
    ttl=30.0,
    boot="b",
    pid=1,
    service="calc",
    id="a",
    address="tcp://127.0.0.1:9000",
    version="1.0",
    tags=("x",),
)
_CONFIG = (
    b"bee:\n  application: {name: shop}\n  rpc:\n    client:\n      default: &d {timeout: 5}\n"
    b"      calc:\n        <<: *d\n        address: ${HOST:-h}:1\n"
)


def seeds(name: str) -> list[bytes]:
    """Inputs to begin with, from the vectors where there are any."""
    if name in {"frames", "server", "client"}:
        talks = {"server": ["server_conversations"], "client": ["client_conversations"]}.get(
            name, ["server_conversations", "client_conversations"]
        )
        return [*_streams(), *(raw for talk in talks for raw in _conversations(talk))]
    if name == "fields":
        return list(_blocks())
    if name.startswith("codec-"):
        return [bytes([form]) + body for form in range(4) for body in _BODIES]
    if name.startswith("compressor-"):
        vectors = [
            bytes.fromhex(v["hex"])
            for v in _load("bodies")
            if "[" not in v["hex"] and v["compressor"] == name.partition("-")[2]
        ]
        (compressor,) = [
            found
            for installed, found in _plugins("compressor")
            if installed == name.partition("-")[2]
        ]
        return [
            *vectors,
            *(
                compressor.compress(body)
                for body in (b"", b"[1,2]", b"[1,2]" * 50, bytes(2 * MAX_INFLATED))
            ),
        ]
    return {
        "range": [b">=1.0, <2", b"^1.2 || ~2.0.1", b"1.x - 2.3", b"1.2.3-rc.1+b", b"*"],
        "address": [
            b"tcp://127.0.0.1:9000",
            b"unix:///run/calc.sock",
            b"[::1]:9000",
            b"tls://h:1",
            b"memory://x",
        ],
        "config": [_CONFIG],
        "cache": [json.dumps(_CONTENT).encode()],
        "local-record": [local_folder.encode(_RECORD)],
        "record": [node_record.encode_record(_SHARED), b'{"address":"h:1","version":"1"}'],
    }[name]
