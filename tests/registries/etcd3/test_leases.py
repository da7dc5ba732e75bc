"""Leases while etcd, or the way to it, stammers: nothing is lost that lives, nothing adds up."""

from __future__ import annotations

import asyncio
import json

import pytest

from bee_core.errors import IdTaken, LeaseLost
from bee_core.interfaces import Instance, RegistrySettings
from bee_core.terms.node import Node
from bee_plugins.registries.etcd3.leases import Claim
from bee_plugins.registries.etcd3.messages import KeyValue
from bee_plugins.registries.etcd3.registry import EtcdOptions, EtcdRegistry
from support.etcd_servers import etcdctl
from support.patience import scaled
from support.registry_processes import Etcd
from support.tcp_relay import TcpRelay

NODE = Node("a", "tcp://10.0.0.1:9000", "1.2.0")
GRANT, KEEP, TXN, REVOKE = (
    f"POST /v3/{path}" for path in ("lease/grant", "lease/keepalive", "kv/txn", "lease/revoke")
)


@pytest.fixture
def server(start_registry):
    return start_registry(Etcd)


def relayed(server, scenario, **settings):
    """Run a scenario with a registry behind a relay, and the relay."""
    heartbeat = settings.pop("heartbeat", 1.0)

    async def whole():
        async with TcpRelay(server.port) as relay:
            registry = EtcdRegistry(
                RegistrySettings((relay.address,), heartbeat), EtcdOptions(**settings)
            )
            try:
                return await scenario(registry, relay)
            finally:
                await registry.close()

    return asyncio.run(asyncio.wait_for(whole(), 55))


def leases(server):
    """The numbers of all leases."""
    found = json.loads(etcdctl(server, "lease", "list", "-w", "json")).get("leases")
    return [entry["id"] for entry in found or ()]


async def timed(awaitable):
    loop = asyncio.get_running_loop()
    start = loop.time()
    await awaitable
    return loop.time() - start


@pytest.mark.parametrize(
    ("held", "lease", "may"),
    [
        (False, None, True),
        (False, 7, True),
        (False, 8, False),
        (False, 0, False),
        (True, None, True),
        (True, 7, True),
        (True, 8, False),
        (True, 0, True),
    ],
)
def test_a_key_is_put_unless_another_living_lease_holds_it_or_it_was_never_ours(held, lease, may):
    found = KeyValue() if lease is None else KeyValue(key=b"/a", lease=lease)
    assert Claim(7, held=held).may_put(found) is may


@pytest.mark.parametrize("lost", [GRANT, TXN])
def test_attempts_whose_answers_are_lost_share_one_lease_and_none_is_revoked(server, lost):
    async def scenario(registry, relay):
        relay.lose_answers_to(lost)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await registry.register(Instance("calc", NODE))
        left = await asyncio.to_thread(leases, server)
        assert len(left) == 1
        relay.lose_answers_to("")
        lease = await registry.register(Instance("calc", NODE))
        assert await asyncio.to_thread(leases, server) == left == [lease.number]
        assert REVOKE not in relay.requests
        await lease.revoke()
        assert await asyncio.to_thread(leases, server) == []

    relayed(server, scenario, heartbeat=0.5, request_timeout=0.5)


def test_an_outage_leaves_nothing_to_clean_up(server):
    async def scenario(registry, relay):
        lease = await registry.register(Instance("calc", NODE))
        await asyncio.to_thread(server.stop)
        for _ in range(50):
            with pytest.raises(OSError, match=r"127\.0\.0\.1"):
                await registry.register(Instance("calc", NODE))
        await asyncio.to_thread(server.restart, wipe=True)
        relay.requests.clear()
        again = await registry.register(Instance("calc", NODE))
        assert relay.requests == [KEEP, GRANT, TXN]
        assert await asyncio.to_thread(leases, server) == [again.number]
        assert again.number != lease.number, "numbers tell stores apart"

    relayed(server, scenario)


def test_a_renewal_on_a_dead_connection_does_not_hold_up_the_next(server):
    async def scenario(registry, relay):
        lease = await registry.register(Instance("calc", NODE))
        relay.lose()
        first = asyncio.ensure_future(lease.renew())
        await asyncio.wait((first,), timeout=0.5)
        assert not first.done()
        await lease.renew()
        first.cancel()
        await asyncio.wait((first,))

    relayed(server, scenario, heartbeat=1.0)


def test_a_renewal_waits_as_long_as_the_lease_lasts(server):
    async def scenario(registry, _):
        lease = await registry.register(Instance("calc", NODE))
        loop = asyncio.get_running_loop()
        start = loop.time()
        server.freeze()
        with pytest.raises(TimeoutError):
            await lease.renew()
        assert 0.9 * lease.ttl <= loop.time() - start < lease.ttl + scaled(1.0)
        server.thaw()

    relayed(server, scenario, heartbeat=1.0, request_timeout=0.5)


def test_a_record_that_cannot_be_compared_does_not_undo_the_renewal(server):
    async def scenario(registry, relay):
        lease = await registry.register(Instance("calc", NODE))
        relay.lose_answers_to(TXN)
        for _ in range(4):
            assert await timed(lease.renew()) < 1.0 + scaled(0.5)
        assert await asyncio.to_thread(leases, server) == [lease.number]

    relayed(server, scenario, heartbeat=1.0)


def test_the_renewal_and_the_comparison_go_out_at_once(server):
    async def scenario(registry, relay):
        lease = await registry.register(Instance("calc", NODE))
        relay.requests.clear()
        await lease.renew()
        assert sorted(relay.requests) == [TXN, KEEP]

    relayed(server, scenario)


def test_renewals_side_by_side_repair_once(server):
    key = "/bee/rpc/calc/providers/a"

    async def scenario(registry, _):
        lease = await registry.register(Instance("calc", NODE))
        await asyncio.to_thread(etcdctl, server, "put", key, "{}")
        await asyncio.gather(*(lease.renew() for _ in range(3)))
        assert lease.repairs == 1

    relayed(server, scenario)


def test_a_lease_that_ran_out_unnoticed_is_lost_and_its_id_may_be_taken(server):
    other = EtcdRegistry(RegistrySettings((server.address,), 60.0), EtcdOptions())

    async def scenario(registry, _):
        lease = await registry.register(Instance("calc", NODE))
        for _ in range(200):
            if not await asyncio.to_thread(leases, server):
                break
        taken = await other.register(Instance("calc", NODE))
        # The renewal and the comparison are two requests: either answer may be the first.
        with pytest.raises(LeaseLost, match=r"its lease has run out|has registered its id"):
            await lease.renew()
        with pytest.raises(IdTaken):
            await registry.register(Instance("calc", NODE))
        await taken.revoke()
        await other.close()
        await (await registry.register(Instance("calc", NODE))).revoke()

    relayed(server, scenario, heartbeat=0.3)
