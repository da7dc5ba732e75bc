"""Who shares an address of metrics and probes in one process, and where it is listened on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
import time

import pytest

import bee_core
from bee_core.control import status
from bee_core.control.status import Source, StatusPlace, Verdict
from faults.services import Calculator
from faults.users import BOTH, make_user
from support.patience import PATIENCE
from support.plugin_objects import offering
from support.ports import fixed_address
from support.status_pages import get


class Exposing:
    """An observer that exposes its name."""

    def __init__(self, name):
        self.name = name

    def server_changed(self, event):
        pass

    def exposition(self, accept):
        return "text/plain", self.name.encode()


def plugin(name):
    return [offering("observer", "exposing", lambda: Exposing(name))]


def config(address, **rpc):
    return {
        "bee": {"application": {"observers": "exposing", "metrics_address": address}, "rpc": rpc}
    }


def serving(address, name):
    server = bee_core.build_server(
        config(address, server={"name": "calc", "address": "127.0.0.1:0"}), plugins=plugin(name)
    )
    server.add(Calculator())
    return server


def using(kind, address, url, name="client"):
    return make_user(kind, config(address, client={"calc": {"address": url}}), plugin(name))


@pytest.fixture
def address():
    return fixed_address()


def metrics_threads():
    return [one.name for one in threading.enumerate() if one.name == "bee-control-metrics"]


def is_closed(address):
    host, port = address.split(":")
    try:
        socket.create_connection((host, int(port)), timeout=PATIENCE).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("kind", BOTH)
def test_a_client_shows_metrics_from_its_first_call_to_its_end(kind, address):
    with serving(None, "server").in_thread() as server:
        user = using(kind, address, server.address)
        assert user.client.metrics_address is None
        assert is_closed(address)
        assert user.call("add", 1, 2) == 3
        assert user.client.metrics_address == f"http://{address}"
        assert get(f"http://{address}", "/metrics")[:2] == (200, "client")
        assert get(f"http://{address}", "/healthz")[:2] == (200, "ok\n")
        assert get(f"http://{address}", "/readyz")[:2] == (200, "ready\n")
        user.close()
    assert is_closed(address)
    assert metrics_threads() == []


def test_clients_of_one_process_share_one_listener_until_the_last_is_closed(address):
    with serving(None, "server").in_thread() as server:
        users = [using(kind, address, server.address, kind) for kind in (*BOTH, *BOTH)]
        for user in users:
            user.call("add", 1, 2)
        assert len(metrics_threads()) == 1
        for user in users:
            assert get(f"http://{address}", "/metrics")[0] == 200
            user.close()
    assert is_closed(address)
    assert metrics_threads() == []


def test_port_0_is_one_real_port_for_all_who_name_it():
    with serving("127.0.0.1:0", "server").in_thread() as server:
        user = using("blocking", "127.0.0.1:0", server.address)
        user.call("add", 1, 2)
        assert user.client.metrics_address == server.metrics_address
        assert not server.metrics_address.endswith(":0")
        user.close()


def test_a_client_joins_the_listener_of_a_server_and_takes_it_over_when_that_leaves(address):
    url = f"http://{address}"
    with serving(None, "other").in_thread() as other:
        with serving(address, "server").in_thread():
            user = using("blocking", address, other.address)
            user.call("add", 1, 2)
            assert metrics_threads() == []
            assert get(url, "/metrics")[1] == "server"
        assert get(url, "/metrics")[1] == "client"
        assert get(url, "/readyz")[:2] == (200, "ready\n")
        user.close()
    assert is_closed(address)
    assert metrics_threads() == []


def test_a_server_joins_the_listener_of_a_client_and_all_of_a_page_must_be_ready(address):
    url = f"http://{address}"
    with serving(None, "other").in_thread() as other:
        user = using("blocking", address, other.address)
        user.call("add", 1, 2)
        server = serving(address, "server")
        with server.in_thread():
            assert server.metrics_address == user.client.metrics_address == url
            assert get(url, "/metrics")[1] == "client"
            unready = Source(lambda _: None, lambda: Verdict(good=False, lines=("draining",)))
            third = StatusPlace(address)
            third.open_on_plane(unready)
            assert get(url, "/readyz")[:2] == (503, "not ready\ndraining\n")
            third.stop()
            assert get(url, "/readyz")[0] == 200
        user.close()
    assert is_closed(address)


def test_a_loop_that_hangs_is_seen_from_another(address, monkeypatch):
    monkeypatch.setattr(status, "PING_SECONDS", 0.05)
    url = f"http://{address}"
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    client, server = StatusPlace(address), StatusPlace(address)
    client.open_on_plane(Source(lambda _: None))
    source = Source(lambda _: None, loop=loop, lives=lambda: Verdict(good=True, lines=("fine",)))
    asyncio.run_coroutine_threadsafe(server.open_here(source), loop).result(PATIENCE)
    try:
        assert get(url, "/healthz")[:2] == (200, "ok\nfine\n")
        release = threading.Event()
        loop.call_soon_threadsafe(release.wait, PATIENCE)
        answer = get(url, "/healthz")
        release.set()
        assert answer[0] == 503
        assert "has not answered for 0.05 s" in answer[1]
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        assert get(url, "/healthz")[0] == 503
    finally:
        server.stop()
        client.stop()
    assert is_closed(address)


def test_a_client_that_is_dropped_leaves_the_address(address):
    with serving(None, "server").in_thread() as server:
        settings = config(address, client={"calc": {"address": server.address}})
        clients = [bee_core.build_client(settings, plugins=plugin("client"))]
        clients[0].service("calc").add(1, 2)
        with pytest.warns(ResourceWarning):
            clients.clear()
        end = time.monotonic() + PATIENCE
        while not is_closed(address) and time.monotonic() < end:
            time.sleep(0.01)
        assert is_closed(address)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_calls_on_and_leaves_the_address_to_its_parent(address, caplog):
    with serving(None, "server").in_thread() as server:
        user = using("blocking", address, server.address)
        user.call("add", 1, 2)
        caplog.clear()
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            code = 1
            with contextlib.suppress(BaseException):
                signal.alarm(30)
                right = user.call("add", 2, 3) == 5
                quiet = not [one for one in caplog.records if one.levelname == "WARNING"]
                os.write(write, b"y" if right and quiet and not metrics_threads() else b"n")
                signal.pause()  # until the parent ends it
                code = 0
            os._exit(code)
        os.close(write)
        assert os.read(read, 1) == b"y"
        assert get(f"http://{address}", "/metrics")[1] == "client"
        user.close()
        assert is_closed(address), "the child lets go of the address"
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(read)


def test_nothing_is_listened_on_where_no_address_is_named():
    before = metrics_threads()
    with serving(None, "server").in_thread() as server:
        user = using("blocking", None, server.address)
        user.call("add", 1, 2)
        assert (server.metrics_address, user.client.metrics_address) == (None, None)
        assert set(metrics_threads()) <= set(before)
        user.close()
