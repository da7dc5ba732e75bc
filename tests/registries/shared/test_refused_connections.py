"""A registry that was killed: watches say so at once, and why, whatever the heartbeat."""

from __future__ import annotations

import asyncio

import pytest

from bee_core.interfaces import RegistrySettings
from bee_core.testing.registry_rig import Watching
from bee_plugins.registries.consul.registry import ConsulOptions, ConsulRegistry
from bee_plugins.registries.etcd3.registry import EtcdOptions, EtcdRegistry
from bee_plugins.registries.zookeeper.registry import ZooKeeperOptions, ZooKeeperRegistry
from support.patience import scaled
from support.registry_processes import Consul, Etcd, ZooKeeper

KINDS = {
    Etcd: lambda settings: EtcdRegistry(settings, EtcdOptions(request_timeout=15.0)),
    Consul: lambda settings: ConsulRegistry(settings, ConsulOptions()),
    ZooKeeper: lambda settings: ZooKeeperRegistry(settings, ZooKeeperOptions()),
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_watch_of_a_registry_that_was_killed_ends_at_once(start_registry, kind):
    # So that a third of the session, which a lost connection may be away, is 10 s.
    server = start_registry(kind, *(("maxSessionTimeout=60000",) if kind is ZooKeeper else ()))

    async def scenario():
        registry = KINDS[kind](RegistrySettings((server.address,), 10.0))
        watching = Watching(registry, "calc")
        try:
            await watching.until_ids([])
            since = asyncio.get_running_loop().time()
            server.kill()
            await asyncio.wait((watching.task,), timeout=20.0)
            passed = asyncio.get_running_loop().time() - since
            with pytest.raises(ConnectionError, match=r"(?i)refused|out of reach"):
                watching.task.result()
            assert passed < scaled(2.0)
        finally:
            await watching.close()
            await registry.close()

    asyncio.run(scenario())
