from __future__ import annotations

import asyncio
import gc
import itertools
import json
import logging
import os
import threading
import time
from contextlib import asynccontextmanager

import attrs
import pytest

import bee_core
from bee_core.control.registration import Registration
from bee_core.errors import IdTaken, LeaseLost, RegistryError
from bee_core.interfaces import Instance, RegistrySettings
from bee_core.plugins.hub import PluginHub
from bee_core.terms.node import Node
from bee_core.testing import RegistryContract
from bee_core.testing.registry_contract import FULL, Watching
from bee_plugins.registries.etcd3.registry import EtcdOptions, EtcdRegistry
from support.etcd_servers import enable_users, etcdctl, put
from support.registry_processes import Etcd
from support.tcp_relay import TcpRelay

BOUND = 20.0
NODE = Node("a", "tcp://10.0.0.1:9000", "1.2.0")
_services = (f"registered-{number}" for number in itertools.count())


@pytest.fixture
def service():
    return next(_services)


def registry_at(*addresses, heartbeat=0.2, **options):
    return EtcdRegistry(RegistrySettings(addresses, heartbeat), EtcdOptions(**options))


@asynccontextmanager
async def closing(*registries):
    try:
        yield registries
    finally:
        for registry in registries:
            await registry.close()


def run(scenario):
    return asyncio.run(asyncio.wait_for(scenario(), 55))


async def ctl(server, *arguments):
    return await asyncio.to_thread(etcdctl, server, *arguments)


async def until(condition):
    loop = asyncio.get_running_loop()
    end = loop.time() + BOUND
    while not condition():
        assert loop.time() < end
        await asyncio.sleep(0.01)


def stored(server, prefix):
    """Key, value and lease of what is under a prefix."""
    import base64

    found = json.loads(etcdctl(server, "get", "--prefix", prefix, "-w", "json")).get("kvs", [])
    return {
        base64.b64decode(kv["key"]).decode(): (
            json.loads(base64.b64decode(kv["value"])),
            kv.get("lease", 0),
        )
        for kv in found
    }


class TestEtcd3RegistryContract(RegistryContract):
    @pytest.fixture(autouse=True)
    def running(self, etcd):
        self.address = etcd.address

        self.server = etcd

    def make_registry(self):
        return registry_at(self.address)

    async def spoil(self, service, node, how):
        key = f"/bee/rpc/{service}/providers/{node.id}"
        what = ["put", key, "garbage"] if how == "overwritten" else ["del", key]
        await ctl(self.server, *what)

    def go_silent(self):
        self.server.freeze()

    def come_back(self):
        self.server.thaw()


def test_the_plugin_is_found_by_its_name_and_opens_nothing_before_it_is_used():
    class Ref:
        name, options, path = (
            "etcd3",
            {"prefix": "/shop", "request_timeout": "500ms"},
            "bee.rpc.registry",
        )

    registry = PluginHub().create(Ref(), "registry", RegistrySettings(("127.0.0.1:1",)))
    assert registry.known("calc", (NODE,)) is None


# Registering.


def test_the_key_and_the_record_are_what_is_promised(etcd, service):
    async def scenario():
        async with closing(registry_at(etcd.address, heartbeat=10.0)) as (registry,):
            lease = await registry.register(Instance(service, attrs.evolve(FULL, id="a/b")))
            found = await asyncio.to_thread(stored, etcd, f"/bee/rpc/{service}/")
            await lease.revoke()
            return lease.ttl, found

    ttl, found = run(scenario)
    ((key, (value, lease)),) = found.items()
    assert key == f"/bee/rpc/{service}/providers/a%2Fb"
    assert (value["address"], value["version"], value["id"]) == (FULL.url, FULL.version, "a/b")
    assert lease > 0
    assert ttl == 30.0


def test_a_lease_is_of_whole_seconds_and_reports_what_etcd_made_of_it(etcd, service):
    async def scenario():
        ttls = []
        for heartbeat in (0.2, 1.1):
            async with closing(registry_at(etcd.address, heartbeat=heartbeat)) as (registry,):
                lease = await registry.register(Instance(service, NODE))
                ttls.append(lease.ttl)
                await lease.revoke()
        return ttls

    assert run(scenario) == [2.0, 4.0]


