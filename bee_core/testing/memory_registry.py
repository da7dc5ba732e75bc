"""A registry in this process, for tests.

Nodes come and go, and it goes out of reach, when the test says so.
"""
# ruff: noqa: SLF001  # a lease and a session are parts of the registry, in classes of their own

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from math import inf
from threading import Condition
from time import monotonic
from typing import TYPE_CHECKING, Any

from bee_core.errors import RegistryError
from bee_core.hookspecs import Registrar, hookimpl
from bee_core.terms.addresses import parse
from bee_core.terms.node import Node, Snapshot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from bee_core.contracts.registry import Instance, Registry, RegistrySettings


_LOOK = 0.02  # seconds between two looks at the leases, for a test that waits


class MemoryRegistry:
    """The registry ``memory``. Thread-safe.

    Every client and server that gets this object among its plugins shares it. For example::

        registry = MemoryRegistry()
        registry.publish("calc", server.address, version="1.2.0")
        rpc = {"registry": {"protocol": "memory"}, "client": {"calc": {"version": ">=1.0, <2"}}}
        with build_client({"bee": {"rpc": rpc}}, plugins=[registry]) as client: ...

    Attributes:
        watches_begun: How often anybody has begun to watch, successfully or not.
        renewals: How often a lease was renewed.
    """

    def __init__(self) -> None:
        self.watches_begun = 0
        self.renewals = 0
        self._changed = Condition()
        # By service and id, with the time when the registration runs out.
        self._nodes: dict[str, dict[str, tuple[Node, float]]] = {}
        self._revision = 0
        self._error: Exception | None = None
        self._silent = False
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

    # What a test does.

    def publish(self, service: str, url: str, **fields: Any) -> Node:
        """Add a node, or replace the one with its id.

        Args:
            service: The service's name.
            url: Where the node is; its id too, unless ``fields`` has one.
            **fields: Further fields of :class:`bee_core.Node`.
        """
        node = Node(**{"id": url, "url": url, **fields})
        self._put(service, node)
        return node

    def withdraw(self, service: str, node_id: str | None = None) -> None:
        """Take a node, or all nodes of the service, off the list. Their leases are lost, too."""
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

    def _wait(self, come: Callable[[], bool], timeout: float, what: str) -> None:
        until = monotonic() + timeout
        with self._changed:
            while not come():
                if monotonic() >= until:
                    raise TimeoutError(f"there were not {what} within {timeout:g} s")
                self._changed.wait(_LOOK)  # a lease runs out without a word

    # What the sessions of clients and servers do.

    def _put(self, service: str, node: Node, ttl: float = inf) -> None:
        with self._changed:
            self._nodes.setdefault(service, {})[node.id] = (node, monotonic() + ttl)
            self._tell()

    def _listed(self, service: str) -> tuple[Node, ...]:
        """With the lock held. What has run out is taken off the list."""
        now, nodes = monotonic(), self._nodes.get(service, {})
        for node_id in [node_id for node_id, (_, end) in nodes.items() if end <= now]:
            del nodes[node_id]
            self._tell()
        return tuple(node for _, (node, _) in sorted(nodes.items()))

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

    async def _check(self) -> None:
        """Wait while the registry is silent; fail where it is out of reach."""
        with self._listening() as event:
            while self._silent:
                event.clear()
                await event.wait()
        if self._error is not None:
            raise self._error

    async def _watch(self, service: str) -> AsyncIterator[Snapshot]:
        said: tuple[Node, ...] | None = None
        with self._listening() as event:
            with self._changed:
                self.watches_begun += 1
                self._changed.notify_all()
            while True:
                event.clear()
                await self._check()
                with self._changed:
                    nodes, revision = self._listed(service), self._revision
                    ends = [end for _, end in self._nodes.get(service, {}).values()]
                if nodes != said:
                    said = nodes
                    yield Snapshot(revision, "registry", nodes)
                else:
                    left = max(0.0, min(ends, default=inf) - monotonic())
                    with suppress(asyncio.TimeoutError):
                        await asyncio.wait_for(event.wait(), None if left == inf else left)

    def _holds(self, service: str, node: Node) -> bool:
        return any(listed is node for listed in self.nodes(service))


class _Lease:
    def __init__(self, registry: MemoryRegistry, instance: Instance, ttl: float) -> None:
        self._registry = registry
        self._service, self._node = instance.service, instance.node
        self.ttl = ttl

    async def renew(self) -> None:
        registry = self._registry
        await registry._check()
        with registry._changed:
            if not registry._holds(self._service, self._node):
                raise RegistryError(f"the registration of {self._node.id} is gone")
            registry.renewals += 1
            registry._put(self._service, self._node, self.ttl)

    async def revoke(self) -> None:
        await self._registry._check()
        if self._registry._holds(self._service, self._node):
            self._registry.withdraw(self._service, self._node.id)


class _Session:
    def __init__(self, registry: MemoryRegistry, settings: RegistrySettings) -> None:
        self._registry = registry
        self._ttl = 3 * settings.heartbeat_interval

    def known(self, service: str, addresses: tuple[Node, ...]) -> Snapshot | None:
        return None

    async def register(self, instance: Instance) -> _Lease:
        await self._registry._check()
        node = instance.node
        try:
            parse(node.url)
        except ValueError as error:
            raise RegistryError(f"{node.url!r} cannot be registered: {error}") from error
        self._registry._put(instance.service, node, self._ttl)
        return _Lease(self._registry, instance, self._ttl)

    def watch(self, service: str) -> AsyncIterator[Snapshot]:
        return self._registry._watch(service)

    async def close(self) -> None:
        """Nothing is held."""
