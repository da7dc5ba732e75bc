"""The registry ``zookeeper`` against a real server: the contract."""

from __future__ import annotations

import pytest

from bee_core.interfaces import RegistrySettings
from bee_core.testing import RegistryContract
from bee_plugins.registries.zookeeper import ZooKeeperRegistry
from bee_plugins.registries.zookeeper_options import ZooKeeperOptions


class TestZooKeeper(RegistryContract):
    @pytest.fixture(autouse=True)
    def _server(self, zookeeper):
        self.address = zookeeper.address

    def make_registry(self):
        return ZooKeeperRegistry(RegistrySettings((self.address,), 0.5), ZooKeeperOptions())