def test_another_prefix_is_another_world(etcd, service):
    async def scenario():
        async with closing(
            registry_at(etcd.address, prefix="/shop/"),
            registry_at(etcd.address),
            registry_at(etcd.address, prefix="/shop"),
        ) as registries:
            lease = await registries[0].register(Instance(service, NODE))
            snapshots = [await anext(registry.watch(service)) for registry in registries[1:]]
            keys = list(await asyncio.to_thread(stored, etcd, "/shop/"))
            await lease.revoke()
            return [len(snapshot.nodes) for snapshot in snapshots], keys

    assert run(scenario) == ([0, 1], [f"/shop/{service}/providers/a"])


def test_an_id_that_another_living_server_holds_is_refused_and_theirs_is_kept(etcd, service):
    async def leases():
        return {
            entry["id"]
            for entry in json.loads(await ctl(etcd, "lease", "list", "-w", "json")).get("leases")
            or ()
        }

    async def scenario():
        async with closing(registry_at(etcd.address), registry_at(etcd.address)) as (first, second):
            before = await leases()
            lease = await first.register(Instance(service, NODE))
            said = (
                r"the server at tcp://10.0.0.1:9000 has registered the id 'a' and lives; "
                r"stop it, or start this server anew: it then draws another id"
            )
            for _ in range(3):
                with pytest.raises(IdTaken, match=said):
                    await second.register(
                        Instance(service, attrs.evolve(NODE, url="tcp://10.0.0.2:9000"))
                    )
            assert len(await leases() - before) == 2, "the attempts share one lease"
            await lease.renew()
            await lease.revoke()
            lease = await second.register(Instance(service, NODE))
            await lease.revoke()
            return await leases() - before

    assert not run(scenario), "and the registration has taken it"


def test_of_many_that_want_one_id_at_once_one_gets_it(etcd, service):
    async def scenario():
        async with closing(
            *(registry_at(etcd.address, heartbeat=5.0) for _ in range(8))
        ) as registries:
            results = await asyncio.gather(
                *(registry.register(Instance(service, NODE)) for registry in registries),
                return_exceptions=True,
            )
            leases = [result for result in results if not isinstance(result, Exception)]
            assert len(leases) == 1
            assert all(
                isinstance(result, RegistryError)
                for result in results
                if isinstance(result, Exception)
            )
            await leases[0].renew()
            await leases[0].revoke()

    run(scenario)


def test_a_key_that_was_written_by_hand_is_not_taken_and_the_message_says_why(etcd, service):
    key = f"/bee/rpc/{service}/providers/a"
    for value, holder in (
        ('{"address":"10.0.0.9:1"}', "the server at tcp://10.0.0.9:1"),
        ("junk", f"somebody \\(see the key {key}\\)"),
    ):
        put(etcd, key, value)

        async def scenario(holder=holder):
            async with closing(registry_at(etcd.address)) as (registry,):
                with pytest.raises(
                    RegistryError,
                    match=f"{holder} has registered.*has no lease, "
                    "so it was written by hand: remove it",
                ):
                    await registry.register(Instance(service, NODE))

        run(scenario)
    etcdctl(etcd, "del", key)


def test_registering_again_replaces_ones_own_registration(etcd, service):
    async def scenario():
        async with closing(registry_at(etcd.address), registry_at(etcd.address)) as (
            server,
            client,
        ):
            watcher = Watching(client, service)
            first = await server.register(Instance(service, NODE))
            await watcher.until_ids("a")
            second = await server.register(Instance(service, attrs.evolve(NODE, version="1.3.0")))
            await watcher.until(
                lambda snapshot: [node.version for node in snapshot.nodes] == ["1.3.0"]
            )
            with pytest.raises(RegistryError, match="registered again"):
                await first.renew()
            await first.revoke()
            await second.renew()
            assert all(snapshot.nodes for snapshot in watcher.seen[1:]), "it was never off the list"
            await second.revoke()
            await watcher.until_ids([])
            await watcher.close()

    run(scenario)


def test_a_registration_whose_answer_was_lost_does_not_lock_its_server_out(etcd, service):
    async def scenario():
        async with (
            TcpRelay(etcd.port) as relay,
            closing(registry_at(relay.address, heartbeat=2.0, request_timeout=1.0)) as (registry,),
        ):
            relay.lose_answers_to("POST /v3/kv/txn")
            with pytest.raises(TimeoutError):
                await registry.register(Instance(service, NODE))
            assert len(await asyncio.to_thread(stored, etcd, f"/bee/rpc/{service}/")) == 1
            relay.lose_answers_to("")
            lease = await registry.register(Instance(service, NODE))
            await lease.renew()
            await lease.revoke()
            assert await asyncio.to_thread(stored, etcd, f"/bee/rpc/{service}/") == {}

    run(scenario)


