"""A renewal in ZooKeeper is one look, and repairs what others have done to the znode."""

from __future__ import annotations

import asyncio

import attrs

from bee_core.errors import IdTaken, LeaseLost, RegistryError
from support.zookeeper_rig import NODE, error_of, folder, instance, plain_client, run

OTHER = attrs.evolve(NODE, url="tcp://10.0.0.8:9000")


def znode(rig):
    return f"{folder(rig.service)}/calc-1"


def requests_of(session, monkeypatch):
    """The session's requests from now on."""
    ask, asked = session.request, []

    async def request(start):
        asked.append(start)
        return await ask(start)

    monkeypatch.setattr(session, "request", request)
    return asked


async def stands(rig, client, lease, owner):
    """The znode is as it was registered, and a further renewal finds it so."""
    data, stat = client.get(znode(rig))
    assert b'"address":"tcp://10.0.0.7:9000"' in data
    assert stat.ephemeralOwner == owner
    await lease.renew()


def test_a_renewal_that_finds_everything_right_is_one_request(zookeeper, monkeypatch):
    async def scenario(rig):
        mine = rig.registry(zookeeper.address)
        lease = await mine.register(instance(rig.service))
        asked = requests_of(mine.session, monkeypatch)
        await lease.renew()
        assert len(asked) == 1

    run(scenario)


def test_a_registration_made_again_is_one_request_where_the_znode_stands(zookeeper, monkeypatch):
    async def scenario(rig):
        mine = rig.registry(zookeeper.address)
        await mine.register(instance(rig.service))
        asked = requests_of(mine.session, monkeypatch)
        lease = await mine.register(instance(rig.service))
        assert len(asked) == 1
        await lease.renew()

    run(scenario)


def test_a_record_that_was_overwritten_is_written_again_by_the_next_renewal(zookeeper):
    async def scenario(rig):
        mine = rig.registry(zookeeper.address)
        lease = await mine.register(instance(rig.service))
        with plain_client(zookeeper.address) as client:
            await lease.renew()
            assert lease.repairs == 0
            client.set(znode(rig), b"garbage")
            await lease.renew()
            await stands(rig, client, lease, mine.session.id)
            assert lease.repairs == 1

    run(scenario)


def test_a_znode_that_was_removed_is_made_again_by_the_next_renewal_with_its_parents(zookeeper):
    async def scenario(rig):
        mine = rig.registry(zookeeper.address)
        lease = await mine.register(instance(rig.service))
        with plain_client(zookeeper.address) as client:
            client.delete(f"/bee/rpc/{rig.service}", recursive=True)
            await lease.renew()
            await stands(rig, client, lease, mine.session.id)
            assert lease.repairs == 1

    run(scenario)


def test_what_was_written_to_stay_in_its_place_is_replaced(zookeeper):
    async def scenario(rig):
        mine = rig.registry(zookeeper.address)
        lease = await mine.register(instance(rig.service))
        with plain_client(zookeeper.address) as client:
            client.delete(znode(rig))
            client.create(znode(rig), b'{"address": "tcp://10.0.0.9:9000"}')
            await lease.renew()
            await stands(rig, client, lease, mine.session.id)
            await lease.revoke()
            assert client.exists(znode(rig)) is None

    run(scenario)


def test_what_cannot_be_replaced_is_refused_and_does_not_end_the_lease(zookeeper):
    async def scenario(rig):
        mine = rig.registry(zookeeper.address)
        lease = await mine.register(instance(rig.service))
        with plain_client(zookeeper.address) as client:
            client.delete(znode(rig))
            client.create(f"{znode(rig)}/child", b"", makepath=True)
            error = await error_of(lease.renew())
            assert isinstance(error, RegistryError)
            assert not isinstance(error, LeaseLost)
            assert "remove it" in str(error)
            client.delete(znode(rig), recursive=True)
            await lease.renew()
            await stands(rig, client, lease, mine.session.id)

    run(scenario)


def test_a_renewal_says_whose_the_id_is_that_another_living_session_has_got(zookeeper):
    async def scenario(rig):
        mine, other = rig.registry(zookeeper.address), rig.registry(zookeeper.address)
        lease = await mine.register(instance(rig.service))
        with plain_client(zookeeper.address) as client:
            client.delete(znode(rig))
            theirs = await other.register(instance(rig.service, OTHER))
            for kind in (IdTaken, LeaseLost):  # the latter for good
                error = await error_of(lease.renew())
                assert isinstance(error, kind)
                assert "the server at tcp://10.0.0.8:9000 has registered its id" in str(error)
            await lease.revoke()
            await theirs.renew()
            assert client.get(znode(rig))[1].ephemeralOwner == other.session.id

    run(scenario)


def test_a_lease_that_runs_out_while_a_renewal_makes_it_anew_leaves_nothing_behind(
    zookeeper, monkeypatch
):
    async def scenario(rig):
        mine = rig.registry(zookeeper.address, heartbeat=10)
        lease = await mine.register(instance(rig.service))
        with plain_client(zookeeper.address) as client:
            client.delete(znode(rig))
            ask, asked = mine.session.request, []

            async def request(start):
                asked.append(start)
                if len(asked) == 2:  # it was looked for, and is about to be made
                    await lease.revoke()
                return await ask(start)

            monkeypatch.setattr(mine.session, "request", request)
            assert isinstance(await error_of(lease.renew()), LeaseLost)
            watcher = rig.watch(rig.registry(zookeeper.address))
            await watcher.until_ids([])

    run(scenario)


def test_a_renewal_that_is_made_twice_at_once_is_made(zookeeper):
    async def scenario(rig):
        mine = rig.registry(zookeeper.address)
        lease = await mine.register(instance(rig.service))
        with plain_client(zookeeper.address) as client:
            client.delete(znode(rig))
            await asyncio.gather(lease.renew(), lease.renew())
            await stands(rig, client, lease, mine.session.id)

    run(scenario)
