"""The registry ``consul`` against a real agent that stays as it is."""

from __future__ import annotations

import asyncio
import os

import attrs
import pytest

from bee_core.errors import IdTaken, LeaseLost, RegistryError
from bee_core.interfaces import Instance, RegistrySettings
from bee_core.plugins.hub import PluginHub
from bee_core.terms.node import Node
from bee_core.testing import RegistryContract
from bee_core.testing.registry_contract import FULL
from bee_plugins.registries.shared.node_record import safe_name
from support.consul_parts import (
    ask,
    ask_with_index,
    following,
    register_by_hand,
    registry_at,
    run,
)
from support.registry_processes import Consul

OTHER = attrs.evolve(FULL, id="other", url="tcp://10.0.0.8:9000")


class TestConsulRegistryContract(RegistryContract):
    @pytest.fixture(autouse=True)
    def server(self, consul):
        self.consul = consul

    def make_registry(self):
        # A renewal takes up to three requests, and the suite has 30 leases at a time.
        return registry_at(self.consul.address, heartbeat=1.0)

    async def spoil(self, service, node, how):
        id_ = f"{service}:{safe_name(node.id)}"
        if how == "removed":
            ask(self.consul, f"/v1/agent/service/deregister/{id_}", {})
        else:
            register_by_hand(self.consul, service, ID=id_, Port=1, Meta={"workers": "x"})

    def go_silent(self):
        self.consul.freeze()

    def come_back(self):
        self.consul.thaw()


@pytest.fixture
def service():
    return f"calc-{os.urandom(6).hex()}"


def test_the_plugin_is_found_by_its_name(consul):
    class Ref:
        name, options, path = "consul", {"prefix": "p-", "token": "t"}, "bee.rpc.registry"

    registry = PluginHub().create(Ref(), "registry", RegistrySettings((consul.address,)))
    assert registry.known("calc", ()) is None


# What stands in Consul.


def test_others_find_a_server_as_an_ordinary_service(consul, service):
    async def scenario():
        registry = registry_at(consul.address, heartbeat=10)
        lease = await registry.register(Instance(service, FULL))
        assert lease.ttl == 30
        async with following(registry_at(consul.address), service) as follower:
            await follower.until_ids(FULL.id)
        (found,) = ask(consul, f"/v1/health/service/{service}?passing=1&tag=gpu")
        assert (found["Service"]["Address"], found["Service"]["Port"]) == ("10.0.0.7", 9000)
        assert found["Service"]["Meta"]["version"] == "1.10.0-rc.1"
        assert found["Service"]["ID"].startswith(f"{service}:")
        await lease.revoke()
        await registry.close()

    run(scenario)


def test_the_prefix_stands_before_the_name_and_keeps_installations_apart(consul, service):
    async def scenario():
        registry = registry_at(consul.address, prefix="blue.")
        await registry.register(Instance(service, FULL))
        async with (
            following(registry_at(consul.address, prefix="blue."), service) as blue,
            following(registry_at(consul.address), service) as plain,
        ):
            await blue.until_ids(FULL.id)
            await plain.until_ids()
        assert f"blue.{service}" in ask(consul, "/v1/catalog/services")
        await registry.close()

    run(scenario)


def test_instances_that_others_registered_are_followed(consul, service):
    async def scenario():
        async with following(registry_at(consul.address), service) as follower:
            await follower.until_ids()
            register_by_hand(
                consul,
                service,
                ID=f"{service}-1",
                Address="10.0.0.5",
                Port=80,
                Meta={"version": "1.4.0"},
            )
            register_by_hand(consul, service, ID=f"{service}-2", Port=81)
            machine = ask(consul, "/v1/agent/self")["Config"]["NodeName"]
            await follower.until_ids(f"{service}-1@{machine}", f"{service}-2@{machine}")
            assert {node.url: node.version for node in follower.seen[-1].nodes} == {
                "tcp://10.0.0.5:80": "1.4.0",
                "tcp://127.0.0.1:81": None,
            }
            ask(consul, f"/v1/agent/service/deregister/{service}-1", {})
            await follower.until_ids(f"{service}-2@{machine}")

    run(scenario)


def test_an_instance_in_maintenance_is_no_node_meanwhile(consul, service):
    async def scenario():
        register_by_hand(consul, service, ID=service, Port=80, Meta={"bee-id": "a"})
        async with following(registry_at(consul.address), service) as follower:
            await follower.until_ids("a")
            ask(consul, f"/v1/agent/service/maintenance/{service}?enable=true", {})
            await follower.until_ids()
            ask(consul, f"/v1/agent/service/maintenance/{service}?enable=false", {})
            await follower.until_ids("a")

    run(scenario)


def test_garbage_in_meta_costs_one_warning_and_no_other_node(consul, service, caplog):
    async def scenario():
        register_by_hand(consul, service, ID=f"{service}-1", Port=80, Meta={"bee-id": "good"})
        register_by_hand(
            consul, service, ID=f"{service}-2", Port=80, Meta={"bee-id": "bad", "weight": "heavy"}
        )
        async with following(registry_at(consul.address), service) as follower:
            await follower.until_ids("good")
            register_by_hand(consul, service, ID=f"{service}-3", Port=80, Meta={"bee-id": "too"})
            await follower.until_ids("good", "too")

    run(scenario)
    warnings = [
        record.getMessage() for record in caplog.records if record.name == "bee.registry.consul"
    ]
    assert len(warnings) == 1
    assert (
        f"the instance bad of {service} in Consul at http://{consul.address} has a weight"
        in warnings[0]
    )


