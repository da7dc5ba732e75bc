"""Several agents: one that is dead, one that dies, a cluster of a server and an agent."""

from __future__ import annotations

import asyncio
import re

import attrs
import pytest

from bee_core.errors import IdTaken, RegistryError
from bee_core.interfaces import Instance
from bee_core.terms.node import Node
from bee_core.testing.registry_contract import FULL, Watching
from support.consul_parts import BOUND, ask, ask_with_index, following, kept, registry_at
from support.ports import fixed_port
from support.registry_processes import Consul


class Server(Consul):
    """A server that others can join, and whose data are lost with it."""

    def __init__(self, folder, *arguments, **settings):
        super().__init__(folder, *arguments, **settings)
        self.lan, self.rpc = (fixed_port() for _ in range(2))

    def command(self, found):
        own = [
            word
            for word in super().command(found)
            if not word.startswith(("-serf-lan-port", "-server-port"))
        ]
        return [*own, f"-serf-lan-port={self.lan}", f"-server-port={self.rpc}", "-node=server"]


class Agent(Consul):
    """An agent that is no server; its one argument is where the cluster is."""

    def command(self, found):
        joining = [
            f"-retry-join={self.arguments[0]}",
            "-retry-interval=1s",
            "-hcl=leave_on_terminate = false",
        ]
        return [
            *found,
            "agent",
            f"-data-dir={self.folder / 'consul'}",
            f"-node={self.folder.name}",
            *self.ports(),
            *joining,
        ]

    def ready(self):
        # It is one of the cluster when it stands in the list of its own service's machines.
        return f'"{self.folder.name}"'.encode() in self.get("/v1/catalog/nodes")


@pytest.fixture
def cluster(start_registry):
    server = start_registry(Server)
    agents = [start_registry(Agent, f"127.0.0.1:{server.lan}") for _ in range(2)]
    return server, *agents


def test_the_first_that_answers_is_asked_and_stuck_to(consul):
    async def scenario():
        dead = f"127.0.0.1:{fixed_port()}"
        registry = registry_at(dead, consul.address)
        lease = await registry.register(Instance("calc-agents", FULL))
        assert registry.agents.current.where == f"http://{consul.address}"
        await lease.renew()
        watcher = Watching(registry, "calc-agents")
        await watcher.until_ids([FULL.id])
        await lease.revoke()
        await watcher.until_ids([])
        await watcher.close()
        await registry.close()

    asyncio.run(asyncio.wait_for(scenario(), BOUND))


def test_where_none_answers_each_is_named():
    async def scenario():
        addresses = [f"127.0.0.1:{fixed_port()}" for _ in range(2)]
        registry = registry_at(*addresses)
        with pytest.raises(ConnectionError) as caught:
            await registry.register(Instance("calc", FULL))
        assert all(address in str(caught.value) for address in addresses)
        await registry.close()

    asyncio.run(asyncio.wait_for(scenario(), BOUND))


def test_a_refusal_is_the_answer_of_all(consul):
    async def scenario():
        registry = registry_at(consul.address, f"127.0.0.1:{fixed_port()}", datacenter="nowhere")
        with pytest.raises((RegistryError, ConnectionError), match="No path to datacenter"):
            await registry.watch("calc").__anext__()
        await registry.close()

    asyncio.run(asyncio.wait_for(scenario(), BOUND))


def test_when_an_agent_dies_its_servers_move_to_another_and_clients_follow(cluster):
    server, one, two = cluster

    async def scenario():
        async with (
            following(registry_at(one.address, two.address)) as near,
            following(registry_at(server.address)) as far,
            kept(registry_at(one.address, two.address), FULL) as events,
        ):
            await near.until_ids(FULL.id)
            await far.until_ids(FULL.id)
            assert len(ask(one, "/v1/agent/services")) == 1
            await asyncio.to_thread(one.kill)
            await asyncio.to_thread(until_at, two)
            await near.until_ids(FULL.id)
            await far.until_ids(FULL.id)
            # The lease goes on: it has moved in time.
            assert not {"lease_lost", "registered_again"} & set(events)
            # It comes back with what its disk had: a dead registration of the same id.
            await asyncio.to_thread(one.restart)
            await far.until_ids(FULL.id)
            assert [node.id for node in far.seen[-1].nodes] == [FULL.id]

    asyncio.run(asyncio.wait_for(scenario(), BOUND))


def until_at(agent):
    """Wait until a server of ``calc`` is registered at an agent, as the servers tell it."""
    index = 1
    while not ask(agent, "/v1/agent/services"):
        index = ask_with_index(agent, f"/v1/catalog/service/calc?index={index}&wait=20s")[0]


