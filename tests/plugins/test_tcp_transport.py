"""What TCP adds to the stream transports: names, several addresses, faults of ephemeral ports."""

from __future__ import annotations

import socket
import threading

import pytest

from bee_plugins.transports.name_lookup import resolve
from bee_plugins.transports.tcp import TcpTransport, refuse_itself


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def url(listener, host="127.0.0.1"):
    return f"tcp://{host}:{listener.getsockname()[1]}"


def test_a_connection_sends_small_writes_at_once(listener):
    with TcpTransport().dial(url(listener), 5.0) as sock:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_both_ends_find_out_within_90_seconds_that_the_other_has_vanished():
    transport = TcpTransport()
    with transport.bind("tcp://127.0.0.1:0", 5) as listener:
        ours = transport.dial(url(listener), 5.0)
        theirs, _ = listener.accept()
        with ours, theirs:
            for sock in (ours, theirs):
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                idle, interval, count, unacknowledged = (
                    sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
                    for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
                )
                assert idle < 240  # Azure's balancers forget a silent connection after that
                assert idle + count * interval == unacknowledged / 1000 == 90


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

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    with pytest.raises(TimeoutError, match=r"svc\.example"):
        resolve("svc.example", 9000, 0.05)
    release.set()


def test_a_name_that_does_not_exist_is_said(monkeypatch):
    real = socket.getaddrinfo

    def unknown(*args, flags=0, **more):
        if flags & socket.AI_NUMERICHOST:
            return real(*args, flags=flags, **more)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(OSError, match="not known"):
        TcpTransport().dial("tcp://nowhere.example:9000", 5.0)


def test_a_socket_that_met_itself_is_a_refused_connection():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.connect(sock.getsockname())
        with pytest.raises(ConnectionRefusedError, match="nobody listens"):
            refuse_itself(sock)


def test_a_real_connection_is_not_refused(listener):
    with socket.create_connection(listener.getsockname()) as sock:
        refuse_itself(sock)
