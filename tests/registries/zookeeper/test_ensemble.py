"""Three members of ZooKeeper: one that says nothing costs moments, and never the session."""

from __future__ import annotations

import asyncio
import time

import attrs
import pytest

from support.patience import scaled
from support.zookeeper_ensemble import Ensemble
from support.zookeeper_rig import BOUND, NODE, folder, instance, plain_client, run

pytestmark = pytest.mark.registries

SOON = scaled(1.5)
"""Seconds: a quarter for each member that is silent, and what a busy machine adds."""


@pytest.fixture
def ensemble(tmp_path):
    ensemble = Ensemble(tmp_path)
    try:
        ensemble.start()
        yield ensemble
    finally:
        for member in ensemble.members:
            if member.process is not None:
                member.thaw()
        ensemble.stop()


async def to_a_follower(registry, ensemble):
    """Until the registry's connection is not one to the leader: its freeze costs an election."""
    while ensemble.member_of(registry.session) is ensemble.leader():
        registry.session.handler.interrupt()
        await registry.session.change(BOUND)
        await registry.connected()


def follower(ensemble):
    leader = ensemble.leader()
    return next(member for member in ensemble.members if member is not leader)


def test_a_fresh_client_finds_the_members_that_answer(ensemble):
    frozen = follower(ensemble)

    async def scenario(rig):
        await rig.registry(*ensemble.addresses, heartbeat=10).register(instance(rig.service))
        frozen.freeze()
        taken = []
        for _ in range(8):  # their order is random
            client = rig.registry(*ensemble.addresses, heartbeat=10)
            begun = time.monotonic()
            watch = client.watch(rig.service)
            snapshot = await asyncio.wait_for(watch.__anext__(), BOUND)
            taken.append(time.monotonic() - begun)
            assert [node.id for node in snapshot.nodes] == ["calc-1"]
            await watch.aclose()
        assert max(taken) < SOON
        begun = time.monotonic()
        await rig.registry(*ensemble.addresses).register(
            instance(rig.service, attrs.evolve(NODE, id="b"))
        )
        assert time.monotonic() - begun < SOON

    run(scenario)


def test_a_session_moves_from_a_member_that_falls_silent_and_keeps_what_it_has(ensemble):
    async def scenario(rig):
        mine = rig.registry(*ensemble.addresses, heartbeat=10)
        lease = await mine.register(instance(rig.service))
        await to_a_follower(mine, ensemble)
        session = mine.session.id
        frozen = ensemble.member_of(mine.session)
        frozen.freeze()
        begun = time.monotonic()
        while True:
            try:
                await asyncio.wait_for(lease.renew(), BOUND)
                break
            except ConnectionError:  # the renewal that was under way as the session moved
                assert time.monotonic() < begun + BOUND
        assert time.monotonic() - begun < 1.0 + SOON
        assert mine.session.id == session
        assert ensemble.member_of(mine.session) is not frozen

    run(scenario)


def test_a_watch_moves_from_a_member_that_falls_silent_and_misses_nothing(ensemble):
    async def scenario(rig):
        client = rig.registry(*ensemble.addresses, heartbeat=1)
        watcher = rig.watch(client)
        await watcher.until_ids([])
        await to_a_follower(client, ensemble)
        frozen = ensemble.member_of(client.session)
        others = [address for address in ensemble.addresses if address != frozen.address]
        frozen.freeze()
        begun = time.monotonic()
        await rig.registry(*others, heartbeat=10).register(instance(rig.service))
        await watcher.until_ids(["calc-1"])
        assert time.monotonic() - begun < 1.0 + 1.0 + SOON  # a beat, silence, and the others

    run(scenario)


def test_a_member_whose_leader_is_silent_confirms_nothing(ensemble):
    async def scenario(rig):
        client = rig.registry(*ensemble.addresses, heartbeat=1)
        watcher = rig.watch(client)
        await watcher.until_ids([])
        await to_a_follower(client, ensemble)
        await watcher.until(lambda _: watcher.confirmed >= 1)
        here = ensemble.member_of(client.session)
        for member in ensemble.members:
            if member is not here:
                member.freeze()
        confirmed = watcher.confirmed
        await asyncio.wait((watcher.task,), timeout=3 * client.confirms_every)
        assert here.ask("ruok") == "imok"
        assert watcher.confirmed - confirmed <= 1  # which may have been under way

    run(scenario)


def test_a_leader_that_dies_costs_neither_the_session_nor_the_znode(ensemble):
    async def scenario(rig):
        mine = rig.registry(*ensemble.addresses, heartbeat=1.6)
        lease = await mine.register(instance(rig.service))
        session = mine.session.id
        leader = ensemble.leader()
        others = [address for address in ensemble.addresses if address != leader.address]
        leader.kill()
        until = time.monotonic() + lease.ttl
        while True:
            try:
                await asyncio.wait_for(lease.renew(), BOUND)
                break
            except OSError:
                assert time.monotonic() < until
                await asyncio.sleep(0.05)  # an election
        with plain_client(",".join(others)) as plain:
            _, stat = plain.get(f"{folder(rig.service)}/calc-1")
        assert stat.ephemeralOwner == session

    run(scenario)
