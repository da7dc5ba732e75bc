from __future__ import annotations

from bee_core.interfaces import RegistrySettings
from bee_core.testing import MemoryRegistry, RegistryContract


class TestMemoryRegistry(RegistryContract):
    def make_registry(self):
        shared = getattr(self, "_shared", None)
        if shared is None:
            shared = self._shared = MemoryRegistry()
        return shared.session(RegistrySettings((), 0.3))
