"""Configurations that cannot be used, met where a user meets them.

While a client or a server is built.
"""

from __future__ import annotations

import socket

import pytest

import bee_core
from bee_core.errors import ConfigError, PluginError
from faults.services import Calculator, server_config
from faults.users import client_config

BUILDERS = {"blocking": bee_core.build_client, "asyncio": bee_core.build_async_client}


@pytest.fixture
def build(kind):
    return BUILDERS[kind]


@pytest.mark.parametrize("key", ["codec", "compress", "balancer", "fail"])
def test_an_unknown_plugin_name_lists_what_is_installed(build, key):
    with pytest.raises(PluginError, match="nonesuch") as caught:
        build(client_config("127.0.0.1:1", **{key: "nonesuch"}))
    known = {"codec": "json", "compress": "gzip", "balancer": "round-robin", "fail": "failover"}[
        key
    ]
    assert known in str(caught.value)


@pytest.mark.parametrize("key", ["macher", "compressors"])
def test_an_unknown_plugin_name_stops_a_server_from_being_built(key):
    with pytest.raises(PluginError, match="nonesuch"):
        bee_core.build_server(server_config(**{key: "nonesuch"}))


@pytest.mark.parametrize(
    "text",
    ["bee: [1, 2", "bee:\n\trpc: {}\n", "bee: 1\nbee: 2\n", "- just\n- a list\n", "bee: *nobody\n"],
)
def test_malformed_yaml_names_the_file(build, tmp_path, text):
    path = tmp_path / "bee.yml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"bee\.yml"):
        build(path)
    with pytest.raises(ConfigError, match=r"bee\.yml"):
        bee_core.build_server(path)


def test_a_wrong_type_deep_in_a_client_names_path_and_line(build, tmp_path):
    path = tmp_path / "bee.yml"
    path.write_text(
        "bee:\n  rpc:\n    client:\n      calc:\n        address: 127.0.0.1:1\n"
        "        methods:\n          add:\n            timeout: soon\n"
    )
    with pytest.raises(ConfigError) as caught:
        build(path)
    assert caught.value.path == "bee.rpc.client.calc.methods.add.timeout"
    assert caught.value.line == 8


def test_a_wrong_option_of_a_plugin_names_path_and_line(build, tmp_path):
    path = tmp_path / "bee.yml"
    path.write_text(
        "bee:\n  rpc:\n    client:\n      calc:\n        address: 127.0.0.1:1\n"
        "        compress:\n          name: gzip\n          options:\n            level: 11\n"
    )
    with pytest.raises(ConfigError) as caught:
        build(path)
    assert caught.value.path == "bee.rpc.client.calc.compress.options.level"
    assert caught.value.line == 9


def test_a_wrong_type_deep_in_a_server_names_the_path():
    with pytest.raises(ConfigError) as caught:
        bee_core.build_server(server_config(max_in_flight="many"))
    assert caught.value.path == "bee.rpc.server.max_in_flight"


def test_a_port_in_use_is_said_with_the_url_and_what_to_do():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        server = bee_core.build_server(server_config(address=f"127.0.0.1:{port}"))
        server.add(Calculator())
        with (
            pytest.raises(OSError, match=f"tcp://127.0.0.1:{port}: the port is in use"),
            server.in_thread(),
        ):
            pass


def test_a_server_whose_port_was_in_use_starts_once_it_is_free():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        server = bee_core.build_server(server_config(address=f"127.0.0.1:{port}"))
        server.add(Calculator())
        with pytest.raises(OSError, match="in use"), server.in_thread():
            pass
    with server.in_thread(), bee_core.build_client(client_config(server.address)) as client:
        assert client.service("calc").add(1, 2) == 3
