from __future__ import annotations

import asyncio
import itertools

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bee_plugins.registries.etcd3.http import EtcdError
from bee_plugins.registries.etcd3.watch_stream import CompactedError, Lines, WatchStream

CREATED = b'{"result":{"header":{"revision":"3"},"created":true}}\n'
PROGRESS = b'{"result":{"header":{"revision":"9"}}}\n'
EVENTS = (
    b'{"result":{"header":{"revision":"4"},"events":[{"kv":{"key":"YQ==","mod_revision":"4"}}]}}\n'
)


@given(st.binary(max_size=40), st.lists(st.integers(0, 40)))
def test_lines_are_the_same_however_they_are_cut(data, cuts):
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    lines = Lines()
    found = [
        line for start, end in itertools.pairwise(places) for line in lines.feed(data[start:end])
    ]
    assert found == [line for line in data.split(b"\n")[:-1] if line.strip()]


def test_a_line_without_end_is_refused():
    lines = Lines(largest=10)
    assert list(lines.feed(b"123456789\n12345")) == [b"123456789"]
    with pytest.raises(ValueError, match="larger than 10 bytes"):
        list(lines.feed(b"678901"))


def told(*chunks, hangs=False):
    """All messages of a stream of these chunks, and how it ended."""

    async def stream():
        for chunk in chunks:
            yield chunk
        if hangs:
            await asyncio.Event().wait()

    async def scenario():
        watch = WatchStream("http://a:1", httpx.Response(200, content=stream()))
        messages = []
        try:
            while (message := await watch.next(0.05)) is not None:
                messages.append(message)
        except Exception as error:
            return messages, error
        finally:
            await watch.close()
        return messages, None

    return asyncio.run(scenario())


def test_messages_come_whole_one_by_one_or_several_at_once():
    everything = CREATED + PROGRESS + EVENTS
    for chunks in (
        [everything],
        [everything[:70], everything[70:]],
        [everything[index : index + 1] for index in range(len(everything))],
    ):
        messages, error = told(*chunks, hangs=True)
        assert [
            (message.created, message.header.revision, len(message.events)) for message in messages
        ] == [(True, 3, 0), (False, 9, 0), (False, 4, 1)]
        assert error is None


@pytest.mark.parametrize(
    ("line", "kind", "said"),
    [
        (b'{"result":{"canceled":true,"compact_revision":"8"}}\n', CompactedError, "compacted"),
        (
            (
                b'{"result":{"created":true,"canceled":true,'
                b'"cancel_reason":"rpc error: etcdserver: permission denied"}}\n'
            ),
            EtcdError,
            "permission denied",
        ),
        (
            b'{"result":{"canceled":true,"cancel_reason":"etcdserver: invalid auth token"}}\n',
            EtcdError,
            "invalid auth token",
        ),
        (b'{"result":{"canceled":true,"cancel_reason":"moved"}}\n', ConnectionError, "moved"),
        (
            b'{"error":{"grpc_code":14,"message":"etcdserver: no leader"}}\n',
            ConnectionError,
            "no leader",
        ),
        (
            b'{"error":{"grpc_code":7,"message":"etcdserver: permission denied"}}\n',
            EtcdError,
            "permission denied",
        ),
        (b"", ConnectionError, "has ended the watch"),
        (b"<html>\n", ConnectionError, "not one of etcd's JSON gateway"),
        (
            b'{"result":{"events":[{"kv":{"key":"?"}}]}}\n',
            ConnectionError,
            "not one of etcd's JSON gateway",
        ),
    ],
)
def test_what_ends_a_watch_is_classed(line, kind, said):
    messages, error = told(CREATED, line)
    assert len(messages) == 1
    assert isinstance(error, kind), error
    assert said in str(error)
