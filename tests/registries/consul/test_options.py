"""Addresses and options of the registry ``consul``; no agent is asked."""

from __future__ import annotations

import pytest

import bee_core
from bee_core.errors import ConfigError
from bee_core.plugins.hub import PluginHub
from bee_core.terms.addresses import Address
from bee_plugins.registries.consul.registry import ConsulOptions, agent_addresses
from bee_plugins.registries.shared.servers import https_context
from support.consul_parts import registry_at


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("10.0.0.1:8500", Address("http", "10.0.0.1", 8500)),
        ("consul.example", Address("http", "consul.example", 8500)),
        ("http://consul.example", Address("http", "consul.example", 8500)),
        ("https://consul.example/", Address("https", "consul.example", 8501)),
        ("https://[::1]:1234", Address("https", "::1", 1234)),
    ],
)
def test_an_address_is_a_host_with_what_consul_usually_has_filled_in(written, meant):
    assert agent_addresses([written]) == (meant,)


def test_without_an_address_it_is_the_agent_of_this_machine():
    assert agent_addresses([]) == (Address("http", "127.0.0.1", 8500),)


@pytest.mark.parametrize(
    "written",
    [
        "tcp://a:1",
        "a:b",
        "a:99999",
        "http://a:1/v1",
        "http://",
        "",
        "unix:///run/consul.sock",
        "a b",
        "http://user:secret@a:1",
        "a:0",
    ],
)
def test_a_malformed_address_is_refused_by_name_and_without_its_secret(written):
    with pytest.raises(ValueError, match="address") as caught:
        agent_addresses([written])
    assert "secret" not in str(caught.value)


def test_a_malformed_address_is_an_error_of_the_configuration():
    config = {
        "bee": {
            "rpc": {
                "registry": {"protocol": "consul", "address": "tcp://10.0.0.1:8500"},
                "client": {"calc": {}},
            }
        }
    }
    with pytest.raises(
        ConfigError,
        match=r"address 'tcp://10.0.0.1:8500' is not one of a Consul agent; write host:port",
    ) as caught:
        bee_core.build_client(config)
    assert caught.value.path.startswith("bee.rpc.registry")


@pytest.mark.parametrize("prefix", ["a/b", "a b", "ü", "a%"])
def test_a_prefix_is_what_stands_in_a_url_as_it_is(prefix):
    class Ref:
        name, options, path = "consul", {"prefix": prefix}, "bee.rpc.registry"

    with pytest.raises(ConfigError, match="prefix"):
        PluginHub().create(Ref(), "registry", bee_core.interfaces.RegistrySettings(("a:1",)))


def test_a_file_that_cannot_be_used_is_an_error_of_the_configuration_with_its_path():
    registry = {
        "protocol": "consul",
        "address": "https://10.0.0.1",
        "options": {"ca": "/nowhere.pem"},
    }
    with pytest.raises(ConfigError, match=r"/nowhere.pem") as caught:
        bee_core.build_client({"bee": {"rpc": {"registry": registry, "client": {"calc": {}}}}})
    assert caught.value.path == "bee.rpc.registry.options.ca"


def test_the_same_address_twice_is_one_agent():
    assert len(agent_addresses(["a:8500", "http://a", "b"])) == 2


def test_the_token_is_never_shown():
    assert "secret" not in repr(ConsulOptions(token="secret"))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"ca": "/nowhere.pem"}, "ca is '/nowhere.pem', which cannot be used: no such file"),
        ({"key": "/nowhere.pem"}, "state cert as well"),
        ({"cert": "/nowhere.pem"}, "'/nowhere.pem', which cannot be used: no such file"),
    ],
)
def test_files_that_cannot_be_used_are_named(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        https_context(ConsulOptions(**options), agent_addresses(["https://a"]))


def test_a_file_without_certificates_is_named(tmp_path):
    path = tmp_path / "empty.pem"
    path.touch()
    with pytest.raises(ValueError, match=r"ca is .*empty.pem', which cannot be used"):
        https_context(ConsulOptions(ca=str(path)), agent_addresses(["https://a"]))


@pytest.mark.parametrize("options", [{"ca": "x"}, {"cert": "x"}, {"verify": False}])
def test_options_of_https_without_an_https_address_are_a_contradiction(options):
    with pytest.raises(ValueError, match="is for https, and no address begins with https://"):
        registry_at("a:1", **options)


@pytest.mark.parametrize(
    ("options", "namespace"),
    [
        ({}, ""),
        ({"prefix": "blue.", "datacenter": "east"}, "datacenter=east prefix=blue."),
        ({"token": "secret"}, "token=2bb8"),  # of its SHA-256, the first four hex digits
    ],
)
def test_lists_on_disk_are_told_apart_by_all_that_decides_what_they_show(
    options, namespace, monkeypatch
):
    monkeypatch.delenv("CONSUL_HTTP_TOKEN", raising=False)
    assert registry_at("a:1", **options).namespace == namespace
    # Not by the addresses, nor by how an agent's certificate is checked.
    assert registry_at("https://b", verify=False, **options).namespace == namespace


def test_the_token_of_the_environment_tells_lists_apart_as_well(monkeypatch):
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", "secret")
    assert registry_at("a:1").namespace == "token=2bb8"


@pytest.mark.parametrize(("heartbeat", "seconds"), [(0.1, 0.5), (10, 10), (3600, 300)])
def test_confirmations_come_once_a_heartbeat_and_the_sixteenth_that_consul_adds(heartbeat, seconds):
    assert registry_at("a:1", heartbeat=heartbeat).confirms_every == seconds * 17 / 16
