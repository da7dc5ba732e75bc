"""``bee health``: three answers, and what it takes of the configuration."""

from __future__ import annotations

import json
import socket
import threading

import pytest

import bee_core
from bee_core.testing import MemoryRegistry
from support.certificates import Authority, tls
from support.patience import PATIENCE
from support.ports import fixed_port


def build(name="calc", plugins=(), **settings):
    server = {"name": name, "address": "127.0.0.1:0", **settings}
    made = bee_core.build_server({"bee": {"rpc": {"server": server}}}, plugins=plugins)
    made.add(lambda a, b: a + b, name="add")
    return made


@pytest.fixture
def server():
    with build().in_thread() as running:
        yield running


@pytest.fixture
def configure(folder):
    """Write ``bee.yml``."""

    def write(**rpc):
        (folder / "bee.yml").write_text(json.dumps({"bee": {"rpc": rpc}}))

    return write


def test_a_service_that_serves_is_0(run, configure, server):
    configure(client={"calc": {"address": server.address}})
    result = run("health", "calc")
    assert (result.code, result.out, result.err) == (0, f"{server.address}: serving\n", "")


def test_an_address_needs_no_configuration(run, folder, server):
    (folder / "bee.yml").unlink()
    for asked in (server.address, server.address.removeprefix("tcp://")):
        assert run("health", asked).out == f"{server.address}: serving\n"


def test_one_node_that_serves_will_do(run, configure, server):
    configure(client={"calc": {"address": ["127.0.0.1:1", server.address]}})
    result = run("health", "calc")
    assert result.code == 0
    assert "tcp://127.0.0.1:1: unreachable: " in result.out


def test_a_server_finds_itself_by_the_name_in_its_own_file(run, configure):
    port = fixed_port()
    own = {"name": "calc", "address": f"0.0.0.0:{port}", "tokens": "a secret", "macher": "msgpack"}
    configure(server=own)
    with build(**own).in_thread():
        result = run("health", "calc")
    assert (result.code, result.out) == (0, f"tcp://127.0.0.1:{port}: serving\n")


def test_a_server_that_drains_is_1(run, configure):
    registry, asked = MemoryRegistry(), threading.Event()
    # It answers pings as draining while it leaves the registry, which takes its time.
    config = {
        "bee": {
            "rpc": {
                "registry": {"protocol": "memory"},
                "server": {"name": "calc", "address": "127.0.0.1:0", "register": True},
            }
        }
    }
    leaving = bee_core.build_server(config, plugins=[registry])
    leaving.add(lambda: 1, name="one")
    draining = threading.Event()
    leaving.readiness.watch(lambda state: draining.set() if state == "draining" else None)

    def serve():
        with leaving.in_thread():
            registry.wait_for_nodes("calc", 1)
            registry.go_silent()
            started.append(leaving.address)
            asked.wait(PATIENCE)

    started: list[str] = []
    thread = threading.Thread(target=serve)
    thread.start()
    registry.wait_for_nodes("calc", 1)
    asked.set()
    assert draining.wait(PATIENCE)
    result = run("health", started[0])
    registry.come_back()
    thread.join(PATIENCE)
    assert (result.code, result.out) == (1, f"{started[0]}: draining\n")


def test_a_server_that_takes_no_such_client_is_1(run, folder, configure):
    configure()
    with build(tokens="a secret").in_thread() as server:
        result = run("health", server.address)
    assert result.code == 1
    assert "refused: this server wants a token" in result.out
    with build(macher="msgpack").in_thread() as server:
        assert "the codec 'json' is not offered here" in run("health", server.address).out
        assert run("health", server.address, "--codec", "msgpack").code == 0


def test_the_token_of_a_configuration_that_names_the_address_is_shown(run, configure):
    with build(tokens="a secret").in_thread() as server:
        configure(client={"calc": {"address": server.address, "token": "a secret"}})
        assert run("health", server.address).code == run("health", "calc").code == 0


