"""The registry ``zookeeper`` with a real server: contract, names, credentials, TLS, addresses."""

from __future__ import annotations

import asyncio
import socket
import time

import attrs
import pytest
from kazoo.security import make_digest_acl

from bee_core.errors import IdTaken, LeaseLost, RegistryError
from bee_core.interfaces import RegistrySettings
from bee_core.plugins.hub import PluginHub
from bee_core.testing import RegistryContract
from bee_plugins.registries.shared.node_record import safe_name
from bee_plugins.registries.zookeeper.registry import ZooKeeperOptions, ZooKeeperRegistry
from support.patience import scaled
from support.ports import fixed_address
from support.registry_processes import ZooKeeper
from support.zookeeper_rig import NODE, error_of, folder, instance, plain_client, run


class TestZooKeeper(RegistryContract):
    @pytest.fixture(autouse=True)
    def _server(self, zookeeper):
        self.server = zookeeper

    def make_registry(self):
        return ZooKeeperRegistry(RegistrySettings((self.server.address,), 0.5), ZooKeeperOptions())

    async def spoil(self, service, node, how):
        def write():
            with plain_client(self.server.address) as client:
                path = f"{folder(safe_name(service))}/{safe_name(node.id)}"
                if how == "removed":
                    client.delete(path)
                else:
                    client.set(path, b"garbage")

        await asyncio.to_thread(write)

    def go_silent(self):
        self.server.freeze()

    def come_back(self):
        self.server.thaw()


class Ref:
    name, path = "zookeeper", "bee.rpc.registry"

    def __init__(self, name, **options):
        self.name, self.options = name, options


@pytest.mark.parametrize("name", ["zookeeper", "zk"])
def test_both_names_lead_to_it_and_each_can_be_blocked_alone(name):
    other = {"zookeeper": "zk", "zk": "zookeeper"}[name]
    settings = RegistrySettings(("127.0.0.1",))
    made = PluginHub(disabled=(other,)).create(Ref(name, prefix="/calls"), "registry", settings)
    assert isinstance(made, ZooKeeperRegistry)


def test_one_hub_knows_both_names():
    hub = PluginHub(disabled=())
    assert {hub.load("registry", name).name for name in ("zk", "zookeeper")} == {"zk", "zookeeper"}


def test_the_record_lies_where_it_is_promised(zookeeper):
    async def scenario(rig):
        await rig.registry(zookeeper.address, prefix="/our/own").register(instance(rig.service))
        with plain_client(zookeeper.address) as client:
            data, stat = client.get(f"{folder(rig.service, '/our/own')}/calc-1")
        assert b'"address":"tcp://10.0.0.7:9000"' in data
        assert stat.ephemeralOwner != 0
        watcher = rig.watch(rig.registry(zookeeper.address))
        assert (await watcher.until(lambda _: True)).nodes == ()  # another prefix
        await rig.watch(rig.registry(zookeeper.address, prefix="/our/own")).until_ids(["calc-1"])

    run(scenario)


def test_a_lease_is_as_long_as_the_server_makes_it(zookeeper):
    async def scenario(rig):
        ticks = ZooKeeper.TICK_MILLISECONDS / 1000
        usual = await rig.registry(zookeeper.address, heartbeat=1.0).register(instance(rig.service))
        cut = await rig.registry(zookeeper.address, heartbeat=30.0).register(
            instance(rig.service, attrs.evolve(NODE, id="b"))
        )
        return usual.ttl, cut.ttl, 20 * ticks

    usual, cut, longest = run(scenario)
    assert usual == pytest.approx(3.0)
    assert cut == pytest.approx(longest)


def test_an_id_that_another_server_has_is_refused_until_it_leaves(zookeeper):
    async def scenario(rig):
        mine, other = rig.registry(zookeeper.address), rig.registry(zookeeper.address)
        lease = await mine.register(instance(rig.service))
        error = await error_of(
            other.register(instance(rig.service, attrs.evolve(NODE, url="tcp://10.0.0.8:9000")))
        )
        assert isinstance(error, IdTaken)
        assert (
            "the server at tcp://10.0.0.7:9000 has registered the id 'calc-1' and lives; "
            "stop it, or start this server anew: it then draws another id" in str(error)
        )
        await lease.renew()
        await lease.revoke()
        await other.register(instance(rig.service))

    run(scenario)


def test_registering_again_replaces_what_this_object_registered(zookeeper):
    async def scenario(rig):
        mine = rig.registry(zookeeper.address)
        old = await mine.register(instance(rig.service))
        watcher = rig.watch(rig.registry(zookeeper.address))
        await watcher.until_ids(["calc-1"])
        new = await mine.register(instance(rig.service, attrs.evolve(NODE, version="2.0.0")))
        await watcher.until(lambda snapshot: [node.version for node in snapshot.nodes] == ["2.0.0"])
        assert isinstance(await error_of(old.renew()), LeaseLost)
        await old.revoke()  # takes nothing from the new one
        await new.renew()

    run(scenario)


