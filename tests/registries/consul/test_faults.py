"""The registry ``consul`` while its agent is killed, emptied, frozen.

A server keeps its registration and a client its watch, as bee's own do.
"""

from __future__ import annotations

import asyncio
import re

import attrs
import pytest

from bee_core.errors import IdTaken
from bee_core.interfaces import Instance
from bee_core.testing.registry_contract import FULL
from support.consul_parts import BOUND, ask, following, kept, registry_at
from support.registry_processes import Consul, LastingConsul

pytestmark = pytest.mark.timeout(150)

HEARTBEAT = 0.5


def run(scenario):
    asyncio.run(asyncio.wait_for(scenario, 4 * BOUND))


@pytest.mark.parametrize("kind", [Consul, LastingConsul])
def test_killed_and_restarted_servers_are_back_and_clients_follow(start_registry, kind):
    server = start_registry(kind)

    async def scenario():
        async with (
            following(registry_at(server.address)) as follower,
            kept(registry_at(server.address), FULL),
        ):
            await follower.until_ids(FULL.id)
            await asyncio.to_thread(server.kill)
            assert isinstance(await follower.until_error(), OSError)
            before = len(follower.seen)
            await asyncio.to_thread(server.start)
            await follower.until(lambda self: len(self.seen) > before)
            await follower.until_ids(FULL.id)
            # It is followed as before.
            other = attrs.evolve(FULL, id="other")
            async with kept(registry_at(server.address), other):
                await follower.until_ids(FULL.id, "other")
            await follower.until_ids(FULL.id)

    run(scenario())


def test_restarted_in_time_the_lease_goes_on_with_the_agents_data(start_registry):
    """An agent writes its services and the state of their checks to its disk."""
    server = start_registry(LastingConsul)

    async def scenario():
        registry = registry_at(server.address, heartbeat=20)
        lease = await registry.register(Instance("calc", FULL))
        async with following(registry_at(server.address)) as before:
            await before.until_ids(FULL.id)
        await lease.renew()  # what an agent keeps of a check is its last renewal
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        async with following(registry_at(server.address)) as follower:
            await follower.until_ids(FULL.id)
            await lease.renew()
            await lease.revoke()
            await follower.until_ids()
        await registry.close()

    run(scenario())


def test_a_server_that_died_while_its_agent_was_down_goes_when_its_lease_ends(start_registry):
    """Its check comes back with its last status, and with the time that was left."""
    server = start_registry(LastingConsul)

    async def scenario():
        registry = registry_at(server.address, heartbeat=3)
        await registry.register(Instance("calc", FULL))
        await asyncio.to_thread(server.kill)
        await registry.close()
        await asyncio.to_thread(server.start)
        async with following(registry_at(server.address)) as follower:
            await follower.until_ids()
            assert all(
                check["Status"] == "critical" for check in ask(server, "/v1/agent/checks").values()
            )

    run(scenario())


def test_an_agent_that_lost_its_data_is_told_again_by_the_next_renewal(start_registry):
    server = start_registry(Consul)

    async def scenario():
        registry = registry_at(server.address, heartbeat=20)
        lease = await registry.register(Instance("calc", FULL))
        await asyncio.to_thread(server.restart)
        await lease.renew()
        async with following(registry_at(server.address)) as follower:
            await follower.until_ids(FULL.id)
            await lease.renew()
            await lease.revoke()
            await follower.until_ids()
        assert lease.repairs == 1
        await registry.close()

    run(scenario())


def test_an_id_that_another_took_while_the_agent_had_no_data_stays_with_the_other(start_registry):
    server = start_registry(Consul)

    async def scenario():
        first, second = (registry_at(server.address, heartbeat=20) for _ in range(2))
        lease = await first.register(Instance("calc", FULL))
        await asyncio.to_thread(server.restart)
        moved = attrs.evolve(FULL, url="tcp://10.0.0.8:9000")
        other = await second.register(Instance("calc", moved))
        with pytest.raises(IdTaken, match=re.escape(f"the server at {moved.url}")):
            await lease.renew()
        with pytest.raises(IdTaken, match=re.escape(f"the server at {moved.url}")):
            await first.register(Instance("calc", FULL))
        await lease.revoke()
        await other.renew()
        async with following(registry_at(server.address)) as follower:
            await follower.until_ids(FULL.id)
            assert follower.seen[-1].nodes == (moved,)
        await first.close()
        await second.close()

    run(scenario())


def test_frozen_for_longer_than_the_lease_silence_is_noticed_and_all_is_well_after_the_thaw(
    start_registry,
):
    server = start_registry(Consul)

    async def scenario():
        loop = asyncio.get_running_loop()
        async with (
            following(registry_at(server.address)) as follower,
            kept(registry_at(server.address), FULL) as events,
        ):
            await follower.until_ids(FULL.id)
            server.freeze()
            try:
                frozen = loop.time()
                error = await follower.until_error()
                assert isinstance(error, TimeoutError)
                # A blocking query may have begun just before: its wait, Consul's jitter on it,
                # and the time for an answer.
                assert (
                    loop.time() - frozen < HEARTBEAT * 17 / 16 + 4.5 + 2.0
                )  # the last for a busy machine
                await events.until("lease_lost")
                assert all(snapshot.nodes for snapshot in follower.seen[1:])
            finally:
                server.thaw()
            await events.until("registered_again")
            await follower.until_ids(FULL.id)

    run(scenario())


def test_without_a_leader_there_is_an_error_and_no_empty_list(start_registry):
    """Two of three servers are missing: the agent answers, and has nobody to ask."""
    server = start_registry(Leaderless)

    async def scenario():
        registry = registry_at(server.address)
        with pytest.raises(ConnectionError, match="No cluster leader"):
            await registry.watch("calc").__anext__()
        await registry.close()

    run(scenario())


class Leaderless(LastingConsul):
    """Waits for two more servers, which do not come."""

    def command(self, found):
        return [
            *(
                word.replace("-bootstrap-expect=1", "-bootstrap-expect=3")
                for word in super().command(found)
            ),
            # By default seven seconds: a request would time out before.
            '-hcl=performance { rpc_hold_timeout = "100ms" }',
        ]

    def ready(self):
        return self.get("/v1/status/leader").startswith(b'""')


def test_closing_is_quick_while_the_agent_is_frozen(start_registry):
    server = start_registry(Consul)

    async def scenario():
        loop = asyncio.get_running_loop()
        registry = registry_at(server.address, heartbeat=30)
        lease = await registry.register(Instance("calc", FULL))
        async with following(registry_at(server.address, heartbeat=30)) as follower:
            await follower.until_ids(FULL.id)
            server.freeze()
            try:
                renewing = asyncio.ensure_future(lease.renew())
                await asyncio.sleep(0)
                started = loop.time()
                await registry.close()
                renewing.cancel()
                await asyncio.wait((renewing,))
                await follower.close()
                assert loop.time() - started < 5.0
            finally:
                server.thaw()

    run(scenario())
