"""The vectors of oneway requests, replayed both ways.

They were put together byte by byte without bee's code, like the others.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bee_core.errors import ProtocolError
from bee_core.interfaces import Request, RequestHead
from bee_core.wire import frames, protocol, requests
from bee_core.wire.frames import FrameDecoder

FORMS = ["positional", "named", "mixed", "message"]
VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "oneway.json").read_text("utf-8"))


def named(vectors):
    return [pytest.param(vector, id=vector["name"]) for vector in vectors]


def only_frame(vector):
    (frame,) = FrameDecoder(1 << 20).feed(bytes.fromhex(vector["hex"]))
    return frame


@pytest.mark.parametrize("vector", named(vector for vector in VECTORS if "meaning" in vector))
def test_the_bytes_have_this_meaning(vector):
    frame = only_frame(vector)
    said = requests.RequestParser().parse(frame.fields)
    assert {
        "kind": frames.KIND_NAMES[frame.kind],
        "compressed": bool(frame.flags & frames.COMPRESSED),
        "form": FORMS[frame.form],
        "metadata": dict(said.metadata),
        "baggage": dict(said.baggage),
        "dedupe_key": said.dedupe_key,
        "oneway": said.oneway,
        "id": frame.id,
        "body": frame.body.hex(),
        "method": said.method,
        "time_left_ms": None if said.time_left is None else round(said.time_left * 1000),
    } == vector["meaning"]


@pytest.mark.parametrize("vector", named(vector for vector in VECTORS if vector.get("written")))
def test_the_meaning_is_written_in_these_bytes(vector):
    m = vector["meaning"]
    block = requests.request_fields(m["method"], m["metadata"], m["baggage"], oneway=True)
    request = Request(
        RequestHead("calc", m["method"], oneway=True),
        FORMS.index(m["form"]),
        bytes.fromhex(m["body"]),
        m["compressed"],
        m["time_left_ms"] / 1000,
        1,
        1,
        1,
    )
    client = protocol.ClientProtocol(b"", 1024)
    client.last_id = m["id"] - 1
    assert client.request(request, block, 0.0) == (bytes.fromhex(vector["hex"]), None)


@pytest.mark.parametrize("vector", named(vector for vector in VECTORS if "error" in vector))
def test_the_request_is_refused(vector):
    with pytest.raises(ProtocolError):
        requests.RequestParser().parse(only_frame(vector).fields)
