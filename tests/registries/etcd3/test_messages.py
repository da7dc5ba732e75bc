from __future__ import annotations

import msgspec
import pytest

from bee_plugins.registries.etcd3.messages import (
    RangeReply,
    WatchLine,
    end_of,
    read_error,
    read_stream_error,
)


def test_integers_are_texts_bytes_are_base64_and_what_is_left_out_is_zero():
    body = (
        b'{"header":{"cluster_id":"18446744073709551615","revision":"7"},'
        b'"kvs":[{"key":"L2E=","mod_revision":"9223372036854775807"}],"new":{"x":[1]}}'
    )
    reply = msgspec.json.decode(body, type=RangeReply, strict=False)
    assert (reply.header.cluster_id, reply.header.revision, reply.count, reply.more) == (
        2**64 - 1,
        7,
        0,
        False,
    )
    assert [(kv.key, kv.value, kv.mod_revision, kv.lease) for kv in reply.kvs] == [
        (b"/a", b"", 2**63 - 1, 0)
    ]


def test_an_event_is_a_put_unless_it_says_otherwise():
    body = b'{"result":{"events":[{"kv":{"key":"YQ=="}},{"type":"DELETE","kv":{"key":"Yg=="}}]}}'
    line = msgspec.json.decode(body, type=WatchLine, strict=False)
    assert line.result is not None
    assert [(event.type, event.kv.key) for event in line.result.events] == [
        ("PUT", b"a"),
        ("DELETE", b"b"),
    ]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (
            b'{"error":"etcdserver: no leader","code":14,"message":"etcdserver: no leader"}',
            (14, "etcdserver: no leader"),
        ),
        (
            (
                b'{"error":{"grpc_code":5,"http_code":404,"message":"not found",'
                b'"http_status":"Not Found"}}'
            ),
            (5, "not found"),
        ),
        (b'{"error":"only this"}', (2, "only this")),
        (b"<html>", None),
        (b"{}", None),
        (b"[1]", None),
        (b"", None),
        (b'{"error":' + b"[" * 5000, None),
        (b"\xff", None),
    ],
)
def test_errors_have_several_shapes(body, found):
    assert read_error(body) == found


def test_an_error_of_no_known_shape_is_shown():
    assert read_stream_error(["odd"]) == (2, "['odd']")


def test_the_range_of_a_prefix_ends_before_the_next_one():
    assert end_of(b"/bee/rpc/calc/providers/") == b"/bee/rpc/calc/providers0"
