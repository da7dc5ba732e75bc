"""Watches that lose their connection, history, member or store, and still tell the list."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from contextlib import asynccontextmanager

import pytest

from bee_core.interfaces import Instance, RegistrySettings
from bee_core.terms.node import Node
from bee_core.testing.registry_contract import Watching
from bee_plugins.registries.etcd3 import http
from bee_plugins.registries.etcd3.registry import EtcdOptions, EtcdRegistry
from support.etcd_servers import etcdctl, leader, put, put_many, start_members
from support.patience import scaled
from support.registry_processes import Etcd, made
from support.tcp_relay import TcpRelay

BOUND = 20.0
RANGE, WATCH = "POST /v3/kv/range", "POST /v3/watch"
NEVER = 1000.0
"""A heartbeat that no test waits for."""
_services = (f"watched-{number}" for number in itertools.count())


@pytest.fixture
def service():
    return next(_services)


@pytest.fixture
def key(service):
    return f"/bee/rpc/{service}/providers/"


def registry_at(*addresses, heartbeat=0.2, **options):
    return EtcdRegistry(RegistrySettings(addresses, heartbeat), EtcdOptions(**options))


@asynccontextmanager
async def watching(registry, service):
    watcher = Watching(registry, service)
    try:
        yield watcher
    finally:
        await watcher.close()
        await registry.close()


@asynccontextmanager
async def relayed(server, service, **settings):
    """A relay before a server, and a watch of the service through it."""
    async with (
        TcpRelay(server.port) as relay,
        watching(registry_at(relay.address, **settings), service) as watcher,
    ):
        yield relay, watcher


def record(port=9000, **fields):
    return json.dumps({"address": f"tcp://10.0.0.1:{port}", **fields})


def run(scenario):
    asyncio.run(asyncio.wait_for(scenario(), 55))


async def ctl(server, *arguments):
    return await asyncio.to_thread(etcdctl, server, *arguments)


async def put_abc(server, key, watcher):
    """Three records, and the watch has seen them."""
    for name in "abc":
        await ctl(server, "put", key + name, record())
    await watcher.until_ids("abc")


def watches(relay):
    return relay.requests.count(WATCH)


# Alive.


def test_a_watch_that_is_idle_is_compared_and_not_begun_anew(etcd, service):
    async def scenario():
        async with relayed(etcd, service) as (relay, watcher):
            await watcher.until_ids([])
            await relay.until_asked(RANGE, 6)
            assert watches(relay) == 1
            assert len(watcher.seen) == 1
            assert watcher.confirmed >= 3, "each comparison but the last has been told"

    run(scenario)


def test_the_last_list_is_given_again_once_a_heartbeat_and_only_while_etcd_answers(
    start_registry, service, key
):
    server = start_registry(Etcd)
    put(server, key + "a", record())

    async def scenario():
        registry = registry_at(server.address, heartbeat=0.5)
        assert registry.confirms_every == 0.5
        async with watching(registry, service) as watcher:
            await watcher.until(lambda _: watcher.confirmed >= 2)
            assert [len(snapshot.nodes) for snapshot in watcher.seen] == [1]
            server.freeze()
            confirmed = watcher.confirmed
            await asyncio.wait((watcher.task,), timeout=BOUND)  # it ends by an error
            assert watcher.confirmed <= confirmed + 1, "an answer may have been on its way"

    run(scenario)
    server.thaw()


def test_changes_that_are_none_of_the_list_do_not_keep_the_watch_from_being_compared(
    etcd, service, key
):
    async def scenario():
        async with watching(registry_at(etcd.address), service) as watcher:
            await watcher.until_ids([])

            async def write():
                while True:
                    await asyncio.to_thread(put, etcd, key + "deeper/key", "x")

            writing = asyncio.ensure_future(write())
            await watcher.until(lambda _: watcher.confirmed >= 3)
            writing.cancel()
            assert len(watcher.seen) == 1

    run(scenario)
    etcdctl(etcd, "del", key + "deeper/key")


def test_a_change_elsewhere_in_the_store_is_none_of_the_watch(etcd, service, key):
    async def scenario():
        async with relayed(etcd, service) as (relay, watcher):
            await watcher.until_ids([])
            for number in range(5):
                await ctl(etcd, "put", f"/elsewhere/{number}", "x")
            await ctl(etcd, "put", key + "a", record())
            await watcher.until_ids(["a"])
            await relay.until_asked(RANGE, 8)
            assert watches(relay) == 1
            assert len(watcher.seen) == 2

    run(scenario)


def test_one_change_in_a_long_list_is_told_as_one(etcd, service, key):
    put_many(etcd, {f"{key}n{number:04}": record(number + 1) for number in range(1200)})

    async def scenario():
        async with relayed(etcd, service, heartbeat=NEVER) as (relay, watcher):
            await watcher.until(lambda snapshot: len(snapshot.nodes) == 1200)
            pages = relay.requests.count(RANGE)
            assert pages == 3
            await ctl(etcd, "del", f"{key}n0007")
            snapshot = await watcher.until(lambda snapshot: len(snapshot.nodes) == 1199)
            assert (snapshot.changes.gone, snapshot.changes.put) == ({"n0007"}, ())
            assert snapshot.changes.since == watcher.seen[0].revision
            assert relay.requests.count(RANGE) == pages

    run(scenario)
    etcdctl(etcd, "del", "--prefix", key)


def test_large_values_are_read_in_smaller_pages(etcd, service, key, monkeypatch):
    monkeypatch.setattr(http, "LARGEST_ANSWER", 200_000)
    for number in range(10):
        put(etcd, f"{key}n{number}", record(number + 1, tags=["x" * 40_000]))

    async def scenario():
        async with watching(registry_at(etcd.address), service) as watcher:
            await watcher.until_ids(f"n{number}" for number in range(10))

    run(scenario)
    etcdctl(etcd, "del", "--prefix", key)


def test_a_value_beyond_all_bounds_is_skipped_like_other_garbage(etcd, service, key, caplog):
    put(etcd, key + "a", record())
    put(etcd, key + "big", "x" * 100_000)

    async def scenario():
        async with watching(registry_at(etcd.address), service) as watcher:
            await watcher.until_ids(["a"])

    run(scenario)
    assert [entry.getMessage() for entry in caplog.records if entry.levelno >= logging.WARNING] == [
        f"{key}big takes 100000 bytes, and a record may have 65536; it is skipped"
    ]


# The connection.


def test_a_connection_that_breaks_is_replaced_and_nothing_between_is_missed(etcd, service, key):
    async def scenario():
        async with relayed(etcd, service, heartbeat=NEVER) as (relay, watcher):
            await ctl(etcd, "put", key + "a", record())
            await watcher.until_ids(["a"])
            relay.hold()
            relay.cut()
            await ctl(etcd, "put", key + "b", record(2))
            await ctl(etcd, "del", key + "a")
            ranges = relay.requests.count(RANGE)
            relay.release()
            snapshot = await watcher.until_ids(["b"])
            assert snapshot.changes is not None
            assert relay.requests.count(RANGE) - ranges <= 1, "compared, and not read anew"

    run(scenario)


def test_a_connection_that_is_open_and_dead_is_noticed_when_something_has_happened(
    etcd, service, key
):
    async def scenario():
        async with relayed(etcd, service) as (relay, watcher):
            await watcher.until_ids([])
            await relay.until_asked(WATCH, 1)
            relay.lose()
            await ctl(etcd, "put", key + "a", record())
            await watcher.until_ids(["a"])
            await ctl(etcd, "del", key + "a")
            await watcher.until_ids([])
            assert watches(relay) == 2

    run(scenario)


def test_an_etcd_that_stands_still_is_noticed_within_a_bounded_time(start_registry, service):
    server = start_registry(Etcd)

    async def scenario():
        registry = registry_at(server.address, heartbeat=1.0, request_timeout=1.5)
        async with watching(registry, service) as watcher:
            await watcher.until_ids([])
            server.freeze()
            loop = asyncio.get_running_loop()
            since = loop.time()
            await asyncio.wait((watcher.task,), timeout=BOUND)
            with pytest.raises(TimeoutError, match="did not answer within"):
                watcher.task.result()
            # heartbeat + an answer + resuming, and what a busy machine adds
            assert loop.time() - since < 1.0 + 2 * 1.5 + scaled(1.0)

    run(scenario)
    server.thaw()


def test_an_etcd_that_is_killed_ends_the_watch_when_it_does_not_come_back(start_registry, service):
    server = start_registry(Etcd)

    async def scenario():
        async with watching(registry_at(server.address), service) as watcher:
            await watcher.until_ids([])
            since = asyncio.get_running_loop().time()
            server.kill()
            await asyncio.wait((watcher.task,), timeout=BOUND)
            with pytest.raises(ConnectionRefusedError, match="connection refused"):
                watcher.task.result()
            # At once, whatever the heartbeat and the time for a request: nobody listens.
            assert asyncio.get_running_loop().time() - since < scaled(1.0)
            assert [snapshot.nodes for snapshot in watcher.seen] == [()]

    run(scenario)


@pytest.mark.parametrize(("heartbeat", "told"), [(2.0, 0.8), (10.0, 3.0)])
def test_a_refusal_is_told_before_it_would_count_as_silence(
    start_registry, service, heartbeat, told
):
    server = start_registry(Etcd)

    async def scenario():
        async with watching(registry_at(server.address, heartbeat=heartbeat), service) as watcher:
            await watcher.until_ids([])
            server.kill()
            loop = asyncio.get_running_loop()
            since = loop.time()
            await asyncio.wait((watcher.task,), timeout=BOUND)
            with pytest.raises(ConnectionError, match="connection refused"):
                watcher.task.result()
            assert loop.time() - since < told + scaled(0.5)

    run(scenario)


def test_an_etcd_that_was_never_there_is_an_error_at_once(service):
    async def scenario():
        registry = registry_at("127.0.0.1:1", heartbeat=NEVER)
        with pytest.raises(ConnectionError, match="connection refused"):
            await asyncio.wait_for(registry.watch(service).__anext__(), 2.0)
        await registry.close()

    run(scenario)


# The past.


def test_revisions_that_were_compacted_cost_neither_a_removal_nor_the_watch(
    start_registry, service, key
):
    server = start_registry(Etcd)

    async def scenario():
        async with relayed(server, service, heartbeat=NEVER) as (relay, watcher):
            await put_abc(server, key, watcher)
            relay.hold()
            relay.cut()
            await ctl(server, "del", key + "a")
            await ctl(server, "put", key + "d", record(4))
            await ctl(server, "del", key + "b")
            revision = json.loads(await ctl(server, "get", key, "-w", "json"))["header"]["revision"]
            await ctl(server, "compaction", "--physical", str(revision))
            relay.release()
            snapshot = await watcher.until_ids("cd")
            assert snapshot.changes.gone == {"a", "b"}
            await ctl(server, "put", key + "e", record(5))
            await watcher.until_ids("cde")

    run(scenario)


def test_a_compaction_beside_a_living_watch_is_none_of_its_business(start_registry, service, key):
    server = start_registry(Etcd)

    async def scenario():
        async with relayed(server, service) as (relay, watcher):
            await watcher.until_ids([])
            await relay.until_asked(WATCH, 1)
            for number in range(5):
                await ctl(server, "put", "/elsewhere", str(number))
            await ctl(server, "compaction", "5")
            await ctl(server, "put", key + "a", record())
            await watcher.until_ids("a")
            assert watches(relay) == 1

    run(scenario)


# The store.


@asynccontextmanager
async def restarted(server, relay, **how):
    """The server is started anew behind a relay that lets nobody in meanwhile."""
    relay.hold()
    relay.cut()
    await asyncio.to_thread(server.restart, **how)
    yield
    relay.release()


def test_a_restart_with_its_data_costs_nothing(start_registry, service, key):
    server = start_registry(Etcd)

    async def scenario():
        async with relayed(server, service, heartbeat=NEVER, request_timeout=BOUND) as (
            relay,
            watcher,
        ):
            await ctl(server, "put", key + "a", record())
            await watcher.until_ids("a")
            async with restarted(server, relay):
                await ctl(server, "put", key + "b", record(2))
            await watcher.until_ids("ab")
            assert [len(snapshot.nodes) for snapshot in watcher.seen][-2:] == [1, 2]
            assert all(snapshot.nodes for snapshot in watcher.seen[1:])

    run(scenario)


def test_a_restart_without_data_leaves_nobody_on_the_list_who_is_not_there(
    start_registry, service, key
):
    server = start_registry(Etcd)

    async def scenario():
        async with relayed(server, service, heartbeat=NEVER, request_timeout=BOUND) as (
            relay,
            watcher,
        ):
            await put_abc(server, key, watcher)
            async with restarted(server, relay, wipe=True):
                pass
            await watcher.until_ids([])
            await ctl(server, "put", key + "z", record())
            await watcher.until_ids("z")

    run(scenario)


@pytest.mark.parametrize("more", [0, 1, 7])
def test_a_restart_without_data_is_noticed_also_when_the_revisions_have_caught_up(
    start_registry, service, key, more
):
    server = start_registry(Etcd)

    async def scenario():
        async with relayed(server, service, heartbeat=NEVER, request_timeout=BOUND) as (
            relay,
            watcher,
        ):
            await put_abc(server, key, watcher)
            async with restarted(server, relay, wipe=True):
                for name in "def":
                    await ctl(server, "put", key + name, record())
                for number in range(more):
                    await ctl(server, "put", "/elsewhere", str(number))
            await watcher.until_ids("def")

    run(scenario)


# Several members.


@pytest.fixture
def members(tmp_path):
    started = []

    def make(kind):
        started.append(made(kind, tmp_path / f"member-{len(started)}"))
        return started[-1]

    yield start_members(make)
    for member in started:
        member.stop()


def test_watches_and_leases_go_on_through_another_member_when_theirs_is_killed(
    members, service, key
):
    async def scenario():
        addresses = [member.address for member in members]
        server = registry_at(*addresses, heartbeat=5.0)
        async with watching(registry_at(*addresses, heartbeat=5.0), service) as watcher:
            lease = await server.register(Instance(service, Node("a", "tcp://10.0.0.1:9000")))
            await watcher.until_ids("a")
            members[0].kill()
            await lease.renew()
            await ctl(members[1], "put", key + "b", record(2))
            await watcher.until_ids("ab")
            await lease.revoke()
            await watcher.until_ids("b")
            assert not watcher.task.done()
        await server.close()

    run(scenario)


def test_a_member_that_stands_still_is_left_for_another(members, service, key):
    # One that is not the leader: the others go on at once, and only the watch has to move.
    still = next(member for member in members if member is not leader(members))
    others = [member for member in members if member is not still]

    async def scenario():
        async with watching(
            registry_at(still.address, *(member.address for member in others), heartbeat=1.0),
            service,
        ) as watcher:
            await watcher.until_ids([])
            await watcher.until(lambda _: watcher.confirmed >= 1)
            still.freeze()
            loop = asyncio.get_running_loop()
            since = loop.time()
            await ctl(others[0], "put", key + "b", record(2))
            await watcher.until_ids("b", BOUND)
            # heartbeat + a quarter of a second, and what a busy machine adds
            assert loop.time() - since < 1.0 + 0.25 + scaled(1.0)

    run(scenario)
    still.thaw()


def test_a_member_without_its_quorum_is_not_taken_for_healthy(members, service):
    async def scenario():
        registry = registry_at(members[0].address, heartbeat=1.0)
        lease = await registry.register(Instance(service, Node("a", "tcp://10.0.0.1:9000")))
        async with watching(registry_at(members[0].address, heartbeat=1.0), service) as watcher:
            await watcher.until_ids("a")
            members[1].kill()
            members[2].kill()
            await asyncio.wait((watcher.task,), timeout=BOUND)
            with pytest.raises(OSError, match=r"no leader|did not answer|has ended|broke"):
                watcher.task.result()
            assert all(snapshot.nodes for snapshot in watcher.seen[1:]), (
                "an outage never empties the list"
            )
            with pytest.raises(OSError, match=r"no leader|did not answer|timed out"):
                await lease.renew()
        await registry.close()

    run(scenario)
