"""Watches in ZooKeeper: what they see and skip, and what happens to them if the registry goes."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest
from kazoo.security import make_digest_acl

from bee_core.terms.node import Node
from support.registry_processes import ZooKeeper
from support.zookeeper_rig import (
    BOUND,
    end_of,
    error_of,
    expire,
    folder,
    instance,
    plain_client,
    run,
)


def test_what_others_write_to_stay_lives_until_they_remove_it(zookeeper):
    async def scenario(rig):
        watcher = rig.watch(rig.registry(zookeeper.address))
        await watcher.until_ids([])
        with plain_client(zookeeper.address) as client:
            path = f"{folder(rig.service)}/fixed"
            client.create(path, b'{"address": "tcp://10.0.0.9:9000"}', makepath=True)
            assert (await watcher.until_ids(["fixed"])).nodes == (
                Node("fixed", "tcp://10.0.0.9:9000"),
            )
            client.set(path, b'{"address": "10.0.0.9:9000", "version": "2.0.0", "more": 1}')
            await watcher.until(
                lambda snapshot: [node.version for node in snapshot.nodes] == ["2.0.0"]
            )
            client.delete(path)
            await watcher.until_ids([])
            client.create(path, b'{"address": "tcp://10.0.0.9:9000"}')
            await watcher.until_ids(["fixed"])

    run(scenario)


def test_garbage_is_skipped_with_one_warning_each_and_harms_nobody(zookeeper, caplog):
    caplog.set_level(logging.WARNING, "bee.registry.zookeeper")

    async def scenario(rig):
        with plain_client(zookeeper.address) as client:
            where = folder(rig.service)
            client.ensure_path(f"{where}/parent/child")
            client.create(f"{where}/noise", b"\xff\x00")
            client.create(
                f"{where}/other-id", b'{"address": "tcp://10.0.0.9:9000", "id": "another"}'
            )
            client.create(
                f"{where}/hidden", b"{}", acl=[make_digest_acl("admin", "secret", all=True)]
            )
            client.create(f"{where}/nowhere", b'{"address": "tcp://0.0.0.0:9000"}')
            client.create(f"{where}/empty", None)
            watcher = rig.watch(rig.registry(zookeeper.address))
            await watcher.until_ids([])
            await rig.registry(zookeeper.address).register(instance(rig.service))
            await watcher.until_ids(["calc-1"])
            client.set(f"{where}/noise", b'{"address": "tcp://10.0.0.9:9000"}')
            await watcher.until_ids(["calc-1", "noise"])

    run(scenario)
    for name in ("parent", "noise", "other-id", "hidden", "nowhere", "empty"):
        assert (
            len([record for record in caplog.records if f"/{name} " in record.getMessage()]) == 1
        ), name


def test_the_whole_folder_may_be_removed_and_come_back(zookeeper):
    async def scenario(rig):
        watcher = rig.watch(rig.registry(zookeeper.address))
        mine = rig.registry(zookeeper.address)
        await mine.register(instance(rig.service))
        await watcher.until_ids(["calc-1"])
        with plain_client(zookeeper.address) as client:
            client.delete(f"/bee/rpc/{rig.service}", recursive=True)
        await watcher.until_ids([])
        await mine.register(instance(rig.service))
        await watcher.until_ids(["calc-1"])

    run(scenario)


def packets(server):
    return next(
        int(line.split()[1])
        for line in server.ask("mntr").splitlines()
        if line.startswith("zk_packets_received")
    )


async def long_list(rig, server, count):
    """A server's registry, a client's, and the nodes that the first has registered."""
    mine, client = (rig.registry(server.address, heartbeat=10) for _ in range(2))
    nodes = [Node(f"n{number}", f"tcp://10.0.0.1:{9000 + number}") for number in range(count)]
    await asyncio.gather(*(mine.register(instance(rig.service, node)) for node in nodes))
    return mine, client, nodes


def test_one_change_reads_the_names_and_one_record_and_not_the_list(start_registry):
    server = start_registry(ZooKeeper, "tickTime=2000")

    async def scenario(rig):
        mine, client, nodes = await long_list(rig, server, 300)
        watcher = rig.watch(client)
        await watcher.until_ids(node.id for node in nodes)
        before = packets(server)
        await mine.register(instance(rig.service))
        snapshot = await watcher.until(lambda snapshot: len(snapshot.nodes) == 301)
        assert packets(server) - before < 20
        assert [node.id for node in snapshot.changes.put] == ["calc-1"]

    run(scenario)


def test_a_first_list_that_was_given_up_goes_on_with_the_next_watch(start_registry):
    server = start_registry(ZooKeeper, "tickTime=2000")

    async def scenario(rig):
        _, client, nodes = await long_list(rig, server, 400)
        watch = client.watch(rig.service)
        first = asyncio.ensure_future(watch.__anext__())
        while not (
            client.session and any(len(view.nodes) >= 128 for view in client.session.subscribers)
        ):
            await asyncio.sleep(0)
            assert not first.done()
        first.cancel()
        await asyncio.wait((first,))
        await watch.aclose()
        before = packets(server)
        await rig.watch(client).until_ids(node.id for node in nodes)
        assert packets(server) - before < 300

    run(scenario)


def test_a_watch_confirms_its_last_snapshot_once_a_heartbeat_while_the_registry_answers(
    start_registry,
):
    server = start_registry(ZooKeeper)

    async def scenario(rig):
        client = rig.registry(server.address, heartbeat=1.6)
        await rig.registry(server.address, heartbeat=1.6).register(instance(rig.service))
        watcher = rig.watch(client)
        begun = time.monotonic()
        await watcher.until(lambda _: watcher.confirmed >= 2)
        assert time.monotonic() - begun >= 2 * client.confirms_every
        assert len(watcher.seen) == 1
        server.freeze()
        confirmed = watcher.confirmed
        await asyncio.wait((watcher.task,), timeout=1.5 * client.confirms_every)
        assert watcher.confirmed == confirmed
        server.thaw()
        await watcher.until(lambda _: watcher.confirmed > confirmed)

    run(scenario)


# Outages.


async def watched(rig, server, **settings):
    """A client's registry, a server's, its lease, and a watch that has seen the registration."""
    client, mine = (rig.registry(server.address, **settings) for _ in range(2))
    lease = await mine.register(instance(rig.service))
    watcher = rig.watch(client)
    await watcher.until_ids(["calc-1"])
    return client, mine, lease, watcher


def test_a_session_that_was_ended_from_outside_is_not_noticed_by_the_watcher(zookeeper):
    async def scenario(rig):
        client, mine, _, watcher = await watched(rig, zookeeper, heartbeat=1.6)
        session = client.session.id
        await asyncio.to_thread(expire, zookeeper.address, client.session)
        await mine.register(instance(rig.service, Node("b", "tcp://10.0.0.1:1")))
        await watcher.until_ids(["b", "calc-1"])
        assert client.session.id != session
        assert [len(snapshot.nodes) for snapshot in watcher.seen] == [1, 2]

    run(scenario)


def test_a_connection_that_is_back_in_time_is_silent_and_nothing_between_is_missed(zookeeper):
    async def scenario(rig):
        client, mine, lease, watcher = await watched(rig, zookeeper, heartbeat=1.6)
        session = client.session
        number = session.id
        for sock in session.handler.sockets:
            sock.shutdown(2)
        await lease.revoke()
        await mine.register(instance(rig.service, Node("b", "tcp://10.0.0.1:1")))
        await watcher.until_ids(["b"])
        assert (session.connects, session.id) == (2, number)

    run(scenario)


def test_a_first_look_at_a_service_that_nobody_serves_yet_may_be_given_up_at_any_moment(
    zookeeper, monkeypatch
):
    async def scenario(rig):
        client, other = rig.registry(zookeeper.address), rig.registry(zookeeper.address)
        session = await client.connected()
        ask, asked, second = session.request, [], asyncio.Event()

        async def request(start):
            asked.append(start)
            if len(asked) == 2:  # whether the folder is there, after it was not
                second.set()
                await asyncio.Event().wait()
            return await ask(start)

        monkeypatch.setattr(session, "request", request)
        first = asyncio.ensure_future(client.watch(rig.service).__anext__())
        await asyncio.wait_for(second.wait(), BOUND)
        first.cancel()
        await asyncio.wait((first,))
        watcher = rig.watch(client)
        await watcher.until_ids([])
        await other.register(instance(rig.service))
        await watcher.until_ids(["calc-1"])

    run(scenario)


@pytest.mark.parametrize("wipe", [False, True], ids=["with its data", "without its data"])
def test_a_registry_that_is_killed_is_out_of_reach_and_back_with_the_next_watch(
    start_registry, wipe
):
    server = start_registry(ZooKeeper)

    async def scenario(rig):
        client, mine = rig.registry(server.address), rig.registry(server.address)
        await mine.register(instance(rig.service))
        with plain_client(server.address) as plain:
            plain.create(f"{folder(rig.service)}/fixed", b'{"address": "tcp://10.0.0.9:9000"}')
        watcher = rig.watch(client)
        await watcher.until_ids(["calc-1", "fixed"])
        server.kill()
        error = await end_of(watcher, client.session.timeout)
        assert isinstance(error, OSError)
        assert server.address in str(error)
        assert watcher.seen[-1].nodes
        await asyncio.to_thread(server.restart, wipe=wipe)
        while True:
            try:
                lease = await mine.register(instance(rig.service))
                break
            except OSError:
                await asyncio.sleep(0.1)  # the back-off that a registration keeps
        await lease.renew()
        until = time.monotonic() + BOUND
        while True:
            watcher = rig.watch(client)
            try:
                await watcher.until_ids(["calc-1"] if wipe else ["calc-1", "fixed"])
                break
            except OSError:  # a server that has just begun answers late
                assert time.monotonic() < until
        assert not [snapshot for snapshot in watcher.seen if not snapshot.nodes]

    run(scenario)


def test_a_registry_that_says_nothing_is_noticed_within_a_lease_and_no_empty_list_comes_of_it(
    start_registry,
):
    server = start_registry(ZooKeeper)

    async def scenario(rig):
        client, _, _, watcher = await watched(rig, server)
        server.freeze()
        begun = time.monotonic()
        error = await end_of(watcher)
        # Two thirds of the session until kazoo takes the silence for an end, a third of grace, and
        # what a busy machine adds.
        assert time.monotonic() - begun < client.session.timeout + 1.5
        assert isinstance(error, OSError)
        assert [len(snapshot.nodes) for snapshot in watcher.seen] == [1]
        assert isinstance(
            await error_of(client.watch(rig.service).__anext__()), (OSError, TimeoutError)
        )
        server.thaw()
        again = client.watch(rig.service)
        until = time.monotonic() + BOUND
        while True:
            try:
                await asyncio.wait_for(again.__anext__(), BOUND)
                break
            except OSError:
                assert time.monotonic() < until
                again = client.watch(rig.service)
        await again.aclose()

    run(scenario)


def test_an_idle_watch_goes_on_for_longer_than_a_session(zookeeper):
    async def scenario(rig):
        client = rig.registry(zookeeper.address)
        watcher = rig.watch(client)
        await watcher.until_ids([])
        await asyncio.wait((watcher.task,), timeout=1.5 * client.session.timeout)
        assert not watcher.task.done()
        assert client.session.connects == 1
        assert len(watcher.seen) == 1

    run(scenario)
