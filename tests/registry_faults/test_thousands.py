"""Thousands of instances.

Registered, found, changed and gone, on a real registry; the calling side goes on meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import time

import attrs
import pytest

from bee_core.config import PluginRef
from bee_core.interfaces import Instance, RegistrySettings
from bee_core.plugins.hub import PluginHub
from bee_core.terms.node import Node
from cluster.load import Load, percentile
from cluster.servers import when

COUNT = int(os.environ.get("BEE_THOUSANDS", "500"))
AT_A_TIME = 16


def ghost(number, version="1.0.0"):
    """An instance that gets no calls. Nobody listens there: it is pinged when it leaves."""
    return Node(
        f"ghost-{number}", f"tcp://127.1.{number >> 8}.{number & 255}:9", version, weight=0.0
    )


async def each(nodes, do):
    """Do something for each node, some at a time."""
    places = asyncio.Semaphore(AT_A_TIME)

    async def one(node):
        async with places:
            return await do(node)

    return await asyncio.gather(*map(one, nodes))


async def registered_at_last(registry, node):
    """As a server does: a registry that is too busy to answer is asked again."""
    while True:
        try:
            return await registry.register(Instance("calc", node))
        except OSError:  # noqa: PERF203  # TimeoutError is one
            await asyncio.sleep(0.1)


@pytest.mark.timeout(600)
def test_thousands_of_instances_come_change_and_go_and_callers_do_not_notice(world, record):
    # Long leases, also for a busy machine: it is not their renewal that is looked at here.
    if world.name == "zookeeper":  # which cuts them to twenty of its ticks
        world.registry.arguments.append("tickTime=2000")
        world.registry.restart()
    (server,) = world.serve()
    client = world.connect()
    settings = RegistrySettings((world.registry.address,), 100.0)
    registry = PluginHub(()).create(PluginRef(world.name), "registry", settings)

    def known():
        report = client.nodes("calc")
        return {
            known.node.id: known.node for known in report.nodes if known.node.id.startswith("ghost")
        }

    async def scenario(load):
        began = time.monotonic()
        leases = await each(
            map(ghost, range(COUNT)), lambda node: registered_at_last(registry, node)
        )
        registered = time.monotonic() - began
        loop = asyncio.get_running_loop()
        seen = await loop.run_in_executor(
            None, lambda: when(lambda: len(known()) == COUNT, "not all are found", patience=60)
        )
        found = seen - began - registered
        load.await_more(100)
        began = time.monotonic()
        changed = attrs.evolve(ghost(7), version="1.0.1")
        leases[7] = await registry.register(Instance("calc", changed))
        seen = await loop.run_in_executor(
            None,
            lambda: when(
                lambda: known().get("ghost-7") == changed, "the change is not seen", patience=30
            ),
        )
        one = seen - began
        began = time.monotonic()
        await each(leases, lambda lease: lease.revoke())
        await loop.run_in_executor(
            None, lambda: when(lambda: not known(), "some are still listed", patience=60)
        )
        left = time.monotonic() - began
        await registry.close()
        return registered, found, one, left

    with Load(client, threads=2) as load:
        load.await_more(100)
        quiet = list(load.calls)
        registered, found, one, left = asyncio.run(scenario(load))
    assert load.failed == []
    assert {call.node for call in load.calls} == {server.url}
    p99 = percentile(0.99, quiet), percentile(0.99, load.calls)
    note = (
        f"registered in {registered:.1f} s, found {found:.2f} s later, "
        f"one change seen after {one:.2f} s, all gone in {left:.1f} s; "
        f"p99 of calls {p99[0] * 1000:.1f} ms before, {p99[1] * 1000:.1f} ms in all, "
        f"the longest {max(call.seconds for call in load.calls) * 1000:.0f} ms"
    )
    record(f"{COUNT} instances in {world.name}", load, note=note)
