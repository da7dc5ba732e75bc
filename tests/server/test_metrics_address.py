"""What a running server shows at metrics_address, alone, with clients, and with workers."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from contextlib import ExitStack, suppress

import pytest

import bee_core
from bee_core.control import http_listener
from bee_core.errors import CallError, ConfigError
from bee_core.testing import MemoryRegistry
from faults.services import Calculator
from support.patience import PATIENCE
from support.plugin_objects import offering
from support.serve_process import ServeProcess, children, wait_until_gone
from support.status_pages import get, samples, value

pytest.importorskip("prometheus_client")

ANY = "127.0.0.1:0"
CALLS = "rpc_server_call_duration_seconds_count"


def config(address=ANY, observers="prometheus", server=None, **more):
    return {
        "bee": {
            "application": {"observers": observers, "metrics_address": address},
            "rpc": {"server": {"name": "calc", "address": ANY, **(server or {})}, **more},
        }
    }


def client_config(url, address=None):
    application = {"observers": "prometheus", "metrics_address": address}
    return {"bee": {"application": application, "rpc": {"client": {"calc": {"address": url}}}}}


def built(target, *, plugins=(), **settings):
    server = bee_core.build_server(config(**settings), plugins=plugins)
    server.add(target)
    return server


def until(condition, what="it"):
    """Wait for what nobody tells of: a page has to be asked."""
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.02)
    return found


def test_the_numbers_are_right_after_known_calls():
    server = built(Calculator())
    with server.in_thread(), bee_core.build_client(client_config(server.address)) as client:
        before = samples(server.metrics_address)
        calc = client.service("calc")
        for _ in range(3):
            calc.add(1, 2)
        with pytest.raises(CallError):
            calc.fail("x")
        for name in ("one", "two"):
            with pytest.raises(CallError):
                calc.call(name)
        found = samples(server.metrics_address)

    def more(name, **labels):
        labels = {"rpc_service": "calc", **labels}
        return value(found, name, **labels) - (value(before, name, **labels) or 0)

    for side in ("client", "server"):
        name = f"rpc_{side}_call_duration_seconds"
        assert more(f"{name}_count", rpc_method="add", error_type="") == 3
        assert more(f"{name}_count", rpc_method="fail", error_type="remote_error") == 1
        assert more(f"{name}_bucket", rpc_method="add", error_type="", le="+Inf") == 3
        assert 0 < more(f"{name}_sum", rpc_method="add", error_type="") < 3 * PATIENCE
    other = {"rpc_method": "_OTHER", "error_type": "method_not_found"}
    assert more("rpc_client_call_duration_seconds_count", **other) == 2
    rejected = "bee_server_rejected_requests_total"
    assert more(rejected, error_type="method_not_found") == 2
    assert more("bee_server_requests_in_flight") == 0
    assert value(found, "bee_client_nodes", rpc_service="calc", state="fitting") == 1
    assert not any("one" in key[1:] or name.endswith("_created") for name, *key in found)


def test_a_call_in_flight_is_counted_and_a_server_that_drains_is_not_ready():
    calculator = Calculator()
    server = built(calculator)
    leaving = ExitStack()
    leaving.enter_context(server.in_thread())
    with bee_core.build_client(client_config(server.address)) as client:
        url = server.metrics_address
        assert get(url, "/readyz")[:2] == (200, "ready\n")
        holding = bee_core.future(client.service("calc").hold, 7)
        calculator.await_entered()
        assert value(samples(url), "bee_server_requests_in_flight", rpc_service="calc") == 1
        stopping = threading.Thread(target=leaving.close)
        stopping.start()
        until(lambda: get(url, "/readyz")[0] == 503, "the drain")
        assert get(url, "/readyz")[1] == "not ready\nthe server drains\n"
        assert get(url, "/healthz")[0] == 200
        assert get(url, "/metrics")[0] == 200
        calculator.release.set()
        assert holding.result(PATIENCE) == 7
        stopping.join()
    assert server.metrics_address is None
    with pytest.raises(OSError, match="refused"):
        get(url, "/readyz")


def test_an_outage_of_the_registry_leaves_a_server_ready():
    registry = MemoryRegistry()
    registry.go_out_of_reach()
    announced = {"registry": {"protocol": "memory", "heartbeat_interval": 0.05}}
    server = built(Calculator(), plugins=[registry], server={"register": True}, **announced)
    with server.in_thread():
        url = server.metrics_address
        until(lambda: get(url, "/readyz")[0] == 200, "the end of the first attempt")
        assert get(url, "/readyz")[1] == "ready\nregistry: registering in memory\n"
        lease = {"rpc_service": "calc", "state": "held"}
        assert value(samples(url), "bee_server_lease", **lease) == 0
        assert value(samples(url), "bee_registry_in_reach", rpc_service="calc") == 0
        registry.come_back()
        registry.wait_for_nodes("calc", 1)
        until(lambda: "registered in memory" in get(url, "/readyz")[1], "the registration")
        until(lambda: value(samples(url), "bee_server_lease", **lease) == 1, "the lease")
        registry.go_out_of_reach()
        until(lambda: value(samples(url), "bee_server_lease", **lease) == 0, "the outage")
        status, body, _ = get(url, "/readyz")
        assert status == 200
        assert "registered in memory" not in body


def test_a_registry_that_says_nothing_delays_ready_and_does_not_prevent_it():
    registry = MemoryRegistry()
    registry.go_silent()
    announced = {"registry": {"protocol": "memory", "heartbeat_interval": 0.05}}
    server = built(Calculator(), plugins=[registry], server={"register": True}, **announced)
    with server.in_thread():
        status, body, _ = get(server.metrics_address, "/readyz")
        assert (status, "has not ended" in body) in {(503, True), (200, False)}
        until(lambda: get(server.metrics_address, "/readyz")[0] == 200, "the end of the wait")


def test_an_address_that_is_taken_is_an_error_of_the_server_that_names_the_key():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        server = built(Calculator(), address=address)
        named = rf"bee\.application\.metrics_address {address} .* in use"
        with pytest.raises(OSError, match=named), server.in_thread():
            pass
    with server.in_thread():  # it can be started once the address is free
        assert server.metrics_address == f"http://{address}"


def test_an_address_that_is_taken_is_one_warning_of_clients(caplog):
    server = built(Calculator(), address=None)
    with socket.create_server(("127.0.0.1", 0)) as taken, server.in_thread():
        settings = client_config(server.address, f"127.0.0.1:{taken.getsockname()[1]}")
        for _ in range(2):
            with bee_core.build_client(settings) as client:
                assert client.service("calc").add(1, 2) == 3
                assert client.metrics_address is None
    warnings = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert len([line for line in warnings if "metrics_address" in line]) == 1


@pytest.mark.parametrize("wrong", ["9464", "http://127.0.0.1:9464", "host", "127.0.0.1:x", ":9464"])
def test_what_is_no_host_and_port_is_an_error_of_the_configuration(wrong):
    with pytest.raises(ConfigError, match=r"bee\.application\.metrics_address"):
        bee_core.build_server(config(address=wrong))


def test_without_an_observer_that_exposes_there_are_probes_and_advice():
    server = built(Calculator(), observers=[])
    with server.in_thread():
        status, body, _ = get(server.metrics_address, "/metrics")
        assert status == 404
        assert "bee.application.observers: prometheus" in body
        assert get(server.metrics_address, "/healthz")[0] == 200
        assert get(server.metrics_address, "/other")[0] == 404


class Broken:
    def server_changed(self, event):
        pass

    def exposition(self, accept):
        raise KeyError("a bug")


def test_an_observer_that_cannot_expose_is_said_and_the_probes_go_on(caplog):
    server = built(
        Calculator(), observers="broken", plugins=[offering("observer", "broken", Broken)]
    )
    with server.in_thread():
        for _ in range(2):
            status, body, _ = get(server.metrics_address, "/metrics")
            assert status == 500
            assert "observer 'broken'" in body
        assert get(server.metrics_address, "/readyz")[0] == 200
    lines = [one for one in caplog.records if "exposition raised KeyError" in one.getMessage()]
    assert len(lines) == 1


class Hanging(Broken):
    def __init__(self):
        self.release, self.asked = threading.Event(), 0

    def exposition(self, accept):
        self.asked += 1
        self.release.wait(PATIENCE)
        return "text/plain", b"late"


def test_an_observer_that_hangs_takes_one_thread_and_holds_up_nothing_else(monkeypatch):
    monkeypatch.setattr(http_listener, "ANSWER_SECONDS", 0.1)
    hanging = Hanging()
    server = built(
        Calculator(),
        observers="hanging",
        plugins=[offering("observer", "hanging", lambda: hanging)],
    )
    with server.in_thread(), bee_core.build_client(client_config(server.address)) as client:
        for _ in range(3):
            assert get(server.metrics_address, "/metrics")[0] == 503
            assert client.service("calc").add(1, 2) == 3
            assert get(server.metrics_address, "/healthz")[0] == 200
        assert hanging.asked == 1
        hanging.release.set()
        until(lambda: get(server.metrics_address, "/metrics")[:2] == (200, "late"), "the answer")


# ── workers ──


@pytest.fixture
def serve(tmp_path):
    """A ``bee serve`` with two workers, its url of metrics and the folder for what is temporary."""
    made = []
    temporary = tmp_path / "tmp"
    temporary.mkdir()

    def start(**registry):
        (tmp_path / "app").mkdir(exist_ok=True)
        made.append(
            ServeProcess(
                tmp_path / "app",
                {
                    "server": {"name": "calc", "workers": 2, "address": ANY},
                    "registry": registry,
                },
                {"TMPDIR": str(temporary)},
                application={"observers": "prometheus", "metrics_address": ANY},
            )
        )
        made[-1].wait_for("listening")
        return made[-1], made[-1].wait_for("metrics")["url"], temporary

    yield start
    for process in made:
        process.close()


def call(url, times):
    """Call from fresh connections. Returns the worker that has answered last."""
    pid = 0
    for _ in range(times):
        with bee_core.build_client(client_config(url)) as client:
            pid = client.service("calc").pid()
    return pid


def count(url, method="pid"):
    return value(samples(url), CALLS, rpc_service="calc", rpc_method=method, error_type="") or 0


def test_the_parent_shows_what_all_workers_count_also_those_that_are_dead(serve):
    process, url, temporary = serve()
    victim = call(process.url(), 3)
    assert count(url) == 3
    assert value(samples(url), "bee_server_processes") == 2
    assert get(url, "/healthz")[:2] == (200, "ok\n")
    assert get(url, "/readyz")[:2] == (200, "ready\n")
    (folder,) = temporary.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700

    os.kill(victim, signal.SIGKILL)
    process.wait_for("worker_replaced")
    assert count(url) == 3, "what a dead worker has counted stays"
    until(lambda: value(samples(url), "bee_server_processes") == 2, "the new worker")
    assert not [one.name for one in folder.iterdir() if str(victim) in one.name]
    assert call(process.url(), 3) in children(process.process.pid)
    assert count(url) == 6

    process.signal(signal.SIGTERM)
    assert process.exit_code() == 0
    assert list(temporary.iterdir()) == []


def test_workers_that_hang_are_named_and_only_all_of_them_are_ill(serve):
    # Nothing is registered. The loops tick three times in an interval all the same.
    process, url, _ = serve(heartbeat_interval=0.5)
    first, second = sorted(children(process.process.pid))
    assert get(url, "/healthz")[0] == 200
    os.kill(first, signal.SIGSTOP)
    os.kill(second, signal.SIGSTOP)
    try:
        until(lambda: get(url, "/healthz")[0] == 503, "the end of the patience")
        body = get(url, "/healthz")[1]
        assert body.startswith("not well\n")
        assert f"(process {first}) hangs" in body
        os.kill(second, signal.SIGCONT)
        until(lambda: get(url, "/healthz")[0] == 200, "a tick")
        assert f"(process {first}) hangs" in get(url, "/healthz")[1]
    finally:
        for pid in (first, second):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def test_what_a_killed_program_has_left_is_removed_by_the_next(serve):
    process, _, temporary = serve()
    workers = children(process.process.pid)
    process.process.kill()
    process.exit_code()
    wait_until_gone(workers)
    (left,) = temporary.iterdir()
    serve()
    (now,) = temporary.iterdir()
    assert now != left


def test_drain_with_workers_is_told_by_the_parent(serve):
    process, url, _ = serve()
    with bee_core.build_client(client_config(process.url())) as client:
        holding = bee_core.future(client.service("calc").pause, 1.0)
        until(
            lambda: value(samples(url), "bee_server_requests_in_flight", rpc_service="calc"),
            "the request",
        )
        process.signal(signal.SIGTERM)
        until(lambda: get(url, "/readyz")[0] == 503, "the drain")
        assert holding.result(PATIENCE) == 1.0
    assert process.exit_code() == 0