def test_one_slow_answer_is_no_reason_to_move(cluster):
    _, one, two = cluster

    async def scenario():
        registry = registry_at(one.address, two.address, heartbeat=2)
        lease = await registry.register(Instance("calc", FULL))
        one.freeze()
        renewing = asyncio.ensure_future(lease.renew())
        try:
            # Reads go elsewhere at once.
            watch = registry.watch("calc")
            assert [node.id for node in (await watch.__anext__()).nodes] == [FULL.id]
            await watch.aclose()
            assert registry.agents.current.where == f"http://{two.address}"
            assert not renewing.done()
        finally:
            one.thaw()
        await renewing
        assert ask(two, "/v1/agent/services") == {}
        assert len(ask(one, "/v1/agent/services")) == 1
        await registry.close()

    asyncio.run(asyncio.wait_for(scenario(), BOUND))


def test_an_agent_that_is_silent_for_two_thirds_of_a_lease_is_left_in_time(cluster, caplog):
    server, one, two = cluster

    async def scenario():
        registry = registry_at(one.address, two.address, heartbeat=2)
        lease = await registry.register(Instance("calc", FULL))
        async with following(registry_at(server.address)) as far:
            await far.until_ids(FULL.id)
            began = asyncio.get_running_loop().time()
            one.freeze()
            try:
                await lease.renew()
                assert 3 < asyncio.get_running_loop().time() - began < lease.ttl
                assert len(ask(two, "/v1/agent/services")) == 1
                await lease.renew()
            finally:
                one.thaw()
            # Consul itself takes the machine for dead meanwhile.
            await far.until_ids(FULL.id)
        await registry.close()

    asyncio.run(asyncio.wait_for(scenario(), BOUND))
    assert f"has moved to Consul at http://{two.address}" in caplog.text


def test_a_registration_goes_to_an_agent_that_answers_and_to_no_other(cluster):
    _, one, two = cluster

    async def scenario():
        registry = registry_at(one.address, two.address)
        one.freeze()
        try:
            lease = await registry.register(Instance("calc", FULL))
            await lease.renew()
        finally:
            one.thaw()
        assert len(ask(two, "/v1/agent/services")) == 1
        assert ask(one, "/v1/agent/services") == {}
        await registry.close()

    asyncio.run(asyncio.wait_for(scenario(), BOUND))


def test_of_two_that_register_one_id_at_once_the_earlier_gives_way(cluster):
    """Neither saw the other. Clients take the later one, so it is the one that stays."""
    server, one, two = cluster

    async def scenario():
        early, late = registry_at(one.address), registry_at(two.address)
        lease = await early.register(Instance("calc", FULL))
        node = attrs.evolve(FULL, url="tcp://10.0.0.8:9000")
        # It registers under another id, and then the same record is written under this one.
        other = await late.register(Instance("calc", attrs.evolve(node, id="other")))
        (found,) = ask(two, "/v1/agent/services").values()
        await other.revoke()
        record = {
            "Name": "calc",
            "ID": next(iter(ask(one, "/v1/agent/services"))),
            "Address": found["Address"],
            "Port": found["Port"],
            "Meta": {**found["Meta"], "bee-id": FULL.id},
            "Check": {"CheckID": "late", "TTL": "60s", "Status": "passing"},
        }
        ask(two, "/v1/agent/service/register", record)
        async with following(registry_at(server.address)) as far:
            await far.until(
                lambda self: self.seen and [n.url for n in self.seen[-1].nodes] == [node.url]
            )
        with pytest.raises(IdTaken, match=re.escape(f"the server at {node.url}")):
            await lease.renew()
        with pytest.raises(IdTaken, match=re.escape(f"the server at {node.url}")):
            await early.register(Instance("calc", FULL))
        await early.close()
        await late.close()

    asyncio.run(asyncio.wait_for(scenario(), BOUND))


def test_an_id_that_is_held_on_another_machine_is_refused(cluster):
    server, one, two = cluster

    async def scenario():
        first, second = registry_at(one.address), registry_at(two.address)
        lease = await first.register(Instance("calc", FULL))
        async with following(registry_at(server.address)) as follower:
            await follower.until_ids(FULL.id)
        await lease.renew()
        with pytest.raises(IdTaken, match="and lives; stop it"):
            await second.register(Instance("calc", FULL))
        await first.close()
        await second.close()

    asyncio.run(asyncio.wait_for(scenario(), BOUND))


def test_servers_that_lost_their_data_behind_a_living_agent_are_noticed(cluster):
    """The index begins anew. The agent lives, but may tell the servers only after minutes."""
    server, one, _ = cluster

    async def scenario():
        for number in range(40):
            await asyncio.to_thread(
                ask, server, f"/v1/kv/{number}", number
            )  # so that the index is far ahead
        async with (
            following(registry_at(one.address)) as follower,
            kept(registry_at(one.address), FULL),
        ):
            await follower.until_ids(FULL.id)
            index = ask_index(one)
            await asyncio.to_thread(server.restart, wipe=True)
            other = registry_at(one.address)
            async with kept(other, Node("other", "tcp://10.0.0.8:9000")):
                await follower.until_ids(FULL.id, "other")
            assert ask_index(one) < index
            await follower.until_ids(FULL.id)

    asyncio.run(asyncio.wait_for(scenario(), BOUND))


def ask_index(agent):
    return ask_with_index(agent, "/v1/health/service/calc")[0]
