"""The registry ``consul`` against real agents."""

from __future__ import annotations

import pytest

from bee_core.interfaces import RegistrySettings
from bee_core.testing import RegistryContract
from bee_plugins.registries.consul import ConsulRegistry
from bee_plugins.registries.consul_options import ConsulOptions


def registry_at(*addresses, heartbeat=0.5, **options):
    return ConsulRegistry(RegistrySettings(addresses, heartbeat), ConsulOptions(**options))


class TestConsulRegistryContract(RegistryContract):
    @pytest.fixture(autouse=True)
    def server(self, consul):
        self.address = consul.address

    def make_registry(self):
        return registry_at(self.address)