def test_a_record_that_readers_would_refuse_is_refused_here(etcd, service):
    async def scenario():
        async with closing(registry_at(etcd.address)) as (registry,):
            for node, said in (
                (attrs.evolve(NODE, url="tcp://10.0.0.1:0"), "nobody can call"),
                (attrs.evolve(NODE, tags=frozenset({"x" * 70_000})), "65536"),
            ):
                with pytest.raises(
                    RegistryError,
                    match=rf"{service} at .* cannot be registered: its record .*{said}",
                ):
                    await registry.register(Instance(service, node))

    run(scenario)


# Leases that are lost.


def lost(service, reason):
    said = f"the registration of {service} at tcp://10.0.0.1:9000 has gone: {reason}"
    return pytest.raises(LeaseLost, match=said)


def test_a_lease_that_was_revoked_by_somebody_is_noticed_by_the_next_renewal(etcd, service):
    async def scenario():
        async with closing(registry_at(etcd.address, heartbeat=20.0)) as (registry,):
            lease = await registry.register(Instance(service, NODE))
            await lease.renew()
            await ctl(etcd, "lease", "revoke", f"{lease.number:x}")
            for _ in range(2):
                with lost(service, "its lease has run out or was revoked"):
                    await lease.renew()
            again = await registry.register(Instance(service, NODE))
            assert again.number != lease.number, "numbers tell stores apart"
            await lease.revoke()
            await again.renew()
            await again.revoke()

    run(scenario)


@pytest.mark.parametrize(
    "how",
    [["del"], ["put", "{}"], ["put", "{}", "--ignore-lease"]],
    ids=["removed", "put without a lease", "put with its lease"],
)
def test_a_record_that_somebody_has_touched_is_written_again_by_the_next_renewal(
    etcd, service, how
):
    key = f"/bee/rpc/{service}/providers/a"

    async def scenario():
        async with closing(registry_at(etcd.address, heartbeat=20.0)) as (registry,):
            lease = await registry.register(Instance(service, NODE))
            before = await asyncio.to_thread(stored, etcd, key)
            for times in (1, 2):
                await ctl(etcd, how[0], key, *how[1:])
                assert await asyncio.to_thread(stored, etcd, key) != before
                await lease.renew()
                assert await asyncio.to_thread(stored, etcd, key) == before
                await lease.renew()
                assert lease.repairs == times
            await lease.revoke()
            assert await asyncio.to_thread(stored, etcd, key) == {}

    run(scenario)


def test_a_record_that_lives_by_another_lease_is_another_server_s(etcd, service):
    key = f"/bee/rpc/{service}/providers/a"

    async def scenario():
        async with closing(registry_at(etcd.address, heartbeat=20.0)) as (registry,):
            lease = await registry.register(Instance(service, NODE))
            granted = await ctl(etcd, "lease", "grant", "60")
            number = granted.split()[1]
            theirs = '{"address":"10.0.0.9:1"}'
            await ctl(etcd, "put", key, theirs, f"--lease={number}")
            said = "the server at tcp://10.0.0.9:1 has registered its id and lives"
            with pytest.raises(IdTaken, match=f"{service} at .* has gone: {said}; stop it, or"):
                await lease.renew()
            with lost(service, said):
                await lease.renew()  # for good
            with pytest.raises(IdTaken, match=r"the server at tcp://10\.0\.0\.9:1 has registered"):
                await registry.register(Instance(service, NODE))
            await lease.revoke()
            assert list((await asyncio.to_thread(stored, etcd, key)).values()) == [
                ({"address": "10.0.0.9:1"}, int(number, 16))
            ], "theirs is left alone"
            await ctl(etcd, "lease", "revoke", number)
            again = await registry.register(Instance(service, NODE))
            await again.revoke()

    run(scenario)


def test_what_tells_lists_apart_is_the_prefix_and_the_user_and_no_secret():
    assert registry_at("a:1").namespace == "prefix=/bee/rpc"
    registry = registry_at("a:1", prefix="/shop/", username="bee", password="honey")
    assert registry.namespace == "prefix=/shop user=bee"


def registered(registry, service, events, node=NODE, heartbeat=0.2):
    ticks = itertools.count()
    registration = Registration(
        registry,
        Instance(service, node),
        heartbeat,
        lambda: next(ticks),
        lambda event: events.append(event.name),
    )
    return registration, asyncio.ensure_future(registration.keep())


