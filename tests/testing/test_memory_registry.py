from __future__ import annotations

import asyncio

import pytest

from bee_core import build_client
from bee_core.errors import IdTaken, LeaseLost
from bee_core.interfaces import Instance, RegistrySettings
from bee_core.terms.node import Node
from bee_core.testing import FakeClock, MemoryRegistry, RegistryContract
from bee_core.testing.registry_contract import Watching

NODE = Node("calc-1", "tcp://10.0.0.1:9000", "1.0.0")
INSTANCE = Instance("calc", NODE)


class TestMemoryRegistry(RegistryContract):
    @pytest.fixture(autouse=True)
    def shared(self):
        self.registry = MemoryRegistry()

    def make_registry(self):
        return session(self.registry, 0.2)

    async def spoil(self, service, node, how):
        if how == "removed":
            self.registry.erase(service, node.id)
        else:
            self.registry.overwrite(service, node.id, url="tcp://10.9.9.9:9")

    def go_silent(self):
        self.registry.go_silent()

    def come_back(self):
        self.registry.come_back()


def session(registry, heartbeat=10.0):
    return registry.session(RegistrySettings((), heartbeat))


def run(scenario):
    return asyncio.run(asyncio.wait_for(scenario, 10.0))


# Records.


def test_leases_run_out_by_the_clock_that_it_was_given():
    async def scenario():
        lease = await session(registry).register(INSTANCE)
        clock.advance(29.9)
        await lease.renew()
        clock.advance(29.9)
        assert registry.nodes("calc") == (NODE,)
        clock.advance(0.1)
        assert registry.nodes("calc") == ()
        with pytest.raises(LeaseLost):
            await lease.renew()

    clock = FakeClock()
    registry = MemoryRegistry(clock=clock)
    run(scenario())


@pytest.mark.parametrize("spoil", ["overwrite", "erase"])
def test_a_renewal_writes_the_record_again(spoil):
    async def scenario():
        registry = MemoryRegistry()
        lease = await session(registry).register(INSTANCE)
        await lease.renew()
        assert registry.repairs == 0
        if spoil == "overwrite":
            registry.overwrite("calc", NODE.id, url="tcp://10.0.0.9:1")
            assert registry.nodes("calc")[0].url == "tcp://10.0.0.9:1"
        else:
            registry.erase("calc", NODE.id)
            assert registry.nodes("calc") == ()
        await lease.renew()
        assert registry.nodes("calc") == (NODE,)
        assert registry.repairs == 1

    run(scenario())


def test_an_id_that_another_living_server_took_is_lost_and_refused_until_that_one_is_gone():
    async def scenario():
        registry = MemoryRegistry()
        server = session(registry)
        lease = await server.register(INSTANCE)
        other = registry.overwrite("calc", NODE.id, living=True, url="tcp://10.0.0.9:1")
        with pytest.raises(IdTaken, match=other.url):
            await lease.renew()
        with pytest.raises(IdTaken, match=other.url):
            await server.register(INSTANCE)
        assert registry.nodes("calc") == (other,)
        registry.withdraw("calc", NODE.id)
        await server.register(INSTANCE)
        assert registry.nodes("calc") == (NODE,)

    run(scenario())


@pytest.mark.parametrize("lose", ["withdraw", "wipe"])
def test_what_the_registry_has_lost_is_lost_for_the_server_as_well(lose):
    async def scenario():
        registry = MemoryRegistry()
        lease = await session(registry).register(INSTANCE)
        registry.withdraw("calc") if lose == "withdraw" else registry.wipe()
        with pytest.raises(LeaseLost):
            await lease.renew()

    run(scenario())


# Answers.


def test_a_garbled_registry_carries_out_what_it_is_asked_and_its_watches_fail():
    async def scenario():
        registry = MemoryRegistry()
        server = session(registry)
        watcher = Watching(session(registry), "calc")
        await watcher.until_ids([])
        registry.garble()
        with pytest.raises(ConnectionError, match="cannot be read"):
            await server.register(INSTANCE)
        assert registry.nodes("calc") == (NODE,)
        with pytest.raises(ConnectionError, match="cannot be read"):
            await watcher.task
        registry.come_back()
        await server.register(INSTANCE)

    run(scenario())


def test_a_slow_registry_has_carried_out_what_is_given_up_half_way():
    async def scenario():
        registry = MemoryRegistry()
        registry.slow(0.2)
        asked = asyncio.ensure_future(session(registry).register(INSTANCE))
        while not registry.nodes("calc"):
            assert not asked.done()
            await asyncio.sleep(0.001)
        assert not asked.done()
        registry.slow(60.0)
        asked = asyncio.ensure_future(session(registry).register(Instance("other", NODE)))
        await asyncio.sleep(0)
        registry.come_back()
        await asked

    run(scenario())


@pytest.mark.parametrize("silent", [True, False])
def test_a_watch_is_confirmed_while_the_registry_answers(silent):
    async def scenario():
        registry = MemoryRegistry()
        client = session(registry, 0.05)
        assert client.confirms_every == 0.05
        watcher = Watching(client, "calc")
        await watcher.until(lambda _: watcher.confirmed >= 3)
        assert len(watcher.seen) == 1
        if silent:
            registry.go_silent()
            await asyncio.sleep(0.06)  # one may have been on its way
            confirmed = watcher.confirmed
            await asyncio.sleep(0.2)  # nothing may happen
            assert watcher.confirmed == confirmed
            registry.come_back()
            await watcher.until(lambda _: watcher.confirmed > confirmed)
        await watcher.close()

    run(scenario())


def test_a_client_never_starts_from_the_list_of_another_object():
    """Nor from that of an earlier test or run; objects with one namespace are one registry."""
    rpc = {"registry": {"protocol": "memory"}, "client": {"calc": {}}}

    def source(registry):
        with build_client({"bee": {"rpc": rpc}}, plugins=[registry]) as client:
            return client.nodes("calc").source

    for namespace, then in ((None, None), ("a", "cache")):
        before, after = (MemoryRegistry(namespace=namespace) for _ in range(2))
        before.publish("calc", "tcp://127.0.0.1:1")
        assert source(before) == "registry"
        for down in (before, after):
            down.go_out_of_reach()
        assert (source(before), source(after)) == ("cache", then)
