"""A registry's record does not switch TLS off, and does not get a token in clear."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading

import pytest

import bee_core
from bee_core.errors import ConfigError, PluginError, Unavailable
from bee_core.testing import MemoryRegistry
from faults.services import serving
from support.certificates import Authority, tls

TOKEN = "s3cret-honey"


class Eavesdropper:
    """A listener that keeps what it is sent."""

    def __init__(self):
        self.heard = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with sock:
                sock.settimeout(0.5)
                try:
                    self.heard.append(sock.recv(65536))
                except OSError:
                    continue

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


@pytest.fixture
def eavesdropper():
    there = Eavesdropper()
    yield there
    there.close()


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


def config(**keys):
    return {"bee": {"rpc": {"registry": {"protocol": "memory"}, "client": {"calc": keys}}}}


def call_in_both_styles(registry, keys):
    """The two errors of a call that finds no node."""
    with bee_core.build_client(config(**keys), plugins=[registry]) as client:
        with pytest.raises(Unavailable) as blocking:
            client.service("calc").add(1, 2)
        report = client.nodes("calc")

    async def main():
        async with bee_core.build_async_client(config(**keys), plugins=[registry]) as client:
            with pytest.raises(Unavailable) as caught:
                await client.service("calc").add(1, 2)
            return caught.value

    return blocking.value, asyncio.run(main()), report


def test_with_tls_a_record_that_says_tcp_is_passed_over(eavesdropper, authority):
    registry = MemoryRegistry("network")
    registry.publish("calc", eavesdropper.url, version="1.0")
    keys = {"token": TOKEN, "transport": tls(ca=authority.file), "timeout": 5, "retries": 0}
    *errors, report = call_in_both_styles(registry, keys)
    for error in errors:
        assert error.executed == "no"
        assert "tcp:// is not among the client's schemes (tls)" in error.message
    assert [known.reason for known in report.nodes] == [
        "tcp:// is not among the client's schemes (tls)"
    ]
    assert eavesdropper.connections == 0


def test_a_token_is_not_shown_in_clear_to_a_node_that_only_the_registry_names(eavesdropper):
    registry = MemoryRegistry("network")
    registry.publish("calc", eavesdropper.url, version="1.0")
    *errors, _ = call_in_both_styles(registry, {"token": TOKEN, "timeout": 5, "retries": 0})
    for error in errors:
        assert "the client's token would go to it in clear over tcp://" in error.message
    assert eavesdropper.connections == 0


def test_a_token_goes_to_an_address_that_the_file_names_also_when_the_registry_lists_it(
    calculator,
):
    with serving(calculator, tokens=TOKEN) as server:
        registry = MemoryRegistry("network")
        registry.publish("calc", server.address, version="1.0")
        keys = {"token": TOKEN, "address": server.address}
        with bee_core.build_client(config(**keys), plugins=[registry]) as client:
            assert client.service("calc").add(1, 2) == 3
            assert client.nodes("calc").source == "registry"


def test_tls_nodes_of_the_registry_get_the_token(calculator, authority):
    served = tls(authority.issue("server"))
    with serving(calculator, address="tls://127.0.0.1:0", transport=served, tokens=TOKEN) as server:
        registry = MemoryRegistry("network")
        registry.publish("calc", server.address, version="1.0")
        keys = {"token": TOKEN, "transport": tls(ca=authority.file)}
        with bee_core.build_client(config(**keys), plugins=[registry]) as client:
            assert client.service("calc").add(1, 2) == 3


def test_schemes_take_what_the_default_passes_over(calculator, authority):
    with serving(calculator) as server:
        registry = MemoryRegistry("network")
        registry.publish("calc", server.address, version="1.0")
        keys = {"schemes": "tls, tcp", "transport": tls(ca=authority.file)}
        with bee_core.build_client(config(**keys), plugins=[registry]) as client:
            assert client.service("calc").add(1, 2) == 3


def test_a_scheme_without_a_transport_is_told_when_the_client_is_built():
    with pytest.raises(PluginError, match=r"client\.calc\.schemes.*unknown transport 'tsl'"):
        bee_core.build_client(config(schemes="tsl"), plugins=[MemoryRegistry()])
    with pytest.raises(ConfigError, match="schemes"):
        bee_core.build_client(config(schemes=["tls", ""]), plugins=[MemoryRegistry()])


@pytest.mark.parametrize(
    "url",
    [
        "memory://calc",
        "unix:///run/calc.sock",
        "tcp://0.0.0.0:9000",
        "tcp://[::]:9000",
        "tcp://169.254.169.254:80",
        "tcp://[fe80::1]:9000",
    ],
)
def test_records_that_lead_nowhere_are_left_out_with_one_warning(calculator, caplog, url):
    with serving(calculator) as server:
        registry = MemoryRegistry("network")
        registry.publish("calc", url, version="1.0")
        registry.publish("calc", server.address, version="1.0")
        with (
            caplog.at_level(logging.WARNING, "bee"),
            bee_core.build_client(config(), plugins=[registry]) as client,
        ):
            calc = client.service("calc")
            assert [calc.add(1, 2) for _ in range(10)] == [3] * 10
            assert [known.node.url for known in client.nodes("calc").nodes] == [server.address]
    (warning,) = [one for one in caplog.records if "left out" in one.getMessage()]
    assert url in warning.getMessage()
