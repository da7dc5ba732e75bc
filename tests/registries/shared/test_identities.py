"""However an address is written, a client finds the list on disk of its registry again."""

from __future__ import annotations

import pytest

from bee_core.control.cache_identity import cache_identity
from bee_core.interfaces import RegistrySettings
from bee_plugins.registries.consul.registry import ConsulOptions, ConsulRegistry
from bee_plugins.registries.etcd3.registry import EtcdOptions, EtcdRegistry
from bee_plugins.registries.local.registry import LocalRegistry
from bee_plugins.registries.zookeeper.registry import ZooKeeperOptions, ZooKeeperRegistry

MAKE = {
    "etcd3": lambda settings: EtcdRegistry(settings, EtcdOptions()),
    "consul": lambda settings: ConsulRegistry(settings, ConsulOptions()),
    "zookeeper": lambda settings: ZooKeeperRegistry(settings, ZooKeeperOptions()),
    "local": LocalRegistry,
}


def identity(plugin, *addresses):
    registry = MAKE[plugin](RegistrySettings(addresses))
    return cache_identity(plugin, addresses, registry, lambda: "options")


@pytest.mark.parametrize(
    ("plugin", "port", "scheme"),
    [("etcd3", 2379, "http"), ("consul", 8500, "http"), ("zookeeper", 2181, "zk")],
)
def test_one_address_may_be_written_in_several_ways(plugin, port, scheme):
    ways = ("reg", f"reg:{port}", f"{scheme}://reg:{port}", f"{scheme.upper()}://REG:{port}/")
    assert len({identity(plugin, way) for way in ways}) == 1
    assert identity(plugin) == identity(plugin, f"127.0.0.1:{port}")
    assert identity(plugin, "a", "b") == identity(plugin, f"b:{port},a")
    assert len({identity(plugin, one) for one in ("reg", "reg:1", "other")}) == 3


def test_a_folder_is_one_however_it_is_named(monkeypatch, tmp_path):
    stated = identity("local", str(tmp_path))
    monkeypatch.setenv("BEE_LOCAL_DIR", str(tmp_path))
    assert identity("local") == identity("local", f"{tmp_path}/") == stated
    assert identity("local", str(tmp_path / "other")) != stated