def test_a_server_registers_again_after_etcd_stood_still_for_longer_than_the_lease(
    start_registry, service
):
    server = start_registry(Etcd)
    events = []

    async def scenario():
        async with closing(registry_at(server.address), registry_at(server.address)) as (
            registry,
            client,
        ):
            registration, task = registered(registry, service, events)
            await until(lambda: events == ["registered"])
            server.freeze()
            await until(lambda: "lease_lost" in events)
            server.thaw()
            await until(lambda: events[-1] == "registered_again")
            watcher = Watching(client, service)
            await watcher.until_ids("a")
            assert await registration.leave(5.0)
            await watcher.until_ids([])
            await watcher.close()
            await task

    run(scenario)
    assert events == ["registered", "registry_out_of_reach", "lease_lost", "registered_again"]


@pytest.mark.parametrize("wipe", [False, True], ids=["with its data", "without"])
def test_a_server_is_on_the_list_again_after_etcd_was_killed_and_started_anew(
    start_registry, service, wipe
):
    server = start_registry(Etcd)
    events = []

    async def scenario():
        async with closing(registry_at(server.address, heartbeat=1.0)) as (registry,):
            registration, task = registered(registry, service, events, heartbeat=1.0)
            await until(lambda: events == ["registered"])
            server.kill()
            await asyncio.to_thread(server.restart, wipe=wipe)
            if wipe:
                await until(lambda: events[-1] == "registered_again")
            else:
                await until(
                    lambda: (
                        len(events) == 1 or events[-1] in {"registry_in_reach", "registered_again"}
                    )
                )
            found = await asyncio.to_thread(stored, server, f"/bee/rpc/{service}/")
            assert list(found) == [f"/bee/rpc/{service}/providers/a"]
            assert await registration.leave(5.0)
            await task

    run(scenario)


def test_out_of_reach_is_no_lost_lease(start_registry, service):
    server = start_registry(Etcd)

    async def scenario():
        async with closing(registry_at(server.address, heartbeat=10.0, request_timeout=0.5)) as (
            registry,
        ):
            lease = await registry.register(Instance(service, NODE))
            server.freeze()
            with pytest.raises(asyncio.TimeoutError):  # it waits as long as the lease lasts
                await asyncio.wait_for(lease.renew(), 1.0)
            server.thaw()
            await lease.renew()
            server.freeze()
            with pytest.raises(TimeoutError):
                await lease.revoke()  # last, since etcd may get to it after all
            server.kill()
            for request in (lease.renew, lease.revoke):
                with pytest.raises(ConnectionError):
                    await request()

    run(scenario)


def test_a_process_whose_renewals_stop_loses_its_lease(etcd, service):
    async def scenario():
        async with closing(registry_at(etcd.address), registry_at(etcd.address)) as (
            server,
            client,
        ):
            await server.register(Instance(service, NODE))
            watcher = Watching(client, service)
            await watcher.until_ids("a")
            await watcher.until_ids(
                [], 10.0
            )  # nobody renews; the registry object is alive all the same
            await watcher.close()

    run(scenario)


# What others write.


def test_records_of_others_are_read_and_garbage_costs_one_warning_each(etcd, service, caplog):
    prefix = f"/bee/rpc/{service}/providers/"
    put(etcd, prefix + "short", '{"address":"10.0.0.5:1"}')
    put(etcd, prefix + "newer", '{"address":"tcp://10.0.0.6:1","version":"2.0.0","shoe_size":44}')
    put(etcd, prefix + "junk", "{")
    put(etcd, prefix + "array", "[1]")
    put(etcd, prefix + "nowhere", '{"address":"0.0.0.0:0"}')
    put(etcd, prefix + "deeper/key", "x")
    put(etcd, f"/bee/rpc/{service}/consumers/x", "x")

    async def scenario():
        async with closing(registry_at(etcd.address)) as (registry,):
            watcher = Watching(registry, service)
            snapshot = await watcher.until_ids(["short", "newer"])
            await ctl(etcd, "put", prefix + "junk", '{"a')
            await ctl(etcd, "put", prefix + "last", '{"address":"10.0.0.7:1"}')
            await watcher.until_ids(["short", "newer", "last"])
            await watcher.close()
            await anext(registry.watch(service))
            return {node.id: (node.url, node.version) for node in snapshot.nodes}

    assert run(scenario) == {
        "short": ("tcp://10.0.0.5:1", None),
        "newer": ("tcp://10.0.0.6:1", "2.0.0"),
    }
    warned = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert sorted(text.split(" ", 1)[0] for text in warned) == sorted(
        prefix + name for name in ("junk", "array", "nowhere", "deeper/key")
    )
    etcdctl(etcd, "del", "--prefix", f"/bee/rpc/{service}/")