def test_names_that_differ_in_case_alone_are_two_services(consul, service, caplog):
    async def scenario():
        registry = registry_at(consul.address)
        await registry.register(Instance(service, FULL))
        await registry.register(Instance(service.upper(), OTHER))
        async with (
            following(registry_at(consul.address), service) as lower,
            following(registry_at(consul.address), service.upper()) as upper,
        ):
            await lower.until_ids(FULL.id)
            await upper.until_ids(OTHER.id)
        await registry.close()

    run(scenario)
    assert "told apart by case" in caplog.text


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_consul_forgets_a_dead_server_after_a_while(start_registry, service):
    server = start_registry(Consul)

    async def scenario():
        registry = registry_at(server.address)
        await registry.register(Instance(service, FULL))
        await registry.close()
        index = 1
        while (
            answer := await asyncio.to_thread(
                ask_with_index, server, f"/v1/health/service/{service}?index={index}&wait=60s"
            )
        )[1]:
            index = answer[0]

    asyncio.run(scenario())


# Two servers with one id.


def test_an_id_that_another_living_server_holds_is_refused(consul, service):
    async def scenario():
        first, second = registry_at(consul.address), registry_at(consul.address)
        lease = await first.register(Instance(service, FULL))
        wanted = (
            rf"the server at {FULL.url} \(on .*\) has registered the id 'calc-7f3a' and lives; "
            r"stop it, or start this server anew: it then draws another id"
        )
        with pytest.raises(IdTaken, match=wanted):
            await second.register(Instance(service, attrs.evolve(OTHER, id=FULL.id)))
        await lease.renew()
        async with following(registry_at(consul.address), service) as follower:
            await follower.until_ids(FULL.id)
            assert follower.seen[-1].nodes == (FULL,)
        await lease.revoke()
        await second.register(Instance(service, FULL))
        await first.close()
        await second.close()

    run(scenario)


def test_the_remains_of_a_dead_server_hold_an_id_for_its_lease_and_no_longer(consul, service):
    async def scenario():
        dead, again = registry_at(consul.address), registry_at(consul.address)
        await dead.register(Instance(service, FULL))
        await dead.close()
        async with following(registry_at(consul.address), service) as follower:
            await follower.until_ids(FULL.id)
            await follower.until_ids()
            lease = await again.register(Instance(service, FULL))
            await follower.until_ids(FULL.id)
        await lease.renew()
        await again.close()

    run(scenario)


def test_a_server_registers_over_its_own_remains_and_the_lease_before_is_gone(consul, service):
    async def scenario():
        registry = registry_at(consul.address)
        before = await registry.register(Instance(service, FULL))
        lease = await registry.register(Instance(service, attrs.evolve(FULL, weight=7.0)))
        with pytest.raises(LeaseLost, match="has gone: it was registered again"):
            await before.renew()
        await before.revoke()
        await lease.renew()
        async with following(registry_at(consul.address), service) as follower:
            await follower.until(
                lambda self: (
                    [node.weight for node in self.seen[-1].nodes] == [7.0] if self.seen else False
                )
            )
        assert (
            len(
                [
                    check
                    for check in ask(consul, "/v1/agent/checks").values()
                    if check["ServiceName"] == service
                ]
            )
            == 1
        )
        await registry.close()

    run(scenario)


def test_a_server_whose_id_was_taken_hears_of_it_and_leaves_the_other_alone(consul, service):
    async def scenario():
        registry = registry_at(consul.address)
        lease = await registry.register(Instance(service, FULL))
        (id_,) = (id_ for id_ in ask(consul, "/v1/agent/services") if id_.startswith(service))
        # As by a server that looked in the same moment.
        ask(
            consul,
            "/v1/agent/service/register?replace-existing-checks=true",
            {
                "Name": service,
                "ID": id_,
                "Port": 1,
                "Meta": {"bee-owner": "another", "bee-id": FULL.id, "bee-url": OTHER.url},
                "Check": {"CheckID": "the other's", "TTL": "60s", "Status": "passing"},
            },
        )
        with pytest.raises(IdTaken, match=f"the server at {OTHER.url} .* has registered its id"):
            await lease.renew()
        await lease.revoke()
        assert (
            ask(consul, f"/v1/agent/service/{id_.replace('%', '%25')}")["Meta"]["bee-owner"]
            == "another"
        )
        await registry.close()

    run(scenario)


def test_a_registration_that_readers_would_skip_is_refused(consul, service):
    async def scenario():
        registry = registry_at(consul.address)
        with pytest.raises(
            RegistryError,
            match="cannot be registered: its registration has an address that nobody can call",
        ):
            await registry.register(Instance(service, Node("a", "tcp://0.0.0.0:1")))
        await registry.close()

    run(scenario)
