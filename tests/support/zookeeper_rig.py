"""What the tests of the registry ``zookeeper`` share.

Registries, a plain client beside them, and a loop that ends with nothing left over.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading

from kazoo.client import KazooClient

from bee_core.interfaces import Instance, RegistrySettings
from bee_core.terms.node import Node
from bee_core.testing.registry_contract import Watching
from bee_plugins.registries.zookeeper.registry import ZooKeeperOptions, ZooKeeperRegistry
from support.patience import scaled

BOUND = scaled(10.0)
NODE = Node("calc-1", "tcp://10.0.0.7:9000", version="1.2.0")


def registry(*addresses, heartbeat=0.5, **options):
    return ZooKeeperRegistry(RegistrySettings(addresses, heartbeat), ZooKeeperOptions(**options))


def service_name():
    return f"calc-{os.urandom(6).hex()}"


def folder(service, prefix="/bee/rpc"):
    return f"{prefix}/{service}/providers"


def instance(service, node=NODE):
    return Instance(service, node)


class Rig:
    """Closes what a scenario opens."""

    def __init__(self):
        self.service = service_name()
        self._registries = []
        self._watchers = []

    def registry(self, *addresses, **options):
        made = registry(*addresses, **options)
        self._registries.append(made)
        return made

    def watch(self, of, service=None):
        watcher = Watching(of, service or self.service)
        self._watchers.append(watcher)
        return watcher

    async def close(self):
        for watcher in self._watchers:
            await watcher.close()
        for made in self._registries:
            await made.close()


def run(scenario):
    """Run a scenario with a rig; afterwards no thread and no complaint of asyncio is left."""
    before = set(threading.enumerate())
    complaints = []

    async def whole():
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: complaints.append(context)
        )
        rig = Rig()
        try:
            return await asyncio.wait_for(scenario(rig), scaled(50.0))
        finally:
            await rig.close()

    result = asyncio.run(whole())
    left = [
        thread
        for thread in set(threading.enumerate()) - before
        if thread.name.startswith("bee-zookeeper")
    ]
    assert left == []
    assert complaints == []
    return result


@contextlib.contextmanager
def plain_client(address, **arguments):
    """A client of ZooKeeper that has nothing to do with bee."""
    client = KazooClient(address, timeout=5, **arguments)
    client.start()
    try:
        yield client
    finally:
        client.stop()
        client.close()


def expire(address, session):
    """End a session from outside, the classic way: a second client takes it over and closes it."""
    thief = KazooClient(address, timeout=5, client_id=session.client.client_id)
    thief.start()
    thief.stop()
    thief.close()


async def error_of(awaitable, bound=BOUND):
    """The error that it ends with."""
    try:
        result = await asyncio.wait_for(awaitable, bound)
    except Exception as error:
        return error
    raise AssertionError(f"no error, but {result}")


async def end_of(watcher, bound=BOUND):
    """The error that a watch ends with."""
    await asyncio.wait({watcher.task}, timeout=bound)
    assert watcher.task.done(), f"still there after {bound} s"
    return watcher.task.exception()
