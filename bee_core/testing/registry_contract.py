"""What every registry must do, whatever stands behind it: leases, snapshots, watches.

The suite does not check what happens while a registry is out of reach, or after it has lost its
data. That takes a server which the test can kill, so the plugin's own tests check it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from functools import partial
from typing import Any, ClassVar

import attrs
import pytest

from bee_core.contracts.registry import Instance, Registry
from bee_core.errors import RegistryError
from bee_core.terms.node import Node, Snapshot

ADDRESSES = (
    Node("tcp://10.0.0.1:9000", "tcp://10.0.0.1:9000"),
    Node("tcp://10.0.0.2:9000", "tcp://10.0.0.2:9000", version="1.2.0"),
)
FULL = Node(
    "calc-7f3a", "tcp://10.0.0.7:9000", "1.10.0-rc.1", 2.5, "eu-1", frozenset({"gpu", "blue"}), 4
)
"""A node with everything that a server can say of itself."""

BOUND = 10.0
"""Seconds after which a registry that does not answer has failed."""
LONGEST_TTL = 5.0
"""Seconds. Where leases last longer, the tests of leases that run out are skipped."""


class Watching:
    """A watch of one service, read in a task of its own so that no snapshot is missed.

    Attributes:
        seen: All snapshots so far.
    """

    def __init__(self, registry: Registry, service: str) -> None:
        self.seen: list[Snapshot] = []
        self._watch: AsyncIterator[Snapshot] = registry.watch(service)
        self._news = asyncio.Condition()
        self.task = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        try:
            async for snapshot in self._watch:
                self.seen.append(snapshot)
                async with self._news:
                    self._news.notify_all()
        finally:
            await self._watch.aclose()  # type: ignore[attr-defined]

    async def until(self, wanted: Callable[[Snapshot], bool], bound: float = BOUND) -> Snapshot:
        """The last snapshot, as soon as it is as wanted; within ``bound`` seconds."""

        async def wait() -> Snapshot:
            async with self._news:
                await self._news.wait_for(lambda: bool(self.seen) and wanted(self.seen[-1]))
            return self.seen[-1]

        waiting = asyncio.ensure_future(wait())
        await asyncio.wait({waiting, self.task}, timeout=bound, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            return waiting.result()
        waiting.cancel()
        if self.task.done():
            self.task.result()  # the watch's own error
        raise AssertionError(
            f"not within {bound:g} s; the last snapshot was {self.seen[-1] if self.seen else None}"
        )

    async def until_ids(self, ids: Iterable[str], bound: float = BOUND) -> Snapshot:
        """The last snapshot, as soon as it has exactly these nodes."""
        wanted = sorted(ids)
        return await self.until(lambda seen: sorted(n.id for n in seen.nodes) == wanted, bound)

    async def close(self) -> None:
        """End the watch."""
        self.task.cancel()
        await asyncio.wait({self.task}, timeout=BOUND)


class Rig:
    """A server's registry, a client's, and a service's name that no other test uses."""

    def __init__(self, make: Callable[[], Registry]) -> None:
        self.server = make()
        self.client = make()
        self.service = f"calc-{os.urandom(6).hex()}"
        self._leases: list[Any] = []
        self._renewals: list[asyncio.Future[None]] = []
        self._watchers: list[Watching] = []

    async def register(self, node: Node, suffix: str = "") -> Any:
        """Register at the service; the suffix makes another one."""
        lease = await soon(self.server.register(Instance(self.service + suffix, node)))
        self._leases.append(lease)
        return lease

    async def register_and_renew(self, node: Node) -> Any:
        """Register, and renew the lease as a server does, until :meth:`stop_renewals`."""
        lease = await self.register(node)

        async def renew() -> None:
            while True:
                await asyncio.sleep(lease.ttl / 3)
                await lease.renew()

        self._renewals.append(asyncio.ensure_future(renew()))
        return lease

    async def stop_renewals(self) -> None:
        """Renew no lease any more."""
        for renewal in self._renewals:
            renewal.cancel()
        await asyncio.gather(*self._renewals, return_exceptions=True)

    async def short_lease(self) -> tuple[Any, Watching]:
        """A lease of the service, and a watch that has seen it; skips where leases last long."""
        lease = await self.register(FULL)
        if lease.ttl > LONGEST_TTL:
            pytest.skip(f"leases last {lease.ttl:g} s here")
        watcher = self.watch()
        await watcher.until_ids([FULL.id])
        return lease, watcher

    def watch(self, suffix: str = "") -> Watching:
        """Watch the service from the client's side."""
        watcher = Watching(self.client, self.service + suffix)
        self._watchers.append(watcher)
        return watcher

    async def close(self) -> None:
        """End everything, also after a failure."""
        await self.stop_renewals()
        for watcher in self._watchers:
            await watcher.close()
        for lease in self._leases:
            with contextlib.suppress(RegistryError, OSError, TimeoutError):
                await lease.revoke()
        await self.server.close()
        await self.client.close()


async def soon(answer: Awaitable[Any]) -> Any:
    """What the registry answers, within the bound."""
    return await asyncio.wait_for(answer, BOUND)


Test = Callable[[Any, "Rig"], Coroutine[Any, Any, None]]


def on_a_loop(test: Test, *, registers: bool = False) -> Callable[[RegistryContract], None]:
    """Run a test with a rig on a loop of its own, and clean up.

    Args:
        test: The test.
        registers: Skip it for a registry that keeps no registrations.
    """

    def run(suite: RegistryContract) -> None:
        if registers and not suite.keeps_registrations:
            pytest.skip("keeps no registrations")

        async def whole() -> None:
            rig = Rig(suite.make_registry)
            try:
                await test(suite, rig)
            finally:
                await rig.close()

        asyncio.run(whole())

    return run


with_registrations = partial(on_a_loop, registers=True)


class RegistryContract:
    """Inherit, and say how to make the registry.

    For the tests of leases that run out, make it with a short ``heartbeat_interval``.
    """

    keeps_registrations: ClassVar[bool] = True
    """False for a registry that tells nobody of a registration, as ``direct``.

    Then only the part without registrations is tested.
    """

    @abstractmethod
    def make_registry(self) -> Registry:
        """A registry with the settings under test, not yet connected.

        All that one test makes know of each other's registrations.
        """

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
        with pytest.raises(RegistryError):
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
