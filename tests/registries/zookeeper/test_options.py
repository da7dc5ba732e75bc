"""Addresses and options of the registry ``zookeeper``."""

from __future__ import annotations

import pytest

from bee_core.config import structure_options
from bee_core.errors import ConfigError
from bee_core.interfaces import RegistrySettings
from bee_core.plugins.hub import PluginHub
from bee_plugins.registries.zookeeper.registry import (
    ZooKeeperOptions,
    ZooKeeperRegistry,
    server_addresses,
    server_tls,
)


class Ref:
    name, options, path = "zookeeper", {}, "bee.rpc.registry"


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("10.0.0.1", "10.0.0.1", 2181),
        ("zk-1.example:2182", "zk-1.example", 2182),
        ("zk://10.0.0.1:1", "10.0.0.1", 1),
        ("zookeeper://10.0.0.1/", "10.0.0.1", 2181),
        ("tcp://10.0.0.1", "10.0.0.1", 2181),
        ("[::1]", "::1", 2181),
        ("[::1]:2182", "::1", 2182),
    ],
)
def test_an_address_is_a_host_and_perhaps_a_port(text, host, port):
    (address,) = server_addresses((text,), tls=False)
    assert (address.host, address.port) == (host, port)


def test_the_usual_port_depends_on_tls():
    assert [server_addresses(("zk-1",), tls=tls)[0].port for tls in (False, True)] == [2181, 2281]


def test_no_address_is_this_machine():
    (address,) = server_addresses((), tls=False)
    assert (address.host, address.port) == ("127.0.0.1", 2181)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("http://10.0.0.1:2181", "host:port"),
        ("tls://10.0.0.1:2281", "tls: true"),
        ("10.0.0.1:2181/app", "prefix: /app"),
        ("user:secret@10.0.0.1:2181", "options"),
        ("10.0.0.1:port", "not a number"),
        ("10.0.0.1:0", "port 0"),
        ("10.0.0.1:99999", "65535"),
        ("::1", "brackets"),
        ("", "host"),
        ("a b", "space"),
        ("10.0.0.1:2181:1", "brackets"),
    ],
)
def test_a_malformed_address_is_a_configuration_error_that_says_what_to_write(text, advice):
    with pytest.raises(ConfigError, match=r"bee\.rpc\.registry") as caught:
        PluginHub(disabled=()).create(Ref(), "registry", RegistrySettings((text,)))
    assert "address" in str(caught.value)
    assert advice in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "prefix",
    [
        "bee",
        "/",
        "",
        "/bee/",
        "//bee",
        "/bee//rpc",
        "/bee/../rpc",
        "/./x",
        "/zookeeper/x",
        "/b\0e",
        "/b\ue000",
    ],
)
def test_a_prefix_that_zookeeper_would_refuse_is_refused(prefix):
    with pytest.raises(ValueError, match="is impossible here; write"):
        ZooKeeperOptions(prefix=prefix)


@pytest.mark.parametrize(
    "options",
    [
        {"username": "bee"},
        {"password": "honey"},
        {"username": "a:b", "password": "honey"},
        {"username": "", "password": "honey"},
        {"ca": "ca.pem"},
        {"tls": True, "key": "key.pem"},
    ],
)
def test_options_that_contradict_each_other_are_refused(options):
    with pytest.raises(ValueError, match=r"username|tls|cert"):
        server_tls(ZooKeeperOptions(**options))


def test_options_come_from_the_configuration():
    raw = {"prefix": "/a", "username": "bee", "password": "honey", "tls": "yes", "ca": "ca.pem"}
    assert structure_options(
        ZooKeeperOptions, raw, "bee.rpc.registry.options", None
    ) == ZooKeeperOptions("/a", "bee", "honey", True, "ca.pem")


def test_the_password_is_not_shown():
    assert "honey" not in repr(ZooKeeperOptions(username="bee", password="honey"))


@pytest.mark.parametrize("options", [{"ca": "missing.pem"}, {"cert": "missing.pem"}])
def test_a_file_that_is_missing_is_named(options):
    with pytest.raises(ValueError, match=r"missing\.pem"):
        server_tls(ZooKeeperOptions(tls=True, **options))


@pytest.mark.parametrize(
    ("options", "namespace"),
    [
        ({}, "prefix=/bee/rpc"),
        ({"prefix": "/a", "username": "bee", "password": "honey"}, "prefix=/a user=bee"),
    ],
)
def test_a_namespace_is_the_prefix_and_the_user_and_no_secret(options, namespace):
    made = ZooKeeperRegistry(RegistrySettings(), ZooKeeperOptions(**options))
    assert made.namespace == namespace


@pytest.mark.parametrize(("heartbeat", "seconds"), [(10.0, 10.0), (0.1, 0.5)])
def test_confirmations_come_once_a_heartbeat_and_not_faster_than_they_are_useful(
    heartbeat, seconds
):
    made = ZooKeeperRegistry(RegistrySettings((), heartbeat), ZooKeeperOptions())
    assert made.confirms_every == seconds


def test_a_file_that_is_no_certificate_is_named(tmp_path):
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(ValueError, match=r"ca\.pem"):
        server_tls(ZooKeeperOptions(tls=True, ca=str(tmp_path / "ca.pem")))


def test_without_tls_there_is_no_context():
    assert server_tls(ZooKeeperOptions()) is None
