from __future__ import annotations

import asyncio
from math import inf

from bee_core.interfaces import Instance, RegistrySettings
from bee_core.terms.node import Node, Snapshot
from bee_core.testing import RegistryContract
from bee_plugins.registries.direct import DirectRegistry

NODES = (Node("tcp://10.0.0.1:9000", "tcp://10.0.0.1:9000"),)


class TestDirectRegistryContract(RegistryContract):
    keeps_registrations = False  # it has nothing to say to others

    def make_registry(self):
        return DirectRegistry(RegistrySettings())


def test_the_configured_addresses_are_known_without_asking_anybody():
    assert DirectRegistry(RegistrySettings()).known("calc", NODES) == Snapshot(0, "address", NODES)


def test_without_addresses_it_knows_that_there_are_none():
    assert DirectRegistry(RegistrySettings()).known("calc", ()) == Snapshot(0, "address", ())


def test_a_watch_repeats_what_is_known_and_then_waits():
    async def scenario():
        registry = DirectRegistry(RegistrySettings())
        registry.known("calc", NODES)
        watch = registry.watch("calc")
        first = await anext(watch)
        second = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0)
        waits = not second.done()
        second.cancel()
        return first, waits

    assert asyncio.run(scenario()) == (Snapshot(0, "address", NODES), True)


def test_a_registration_lasts_without_renewal():
    lease = asyncio.run(DirectRegistry(RegistrySettings()).register(Instance("calc", NODES[0])))
    assert lease.ttl == inf
