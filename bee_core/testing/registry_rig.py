"""What the contract suite of registries plays with: a server's and a client's registry, watches."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Coroutine
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from bee_core.contracts.registry import Instance, Registry
from bee_core.errors import RegistryError
from bee_core.terms.node import Node, Snapshot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterable

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
        seen: All snapshots so far, without the confirmations.
        confirmed: How often the last snapshot of the moment was given again.
    """

    def __init__(self, registry: Registry, service: str) -> None:
        self.seen: list[Snapshot] = []
        self.confirmed = 0
        self._watch: AsyncIterator[Snapshot] = registry.watch(service)
        self._news = asyncio.Condition()
        self.task = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        try:
            async for snapshot in self._watch:
                if self.seen and snapshot.revision == self.seen[-1].revision:
                    assert snapshot is self.seen[-1], "a revision was given to another snapshot"
                    self.confirmed += 1
                else:
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


class OtherLoop:
    """An event loop on a thread of its own, as a server's control plane beside a client's."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    async def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What work gives that is done there, within the bound."""
        return await soon(asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop)))

    def close(self) -> None:
        """End it."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(BOUND)
        self._loop.close()


async def soon(answer: Awaitable[Any]) -> Any:
    """What the registry answers, within the bound."""
    return await asyncio.wait_for(answer, BOUND)


Test = Callable[[Any, Rig], Coroutine[Any, Any, None]]


def on_a_loop(test: Test, *, registers: bool = False) -> Callable[[Any], None]:
    """Run a test with a rig on a loop of its own, and clean up.

    Args:
        test: The test.
        registers: Skip it for a registry that keeps no registrations.
    """

    def run(suite: Any) -> None:
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
