"""A client's watch of the registry ``consul``; what its requests leave alone."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import time

import attrs
import pytest

from bee_core.errors import RegistryError
from bee_core.interfaces import Instance
from bee_core.testing.registry_contract import FULL, Watching
from bee_plugins.registries.consul import entries
from support.consul_parts import BOUND, following, register_by_hand, registry_at, run

OTHER = attrs.evolve(FULL, id="other", url="tcp://10.0.0.8:9000")


@pytest.fixture
def service():
    return f"calc-{os.urandom(6).hex()}"


def test_a_watch_that_is_idle_goes_on_and_reads_no_list(consul, service, monkeypatch):
    async def scenario():
        registry = registry_at(consul.address, heartbeat=0.2)
        server = registry_at(consul.address, heartbeat=30)
        await server.register(Instance(service, FULL))
        sizes, enough = [], asyncio.Event()
        (agent,) = registry.agents.servers
        index = agent.index

        def answered(response):
            sizes.append(len(response.body))
            if len(sizes) == 6:  # several times as long as a blocking query waits
                enough.set()
            return index(response)

        monkeypatch.setattr(agent, "index", answered)
        async with following(registry, service) as follower:
            await enough.wait()
            assert (len(follower.seen), follower.errors) == (1, [])
        assert sizes[0] > 500
        assert max(sizes[3:]) < 10
        await server.close()

    run(scenario)


def test_closing_does_not_wait_for_a_query_that_waits(consul, service):
    async def scenario():
        registry = registry_at(consul.address, heartbeat=30)
        watcher = Watching(registry, service)
        await watcher.until_ids([])
        started = time.monotonic()
        await registry.close()
        with pytest.raises((RegistryError, ConnectionError)):
            await asyncio.wait_for(watcher.task, BOUND)
        assert time.monotonic() - started < 5  # a query waits for a minute
        with pytest.raises(RegistryError, match="closed"):
            await registry.register(Instance(service, FULL))

    run(scenario)


def test_requests_are_not_logged(consul, service, caplog):
    caplog.set_level(logging.INFO)

    async def scenario():
        registry = registry_at(consul.address, token="")
        lease = await registry.register(Instance(service, FULL))
        await lease.renew()
        await registry.close()

    run(scenario)
    assert [record.name for record in caplog.records if record.name != "asyncio"] == []


def test_a_proxy_of_the_environment_is_not_asked_for_an_agent(consul, service, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")

    async def scenario():
        registry = registry_at(consul.address)
        await registry.register(Instance(service, FULL))
        await registry.close()

    run(scenario)


def test_a_change_in_a_long_list_is_found_without_looking_into_the_others(consul, service):
    """Consul sends the whole list; how many instances are looked into is ours."""
    looked = []

    async def scenario():
        for number in range(200):
            register_by_hand(
                consul, service, ID=f"{service}-{number}", Port=80, Meta={"bee-id": f"n{number}"}
            )
        async with following(registry_at(consul.address), service) as follower:
            await follower.until(lambda self: bool(self.seen) and len(self.seen[-1].nodes) == 200)
            decode = entries.decoder.decode
            looker = type(
                "Decoder",
                (),
                {"decode": staticmethod(lambda data: looked.append(data) or decode(data))},
            )
            before, entries.decoder = entries.decoder, looker
            try:
                register_by_hand(consul, service, ID=f"{service}-0", Port=81, Meta={"bee-id": "n0"})
                await follower.until(
                    lambda self: any(node.url.endswith(":81") for node in self.seen[-1].nodes)
                )
            finally:
                entries.decoder = before
            assert [node.id for node in follower.seen[-1].changes.put] == ["n0"]

    run(scenario)
    assert len(looked) == 2


def test_a_forked_child_makes_a_registry_of_its_own(consul, service):
    async def scenario():
        # Neither record is renewed until the follower has seen both, and the child has left by
        # then: they must outlive the wait on a busy machine.
        registry = registry_at(consul.address, heartbeat=BOUND)
        lease = await registry.register(Instance(service, FULL))
        async with following(registry_at(consul.address), service) as follower:
            await follower.until_ids(FULL.id)
            child = await asyncio.to_thread(_in_child, consul.address, service)
            assert child == 0
            await follower.until_ids(FULL.id, OTHER.id)
            assert follower.errors == []
        await lease.renew()
        await registry.close()

    asyncio.run(scenario())


def _in_child(address, service):
    pid = os.fork()
    if pid == 0:
        try:
            gc.collect()  # nothing of the parent's may stir

            async def register():
                registry = registry_at(address, heartbeat=BOUND)
                await registry.register(Instance(service, OTHER))

            asyncio.run(register())
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