def test_an_address_without_a_server_is_2_and_one_line_on_stderr(run, configure):
    configure(client={"calc": {"address": "127.0.0.1:1"}})
    result = run("health", "calc")
    assert result.code == 2
    assert result.out == "tcp://127.0.0.1:1: unreachable: cannot connect: connection refused\n"
    assert result.err == "error: no node of calc answers\n"


def test_a_server_that_does_not_answer_in_time_is_2(run, folder):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        result = run("health", f"127.0.0.1:{port}", "--timeout", "0.05")
    assert result.code == 2
    assert "unreachable: no reply within read_timeout (0.05 s)" in result.out


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("nowhere", "no service 'nowhere' is configured"),
        ("calc://", "names no host and no path"),
        ("carrier-pigeon://home", "unknown transport 'carrier-pigeon'"),
        ("free", "listens on any free port; name its URL"),
    ],
)
def test_what_cannot_be_asked_is_2(run, configure, asked, message):
    configure(server={"name": "free"})
    result = run("health", asked)
    assert (result.code, message in result.err) == (2, True), result.err


def test_tls_is_what_the_configuration_says(run, tmp_path, configure):
    authority = Authority(tmp_path)
    own = {"address": "tls://127.0.0.1:0", "transport": tls(authority.issue("server"))}
    with build(**own).in_thread() as server:
        trusting = tls(ca=authority.file)
        configure(client={"calc": {"address": server.address, "transport": trusting}})
        assert run("health", "calc").code == run("health", server.address).code == 0
        configure()
        result = run("health", server.address)
        assert (result.code, "certificate" in result.out) == (1, True), result.out


def test_a_server_with_tls_alone_is_asked_as_a_client_or_not_at_all(run, tmp_path, configure):
    cert = Authority(tmp_path).issue("server")
    configure(server={"name": "calc", "address": "tls://127.0.0.1:9", "transport": tls(cert)})
    result = run("health", "calc")
    assert result.code == 2
    assert "listens with TLS only; name its URL, or state bee.rpc.client.calc" in result.err


def test_json_has_the_verdict_and_each_node(run, configure, server):
    configure(client={"calc": {"address": ["127.0.0.1:1", server.address]}})
    said = json.loads(run("health", "calc", "--json").out)
    assert (said["asked"], said["health"]) == ("calc", "serving")
    assert [(node["url"], node["health"]) for node in said["nodes"]] == [
        ("tcp://127.0.0.1:1", "unreachable"),
        (server.address, "serving"),
    ]
    assert all(node["seconds"] >= 0 for node in said["nodes"])


def test_with_a_registry_its_nodes_are_asked(run, folder, configure, monkeypatch):
    monkeypatch.setenv("BEE_LOCAL_DIR", str(folder / "registry"))
    monkeypatch.setenv("BEE_CACHE_DIR", str(folder / "cache"))
    rpc = {
        "registry": {"protocol": "local"},
        "client": {"calc": {"version": ">=1"}},
        "server": {"name": "calc", "version": "1.0", "register": True},
    }
    configure(**{**rpc, "server": {"name": "other"}})
    made = bee_core.build_server({"bee": {"rpc": rpc}})
    made.add(lambda: 1, name="one")
    ready = threading.Event()
    made.readiness.watch(lambda state: ready.set() if state == "ready" else None)
    with made.in_thread() as server:
        assert ready.wait(PATIENCE)
        result = run("health", "calc")
        assert (result.code, result.out) == (0, f"{server.address}: serving\n")


def test_a_registry_that_knows_nobody_is_2(run, folder, configure, monkeypatch):
    monkeypatch.setenv("BEE_LOCAL_DIR", str(folder / "registry"))
    monkeypatch.setenv("BEE_CACHE_DIR", str(folder / "cache"))
    configure(registry={"protocol": "local"}, client={"calc": {}})
    result = run("health", "calc")
    assert (result.code, result.err) == (2, "error: no node of calc answers\n")
