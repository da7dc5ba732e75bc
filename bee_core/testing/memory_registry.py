"""A registry in this process, for tests: nodes come and go, and it goes out of reach, when the test says so."""

from __future__ import annotations

import asyncio
import contextlib
from threading import Condition
from time import monotonic
from typing import TYPE_CHECKING, Any

from bee_core.errors import RegistryError
from bee_core.hookspecs import hookimpl
from bee_core.terms.addresses import parse
from bee_core.terms.node import Node, Snapshot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bee_core.contracts.registry import Instance, Registry, RegistrySettings
    from bee_core.hookspecs import Registrar


_LOOK = 0.02  # seconds between two looks at the leases, for a test that waits


class MemoryRegistry:
    """The registry ``memory``, shared by every client and server that gets this object among its plugins. Thread-safe.

    For example::

        registry = MemoryRegistry()
        registry.publish("calc", server.address, version="1.2.0")
        config = {"bee": {"rpc": {"registry": {"protocol": "memory"}, "client": {"calc": {"version": ">=1.0, <2"}}}}}
        with build_client(config, plugins=[registry]) as client: ...
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._nodes: dict[str, dict[str, Node]] = {}
        self._ends: dict[
            tuple[str, str], float
        ] = {}  # when a registration runs out; what a test publishes never does
        self._revision = 0
        self._error: Exception | None = None
        self._silent = False
        self._watches: dict[object, tuple[asyncio.AbstractEventLoop, asyncio.Event]] = {}
        self.watches_begun = 0
        """How often anybody has begun to watch, successfully or not."""
        self.renewals = 0
        """How often a lease was renewed."""

    @hookimpl
    def bee_register_registries(self, registry: Registrar[Registry]) -> None:
        """Offer ``memory``."""
        registry.add("memory", lambda settings: _Session(self, settings))

    # What a test does.

    def publish(self, service: str, url: str, **fields: Any) -> Node:
        """Add a node, or replace the one with its id.

        Args:
            service: The service's name.
            url: Where the node is; its id too, unless ``fields`` has one.
            **fields: Further fields of :class:`bee_core.Node`.
        """
        node = Node(**{"id": url, "url": url, **fields})
        with self._changed:
            self._put(service, node, None)
        return node

    def withdraw(self, service: str, node_id: str | None = None) -> None:
        """Take a node out of the list, or all nodes of the service. The leases of servers are lost with them."""
        with self._changed:
            nodes = self._nodes.get(service, {})
            if node_id is None:
                nodes.clear()
            else:
                nodes.pop(node_id, None)
            self._tell()

    def nodes(self, service: str) -> tuple[Node, ...]:
        """The nodes listed at present, by id."""
        with self._changed:
            return self._listed(service)

    def go_out_of_reach(self, error: Exception | None = None) -> None:
        """From now on every watch, those under way included, and every other request fails with ``error``, a refused connection when not given."""
        with self._changed:
            self._error = error or ConnectionRefusedError("the registry of the test is down")
            self._tell()

    def go_silent(self) -> None:
        """From now on nothing is answered, and nothing fails either: the registry hangs."""
        with self._changed:
            self._silent = True

    def come_back(self) -> None:
        """Answer again."""
        with self._changed:
            self._error, self._silent = None, False
            self._tell()

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
        self._wait(
            lambda: len(self._listed(service)) == count, timeout, f"{count} nodes of {service}"
        )

    # What the sessions of clients and servers do.

    def _wait(self, come: Any, timeout: float, what: str) -> None:
        with self._changed:
            until = monotonic() + timeout
            while not come():
                if monotonic() >= until:
                    raise TimeoutError(f"there were not {what} within {timeout:g} s")
                self._changed.wait(_LOOK)  # a lease runs out without a word

    def _put(self, service: str, node: Node, ends: float | None) -> None:
        """With the lock held."""
        self._nodes.setdefault(service, {})[node.id] = node
        self._ends.pop((service, node.id), None)
        if ends is not None:
            self._ends[service, node.id] = ends
        self._tell()

    def _listed(self, service: str) -> tuple[Node, ...]:
        now = monotonic()
        for (of, node_id), end in list(self._ends.items()):
            if end <= now:
                del self._ends[of, node_id]
                self._nodes.get(of, {}).pop(node_id, None)
                self._tell()
        return tuple(node for _, node in sorted(self._nodes.get(service, {}).items()))

    def _tell(self) -> None:
        """With the lock held."""
        self._revision += 1
        self._changed.notify_all()
        for loop, event in list(self._watches.values()):
            with contextlib.suppress(RuntimeError):  # its loop is gone
                loop.call_soon_threadsafe(event.set)

    async def _check(self) -> None:
        while self._silent:
            await self._next_change()
        if self._error is not None:
            raise self._error

    async def _next_change(self) -> None:
        key, event = object(), asyncio.Event()
        with self._changed:
            self._watches[key] = (asyncio.get_running_loop(), event)
        try:
            await event.wait()
        finally:
            with self._changed:
                del self._watches[key]

    async def _watch(self, service: str) -> AsyncIterator[Snapshot]:
        key, event = object(), asyncio.Event()
        with self._changed:
            self.watches_begun += 1
            self._watches[key] = (asyncio.get_running_loop(), event)
            self._changed.notify_all()
        said: tuple[Node, ...] | None = None
        try:
            while True:
                event.clear()
                await self._check()
                with self._changed:
                    nodes = self._listed(service)
                    revision, next_end = (
                        self._revision,
                        min(
                            (end for (of, _), end in self._ends.items() if of == service),
                            default=None,
                        ),
                    )
                if nodes != said:
                    said = nodes
                    yield Snapshot(revision, "registry", nodes)
                else:
                    with contextlib.suppress(asyncio.TimeoutError):
                        await asyncio.wait_for(
                            event.wait(),
                            None if next_end is None else max(0.0, next_end - monotonic()),
                        )
        finally:
            with self._changed:
                del self._watches[key]

    def _holds(self, service: str, node: Node) -> bool:
        with self._changed:
            return any(listed is node for listed in self._listed(service))


class _Lease:
    def __init__(self, registry: MemoryRegistry, instance: Instance, ttl: float) -> None:
        self._registry = registry
        self._instance = instance
        self.ttl = ttl

    async def renew(self) -> None:
        await self._registry._check()  # noqa: SLF001  # one thing in two classes
        if not self._registry._holds(self._instance.service, self._instance.node):  # noqa: SLF001
            raise RegistryError(f"the registration of {self._instance.node.id} is gone")
        with self._registry._changed:  # noqa: SLF001
            self._registry.renewals += 1
            key = self._instance.service, self._instance.node.id
            self._registry._ends[key] = monotonic() + self.ttl  # noqa: SLF001
            self._registry._changed.notify_all()  # noqa: SLF001

    async def revoke(self) -> None:
        await self._registry._check()  # noqa: SLF001
        if self._registry._holds(self._instance.service, self._instance.node):  # noqa: SLF001
            self._registry.withdraw(self._instance.service, self._instance.node.id)


class _Session:
    """What one client or server has of the registry."""

    def __init__(self, registry: MemoryRegistry, settings: RegistrySettings) -> None:
        self._registry = registry
        self._ttl = 3 * settings.heartbeat_interval

    def known(self, service: str, addresses: tuple[Node, ...]) -> Snapshot | None:
        return None

    async def register(self, instance: Instance) -> _Lease:
        await self._registry._check()  # noqa: SLF001
        node = instance.node
        try:
            parse(node.url)
        except ValueError as error:
            raise RegistryError(f"{node.url!r} cannot be registered: {error}") from error
        with self._registry._changed:  # noqa: SLF001
            self._registry._put(instance.service, node, monotonic() + self._ttl)  # noqa: SLF001
        return _Lease(self._registry, instance, self._ttl)

    def watch(self, service: str) -> AsyncIterator[Snapshot]:
        return self._registry._watch(service)  # noqa: SLF001

    async def close(self) -> None:
        """Nothing is held."""
