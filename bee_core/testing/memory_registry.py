"""A registry in this process, for tests.

Nodes come and go, and it is down, silent, slow or garbled, when the test says so.
"""
# ruff: noqa: SLF001  # leases and sessions are parts of the registry

from __future__ import annotations

import asyncio
import secrets
from contextlib import contextmanager, suppress
from math import inf
from threading import Condition
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from bee_core.hookspecs import Registrar, hookimpl
from bee_core.terms.node import Node, Snapshot

from .memory_records import Hold, Records

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from bee_core.contracts.registry import Instance, Registry, RegistrySettings
    from bee_core.contracts.transport import Reach

_T = TypeVar("_T")

_LOOK = 0.02  # seconds between two looks at the leases, for a test that waits
_OFTEN = 0.05  # seconds between two confirmations at least, however short the heartbeat is


class MemoryRegistry:
    """The registry ``memory``. Thread-safe.

    Every client and server that gets this object among its plugins shares it. For example::

        registry = MemoryRegistry()
        registry.publish("calc", server.address, version="1.2.0")
        rpc = {"registry": {"protocol": "memory"}, "client": {"calc": {"version": ">=1.0, <2"}}}
        with build_client({"bee": {"rpc": rpc}}, plugins=[registry]) as client: ...

    Args:
        reach: What it stands for; ``network`` for a registry that others can write to, whose
            records may not name ``memory://`` and ``unix://`` addresses.
        clock: Seconds, monotonic; leases run out by it. A virtual clock must be the running loop's
            own, since the waits are the loop's: ``MemoryRegistry(clock=loop.time)``.
        namespace: See :class:`bee_core.interfaces.Registry`. None: this object's own, so that no
            client starts from the list on disk of another object.

    Attributes:
        watches_begun: How often anybody has begun to watch, successfully or not.
        requests: How many requests of servers have been made: register, renew, revoke.
        renewals: How often a lease was renewed.
        repairs: How many renewals wrote again what somebody had overwritten or erased.
    """

    def __init__(
        self,
        reach: Reach = "process",
        *,
        clock: Callable[[], float] = monotonic,
        namespace: str | None = None,
    ) -> None:
        self.reach: Reach = reach
        self.namespace = secrets.token_hex(8) if namespace is None else namespace
        self.watches_begun = 0
        self.requests = self.renewals = 0
        self.repairs = 0
        self._clock = clock
        self._changed = Condition()
        self._records = Records(clock, self._tell)
        self._revision = 0
        self._error: Exception | None = None
        self._silent = False
        self._garbled = False
        self._seconds = 0.0
        self._listeners: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}

    @property
    def watches_open(self) -> int:
        """How many watches have been begun and not closed."""
        return len(self._listeners)

    @hookimpl
    def bee_register_registries(self, registry: Registrar[Registry]) -> None:
        """Offer ``memory``."""
        registry.add("memory", self.session)

    def session(self, settings: RegistrySettings) -> Registry:
        """What one client or server has of the registry."""
        return _Session(self, settings)

    # What a test does with the records.

    def publish(self, service: str, url: str, **fields: Any) -> Node:
        """Add a node that depends on no lease, or replace the one with its id.

        Args:
            service: The service's name.
            url: Where the node is; its id too, unless ``fields`` has one.
            **fields: Further fields of :class:`bee_core.Node`.
        """
        node = Node(**{"id": url, "url": url, **fields})
        with self._changed:
            self._records.put(service, node)
        return node

    def overwrite(
        self, service: str, node_id: str, *, living: bool = False, **changes: Any
    ) -> Node:
        """Write over a node's record, as anybody else with access may do.

        The server's lease lives on, but the record no longer depends on it.

        Args:
            service: The service's name.
            node_id: Of a node that is listed.
            living: Whether another server holds the id from now on, until :meth:`withdraw`.
                Otherwise the server's next renewal writes its record again.
            **changes: Fields of :class:`bee_core.Node` with their new values.

        Raises:
            KeyError: The node is not listed.
        """
        with self._changed:
            return self._records.overwrite(service, node_id, changes, living)

    def erase(self, service: str, node_id: str) -> None:
        """Take a node off the list. Its server's lease lives on: the next renewal lists it."""
        with self._changed:
            self._records.erase(service, node_id)

    def withdraw(self, service: str, node_id: str | None = None) -> None:
        """Take a node, or all nodes of the service, off the list. Their leases are lost, too."""
        with self._changed:
            self._records.withdraw(service, node_id)

    def wipe(self) -> None:
        """Lose all records and all leases, as a registry that comes back with an empty disk."""
        with self._changed:
            self._records.wipe()

    def nodes(self, service: str) -> tuple[Node, ...]:
        """The nodes listed at present, the newest last."""
        with self._changed:
            return self._records.listed(service)[0]

    # What a test does with the answers.

    def go_out_of_reach(self, error: Exception | None = None) -> None:
        """From now on every watch and every request fails, those under way included.

        Args:
            error: What they fail with; a refused connection when not given.
        """
        with self._changed:
            self._error = error or ConnectionRefusedError("the registry of the test is down")
            self._tell()

    def go_silent(self) -> None:
        """From now on nothing is answered, and nothing fails either: the registry hangs."""
        with self._changed:
            self._silent = True

    def slow(self, seconds: float) -> None:
        """From now on each answer takes so long. The request is carried out half-way."""
        with self._changed:
            self._seconds = seconds

    def garble(self) -> None:
        """From now on requests are carried out, but no answer can be read. Watches fail."""
        with self._changed:
            self._garbled = True
            self._tell()

    def come_back(self) -> None:
        """Answer again, rightly and at once."""
        with self._changed:
            self._error, self._silent, self._garbled, self._seconds = None, False, False, 0.0
            self._tell()

    # What a test waits for, in real time.

    def wait_for_watches(self, count: int, timeout: float = 10.0) -> None:
        """Wait until ``count`` watches have been begun since this object was made.

        Raises:
            TimeoutError: Not within ``timeout`` seconds.
        """
        self._wait(lambda: self.watches_begun >= count, timeout, f"{count} watches")

    def wait_for_nodes(self, service: str, count: int, timeout: float = 10.0) -> None:
        """Wait until the service has exactly ``count`` nodes.

        Raises:
            TimeoutError: Not within ``timeout`` seconds.
        """
        what = f"{count} nodes of {service}"
        self._wait(lambda: len(self._records.listed(service)[0]) == count, timeout, what)

    def _wait(self, come: Callable[[], bool], timeout: float, what: str) -> None:
        until = monotonic() + timeout
        with self._changed:
            while not come():
                if monotonic() >= until:
                    raise TimeoutError(f"there were not {what} within {timeout:g} s")
                self._changed.wait(_LOOK)  # a lease runs out without a word

    # What the sessions of clients and servers do.

    def _tell(self) -> None:
        """With the lock held."""
        self._revision += 1
        self._changed.notify_all()
        for event, loop in list(self._listeners.items()):
            with suppress(RuntimeError):  # its loop is gone
                loop.call_soon_threadsafe(event.set)

    @contextmanager
    def _listening(self) -> Iterator[asyncio.Event]:
        """An event that each change sets."""
        event = asyncio.Event()
        with self._changed:
            self._listeners[event] = asyncio.get_running_loop()
        try:
            yield event
        finally:
            with self._changed:
                del self._listeners[event]

    async def _travel(self) -> None:
        """The way of a request, or that of its answer."""
        arrival = self._clock() + self._seconds / 2
        if self._silent or self._seconds:
            with self._listening() as event:
                while self._error is None:
                    event.clear()
                    left = arrival - self._clock() if self._seconds else 0.0
                    if left <= 0 and not self._silent:
                        break
                    await _wait_for(event, inf if self._silent else left)
        if self._error is not None:
            raise self._error

    async def _return(self) -> None:
        await self._travel()
        if self._garbled:
            raise ConnectionError("the answer of the test's registry cannot be read")

    async def _ask(self, carry_out: Callable[[], _T]) -> _T:
        """What a request gives. It is carried out even if its answer is lost on the way."""
        self.requests += 1
        await self._travel()
        try:
            with self._changed:
                return carry_out()
        finally:  # a refusal is an answer, too
            await self._return()

    async def _watch(self, service: str, confirms_every: float) -> AsyncIterator[Snapshot]:
        last: Snapshot | None = None
        due = 0.0
        with self._listening() as event:
            with self._changed:
                self.watches_begun += 1
                self._changed.notify_all()
            while True:
                event.clear()
                await self._travel()
                with self._changed:
                    nodes, end = self._records.listed(service)
                    revision = self._revision
                await self._return()
                now = self._clock()
                if last is not None and nodes == last.nodes and now < due:
                    await _wait_for(event, min(due, end) - now)
                    continue
                if last is None or nodes != last.nodes:
                    last = Snapshot(revision, "registry", nodes)
                due = now + confirms_every
                yield last


