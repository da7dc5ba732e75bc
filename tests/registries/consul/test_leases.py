"""What a renewal does: it keeps the lease, compares the record, and repairs it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re

import attrs
import pytest

from bee_core.errors import IdTaken, LeaseLost
from bee_core.interfaces import Instance
from bee_core.testing.registry_contract import FULL
from support.consul_parts import BOUND, ask, following, register_by_hand, registry_at
from support.http_relay import CUT_SHORT, NOISE, NOT_FOUND, PAGE, HttpRelay

PASS = "PUT /v1/agent/check/pass/"


@pytest.fixture
def service():
    return f"calc-{os.urandom(6).hex()}"


def run(scenario):
    asyncio.run(asyncio.wait_for(scenario(), BOUND))


@contextlib.asynccontextmanager
async def registered(consul, service, heartbeat=10.0):
    """A lease, and the relay through which its server reaches the agent."""
    async with HttpRelay(consul.port) as relay:
        registry = registry_at(relay.address, heartbeat=heartbeat)
        lease = await registry.register(Instance(service, FULL))
        try:
            yield lease, relay, registry
        finally:
            await registry.close()


def id_of(consul, service):
    (found,) = (id_ for id_ in ask(consul, "/v1/agent/services") if id_.startswith(service))
    return found


async def listed(consul, service, *nodes):
    """Wait until clients see exactly these."""
    async with following(registry_at(consul.address), service) as follower:
        await follower.until(lambda self: bool(self.seen) and self.seen[-1].nodes == nodes)


def of_another(**fields):
    return {"Port": 1, "Meta": {"workers": "x"}, **fields}


LIVING = {"CheckID": "the other's", "TTL": "60s", "Status": "passing"}
DEAD = {**LIVING, "Status": "critical"}


# What is wrong with a record, and what becomes of it.


@pytest.mark.parametrize(
    "fields",
    [
        of_another(),
        of_another(Meta={"bee-owner": "another", "bee-id": "x", "bee-url": "tcp://10.0.0.8:1"}),
        of_another(Check=DEAD),
        {"Address": "10.0.0.7", "Port": 9000, "Tags": []},
    ],
    ids=["garbage", "another-without-lease", "another-that-is-dead", "meta-lost"],
)
@pytest.mark.parametrize("compared", [False, True], ids=["first-renewal", "later"])
def test_what_was_written_over_a_record_is_repaired_by_the_next_renewal(
    consul, service, fields, compared
):
    async def scenario():
        async with registered(consul, service) as (lease, _, _):
            if compared:
                await lease.renew()
            register_by_hand(consul, service, ID=id_of(consul, service), **fields)
            await lease.renew()
            await listed(consul, service, FULL)
            await lease.renew()
            assert lease.repairs == 1

    run(scenario)


def test_a_check_and_a_record_that_were_removed_are_written_again(consul, service):
    async def scenario():
        async with registered(consul, service) as (lease, _, _):
            await listed(consul, service, FULL)
            ask(consul, f"/v1/agent/service/deregister/{id_of(consul, service)}", {})
            await listed(consul, service)
            await lease.renew()
            await listed(consul, service, FULL)
            await lease.revoke()
            await listed(consul, service)

    run(scenario)


def test_a_record_that_the_servers_lost_is_told_again(consul, service):
    async def scenario():
        async with registered(consul, service) as (lease, _, _):
            await lease.renew()
            machine = ask(consul, "/v1/agent/self")["Config"]["NodeName"]
            lost = {"Node": machine, "ServiceID": id_of(consul, service)}
            ask(consul, "/v1/catalog/deregister", lost)
            await listed(consul, service)
            await lease.renew()
            await listed(consul, service, FULL)

    run(scenario)


def test_another_server_that_lives_keeps_the_id_and_is_named(consul, service):
    async def scenario():
        async with registered(consul, service) as (lease, _, registry):
            meta = {"bee-owner": "another", "bee-id": FULL.id, "bee-url": "tcp://10.0.0.8:1"}
            register_by_hand(
                consul, service, ID=id_of(consul, service), Port=1, Meta=meta, Check=LIVING
            )
            with pytest.raises(IdTaken, match=re.escape("the server at tcp://10.0.0.8:1 ")):
                await lease.renew()
            with pytest.raises(LeaseLost, match="has registered its id and lives"):
                await lease.renew()  # for good
            with pytest.raises(IdTaken, match=r"the server at tcp://10\.0\.0\.8:1 .* and lives"):
                await registry.register(Instance(service, FULL))
            await lease.revoke()
            assert ask(consul, f"/v1/agent/service/{id_of(consul, service)}")["Meta"] == meta

    run(scenario)


def test_what_an_operator_adds_to_a_registration_stays(consul, service):
    """Maintenance is a check that fails. A renewal does not take it away."""

    async def scenario():
        async with registered(consul, service) as (lease, _, _):
            id_ = id_of(consul, service)
            ask(consul, f"/v1/agent/service/maintenance/{id_}?enable=true", {})
            await lease.renew()
            await lease.renew()
            await listed(consul, service)
            ask(consul, f"/v1/agent/service/maintenance/{id_}?enable=false", {})
            await listed(consul, service, FULL)

    run(scenario)


def test_a_record_by_hand_without_a_lease_is_refused_at_first_and_overwritten_if_it_was_ours(
    consul, service
):
    async def scenario():
        async with registered(consul, service) as (lease, _, registry):
            by_hand = {"ID": id_of(consul, service), **of_another()}
            await lease.revoke()
            register_by_hand(consul, service, **by_hand)
            stranger = registry_at(consul.address)
            with pytest.raises(IdTaken, match=re.escape("the server at tcp://127.0.0.1:1 ")):
                await stranger.register(Instance(service, FULL))
            await registry.register(Instance(service, FULL))
            await listed(consul, service, FULL)
            await stranger.close()

    run(scenario)


# Requests and answers.


def test_a_renewal_is_one_request_and_one_look(consul, service):
    async def scenario():
        async with registered(consul, service) as (lease, relay, _):
            await lease.renew()
            del relay.requests[:]
            for _ in range(3):
                await lease.renew()
            assert relay.asked(PASS) == 3
            assert relay.asked("GET /v1/catalog/node/") == 3
            assert len(relay.requests) == 6

    run(scenario)


@pytest.mark.parametrize("answer", [PAGE, NOT_FOUND, CUT_SHORT, NOISE])
def test_a_garbled_answer_means_that_nothing_is_known_and_the_lease_goes_on(
    consul, service, answer
):
    async def scenario():
        async with registered(consul, service) as (lease, relay, _):
            for only in (PASS, ""):
                relay.instead, relay.only = answer, only
                with pytest.raises(OSError, match=r"127\.0\.0\.1"):
                    await lease.renew()
            assert relay.asked("deregister") == 0
            relay.instead = None
            await lease.renew()
            await listed(consul, service, FULL)

    run(scenario)


@pytest.mark.parametrize("answer", [PAGE, NOT_FOUND, CUT_SHORT, NOISE])
def test_garbled_words_about_the_record_cost_a_renewal_nothing(consul, service, answer):
    async def scenario():
        async with registered(consul, service) as (lease, relay, _):
            await lease.renew()
            relay.instead, relay.only = answer, "GET "
            await lease.renew()
            assert relay.asked(PASS) == 2

    run(scenario)


@pytest.mark.parametrize("answer", [PAGE, NOT_FOUND, CUT_SHORT, NOISE])
def test_garbled_answers_to_a_registration_or_a_watch_are_out_of_reach(consul, service, answer):
    async def scenario():
        async with registered(consul, service) as (_, relay, registry):
            relay.instead = answer
            for only in ("PUT", ""):
                relay.only = only
                with pytest.raises(OSError, match=r"127\.0\.0\.1"):
                    await registry.register(Instance(service, attrs.evolve(FULL, id="other")))
            with pytest.raises(OSError, match=r"127\.0\.0\.1"):
                await registry.watch(service).__anext__()

    run(scenario)


def test_a_registration_whose_answer_was_lost_is_taken_over_by_the_next(consul, service):
    async def scenario():
        async with registered(consul, service) as (lease, relay, registry):
            other = Instance(service, attrs.evolve(FULL, id="other"))
            relay.instead, relay.only = NOISE, "PUT /v1/agent/service/register"
            for _ in range(2):
                with pytest.raises(OSError, match=r"127\.0\.0\.1"):
                    await registry.register(other)
            relay.instead = None
            second = await registry.register(other)
            await listed(consul, service, FULL, other.node)
            await second.renew()
            await second.revoke()
            await listed(consul, service, FULL)
            await lease.renew()

    run(scenario)


def test_a_late_answer_is_waited_for_as_long_as_the_lease_lasts(consul, service):
    async def scenario():
        clock = asyncio.get_running_loop().time
        async with registered(consul, service, heartbeat=0.5) as (lease, relay, _):
            relay.only = PASS
            for _ in range(3):
                relay.passing.clear()
                began = clock()
                renewing = asyncio.ensure_future(lease.renew())
                done, _ = await asyncio.wait((renewing,), timeout=0.8)  # more than a heartbeat
                assert not done
                relay.passing.set()
                await renewing
                assert clock() - began < lease.ttl
            assert relay.asked("deregister") == 0
            assert relay.asked("PUT /v1/agent/service/register") == 1

    run(scenario)


def test_a_late_look_is_not_waited_for_longer_than_the_next_renewal_can_wait(consul, service):
    async def scenario():
        clock = asyncio.get_running_loop().time
        async with registered(consul, service, heartbeat=0.5) as (lease, relay, _):
            await lease.renew()
            relay.only = "GET "
            relay.passing.clear()
            began = clock()
            await lease.renew()
            assert clock() - began < lease.ttl * 2 / 3
            relay.passing.set()

    run(scenario)


def test_leaving_takes_one_request_to_be_seen_however_late_its_answer_is(consul, service):
    async def scenario():
        async with registered(consul, service) as (lease, relay, _):
            await listed(consul, service, FULL)
            relay.passing.clear()
            revoking = asyncio.ensure_future(lease.revoke())
            await listed(consul, service)
            assert not revoking.done()
            relay.passing.set()
            await revoking
            services = ask(consul, "/v1/agent/services")
            assert not [id_ for id_ in services if id_.startswith(service)]

    run(scenario)


def test_renewals_side_by_side_repair_once(consul, service):
    """The core sends another one beside a renewal that is late."""

    async def scenario():
        async with registered(consul, service) as (lease, relay, _):
            await lease.renew()
            register_by_hand(consul, service, ID=id_of(consul, service), **of_another())
            relay.only = "PUT /v1/agent/service/register"
            relay.passing.clear()
            renewals = [asyncio.ensure_future(lease.renew()) for _ in range(3)]
            await relay.until_asked(relay.only, 2)
            relay.passing.set()
            await asyncio.gather(*renewals)
            assert (lease.repairs, relay.asked(relay.only)) == (1, 2)
            await listed(consul, service, FULL)

    run(scenario)
