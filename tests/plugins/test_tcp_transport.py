"""What TCP adds to the stream transports: names, several addresses, faults of ephemeral ports."""

from __future__ import annotations

import socket
import threading

import pytest

from bee_plugins.transports import tcp
from bee_plugins.transports.tcp import TcpTransport, refuse_itself, resolve


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def url(listener, host="127.0.0.1"):
    return f"tcp://{host}:{listener.getsockname()[1]}"


def test_a_connection_sends_small_writes_at_once_and_finds_dead_peers(listener):
    with TcpTransport().dial(url(listener), 5.0) as sock:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_a_name_is_resolved(listener):
    with TcpTransport().dial(url(listener, "localhost"), 5.0) as sock:
        assert sock.getpeername() == listener.getsockname()


def test_a_resolver_that_hangs_does_not_take_longer_than_the_timeout(monkeypatch):
    release = threading.Event()
    real = socket.getaddrinfo

    def hang(*args, flags=0, **more):
        if flags & socket.AI_NUMERICHOST:
            return real(*args, flags=flags, **more)
        release.wait(30)
        return []

    monkeypatch.setattr(tcp.socket, "getaddrinfo", hang)
    with pytest.raises(TimeoutError, match=r"svc\.example"):
        resolve("svc.example", 9000, 0.05)
    release.set()


def test_a_name_that_does_not_exist_is_said(monkeypatch):
    real = socket.getaddrinfo

    def unknown(*args, flags=0, **more):
        if flags & socket.AI_NUMERICHOST:
            return real(*args, flags=flags, **more)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(tcp.socket, "getaddrinfo", unknown)
    with pytest.raises(OSError, match="not known"):
        TcpTransport().dial("tcp://svc.example:9000", 5.0)


def test_the_next_address_is_tried_when_the_first_refuses(listener, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        addresses = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", place)
            for place in (closed.getsockname(), listener.getsockname())
        ]
        monkeypatch.setattr(tcp, "resolve", lambda *_: addresses)
        with TcpTransport().dial("tcp://svc.example:9000", 5.0) as sock:
            assert sock.getpeername() == listener.getsockname()


def test_a_socket_that_met_itself_is_a_refused_connection():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.connect(sock.getsockname())
        with pytest.raises(ConnectionRefusedError, match="nobody listens"):
            refuse_itself(sock)


def test_a_real_connection_is_not_refused(listener):
    with socket.create_connection(listener.getsockname()) as sock:
        refuse_itself(sock)