async def _wait_for(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, for so long at most; infinity has no end."""
    if seconds == inf:
        await event.wait()
        return
    # Not wait_for: within the clock's resolution it ends without time passing. On a virtual clock
    # whoever waits for the rest of a nanosecond would then wait for ever.
    timer = asyncio.get_running_loop().call_later(max(0.0, seconds), event.set)
    try:
        await event.wait()
    finally:
        timer.cancel()


class _Lease:
    def __init__(self, registry: MemoryRegistry, hold: Hold, ttl: float) -> None:
        self._registry = registry
        self._hold = hold
        self.ttl = ttl
        self.repairs = 0

    async def renew(self) -> None:
        await self._registry._ask(self._renew)

    def _renew(self) -> None:
        registry = self._registry
        repaired = registry._records.renew(self._hold, self.ttl)
        self.repairs += repaired
        registry.repairs += repaired
        registry.renewals += 1

    async def revoke(self) -> None:
        await self._registry._ask(lambda: self._registry._records.revoke(self._hold))


class _Session:
    @property
    def reach(self) -> Reach:
        return self._registry.reach

    @property
    def namespace(self) -> str:
        return self._registry.namespace

    def __init__(self, registry: MemoryRegistry, settings: RegistrySettings) -> None:
        self._registry = registry
        self._ttl = 3 * settings.heartbeat_interval
        self.confirms_every = max(settings.heartbeat_interval, _OFTEN)

    def known(self, service: str, addresses: tuple[Node, ...]) -> Snapshot | None:
        return None

    async def register(self, instance: Instance) -> _Lease:
        return await self._registry._ask(lambda: self._register(instance))

    def _register(self, instance: Instance) -> _Lease:
        records = self._registry._records
        hold = records.register(self, instance.service, instance.node, self._ttl)
        return _Lease(self._registry, hold, self._ttl)

    def watch(self, service: str) -> AsyncIterator[Snapshot]:
        return self._registry._watch(service, self.confirms_every)

    async def close(self) -> None:
        """Nothing is held."""
