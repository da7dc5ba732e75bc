"""Servers that announce themselves: what they say, when they say it again, how they leave."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import bee_core
from bee_core.errors import PluginError, RegistryError
from bee_core.server.announcement import (
    announced_addresses,
    announced_url,
    instance_id,
    outward_host,
)
from bee_core.terms.addresses import parse
from bee_core.testing import MemoryRegistry
from support.patience import PATIENCE
from support.serve_process import ServeProcess, children

BEAT = 0.05


class Calculator:
    def __init__(self):
        self.entered = threading.Event()
        self.release = threading.Event()

    def add(self, a: int, b: int) -> int:
        return a + b

    @bee_core.nonblocking
    def block(self) -> None:
        self.entered.set()
        self.release.wait(PATIENCE)


def config(**settings):
    registry = {"protocol": "memory", "heartbeat_interval": BEAT}
    return {
        "bee": {
            "rpc": {
                "registry": registry,
                "server": {"name": "calc", "version": "1.2.0", "register": True, **settings},
            }
        }
    }


@pytest.fixture
def registry():
    return MemoryRegistry()


@pytest.fixture
def calculator():
    calculator = Calculator()
    yield calculator
    calculator.release.set()


@pytest.fixture
def build(registry, calculator):
    def make(**settings):
        server = bee_core.build_server(config(**settings), plugins=[registry])
        server.add(calculator)
        return server

    return make


def dial(server, **settings):
    return bee_core.build_client(
        {"bee": {"rpc": {"client": {"calc": {"address": server.address, **settings}}}}}
    )


def events(caplog):
    return [record.bee_event for record in caplog.records if hasattr(record, "bee_event")]


def wait_until(condition):
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.002)


# What is announced.


def test_a_server_announces_its_real_port_and_all_it_was_told_to_say(registry, build):
    with build(weight=2, zone="a", tags="x, y").in_thread() as server:
        registry.wait_for_nodes("calc", 1)
        (node,) = registry.nodes("calc")
        assert (node.url, node.version, node.weight, node.zone, node.tags, node.workers) == (
            server.address,
            "1.2.0",
            2.0,
            "a",
            frozenset({"x", "y"}),
            1,
        )
    assert registry.nodes("calc") == ()


def test_a_server_that_is_not_to_register_does_not(registry, build):
    with build(register=False).in_thread() as server, dial(server) as client:
        assert client.service("calc").add(1, 2) == 3
    assert registry.renewals == 0


def test_direct_keeps_no_list_so_nothing_is_announced_and_nothing_runs(calculator, caplog):
    server = bee_core.build_server({"bee": {"rpc": {"server": {"name": "calc", "register": True}}}})
    server.add(calculator)
    with caplog.at_level(logging.INFO, logger="bee.server"), server.in_thread():
        assert not [
            thread.name for thread in threading.enumerate() if thread.name.startswith("bee-control")
        ]
    assert events(caplog) == ["listening", "announces_nothing", "draining", "gone"]
    (warning,) = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert warning.getMessage() == (
        "the registry 'direct' announces nothing; choose another one, or set register: false"
    )


def test_a_registry_that_cannot_be_loaded_is_said_when_the_server_is_built():
    with pytest.raises(PluginError, match="unknown registry 'etdc3'"):
        bee_core.build_server(
            {
                "bee": {
                    "rpc": {
                        "registry": {"protocol": "etdc3"},
                        "server": {"name": "calc", "register": True},
                    }
                }
            }
        )


@pytest.mark.parametrize(
    ("advertise", "listening", "announced"),
    [
        (None, ["tcp://127.0.0.1:9000"], "tcp://127.0.0.1:9000"),
        (None, ["unix:///run/a.sock", "tcp://127.0.0.1:9000"], "unix:///run/a.sock"),
        ("tcp://calc.example:80", ["tcp://0.0.0.0:9000"], "tcp://calc.example:80"),
        ("tcp://calc.example:0", ["tcp://0.0.0.0:9000"], "tcp://calc.example:9000"),
        (
            "tcp://calc.example:0",
            ["tls://0.0.0.0:9443", "tcp://0.0.0.0:9000"],
            "tcp://calc.example:9000",
        ),
        (
            "tls://calc.example:0",
            ["unix:///run/a.sock", "tcp://0.0.0.0:9000"],
            "tls://calc.example:9000",
        ),
    ],
)
def test_the_announced_address_is_the_stated_one_or_the_first_with_the_real_port(
    advertise, listening, announced
):
    assert announced_url(advertise, listening) == announced


@pytest.mark.parametrize(
    ("listening", "is_elsewhere", "addresses"),
    [
        (["tcp://10.0.0.7:9000"], True, ()),
        (["tcp://10.0.0.7:9000", "tcp://10.0.0.8:9000"], True, ()),
        (
            ["tcp://10.0.0.7:9000", "tls://10.0.0.7:9443"],
            True,
            ("tcp://10.0.0.7:9000", "tls://10.0.0.7:9443"),
        ),
        (["tcp://10.0.0.7:9000", "unix:///run/a.sock", "tls://127.0.0.1:9443"], True, ()),
        (
            ["unix:///run/a.sock", "tcp://127.0.0.1:9000"],
            False,
            ("unix:///run/a.sock", "tcp://127.0.0.1:9000"),
        ),
    ],
)
def test_a_server_on_several_addresses_announces_one_of_each_scheme(
    listening, is_elsewhere, addresses
):
    found = announced_addresses(listening[0], listening, is_elsewhere=is_elsewhere)
    assert found == addresses


@pytest.mark.parametrize(
    ("schemes", "taken"), [(None, "tcp"), ("unix, tcp", "unix"), ("tls, unix", "unix")]
)
def test_a_client_takes_the_first_of_its_schemes(registry, tmp_path, schemes, taken):
    rpc = {
        "registry": {"protocol": "memory"},
        "server": {
            "name": "calc",
            "version": "1.0.0",
            "register": True,
            "address": ["tcp://127.0.0.1:0", f"unix://{tmp_path}/calc.sock"],
        },
    }
    server = bee_core.build_server({"bee": {"rpc": rpc}}, plugins=[registry])
    server.add(three)
    rpc = {"registry": rpc["registry"], "client": {"calc": {"version": ">=1.0"}}}
    if schemes is not None:
        rpc["client"]["calc"]["schemes"] = schemes
    with server.in_thread():
        wait_until(lambda: registry.nodes("calc"))
        with bee_core.build_client({"bee": {"rpc": rpc}}, plugins=[registry]) as client:
            reply = bee_core.detailed(client.service("calc").three)
        assert reply.value == 3
        assert parse(reply.node.url).scheme == taken
        assert {parse(url).scheme for url in reply.node.addresses} == {"tcp", "unix"}


def three() -> int:
    return 3


@pytest.mark.parametrize("wildcard", ["0.0.0.0", "::"])
def test_a_wildcard_is_never_announced(wildcard):
    host = outward_host(wildcard)
    assert host not in {"0.0.0.0", "::"}
    url = announced_url(
        None, [f"tcp://[{wildcard}]:9000" if ":" in wildcard else f"tcp://{wildcard}:9000"]
    )
    assert bee_core.terms.addresses.parse(url).host == host


def test_a_machine_without_a_way_out_announces_its_loopback_and_warns(caplog):
    look_ups = [lambda family: None, lambda family: None]
    assert outward_host("0.0.0.0", look_ups) == "127.0.0.1"
    assert outward_host("::", look_ups) == "::1"
    assert "bee.rpc.server.advertise" in caplog.text


def test_ids_differ_and_are_safe_in_paths():
    first, second = instance_id("a/b c"), instance_id("a/b c")
    assert first != second
    assert first.startswith("a_b_c-")
    assert "/" not in first


# Staying registered.


def test_a_server_serves_while_its_registry_is_down_and_registers_when_it_is_up(
    registry, build, caplog
):
    registry.go_out_of_reach()
    with caplog.at_level(logging.INFO, logger="bee.server"):
        with build().in_thread() as server, dial(server) as client:
            wait_until(lambda: "registry_out_of_reach" in events(caplog))
            assert client.service("calc").add(1, 2) == 3
            registry.come_back()
            registry.wait_for_nodes("calc", 1)
            wait_until(lambda: "registered" in events(caplog))
        assert events(caplog) == [
            "listening",
            "registry_out_of_reach",
            "registered",
            "draining",
            "gone",
        ]
    line = next(
        record for record in caplog.records if getattr(record, "bee_event", "") == "registered"
    )
    assert "the lease lasts 0.15 s" in line.getMessage()
    assert line.bee_fields["ttl"] == pytest.approx(0.15)


def test_a_server_that_the_registry_forgot_registers_again_under_the_same_id(
    registry, build, caplog
):
    with caplog.at_level(logging.INFO, logger="bee.server"), build().in_thread():
        registry.wait_for_nodes("calc", 1)
        before = registry.nodes("calc")
        registry.withdraw("calc")
        registry.wait_for_nodes("calc", 1)
        assert registry.nodes("calc") == before
        wait_until(lambda: "registered_again" in events(caplog))
        assert events(caplog) == ["listening", "registered", "lease_lost", "registered_again"]


def test_a_server_says_who_has_its_id_who_refuses_it_and_what_it_put_right(registry, build, caplog):
    def line(event):
        wait_until(lambda: event in events(caplog))
        return next(r for r in caplog.records if getattr(r, "bee_event", "") == event)

    with caplog.at_level(logging.INFO, logger="bee.server"), build().in_thread():
        registry.wait_for_nodes("calc", 1)
        (node,) = registry.nodes("calc")
        registry.erase("calc", node.id)
        repaired = line("record_repaired").getMessage()
        assert f"wrote the record of {node.id} in memory again" in repaired
        registry.overwrite("calc", node.id, living=True, url="tcp://10.0.0.9:1")
        taken = line("id_taken")
        assert taken.levelno == logging.WARNING
        assert "id taken in memory: tcp://10.0.0.9:1 lives" in taken.getMessage()
        assert "tcp://10.0.0.9:1" in taken.bee_fields["reason"]
        registry.go_out_of_reach(RegistryError("wrong password"))
        refused = line("registration_refused")
        assert "registration refused by memory: wrong password" in refused.getMessage()
        registry.withdraw("calc")
        registry.come_back()
        line("registered_again")


def test_a_server_whose_loop_is_blocked_is_not_renewed(registry, build, calculator, caplog):
    with (
        caplog.at_level(logging.INFO, logger="bee.server"),
        build().in_thread() as server,
        dial(server) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        wait_until(lambda: registry.renewals >= 2)
        blocked = pool.submit(client.service("calc").block)
        assert calculator.entered.wait(PATIENCE)
        wait_until(lambda: "lease_lost" in events(caplog))
        renewals = registry.renewals
        time.sleep(4 * BEAT)  # nothing may happen, so there is nothing to wait for
        assert registry.renewals == renewals
        assert "registered_again" not in events(caplog)
        calculator.release.set()
        blocked.result(PATIENCE)
        wait_until(lambda: "registered_again" in events(caplog))


# Leaving.


def test_a_server_leaves_the_registry_before_it_turns_anybody_away(registry, build):
    server = build()
    with (
        ThreadPoolExecutor(1) as pool,
        bee_core.build_client({"bee": {"rpc": {"client": {"calc": {"address": "127.0.0.1:1"}}}}}),
    ):
        entered, leave = threading.Event(), threading.Event()

        def serve():
            with server.in_thread():
                entered.set()
                leave.wait(PATIENCE)

        serving = pool.submit(serve)
        assert entered.wait(PATIENCE)
        registry.wait_for_nodes("calc", 1)
        with dial(server) as known:
            assert known.service("calc").add(1, 1) == 2
            address = server.address
            leave.set()
            registry.wait_for_nodes("calc", 0)
            # Clients that have not heard of it yet, on old connections and on new ones.
            late = bee_core.build_client(
                {"bee": {"rpc": {"client": {"calc": {"address": address, "fail": "failfast"}}}}}
            )
            with late:
                assert known.service("calc").add(1, 2) == 3
                assert late.service("calc").add(1, 2) == 3
        serving.result(PATIENCE)


def test_a_registry_that_hangs_does_not_hold_up_the_drain(registry, build, monkeypatch, caplog):
    monkeypatch.setattr("bee_core.server.announcement.DEREGISTER_TIMEOUT", 0.1)
    with caplog.at_level(logging.INFO, logger="bee.server"):
        with build().in_thread():
            registry.wait_for_nodes("calc", 1)
            registry.go_silent()
        assert "not_deregistered" in events(caplog)
        assert events(caplog)[-1] == "gone"


def test_a_server_that_has_left_registers_anew_when_it_is_started_again(registry, build):
    server = build()
    for _ in range(2):
        with server.in_thread():
            registry.wait_for_nodes("calc", 1)
        assert registry.nodes("calc") == ()
    assert not [
        thread.name for thread in threading.enumerate() if thread.name.startswith("bee-control")
    ]


# Processes, on the embedded registry.


@pytest.fixture
def serve(tmp_path):
    made = []

    def start(**settings):
        rpc = {
            "registry": {"protocol": "local", "heartbeat_interval": 0.2},
            "server": {
                "name": "calc",
                "version": "1.0.0",
                "address": "127.0.0.1:0",
                "register": True,
                **settings,
            },
        }
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(ServeProcess(folder, rpc, {"BEE_LOCAL_DIR": str(tmp_path / "registry")}))
        return made[-1]

    yield start
    for process in made:
        process.close()


def test_the_log_of_bee_serve_is_json_with_one_line_for_each_event(serve):
    server = serve()
    server.wait_for("registered")
    server.signal(signal.SIGTERM)
    assert server.exit_code() == 0
    assert server.names == ["listening", "registered", "draining", "gone"]
    for line in server.events:
        assert line["level"] == "info"
        assert line["logger"] == "bee.server"
        assert line["time"].endswith("Z")
    registered = server.all("registered")[0]
    assert (registered["ttl"], registered["url"], registered["registry"]) == (
        pytest.approx(0.6),
        server.url(),
        "local",
    )


def test_a_server_that_was_frozen_past_its_lease_registers_again(serve):
    server = serve()
    ttl = server.wait_for("registered")["ttl"]
    server.signal(signal.SIGSTOP)
    time.sleep(1.5 * ttl)  # the lease must run out by the clock
    server.signal(signal.SIGCONT)
    server.wait_for("lease_lost")
    server.wait_for("registered_again")


def test_workers_are_registered_once_by_their_parent_which_lives_on_through_their_deaths(
    serve, tmp_path
):
    server = serve(workers=2)
    server.wait_for("registered")
    records = [json.loads(path.read_text()) for path in (tmp_path / "registry").rglob("*.json")]
    assert [(record["address"], record["workers"], record["pid"]) for record in records] == [
        (server.url(), 2, server.process.pid)
    ]
    for turn in (1, 2):
        victim = children(server.process.pid)[0]
        os.kill(victim, signal.SIGKILL)
        server.wait_for("worker_replaced", turn)
    time.sleep(1.0)  # longer than the lease: what renews it are the ticks of the workers
    assert server.all("lease_lost") == []
    server.signal(signal.SIGTERM)
    assert server.exit_code() == 0
    assert not list((tmp_path / "registry").rglob("*.json"))


def test_workers_that_all_hang_lose_their_lease(serve):
    server = serve(workers=2)
    server.wait_for("registered")
    for worker in children(server.process.pid):
        os.kill(worker, signal.SIGSTOP)
    try:
        server.wait_for("lease_lost")
    finally:
        for worker in children(server.process.pid):
            os.kill(worker, signal.SIGCONT)
    server.wait_for("registered_again")
