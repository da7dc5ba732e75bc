"""TLS with real sockets.

Who gets in, who does not and is told why, and what peers that misbehave in the handshake cost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

import bee_core
from bee_core.errors import CallError, CircuitOpen, ProtocolError, Unauthenticated, Unavailable
from bee_core.terms.addresses import parse
from bee_core.testing import MemoryRegistry
from bee_core.wire import frames
from faults.rawpeer import RawClient, hello, request
from faults.services import Calculator, server_config, serving
from faults.users import client_config
from support.certificates import Authority, tls
from support.patience import PATIENCE, scaled
from support.plugin_objects import offering


class Secured(Calculator):
    def subject(self) -> str | None:
        certificate = bee_core.current_call().peer_certificate
        return (
            None
            if certificate is None
            else next(value for kind, value in certificate["subjectAltName"] if kind == "email")
        )

    def connection(self) -> str:
        return bee_core.current_call().peer


@pytest.fixture
def ca(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def calculator():
    return Secured()


@contextlib.contextmanager
def serving_on_asyncio(target, **settings):
    """As ``serving``, on asyncio's own loop and not uvloop's."""
    server = bee_core.build_server(server_config(**settings))
    server.add(target)
    ready, failed = threading.Event(), []
    loop = asyncio.new_event_loop()
    stopping = asyncio.Event()

    async def serve():
        async with server:
            ready.set()
            await stopping.wait()

    def work():
        try:
            loop.run_until_complete(serve())
        except BaseException as error:
            failed.append(error)
            ready.set()
        finally:
            loop.close()

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait(PATIENCE)
    try:
        assert not failed
        yield server
    finally:
        target.release.set()
        loop.call_soon_threadsafe(stopping.set)
        thread.join(PATIENCE)
    assert not failed
    assert not thread.is_alive()


@pytest.fixture(params=["uvloop", "asyncio"])
def serve(request, calculator, ca):
    """Serves the calculator on TLS.

    ``serve(**settings)``; options of the transport under ``options``.
    """
    with contextlib.ExitStack() as stack:
        start = serving if request.param == "uvloop" else serving_on_asyncio

        def make(options=(), cert=None, **settings):
            transport = tls(cert or ca.issue("server"), **dict(options))
            return stack.enter_context(
                start(
                    calculator, transport=transport, **{"address": "tls://127.0.0.1:0"} | settings
                )
            )

        yield make


def told(error):
    return str(error.value)


# Who gets in.


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_calls_go_over_tls_when_the_certificate_is_for_the_host_and_from_the_authority(
    serve, users, ca, host
):
    server = serve()
    assert server.address.startswith("tls://127.0.0.1:")
    user = users(server.address.replace("127.0.0.1", host), transport=tls(ca=ca.file))
    assert user.call("add", 1, 2) == 3
    assert user.call("subject") is None


@pytest.mark.parametrize("size", [0, 1, 16_000, 16_384, 70_000, 1_500_000])
def test_bodies_of_every_size_arrive_whole_in_both_directions(serve, users, ca, size):
    user = users(serve().address, transport=tls(ca=ca.file), compress=None)
    text = "".join(chr(ord("a") + number % 26) for number in range(1000)) * (size // 1000 + 1)
    assert user.call("echo", text[:size]) == text[:size]
    assert user.call("letters", size) == "a" * size


def test_many_calls_at_a_time_are_answered_each_with_its_own(serve, users, ca):
    user = users(serve().address, transport=tls(ca=ca.file))
    pending = [user.start("add", number, number) for number in range(200)]
    assert [one.result(PATIENCE) for one in pending] == [2 * number for number in range(200)]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_client_certificate_is_asked_for_verified_and_shown_to_the_handler(
    serve, users, ca, version
):
    server = serve({"ca": ca.file, "min_version": "1.2"})
    user = users(
        server.address,
        transport=tls(ca.issue("client", "billing@example.org"), ca=ca.file, min_version=version),
    )
    assert user.call("subject") == "billing@example.org"


def test_a_server_can_listen_on_tcp_and_tls_and_unix_at_once(serve, users, ca, tmp_path):
    server = serve(
        address=["tcp://127.0.0.1:0", "tls://127.0.0.1:0", f"unix://{tmp_path}/calc.sock"]
    )
    assert [parse(url).scheme for url in server.addresses] == ["tcp", "tls", "unix"]
    for url in server.addresses:
        assert users(url, transport=tls(ca=ca.file)).call("add", 1, 2) == 3


def test_the_name_to_verify_can_be_stated(serve, users, ca):
    server = serve(cert=ca.issue("named", "calc.internal"))
    assert (
        users(server.address, transport=tls(ca=ca.file, server_hostname="calc.internal")).call(
            "add", 1, 2
        )
        == 3
    )


def test_verification_is_off_only_when_asked_for_and_then_there_is_a_warning(
    serve, users, tmp_path, caplog
):
    server = serve(cert=Authority(tmp_path, "strangers").expired("stranger"))
    assert users(server.address, transport=tls(verify=False)).call("add", 1, 2) == 3
    assert "verify is off" in caplog.text


# Who does not get in, and is told why.


def refusal(user, kind=Unavailable):
    before = time.monotonic()
    with pytest.raises(kind) as caught:
        user.call("add", 1, 2)
    assert time.monotonic() - before < scaled(5), "it is told, and does not wait"
    assert "timeout" not in str(caught.value), "it is told, and does not wait"
    assert caught.value.executed == "no"
    assert caught.value.attempts == 1, "the same node is not asked again for what does not change"
    return str(caught.value)


def test_an_expired_certificate_is_refused(serve, users, ca, calculator):
    server = serve(cert=ca.expired("old"))
    assert "authority above it, has expired; renew it" in refusal(
        users(server.address, transport=tls(ca=ca.file), fail="failtry")
    )
    assert calculator.runs == 0


def test_a_certificate_for_another_host_is_refused(serve, users, ca, calculator):
    server = serve(cert=ca.issue("other", "other.example"))
    said = refusal(users(server.address, transport=tls(ca=ca.file), fail="failtry"))
    assert "mismatch" in said
    assert "server_hostname" in said
    assert calculator.runs == 0


def test_an_authority_that_is_not_known_is_refused(serve, users, ca, tmp_path):
    server = serve()
    other = Authority(tmp_path, "other")
    assert "does not know" in refusal(
        users(server.address, transport=tls(ca=other.file), fail="failtry")
    )
    assert "state it as ca" in refusal(users(server.address, fail="failtry")), (
        "the system does not know it either"
    )


def test_failover_goes_on_to_a_node_whose_certificate_is_good(serve, users, ca):
    good, bad = serve(), serve(cert=ca.expired("old"))
    user = users(bad.address, good.address, transport=tls(ca=ca.file), balancer="round-robin")
    assert [user.call("add", number, 1) for number in range(10)] == [
        number + 1 for number in range(10)
    ]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_client_without_a_certificate_is_unauthenticated_where_one_is_wanted(
    serve, users, ca, calculator, version
):
    server = serve({"ca": ca.file, "min_version": version}, address="tls://127.0.0.1:0")
    user = users(server.address, transport=tls(ca=ca.file), fail="failover", retries=3)
    for _ in range(3):
        assert "state cert and key" in refusal(user, Unauthenticated)
    assert calculator.runs == 0


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_of_either_version_is_told_by_an_alert_that_a_certificate_is_wanted(
    serve, ca, version
):
    server = serve({"ca": ca.file})
    context = ssl.create_default_context(cafile=str(ca.file))
    context.maximum_version = version
    address = parse(server.address)

    def talk():
        with (
            socket.create_connection((address.host, address.port), PATIENCE) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as sock,
        ):
            sock.sendall(bytes(200_000))
            sock.recv(100)

    with pytest.raises(ssl.SSLError, match="alert"):
        talk()


def test_a_client_certificate_of_another_authority_or_out_of_date_is_unauthenticated(
    serve, users, ca, tmp_path, calculator
):
    server = serve({"ca": ca.file})
    for cert in (
        Authority(tmp_path, "other").issue("foreign", "a@example.org"),
        ca.expired("old-client"),
    ):
        assert "certificate" in refusal(
            users(server.address, transport=tls(cert, ca=ca.file)), Unauthenticated
        )
    assert calculator.runs == 0


def test_a_large_request_of_a_client_that_is_turned_away_did_not_run_and_is_told_so(
    serve, users, ca, calculator
):
    server = serve({"ca": ca.file})
    user = users(server.address, transport=tls(ca=ca.file), compress=None)
    with pytest.raises(CallError) as caught:
        user.call("size", "x" * 1_500_000)
    assert caught.value.executed == "no"
    assert calculator.runs == 0


def test_versions_of_tls_that_do_not_meet_are_said(serve, ca):
    server = serve({"min_version": "1.3"})
    context = ssl.create_default_context(cafile=str(ca.file))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    address = parse(server.address)
    with (
        socket.create_connection((address.host, address.port), PATIENCE) as plain,
        pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"),
    ):
        context.wrap_socket(plain, server_hostname="127.0.0.1")


def test_a_tls_client_on_a_plain_port_is_told_what_to_write(users, ca, calculator):
    with serving(calculator) as server:
        said = refusal(users(server.address.replace("tcp://", "tls://"), transport=tls(ca=ca.file)))
        assert "does not speak TLS" in said
        assert "tcp://" in said
        assert users(server.address).call("add", 1, 2) == 3


def test_a_plain_client_on_a_tls_port_is_told_what_to_write(serve, users, ca, calculator):
    server = serve()
    said = refusal(users(server.address.replace("tls://", "tcp://")), ProtocolError)
    assert "write tls:// in the client's address" in said
    assert calculator.runs == 0
    assert users(server.address, transport=tls(ca=ca.file)).call("add", 1, 2) == 3


def test_a_tls_server_of_another_kind_is_recognised_by_a_plain_client(users):
    with socket.create_server(("127.0.0.1", 0)) as door:

        def answer():
            sock, _ = door.accept()
            with sock:
                sock.recv(1000)
                sock.sendall(b"\x15\x03\x01\x00\x02\x02\x46")
                sock.recv(1000)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(ProtocolError, match="these bytes are TLS"):
            users(f"tcp://127.0.0.1:{door.getsockname()[1]}", retries=0).call("add", 1, 2)
        thread.join(PATIENCE)


# Peers that misbehave in the handshake.


def test_garbage_in_the_handshake_ends_the_connection_and_nobody_else_notices(serve, users, ca):
    server = serve()
    user = users(server.address, transport=tls(ca=ca.file))
    assert user.call("add", 1, 2) == 3
    garbage = [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x00\x20" + os.urandom(32),
        bytes(64),
        b"\xff" * 64,
        b"\x16\x03\x01\xff\xff" + bytes(70_000),
    ]
    for data in garbage:
        with RawClient(server.address) as peer:
            with contextlib.suppress(OSError):
                peer.send(data)
            assert peer.closed_within(5)
    assert user.call("add", 3, 4) == 7


def client_hello(ca):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    start = ssl.create_default_context(cafile=str(ca.file)).wrap_bio(
        incoming, outgoing, server_hostname="127.0.0.1"
    )
    with pytest.raises(ssl.SSLWantReadError):
        start.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize(
    "share", [0.0, 0.5, 1.0], ids=["nothing", "half a handshake", "a client hello"]
)
def test_a_peer_that_falls_silent_in_the_handshake_is_cut_off_after_read_timeout(
    serve, users, ca, share
):
    server = serve(read_timeout=0.3)
    start = client_hello(ca)
    with RawClient(server.address) as peer:
        peer.send(start[: int(len(start) * share)])
        assert users(server.address, transport=tls(ca=ca.file)).call("add", 1, 2) == 3, (
            "others are let in meanwhile"
        )
        assert peer.closed_within(5)


def test_a_flood_of_silent_peers_keeps_no_more_than_max_conn_size_handshakes_and_ends(
    serve, users, ca
):
    server = serve(max_conn_size=20, read_timeout=0.5)
    user = users(server.address, transport=tls(ca=ca.file))
    assert user.call("add", 1, 2) == 3
    address = parse(server.address)
    with contextlib.ExitStack() as stack:
        peers = [
            stack.enter_context(socket.create_connection((address.host, address.port), PATIENCE))
            for _ in range(60)
        ]
        assert user.call("add", 3, 4) == 7, "who is in stays in"
        for peer in peers:
            with contextlib.suppress(ConnectionResetError):
                assert peer.recv(1) == b""
        assert users(server.address, transport=tls(ca=ca.file)).call("add", 5, 6) == 11


def test_many_clients_that_connect_at_once_are_all_let_in(serve, ca, users):
    server = serve()
    made = [users(server.address, transport=tls(ca=ca.file)) for _ in range(30)]
    with ThreadPoolExecutor(30) as pool:
        assert list(pool.map(lambda user: user.call("add", 1, 2), made)) == [3] * 30


def test_a_server_that_never_answers_the_handshake_takes_no_longer_than_connect_timeout(users, ca):
    with socket.create_server(("127.0.0.1", 0)) as door:
        user = users(
            f"tls://127.0.0.1:{door.getsockname()[1]}",
            transport=tls(ca=ca.file),
            connect_timeout=0.2,
            retries=0,
        )
        before = time.monotonic()
        with pytest.raises(Unavailable, match="connect_timeout") as caught:
            user.call("add", 1, 2)
        assert time.monotonic() - before < scaled(5)
        assert caught.value.executed == "no"


def test_a_connection_over_max_conn_size_is_refused_with_the_reason(serve, users, ca):
    server = serve(max_conn_size=1)
    first = users(server.address, transport=tls(ca=ca.file))
    assert first.call("add", 1, 2) == 3
    with pytest.raises(CallError, match="max_conn_size") as caught:
        users(server.address, transport=tls(ca=ca.file), retries=0).call("add", 1, 2)
    assert caught.value.kind == "overloaded"
    assert caught.value.executed == "no"


def test_a_refused_hello_reaches_a_client_that_is_still_sending(serve, users, ca, calculator):
    server = serve()
    user = users(server.address, service="other", transport=tls(ca=ca.file), compress=None)
    with pytest.raises(ProtocolError, match="this is the service 'calc'") as caught:
        user.call("size", "x" * 1_500_000)
    assert caught.value.executed == "no"
    assert calculator.runs == 0


def test_a_peer_that_says_no_hello_on_tls_is_cut_off_after_read_timeout(serve, ca):
    server = serve(read_timeout=0.3)
    address = parse(server.address)
    context = ssl.create_default_context(cafile=str(ca.file))
    with (
        socket.create_connection((address.host, address.port), PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as sock,
    ):
        decoder = frames.FrameDecoder(1 << 20)
        received = []
        with contextlib.suppress(OSError):
            while data := sock.recv(4096):
                received += decoder.feed(data)
        assert [frame.kind for frame in received] == [frames.GOAWAY]


# The life of a connection.


def test_a_call_that_times_out_is_cancelled_at_the_server(serve, users, ca, calculator):
    user = users(serve().address, transport=tls(ca=ca.file), retries=0)
    with pytest.raises(CallError):
        user.call("hold_async", 1, options={"timeout": 0.2})
    calculator.await_cancelled()


def test_a_client_that_closes_ends_its_calls_and_the_server_hears_of_it(
    serve, users, ca, calculator
):
    user = users(serve().address, transport=tls(ca=ca.file), retries=0)
    pending = user.start("hold_async", 1)
    calculator.await_entered()
    user.close_client()
    with pytest.raises(CallError):
        pending.result(PATIENCE)
    calculator.await_cancelled()


def test_a_server_that_drains_answers_what_is_in_flight_and_sends_the_rest_elsewhere(
    ca, users, calculator
):
    other = Secured()
    cert = ca.issue("server")
    with serving(other, address="tls://127.0.0.1:0", transport=tls(cert)) as stays:
        with serving(calculator, address="tls://127.0.0.1:0", transport=tls(cert)) as leaves:
            user = users(
                leaves.address, stays.address, transport=tls(ca=ca.file), balancer="round-robin"
            )
            held = [user.start("hold", number) for number in range(2)]
            calculator.await_entered()
            other.await_entered()
            calculator.release.set()
            other.release.set()
            assert sorted(one.result(PATIENCE) for one in held) == [0, 1]
        assert [user.call("add", number, 0) for number in range(6)] == list(range(6))


def test_a_server_that_stops_does_not_wait_for_handshakes_that_are_under_way(ca, calculator):
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(
            serving(
                calculator,
                address="tls://127.0.0.1:0",
                transport=tls(ca.issue("server")),
                read_timeout=10 * PATIENCE,
            )
        )
        peers = [stack.enter_context(RawClient(server.address)) for _ in range(5)]
        with RawClient(server.address) as last:
            last.send(b"not TLS")  # the others came before it, so once it is answered they are in
            assert last.closed_within(PATIENCE)
        stopping = stack.pop_all()
        threading.Thread(target=stopping.close).start()
        assert all(peer.closed_within(PATIENCE) for peer in peers)


def test_a_forked_child_lets_go_of_the_parents_connection_without_a_word(serve, ca):
    server = serve()
    with bee_core.build_client(
        {
            "bee": {
                "rpc": {
                    "client": {"calc": {"address": server.address, "transport": tls(ca=ca.file)}}
                }
            }
        }
    ) as client:
        calc = client.service("calc")
        connection = calc.connection()
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # the server's thread; the child does not touch it
            pid = os.fork()
        if pid == 0:
            code = 1
            with contextlib.suppress(BaseException):
                code = 0 if calc.add(1, 2) == 3 and calc.connection() != connection else 2
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert calc.connection() == connection, "the parent's connection is as it was"


def test_a_server_that_registers_announces_its_tls_address_and_clients_find_it(
    ca, kind, calculator
):
    registry = MemoryRegistry()
    config = server_config(
        address="tls://127.0.0.1:0", transport=tls(ca.issue("server")), register=True
    )
    config["bee"]["rpc"]["registry"] = {"protocol": "memory"}
    server = bee_core.build_server(config, plugins=[registry])
    server.add(calculator)
    settings = {
        "bee": {
            "rpc": {
                "registry": {"protocol": "memory"},
                "client": {"calc": {"transport": tls(ca=ca.file)}},
            }
        }
    }
    with server.in_thread():
        registry.wait_for_nodes("calc", 1)
        if kind == "blocking":
            with bee_core.build_client(settings, plugins=[registry]) as client:
                assert (
                    bee_core.detailed(client.service("calc").add, 1, 2).node.url == server.address
                )
        else:

            async def call():
                async with bee_core.build_async_client(settings, plugins=[registry]) as client:
                    return (await bee_core.detailed(client.service("calc").add, 1, 2)).node.url

            assert asyncio.run(call()) == server.address


def test_a_node_that_was_cut_off_is_pinged_over_tls_and_comes_back(ca, calculator):
    came_back = threading.Event()

    class Watch:
        def breaker_changed(self, service, node, before, after):
            if after == "half-open":
                came_back.set()

    cert = ca.expired("server")
    with serving(calculator, address="tls://127.0.0.1:0", transport=tls(cert)) as server:
        breaker = {"name": "consecutive", "options": {"max_error_count": 1}}
        config = client_config(
            server.address, transport=tls(ca=ca.file), retries=0, breaker=breaker
        )
        config["bee"]["rpc"]["registry"] = {"protocol": "direct", "heartbeat_interval": 0.2}
        config["bee"]["application"] = {"observers": "watch"}
        with bee_core.build_client(
            config, plugins=[offering("observer", "watch", Watch)]
        ) as client:
            with pytest.raises(Unavailable, match="expired"):
                client.service("calc").add(1, 2)
            with pytest.raises(CircuitOpen):
                client.service("calc").add(1, 2)
            ca.issue("server")
            assert came_back.wait(PATIENCE)
            assert client.service("calc").add(1, 2) == 3


# Certificates that change while the server runs.


def test_a_new_certificate_is_used_by_new_connections_and_the_old_ones_go_on(
    serve, users, ca, tmp_path, caplog
):
    caplog.set_level(logging.INFO, "bee.tls")
    server = serve(cert=ca.issue("server"))
    old = users(server.address, transport=tls(ca=ca.file))
    connection = old.call("connection")
    newer = Authority(tmp_path, "newer")
    newer.issue("server")
    assert old.call("connection") == connection
    assert users(server.address, transport=tls(ca=newer.file)).call("add", 1, 2) == 3
    assert "does not know" in refusal(users(server.address, transport=tls(ca=ca.file)))
    assert old.call("connection") == connection


def test_a_broken_new_certificate_leaves_the_old_one_in_use_and_is_warned_of_once(
    serve, users, ca, caplog
):
    cert = ca.issue("server")
    server = serve(cert=cert)
    assert users(server.address, transport=tls(ca=ca.file)).call("add", 1, 2) == 3
    cert[0].write_bytes(b"-----BEGIN CERTIFICATE-----\nhalf of")
    for _ in range(3):
        assert users(server.address, transport=tls(ca=ca.file)).call("add", 1, 2) == 3
    assert caplog.text.count("cannot be used, so those read before stay in use") == 1
    ca.issue("server")
    assert users(server.address, transport=tls(ca=ca.file)).call("add", 1, 2) == 3
    assert caplog.text.count("stay in use") == 1


def test_a_certificate_that_was_removed_leaves_the_last_one_in_use(serve, users, ca, caplog):
    cert = ca.issue("server")
    server = serve(cert=cert)
    cert[0].unlink()
    assert users(server.address, transport=tls(ca=ca.file)).call("add", 1, 2) == 3
    assert caplog.text.count("stay in use") == 1


def test_a_server_takes_a_new_authority_for_its_clients_and_drops_the_old_one(
    serve, users, ca, tmp_path
):
    clients = Authority(tmp_path, "clients")
    server = serve({"ca": clients.file})
    old = clients.issue("old", "old@example.org")
    assert (
        users(server.address, transport=tls(old, ca=ca.file)).call("subject") == "old@example.org"
    )
    new = Authority(tmp_path, "clients").issue("new", "new@example.org")
    assert (
        users(server.address, transport=tls(new, ca=ca.file)).call("subject") == "new@example.org"
    )
    refusal(users(server.address, transport=tls(old, ca=ca.file)), Unauthenticated)


def test_a_client_takes_new_files_for_its_next_connection(serve, users, ca, tmp_path):
    server = serve(cert=ca.issue("server"))
    trusted = Authority(tmp_path, "trusted")
    user = users(server.address, transport=tls(ca=trusted.file))
    refusal(user)
    trusted.file.write_bytes(ca.file.read_bytes())
    assert user.call("add", 1, 2) == 3


def test_the_hello_and_a_request_of_another_implementation_are_served(serve, ca):
    server = serve()
    address = parse(server.address)
    context = ssl.create_default_context(cafile=str(ca.file))
    with (
        socket.create_connection((address.host, address.port), PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as sock,
    ):
        sock.sendall(hello() + request(1, "add", b"[1,2]"))
        decoder, found = frames.FrameDecoder(1 << 20), []
        while len(found) < 2:
            found += decoder.feed(sock.recv(4096))
        assert [frame.kind for frame in found] == [frames.HELLO_ACK, frames.RESPONSE]
        assert found[1].body == b"3"


@pytest.mark.parametrize("method", [b"GET", b"POST", b"CONNECT"])
def test_http_without_tls_is_answered_in_http(serve, ca, method):
    server = serve()
    address = parse(server.address)
    with socket.create_connection((address.host, address.port), PATIENCE) as sock:
        sock.sendall(method + b" / HTTP/1.1\r\nHost: calc\r\n\r\n")
        said = b""
        while more := sock.recv(4096):
            said += more
    assert said.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"This is a server of bee" in said
