"""What every registry must do, whatever stands behind it: leases, snapshots, watches.

A silent registry and records that somebody spoils are checked where the suite is told how to bring
them about. What follows a loss of the registry's data is checked by the plugin's own tests.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import Literal

import attrs
import pytest

from bee_core.contracts.registry import Instance, Registry
from bee_core.errors import IdTaken, LeaseLost
from bee_core.terms.node import Node

from .registry_rig import (
    ADDRESSES,
    BOUND,
    FULL,
    OtherLoop,
    Rig,
    Watching,
    on_a_loop,
    soon,
    with_registrations,
)
from .registry_silence import SilenceContract

__all__ = ["ADDRESSES", "BOUND", "FULL", "RegistryContract", "Rig", "Watching", "soon"]

SHORTLY = 3.0
"""Seconds after which a new watch must show what was written before it began."""

Spoilt = Literal["overwritten", "removed"]


class RegistryContract(SilenceContract):
    """Inherit, and say how to make the registry.

    For the tests of leases that run out, make it with a short ``heartbeat_interval``.
    """

    async def spoil(self, service: str, node: Node, how: Spoilt) -> None:
        """Write to the registry as somebody else with access does; the lease lives on. Optional.

        Args:
            service: The service's name.
            node: What a server has registered.
            how: ``overwritten``: garbage, or another node, stands in its record. ``removed``: the
                record has gone.
        """
        pytest.skip(f"spoil() does not say how a record is {how}")

    def test_what_is_known_without_asking_is_the_configured_addresses_or_nothing(self) -> None:
        snapshot = self.make_registry().known("calc", ADDRESSES)
        assert snapshot is None or (snapshot.source == "address" and snapshot.nodes == ADDRESSES)

    @on_a_loop
    async def test_a_watch_begins_with_a_whole_snapshot(self, rig: Rig) -> None:
        rig.client.known("calc", ADDRESSES)
        watch = rig.client.watch("calc")
        try:
            snapshot = await soon(watch.__anext__())
        finally:
            await watch.aclose()  # type: ignore[attr-defined]
        assert len({node.id for node in snapshot.nodes}) == len(snapshot.nodes)

    @on_a_loop
    async def test_a_watch_that_waits_can_be_cancelled(self, rig: Rig) -> None:
        watch = rig.client.watch("calc")
        await soon(watch.__anext__())
        waiting = asyncio.ensure_future(watch.__anext__())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await soon(waiting)

    @on_a_loop
    async def test_a_registration_is_renewed_and_left(self, rig: Rig) -> None:
        lease = await soon(rig.server.register(Instance("calc", ADDRESSES[0])))
        await soon(lease.renew())
        await soon(lease.revoke())
        assert lease.ttl > 0

    @on_a_loop
    async def test_closing_twice_is_closing(self, rig: Rig) -> None:
        await rig.server.close()
        await rig.server.close()

    @with_registrations
    async def test_a_service_that_nobody_registered_has_no_nodes(self, rig: Rig) -> None:
        snapshot = await rig.watch().until(lambda _: True)
        assert snapshot.nodes == ()
        assert snapshot.source == "registry"

    @with_registrations
    async def test_watchers_learn_all_that_a_server_says_of_itself(self, rig: Rig) -> None:
        early = rig.watch()
        await early.until_ids([])
        await rig.register(FULL)
        assert (await early.until_ids([FULL.id])).nodes == (FULL,)
        assert (await rig.watch().until_ids([FULL.id])).nodes == (FULL,)

    @with_registrations
    async def test_a_node_that_leaves_is_gone_for_every_watcher(self, rig: Rig) -> None:
        lease = await rig.register(FULL)
        await rig.register(ADDRESSES[1])
        watchers = [rig.watch(), rig.watch()]
        for watcher in watchers:
            await watcher.until_ids([FULL.id, ADDRESSES[1].id])
        await lease.revoke()
        for watcher in watchers:
            await watcher.until_ids([ADDRESSES[1].id])

    @with_registrations
    async def test_revisions_grow_and_no_snapshot_repeats_the_one_before(self, rig: Rig) -> None:
        watcher = rig.watch()
        await watcher.until_ids([])
        for _ in range(3):
            lease = await rig.register(FULL)
            await watcher.until_ids([FULL.id])
            await lease.renew()
            await lease.revoke()
            await watcher.until_ids([])
        revisions = [snapshot.revision for snapshot in watcher.seen]
        assert revisions == sorted(set(revisions))
        assert [len(snapshot.nodes) for snapshot in watcher.seen] == [0, 1] * 3 + [0]

    @with_registrations
    async def test_services_do_not_see_each_others_nodes(self, rig: Rig) -> None:
        await rig.register(FULL)
        await rig.register(ADDRESSES[0], "-other")
        assert (await rig.watch().until_ids([FULL.id])).nodes == (FULL,)
        assert (await rig.watch("-other").until_ids([ADDRESSES[0].id])).nodes == (ADDRESSES[0],)

    @with_registrations
    async def test_any_text_is_a_name_of_a_service_and_an_id(self, rig: Rig) -> None:
        for suffix in ("/a/../b", " ü %2F", ".x"):
            node = attrs.evolve(FULL, id=f"../{suffix}:9000?")
            await rig.register(node, suffix)
            assert (await rig.watch(suffix).until_ids([node.id])).nodes == (node,)

    @with_registrations
    async def test_many_registrations_are_all_seen(self, rig: Rig) -> None:
        watcher = rig.watch()
        nodes = [Node(f"n{n}", f"tcp://10.0.1.{n}:9000", version="1.0.0") for n in range(30)]
        # A busy machine may need longer for all of them than one lease lasts.
        leases = await asyncio.gather(*(rig.register_and_renew(node) for node in nodes))
        assert set((await watcher.until_ids(node.id for node in nodes)).nodes) == set(nodes)
        await rig.stop_renewals()
        await asyncio.gather(*(lease.revoke() for lease in leases))
        await watcher.until_ids([])

    @with_registrations
    async def test_a_lease_that_was_left_cannot_be_renewed_and_the_node_can_register_again(
        self, rig: Rig
    ) -> None:
        lease = await rig.register(FULL)
        await lease.revoke()
        with pytest.raises(LeaseLost):
            await soon(lease.renew())
        await rig.register(FULL)
        await rig.watch().until_ids([FULL.id])

    @with_registrations
    async def test_leaving_twice_is_leaving(self, rig: Rig) -> None:
        lease = await rig.register(FULL)
        await lease.revoke()
        await lease.revoke()
        await rig.watch().until_ids([])

    @with_registrations
    async def test_a_lease_lasts_while_it_is_renewed_and_runs_out_when_it_is_not(
        self, rig: Rig
    ) -> None:
        lease, watcher = await rig.short_lease()
        loop = asyncio.get_running_loop()
        end = loop.time() + 2 * lease.ttl
        while loop.time() < end:
            await lease.renew()
            await asyncio.sleep(lease.ttl / 6)  # the beat itself, not a wait for something
        assert [len(snapshot.nodes) for snapshot in watcher.seen] == [1], (
            "it was taken for dead although it was renewed"
        )
        # Registries look at leases now and then, so one may last longer, but not forever.
        await watcher.until_ids([], lease.ttl + BOUND)

    @with_registrations
    async def test_a_registry_that_is_closed_does_not_keep_its_registrations_forever(
        self, rig: Rig
    ) -> None:
        lease, watcher = await rig.short_lease()
        await rig.server.close()
        await watcher.until_ids([], lease.ttl + BOUND)

    @with_registrations
    async def test_of_nodes_with_one_url_the_newest_is_listed_last(self, rig: Rig) -> None:
        """A server that was killed stays listed for a while where its successor is."""
        early = rig.watch()
        for id_ in ("z-old", "m-later", "a-new"):
            await rig.register(attrs.evolve(FULL, id=id_))
        for watcher in (early, rig.watch()):
            seen = await watcher.until_ids(["a-new", "m-later", "z-old"])
            assert [node.id for node in seen.nodes] == ["z-old", "m-later", "a-new"]

    @with_registrations
    async def test_a_client_sees_the_servers_of_another_loop(self, rig: Rig) -> None:
        """A client and a server in one process have a control plane each, with loop and thread."""

        async def make() -> Registry:
            return self.make_registry()

        with contextlib.closing(OtherLoop()) as other:
            watcher, registry = rig.watch(), await other.run(make())
            try:
                await watcher.until_ids([])
                lease = await other.run(registry.register(Instance(rig.service, FULL)))
                await watcher.until_ids([FULL.id])
                await other.run(lease.revoke())
                await watcher.until_ids([])
            finally:
                await other.run(registry.close())

    # Who may have an id.

    @with_registrations
    async def test_an_id_that_lives_is_refused_to_another_server_by_the_holders_url(
        self, rig: Rig
    ) -> None:
        lease = await rig.register(FULL)
        rival = Instance(rig.service, attrs.evolve(FULL, url="tcp://10.0.0.8:9000"))
        with pytest.raises(IdTaken, match=re.escape(FULL.url)):
            await soon(rig.client.register(rival))
        await lease.renew()
        assert (await rig.watch().until_ids([FULL.id])).nodes == (FULL,)
        await lease.revoke()
        rivals = await soon(rig.client.register(rival))
        await rig.watch().until(lambda seen: seen.nodes == (rival.node,))
        await rivals.revoke()

    @with_registrations
    async def test_a_registry_that_registers_an_id_again_takes_over_from_itself(
        self, rig: Rig
    ) -> None:
        old = await rig.register(FULL)
        heavier = attrs.evolve(FULL, weight=7.0)
        new = await rig.register(heavier)
        with pytest.raises(LeaseLost):
            await soon(old.renew())
        await new.renew()
        assert (await rig.watch().until_ids([FULL.id])).nodes == (heavier,)

    @with_registrations
    async def test_a_renewal_writes_an_overwritten_record_again(self, rig: Rig) -> None:
        lease = await rig.register(FULL)
        await self.spoil(rig.service, FULL, "overwritten")
        await soon(lease.renew())
        await rig.watch().until(lambda seen: seen.nodes == (FULL,), SHORTLY)

    @with_registrations
    async def test_a_renewal_writes_a_removed_record_again_or_the_lease_is_lost(
        self, rig: Rig
    ) -> None:
        lease = await rig.register(FULL)
        await self.spoil(rig.service, FULL, "removed")
        try:
            await soon(lease.renew())
        except LeaseLost:
            await rig.register(FULL)
        await rig.watch().until(lambda seen: seen.nodes == (FULL,), SHORTLY)
