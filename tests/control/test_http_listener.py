"""The small HTTP server: what it answers, and what it bounds."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import threading

import hypothesis
import hypothesis.strategies as st
import pytest

from bee_core.control import http_listener
from bee_core.control.http_listener import (
    MOST_CONNECTIONS,
    MOST_HEAD,
    Answer,
    Asked,
    HttpListener,
    bind,
    read_request,
)
from bee_core.server.event_loop import new_event_loop
from support.patience import PATIENCE
from support.status_pages import get, raw


async def ask(path, accept):
    if path == "/raises":
        raise KeyError("a bug")
    if path == "/hangs":
        await asyncio.Event().wait()
    if path == "/large":
        return Answer(200, b"x" * (4 << 20))
    return Answer(200, f"{path} {accept}\n".encode())


@contextlib.contextmanager
def listening(new_loop=asyncio.new_event_loop):
    """A listener on a loop in a thread of its own: its url, and the listener."""
    loop = new_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    listener = HttpListener(bind("127.0.0.1", 0), ask)
    url = f"http://127.0.0.1:{listener.sock.getsockname()[1]}"
    asyncio.run_coroutine_threadsafe(listener.open(), loop).result(PATIENCE)
    try:
        yield url, listener
    finally:
        loop.call_soon_threadsafe(listener.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module", params=[asyncio.new_event_loop, new_event_loop])
def url(request):
    """On the loop of a control plane, and on that of a server."""
    with listening(request.param) as (url, _):
        yield url


def test_a_get_is_answered_with_its_length_and_the_connection_ends(url):
    status, body, headers = get(url, "/metrics?x=1", Accept="text/plain")
    assert (status, body) == (200, "/metrics text/plain\n")
    assert headers["Connection"] == "close"
    assert headers["Content-Length"] == str(len(body))


def test_a_head_has_the_headers_and_no_body(url):
    status, body, headers = get(url, "/metrics", "HEAD")
    assert (status, body) == (200, "")
    assert headers["Content-Length"] == str(len("/metrics \n"))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_refused(url, method):
    status, _, headers = get(url, "/metrics", method)
    assert status == 405
    assert headers["Allow"] == "GET, HEAD"


def test_a_body_is_thrown_away_and_the_answer_arrives(url):
    answer = raw(url, b"POST / HTTP/1.1\r\nContent-Length: 400000\r\n\r\n", b"x" * 400_000)
    assert answer.startswith(b"HTTP/1.1 405 ")


def test_an_exception_of_what_answers_is_said(url):
    assert get(url, "/raises")[:2] == (500, "KeyError: 'a bug'\n")


def test_a_request_may_come_byte_by_byte_and_end_in_a_half_close(url):
    request = b"GET /slow HTTP/1.1\r\nAccept: a\r\nHost: b\r\naccept: c\r\n\r\n"
    parts = [request[i : i + 1] for i in range(len(request))]
    assert raw(url, *parts, half_close=True).endswith(b"\r\n\r\n/slow a,c\n")


def test_a_large_answer_is_read_to_its_end(url):
    assert len(get(url, "/large")[1]) == 4 << 20


def test_only_the_first_request_of_a_connection_is_answered(url):
    twice = b"GET /one HTTP/1.1\r\n\r\nGET /two HTTP/1.1\r\n\r\n"
    answer = raw(url, twice)
    assert b"/one" in answer
    assert b"/two" not in answer


def test_a_request_that_is_too_long_is_refused(url):
    long = b"GET / HTTP/1.1\r\nX: " + b"x" * MOST_HEAD
    assert raw(url, long).startswith(b"HTTP/1.1 431 ")
    assert raw(url, long + b"\r\n\r\n").startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /",
        b"GET / HTTP/2.0",
        b"GET /\xff HTTP/1.1",
        b"GET  / HTTP/1.1",
        b"GET / HTTP/1.1\r\nno colon",
        b"GET / HTTP/1.1\r\nname : value",
        b"GET / HTTP/1.1\r\n folded: value",
    ],
)
def test_what_is_no_request_is_refused(url, head):
    answer = read_request(head)
    assert isinstance(answer, Answer)
    assert answer.status == 400
    assert raw(url, head + b"\r\n\r\n").startswith(b"HTTP/1.1 400 ")


@hypothesis.given(st.binary(max_size=300))
def test_any_bytes_are_a_request_or_refused(head):
    found = read_request(head)
    assert isinstance(found, Asked) or found.status in {400, 405}


def test_a_caller_that_does_not_finish_its_request_is_cut_off(monkeypatch):
    monkeypatch.setattr(http_listener, "HEAD_SECONDS", 0.05)
    with listening() as (url, listener):
        with contextlib.suppress(ConnectionResetError):
            assert raw(url, b"GET / HTTP/1.1\r\n") == b""
        assert get(url, "/fine")[0] == 200
        assert len(listener.connections) <= 1  # the one that has just been answered


def test_an_answer_that_does_not_come_is_given_up(monkeypatch):
    monkeypatch.setattr(http_listener, "ANSWER_SECONDS", 0.05)
    with listening() as (url, _):
        assert get(url, "/hangs")[0] == 503


def test_a_caller_that_leaves_ends_what_was_made_for_it():
    with listening() as (url, listener):
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as sock:
            sock.sendall(b"GET /hangs HTTP/1.1\r\n\r\n")
            until_connections(listener, 1)
            # Not a half-close, after which an answer may be read.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        until_connections(listener, 0)


def until_connections(listener, count):
    waited = threading.Event()
    for _ in range(int(PATIENCE / 0.01)):
        if len(listener.connections) == count:
            return
        waited.wait(0.01)
    raise AssertionError(f"{len(listener.connections)} connections, not {count}")


def until_asked(listener, count):
    waited = threading.Event()
    for _ in range(int(PATIENCE / 0.01)):
        if sum(one.has_asked for one in tuple(listener.connections)) == count:
            return
        waited.wait(0.01)
    raise AssertionError(f"not all of {count} have asked")


def test_who_connects_and_asks_nothing_keeps_no_probe_out():
    with listening() as (url, listener), contextlib.ExitStack() as held:
        port = int(url.rpartition(":")[2])
        for _ in range(MOST_CONNECTIONS):
            held.enter_context(socket.create_connection(("127.0.0.1", port)))
        until_connections(listener, MOST_CONNECTIONS)
        assert get(url, "/fine")[0] == 200


def test_one_connection_too_many_is_told_so_and_a_flood_is_cut_off():
    with listening() as (url, listener), contextlib.ExitStack() as held:
        port = int(url.rpartition(":")[2])
        for _ in range(MOST_CONNECTIONS):
            sock = held.enter_context(socket.create_connection(("127.0.0.1", port)))
            sock.sendall(b"GET /hangs HTTP/1.1\r\n\r\n")
        until_connections(listener, MOST_CONNECTIONS)
        until_asked(listener, MOST_CONNECTIONS)
        assert raw(url, b"").startswith(b"HTTP/1.1 503 ")
        flood = [socket.create_connection(("127.0.0.1", port)) for _ in range(200)]
        for sock in flood:
            held.enter_context(sock)
        for sock in flood:
            sock.settimeout(PATIENCE)
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(16)[:13] in {b"HTTP/1.1 503 ", b""}
        assert len(listener.connections) <= 2 * MOST_CONNECTIONS
        held.close()
        until_connections(listener, 0)
        assert get(url, "/fine")[0] == 200


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_lets_go_of_the_address():
    with listening() as (url, listener):
        port = int(url.rpartition(":")[2])
        read, write = os.pipe()
        go, told = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                listener.discard_after_fork()
                os.write(write, b"x")
                os.read(go, 1)
            finally:
                os._exit(0)
        assert os.read(read, 1) == b"x"
    try:  # the parent's is closed, the child still lives
        bind("127.0.0.1", port).close()
    finally:
        os.write(told, b"x")
        os.waitpid(pid, 0)
        for end in (read, write, go, told):
            os.close(end)


def test_an_address_of_ipv6_can_be_listened_on():
    try:
        sock = bind("::1", 0)
    except OSError:
        pytest.skip("this machine has no IPv6")
    assert sock.family == socket.AF_INET6
    sock.close()