def test_an_id_under_which_something_was_written_to_stay_is_refused(zookeeper):
    async def scenario(rig):
        with plain_client(zookeeper.address) as client:
            client.create(f"{folder(rig.service)}/calc-1", b"", makepath=True)
        error = await error_of(rig.registry(zookeeper.address).register(instance(rig.service)))
        assert isinstance(error, RegistryError)
        assert "was written to stay; remove it" in str(error)

    run(scenario)


# Credentials.


def test_with_credentials_everybody_reads_and_only_their_owner_writes(zookeeper):
    async def scenario(rig):
        prefix = f"/secured-{rig.service}"
        owner = rig.registry(zookeeper.address, prefix=prefix, username="bee", password="honey")
        await owner.register(instance(rig.service))
        nobody = rig.registry(zookeeper.address, prefix=prefix)
        await rig.watch(nobody).until_ids(["calc-1"])
        for stranger in (
            nobody,
            rig.registry(zookeeper.address, prefix=prefix, username="bee", password="wrong"),
        ):
            error = await error_of(
                stranger.register(instance(rig.service, attrs.evolve(NODE, id="b")))
            )
            assert isinstance(error, RegistryError)
            assert "username and password in bee.rpc.registry.options" in str(error)
            assert "wrong" not in str(error)
        again = rig.registry(zookeeper.address, prefix=prefix, username="bee", password="honey")
        await again.register(instance(rig.service, attrs.evolve(NODE, id="c")))

    run(scenario)


def test_a_list_that_may_not_be_read_is_an_error_and_no_empty_list(zookeeper):
    async def scenario(rig):
        with plain_client(zookeeper.address, auth_data={("digest", "admin:secret")}) as client:
            client.ensure_path(folder(rig.service))
            client.set_acls(folder(rig.service), [make_digest_acl("admin", "secret", all=True)])
        error = await error_of(rig.registry(zookeeper.address).watch(rig.service).__anext__())
        assert isinstance(error, RegistryError)
        assert "does not permit it" in str(error)
        assert (
            await rig.watch(
                rig.registry(zookeeper.address, username="admin", password="secret")
            ).until(lambda _: True)
        ).nodes == ()

    run(scenario)


def test_a_server_that_wants_credentials_says_so(start_registry):
    server = start_registry(ZooKeeper, "enforce.auth.enabled=true", "enforce.auth.schemes=digest")

    async def scenario(rig):
        without = rig.registry(server.address)
        error = await error_of(without.watch(rig.service).__anext__())
        assert isinstance(error, RegistryError)
        assert "username and password" in str(error)
        await rig.watch(rig.registry(server.address, username="bee", password="honey")).until(
            lambda _: True
        )

    run(scenario)


# Addresses.


def dead_address():
    return fixed_address()


def test_nobody_at_the_address_is_an_error_that_says_so_soon(zookeeper):
    address = dead_address()

    async def scenario(rig):
        made = rig.registry(address)
        for attempt in (
            made.watch(rig.service).__anext__(),
            made.register(instance(rig.service)),
            made.watch(rig.service).__anext__(),
        ):
            error = await error_of(attempt, 4.5)
            assert isinstance(error, OSError)
            assert address in str(error)
            assert "refused" in str(error)

    run(scenario)


def test_a_name_that_cannot_be_resolved_is_an_error_that_says_so():
    async def scenario(rig):
        return await error_of(
            rig.registry("no-such-host.invalid:2181").watch(rig.service).__anext__(), 4.5
        )

    error = run(scenario)
    assert isinstance(error, (OSError, TimeoutError))
    assert "no-such-host.invalid" in str(error)


def test_one_of_several_addresses_that_answers_is_enough_and_soon_found(zookeeper):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # connects, and says nothing
        mute = f"127.0.0.1:{silent.getsockname()[1]}"

        async def scenario(rig):
            await rig.registry(dead_address(), mute, zookeeper.address).register(
                instance(rig.service)
            )
            for _ in range(5):  # their order is random
                begun = time.monotonic()
                await rig.watch(rig.registry(mute, zookeeper.address)).until_ids(["calc-1"])
                assert time.monotonic() - begun < scaled(1.0)

        run(scenario)


def test_a_server_that_speaks_something_else_is_an_error():
    async def scenario(rig):
        async def talk(reader, writer):
            await reader.read(4)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" + b"\xff" * 4096)
            writer.close()

        other = await asyncio.start_server(talk, "127.0.0.1", 0)
        port = other.sockets[0].getsockname()[1]
        made = rig.registry(f"127.0.0.1:{port}")
        errors = [await error_of(made.watch(rig.service).__anext__(), 4.5) for _ in range(2)]
        other.close()
        return errors

    assert all(isinstance(error, (OSError, TimeoutError)) for error in run(scenario))
