from __future__ import annotations

import pytest

from bee_core.interfaces import RegistrySettings
from bee_core.testing import RegistryContract
from bee_plugins.registries.etcd3 import EtcdRegistry
from bee_plugins.registries.etcd_options import EtcdOptions


class TestEtcd3RegistryContract(RegistryContract):
    @pytest.fixture(autouse=True)
    def server(self, etcd):
        self.address = etcd.address

    def make_registry(self):
        return EtcdRegistry(RegistrySettings((self.address,), 0.2), EtcdOptions())