# Users.


def test_a_server_and_a_client_with_credentials(start_registry, service):
    server = start_registry(Etcd)
    enable_users(server, prefix="/bee/rpc/")
    right = {"username": "bee", "password": "honey"}

    async def scenario():
        async with closing(
            registry_at(server.address, **right), registry_at(server.address, **right)
        ) as (registry, client):
            watcher = Watching(client, service)
            lease = await registry.register(Instance(service, NODE))
            await watcher.until_ids("a")
            await lease.renew()
            await lease.revoke()
            await watcher.until_ids([])
            await watcher.close()
        async with closing(registry_at(server.address, username="bee", password="vinegar")) as (
            registry,
        ):
            for request in (
                registry.register(Instance(service, NODE)),
                anext(registry.watch(service)),
            ):
                with pytest.raises(RegistryError, match="refuses the user 'bee' and its password"):
                    await request
        async with closing(registry_at(server.address, prefix="/elsewhere", **right)) as (
            registry,
        ):
            for request in (
                registry.register(Instance(service, NODE)),
                anext(registry.watch(service)),
            ):
                with pytest.raises(
                    RegistryError, match="permission denied; give the user 'bee' a role"
                ):
                    await request

    run(scenario)


# The end.


def test_closing_ends_watches_and_leaves_neither_tasks_nor_threads_nor_words(
    etcd, service, caplog, recwarn
):
    gc.collect()
    recwarn.clear()  # what other tests left behind
    before = set(threading.enumerate())

    async def scenario():
        async with closing(registry_at(etcd.address)) as (registry,):
            lease = await registry.register(Instance(service, NODE))
            watcher = Watching(registry, service)
            await watcher.until_ids("a")
            await lease.revoke()
            await registry.close()
            await asyncio.wait((watcher.task,), timeout=BOUND)
            with pytest.raises((RegistryError, OSError)):
                watcher.task.result()
            with pytest.raises(RegistryError, match="closed"):
                await registry.register(Instance(service, NODE))
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert len(run(scenario)) <= 1  # run's own
    gc.collect()
    assert set(threading.enumerate()) <= before
    assert [record.getMessage() for record in caplog.records] == []
    assert [str(warning.message) for warning in recwarn] == []


def test_a_forked_child_finds_its_nodes_anew_and_leaves_the_parents_connections_alone(
    etcd, service, tmp_path, monkeypatch
):
    monkeypatch.setenv("BEE_CACHE_DIR", str(tmp_path))
    registry = {"protocol": "etcd3", "address": etcd.address, "heartbeat_interval": 1}
    server = bee_core.build_server(
        {
            "bee": {
                "rpc": {
                    "registry": registry,
                    "server": {
                        "name": service,
                        "version": "1.0.0",
                        "register": True,
                        "address": "127.0.0.1:0",
                    },
                }
            }
        }
    )
    server.add(os.getpid, name="pid")
    with server.in_thread():
        until_registered(etcd, service)
        with bee_core.build_client(
            {"bee": {"rpc": {"registry": registry, "client": {service: {"version": "^1.0"}}}}}
        ) as client:
            assert client.service(service).pid() == os.getpid()
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    code = 0 if client.service(service).pid() == os.getppid() else 2
                    client.close()
                finally:
                    os._exit(code)
            assert os.waitpid(child, 0)[1] == 0
            put(
                etcd,
                f"/bee/rpc/{service}/providers/other",
                '{"address":"10.0.0.9:1","version":"0.1.0"}',
            )
            end = time.monotonic() + BOUND
            while len(client.nodes(service).nodes) < 2 and time.monotonic() < end:
                time.sleep(0.01)
            assert len(client.nodes(service).nodes) == 2, "the parent's watch goes on"
    etcdctl(etcd, "del", "--prefix", f"/bee/rpc/{service}/")


def until_registered(server, service):
    for _ in range(200):
        if stored(server, f"/bee/rpc/{service}/providers/"):
            return
    raise AssertionError("not registered")
