"""What is wrong with a server's addresses comes to light while it is built."""

from __future__ import annotations

import pytest

import bee_core
from bee_core.errors import ConfigError, PluginError
from bee_core.server.transports import make_transports
from support.certificates import Authority, tls


def build(**settings):
    return bee_core.build_server({"bee": {"rpc": {"server": {"name": "calc", **settings}}}})


def test_a_tls_address_without_a_certificate_is_an_error_that_says_what_to_state():
    with pytest.raises(
        ConfigError, match=r"needs a certificate; state transport: \{name: tls"
    ) as caught:
        build(address=["tcp://127.0.0.1:0", "tls://127.0.0.1:0"])
    assert caught.value.path == "bee.rpc.server.transport.options.cert"


def test_a_certificate_that_is_missing_is_an_error(tmp_path):
    with pytest.raises(ConfigError) as caught:
        build(
            address="tls://127.0.0.1:0",
            transport=tls(cert=(tmp_path / "missing.pem", tmp_path / "missing.key")),
        )
    assert caught.value.path == "bee.rpc.server.transport.options.cert"


def test_a_certificate_is_enough(tmp_path):
    build(address="tls://127.0.0.1:0", transport=tls(Authority(tmp_path).issue("server")))


def test_each_scheme_has_one_transport_and_others_than_streams_are_not_asked():
    class Plain:
        """A transport with a protocol of its own, that knows nothing of sockets."""

    class Hub:
        made = 0

        def create(self, ref, kind, origin):
            Hub.made += 1
            return Plain()

    config = build(address=["tcp://127.0.0.1:0", "tcp://127.0.0.1:1", "unix:///x"]).config
    assert sorted(make_transports(config, config.server, Hub())) == ["tcp", "unix"]
    assert Hub.made == 2


def test_a_scheme_that_no_plugin_has_is_an_error():
    with pytest.raises(PluginError, match="unknown transport 'carrier-pigeon'"):
        build(address="carrier-pigeon://coop")
