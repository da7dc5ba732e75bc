"""What TLS adds to TCP: options, files, and a socket on which OpenSSL has its own traffic."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from bee_core.config import PluginRef
from bee_core.errors import ConfigError
from bee_core.interfaces import ChannelSettings, parse
from bee_core.plugins.hub import PluginHub
from bee_core.terms.causes import lost, refused
from bee_core.terms.failures import HandshakeError
from bee_core.terms.node import Node
from bee_plugins.transports.tls import TlsTransport
from bee_plugins.transports.tls_client import TlsSocket, explained, turned_away
from bee_plugins.transports.tls_contexts import (
    ReloadedContext,
    TlsOptions,
    client_context,
    connection_context,
    server_context,
)
from support.certificates import Authority


@pytest.fixture
def ca(tmp_path):
    return Authority(tmp_path)


def made(options, path="bee.rpc.client.calc.transport"):
    return PluginHub().create(PluginRef("tls", options, path), "transport")


def wrong(options):
    with pytest.raises(ConfigError) as caught:
        made(options)
    return caught.value


# Options.


@pytest.mark.parametrize("option", ["cert", "key", "ca"])
def test_a_file_that_is_missing_is_an_error_at_the_option(ca, tmp_path, option):
    cert, key = ca.issue("own")
    files = {"cert": str(cert), "key": str(key), "ca": str(ca.file)} | {
        option: str(tmp_path / "missing.pem")
    }
    error = wrong(files)
    assert error.path == f"bee.rpc.client.calc.transport.options.{option}"
    assert "missing.pem cannot be read: no such file" in error.message


def test_a_key_of_another_certificate_is_an_error_at_the_key(ca):
    cert, _ = ca.issue("one")
    _, key = ca.issue("two")
    error = wrong({"cert": str(cert), "key": str(key)})
    assert error.path.endswith(".options.key")
    assert "does not belong to the certificate" in error.message


@pytest.mark.parametrize("option", ["key", "key_password"])
def test_a_key_without_a_certificate_is_an_error(ca, option):
    _, key = ca.issue("own")
    error = wrong({option: str(key)})
    assert error.path.endswith(f".options.{option}")
    assert "without cert" in error.message


@pytest.mark.parametrize("option", ["cert", "ca"])
def test_a_file_that_is_no_certificate_is_an_error(ca, tmp_path, option):
    (tmp_path / "words.pem").write_text("words")
    error = wrong({option: str(tmp_path / "words.pem")})
    assert error.path.endswith(f".options.{option}")
    assert "PEM" in error.message


def test_the_key_may_stand_behind_its_certificate(ca, tmp_path):
    cert, key = ca.issue("own")
    both = tmp_path / "both.pem"
    both.write_bytes(key.read_bytes() + cert.read_bytes())
    made({"cert": str(both)})


@pytest.fixture
def encrypted(ca):
    cert, key = ca.issue("own")
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    how = (
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"open sesame"),
    )
    key.write_bytes(private.private_bytes(*how))
    return {"cert": str(cert), "key": str(key)}


def test_an_encrypted_key_is_opened_with_its_password(encrypted):
    made({**encrypted, "key_password": "open sesame"})


def test_an_encrypted_key_without_its_password_is_an_error_and_nobody_is_asked_at_the_terminal(
    encrypted,
):
    error = wrong(encrypted)
    assert error.path.endswith(".options.key_password")
    assert "state its password" in error.message


def test_a_wrong_password_is_an_error_that_does_not_show_it(encrypted):
    error = wrong({**encrypted, "key_password": "open barley"})
    assert "does not open" in error.message
    assert "barley" not in repr(error) + str(error) + repr(error.value)
    assert "barley" not in repr(TlsOptions(key_password="open barley"))


def test_a_version_of_tls_that_is_not_offered_is_an_error():
    assert "1.1" in wrong({"min_version": "1.1"}).message


def test_old_versions_are_not_spoken(ca):
    cert, key = ca.issue("own")
    for context in (client_context(TlsOptions()), server_context(TlsOptions(cert, key))):
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert client_context(TlsOptions(min_version="1.3")).minimum_version == ssl.TLSVersion.TLSv1_3


def test_a_client_verifies_unless_it_is_told_not_to_and_that_is_logged(ca, caplog):
    context = client_context(TlsOptions(ca=ca.file))
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    TlsTransport(TlsOptions())
    assert caplog.text == ""
    TlsTransport(TlsOptions(verify=False))
    assert "verify is off" in caplog.text


def test_a_server_asks_for_certificates_only_when_it_has_an_authority_for_them(ca):
    cert, key = ca.issue("own")
    assert server_context(TlsOptions(cert, key)).verify_mode == ssl.CERT_NONE
    assert server_context(TlsOptions(cert, key, ca=ca.file)).verify_mode == ssl.CERT_REQUIRED


# Files that change.


def test_the_context_is_the_same_until_a_file_changes(ca):
    cert, key = ca.issue("own")
    contexts = ReloadedContext(TlsOptions(cert, key, ca=ca.file), server_context)
    first = contexts.current()
    assert contexts.current() is first
    ca.issue("own")
    second = contexts.current()
    assert second is not first
    assert contexts.current() is second


def test_while_certificate_and_key_do_not_belong_together_the_old_pair_stays(ca, caplog):
    cert, key = ca.issue("own")
    contexts = ReloadedContext(TlsOptions(cert, key), server_context)
    first = contexts.current()
    other = ca.issue("other")
    cert.write_bytes(other[0].read_bytes())
    assert contexts.current() is first
    assert contexts.current() is first
    assert caplog.text.count("does not belong") == 1
    key.write_bytes(other[1].read_bytes())
    assert contexts.current() is not first


def test_the_first_context_of_files_that_cannot_be_used_is_an_error(ca):
    cert, key = ca.issue("own")
    contexts = ReloadedContext(TlsOptions(cert, key), server_context)
    cert.write_bytes(b"")
    with pytest.raises(ValueError, match="PEM"):
        contexts.current()


# The socket.


@pytest.fixture
def ends(ca):
    """A client's TlsSocket and a server's SSLSocket, joined.

    The server sends two tickets for later sessions, as most other servers do.
    """
    ours, theirs = socket.socketpair()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*ca.issue("server"))
    served = []
    thread = threading.Thread(
        target=lambda: served.append(context.wrap_socket(theirs, server_side=True))
    )
    thread.start()
    client = client_context(TlsOptions(ca=ca.file)).wrap_socket(ours, server_hostname="127.0.0.1")
    thread.join()
    client.setblocking(False)
    yield client, served[0]
    client.close()
    served[0].close()


def readable(sock):
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(5000))


def test_a_ticket_on_an_idle_connection_is_readable_and_no_data(ends):
    client, server = ends
    assert isinstance(client, TlsSocket)
    assert readable(client), "the tickets are there"
    with pytest.raises(BlockingIOError):
        client.recv(1)
    server.send(b"honey")
    assert readable(client)
    assert client.recv(100) == b"honey"


def test_nothing_stays_behind_where_a_poll_cannot_see_it(ends):
    client, server = ends
    sent = os.urandom(100_000)
    thread = threading.Thread(target=server.sendall, args=(sent,))
    thread.start()
    received = b""
    while len(received) < len(sent):
        assert readable(client)
        try:
            received += client.recv(1 << 20)
        except BlockingIOError:
            continue
        assert client.pending() == 0
    thread.join()
    assert received == sent


def test_a_send_that_blocks_is_repeated_with_the_same_bytes(ends):
    client, server = ends
    data = os.urandom(4_000_000)
    received = bytearray()

    def read():
        while len(received) < len(data):
            received.extend(server.recv(65536))

    with pytest.raises(BlockingIOError):
        client.send(data)
    thread = threading.Thread(target=read)
    thread.start()
    poll = select.poll()
    poll.register(client.fileno(), select.POLLOUT)
    sent = 0
    while not sent:
        assert poll.poll(5000)
        with contextlib.suppress(BlockingIOError):
            sent = client.send(memoryview(data))
    thread.join()
    assert sent == len(data)
    assert received == data


def test_of_two_buffers_the_first_may_have_been_sent_when_the_second_blocks(ends):
    client, _ = ends
    assert client.sendmsg((b"head", bytes(4_000_000))) == 4


def test_two_buffers_go_out_one_behind_the_other(ends):
    client, server = ends
    assert client.sendmsg((b"head", b"body")) == 8
    assert server.recv(100) + server.recv(100) == b"headbody"


def test_an_interrupted_connection_is_at_its_end_and_sends_nothing_in_clear(ends):
    client, server = ends
    client.shutdown(socket.SHUT_RD)
    while True:
        try:
            assert client.recv(100) == b""
            break
        except BlockingIOError:
            continue
    with contextlib.suppress(OSError):
        client.send(b"cancel")
    client.close()
    raw = socket.socket.recv(server, 1000)
    assert b"cancel" not in raw
    assert raw[:1] in {b"", b"\x15", b"\x17"}, "TLS records: an alert, or data"


def test_a_close_says_goodbye(ends):
    client, server = ends
    server.suppress_ragged_eofs = False
    client.close()
    assert server.recv(100) == b"", "a connection that just ends would be an error here"


def test_a_detached_socket_says_nothing(ends):
    client, server = ends
    server.suppress_ragged_eofs = False
    os.close(client.detach())
    with pytest.raises(
        (ssl.SSLEOFError, ConnectionResetError)
    ):  # the latter where the tickets were not read
        server.recv(100)


def test_when_openssl_has_to_write_in_order_to_read_the_poll_waits_for_that(ends, monkeypatch):
    client, server = ends
    client.readiness = poll = select.poll()
    poll.register(client.fileno(), select.POLLIN)

    def blocked(*_):
        raise ssl.SSLWantWriteError

    with monkeypatch.context() as patch:
        patch.setattr(ssl.SSLSocket, "recv", blocked)
        with pytest.raises(BlockingIOError):
            client.recv(100)
    assert poll.poll(5000) == [(client.fileno(), select.POLLOUT)]
    server.send(b"honey")
    received = b""
    while not received:
        try:
            received = client.recv(100)
        except BlockingIOError:  # noqa: PERF203  a ticket
            assert poll.poll(5000) == [(client.fileno(), select.POLLIN)]
    assert received == b"honey"


def connection_of(ends, ca):
    settings = ChannelSettings(
        service="calc", codec="json", compressor=None, max_body=1000, clock=time.monotonic
    )
    transport = TlsTransport(TlsOptions(ca=ca.file))
    channel = transport.channel(Node("a", "tls://127.0.0.1:1"), settings)
    return transport.connection(channel, ends[0])


def test_an_idle_connection_is_not_stale_because_of_tickets(ends, ca):
    connection = connection_of(ends, ca)
    assert readable(ends[0]), "the tickets are there"
    assert not connection.stale()
    assert not connection.stale()


@pytest.mark.parametrize("how", ["a goaway", "a goodbye", "the end of the connection"])
def test_an_idle_connection_is_stale_when_the_server_has_said_something_or_gone(ends, ca, how):
    client, server = ends
    connection = connection_of(ends, ca)
    assert not connection.stale()
    if how == "a goaway":
        server.send(b"goaway")
    elif how == "a goodbye":
        with contextlib.suppress(OSError):
            server.setblocking(False)
            server.unwrap()
    else:
        socket.socket.shutdown(server, socket.SHUT_RDWR)
    assert readable(client)
    assert connection.stale()


# Errors.


def ssl_error(reason, cls=ssl.SSLError):
    error = cls(1, f"[SSL: {reason}] words (_ssl.c:1)")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    "reason",
    [
        "TLSV13_ALERT_CERTIFICATE_REQUIRED",
        "TLSV1_ALERT_UNKNOWN_CA",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_HANDSHAKE_FAILURE",
    ],
)
def test_a_server_that_does_not_want_this_client_is_not_asked_again_and_not_blamed(reason):
    error = explained(ssl_error(reason))
    for failure in (refused(error), lost(error, greeted=False)):
        assert (failure.kind, failure.executed, failure.retry, failure.blame) == (
            "unauthenticated",
            "no",
            "never",
            "caller",
        )
        assert "state cert and key" in failure.message


@pytest.mark.parametrize(
    "reason",
    [
        "DECRYPTION_FAILED_OR_BAD_RECORD_MAC",
        "TLSV1_ALERT_INTERNAL_ERROR",
        "SSLV3_ALERT_BAD_RECORD_MAC",
        "WRONG_VERSION_NUMBER",
    ],
)
def test_what_breaks_a_connection_after_the_handshake_leaves_open_whether_a_request_ran(reason):
    failure = lost(turned_away(ssl_error(reason)), greeted=False)
    assert (failure.kind, failure.executed, failure.blame) == ("unavailable", "maybe", "node")


def test_a_damaged_record_is_an_error_of_the_connection(ends):
    client, server = ends
    assert readable(client)
    with pytest.raises(BlockingIOError):
        client.recv(1)
    socket.socket.sendall(server, b"\x17\x03\x03\x00\x20" + bytes(32))
    assert readable(client)

    def read_on():
        while True:
            with contextlib.suppress(BlockingIOError):
                client.recv(100)

    with pytest.raises(ssl.SSLError, match=r"(?i)mac"):
        read_on()


def test_the_same_alert_after_the_servers_first_word_proves_nothing():
    failure = lost(explained(ssl_error("TLSV1_ALERT_ACCESS_DENIED")))
    assert (failure.kind, failure.executed) == ("unavailable", "maybe")


@pytest.mark.parametrize(
    "reason",
    [
        "WRONG_VERSION_NUMBER",
        "UNSUPPORTED_PROTOCOL",
        "TLSV1_ALERT_PROTOCOL_VERSION",
        "TLSV1_ALERT_INTERNAL_ERROR",
    ],
)
def test_any_other_handshake_that_fails_is_the_nodes_fault_and_tried_elsewhere(reason):
    failure = refused(explained(ssl_error(reason)))
    assert (failure.kind, failure.executed, failure.retry, failure.blame) == (
        "unavailable",
        "no",
        "other",
        "node",
    )


def test_an_end_in_the_middle_of_a_handshake_is_a_connection_that_did_not_come_about():
    error = explained(ssl_error("UNEXPECTED_EOF_WHILE_READING", ssl.SSLEOFError))
    assert not isinstance(error, HandshakeError)
    assert refused(error).retry == "same"


def test_the_log_of_a_failed_handshake_names_the_peer_as_an_address(ca, caplog):
    cert, key = ca.issue("own")
    caplog.set_level(logging.INFO, "bee.tls")

    async def speak_plain_text():
        transport = TlsTransport(TlsOptions(cert=cert, key=key))
        acceptor = await transport.accept("tls://127.0.0.1:0", asyncio.Protocol, 8)
        reader, writer = await asyncio.open_connection("127.0.0.1", parse(acceptor.url).port)
        writer.write(b"GET / HTTP/1.1\\r\\n\\r\\n")
        await reader.read()
        port = writer.get_extra_info("sockname")[1]
        writer.close()
        acceptor.close()
        await acceptor.end_handshakes()
        return port

    port = asyncio.run(speak_plain_text())
    assert f"the TLS handshake with 127.0.0.1:{port} failed: http request" in caplog.text


def shake_hands(server, client, session=None):
    """A handshake in memory; the two ends of it."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    ours = client.wrap_bio(to_client, to_server, session=session)
    for _ in range(6):
        for end in (ours, theirs):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    return ours, theirs


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_no_session_is_resumed_in_any_version(ca, version):
    # A client whose certificate has expired meanwhile would get in with its old session.
    cert, key = ca.issue("own")
    shared = ReloadedContext(TlsOptions(cert=cert, key=key, ca=ca.file), server_context).current()
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.load_verify_locations(ca.file)
    client.load_cert_chain(cert, key)
    client.minimum_version = client.maximum_version = ssl.TLSVersion[version]
    ours, theirs = shake_hands(connection_context(shared, lambda _: None), client)
    assert theirs.getpeercert()
    for _ in range(2):
        again, there = shake_hands(
            connection_context(shared, lambda _: None), client, session=ours.session
        )
        assert there.version() == version.replace("_", ".")
        assert not again.session_reused
        assert not there.session_reused
        assert there.getpeercert()


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_silent_peers_take_one_descriptor_each_and_count_like_connections(ca):
    cert, key = ca.issue("own")

    async def main():
        transport = TlsTransport(TlsOptions(cert=cert, key=key))
        acceptor = await transport.accept(
            "tls://127.0.0.1:0",
            asyncio.Protocol,
            64,
            has_room=lambda _, under_way, __: under_way < 20,
        )
        place = "127.0.0.1", parse(acceptor.url).port
        before = descriptors()
        peers = [await asyncio.open_connection(*place) for _ in range(20)]
        for _ in range(200):
            if descriptors() >= before + 40:
                break
            await asyncio.sleep(0.01)
        assert descriptors() == before + 40  # one at each end
        reader, writer = await asyncio.open_connection(*place)
        assert await reader.read() == b""  # one more than there is room for
        for _, each in (*peers, (reader, writer)):
            each.close()
        acceptor.close()
        await acceptor.end_handshakes()

    asyncio.run(main())


def test_failed_handshakes_have_one_log_line_with_their_count(ca, caplog):
    cert, key = ca.issue("own")
    caplog.set_level(logging.INFO, "bee.tls")

    async def main():
        transport = TlsTransport(TlsOptions(cert=cert, key=key))
        acceptor = await transport.accept("tls://127.0.0.1:0", asyncio.Protocol, 64)
        for _ in range(30):
            reader, writer = await asyncio.open_connection("127.0.0.1", parse(acceptor.url).port)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            assert b"tls://" in await reader.read()  # the peer is told why, each time
            writer.close()
        acceptor.close()
        await acceptor.end_handshakes()

    asyncio.run(main())
    first, rest = [record.message for record in caplog.records]
    assert "failed: http request" in first
    assert rest.startswith("29 TLS handshakes on tls://127.0.0.1:")
