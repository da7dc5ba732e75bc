"""The discoveries of a client: one for each service that a registry must be watched for."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..control.discovery import Discovery
from ..control.empty_list import PING_TIMEOUT
from ..control.snapshot_cache import SnapshotCache
from ..errors import BeeError

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from ..calls.service import Service
    from ..contracts.registry import Registry
    from ..control.plane import ControlPlane
    from ..terms.node import Node, Snapshot
    from .assembly import Assembly

C = TypeVar("C")


class Discoveries(Generic[C]):
    """Finds the nodes of a client's services, each from its first call on.

    Args:
        assembly: The client's parts.
        plane: Where the watches run.
        deliver: Hands a snapshot to a service, wherever the client makes its channels.
        clock: Seconds, monotonic.
        rng: For jitter.
    """

    def __init__(
        self,
        assembly: Assembly[C],
        plane: ControlPlane,
        deliver: Callable[[Service[C], Snapshot], None],
        *,
        clock: Callable[[], float],
        rng: Random,
    ) -> None:
        self._plane = plane
        self._assembly = assembly
        self.registry: Registry | None = assembly.registry
        self._discoveries: dict[str, Discovery] = {}
        settings = assembly.registry_config
        where = ",".join(settings.address)
        cache = SnapshotCache(f"{settings.protocol} {where}")
        for service in assembly.services.values():
            if assembly.known(service) is not None:
                continue
            discovery = Discovery(
                service.name,
                registry=self._the_registry,
                registry_name=f"{settings.protocol} at {where}" if where else settings.protocol,
                addresses=assembly.addresses(service),
                deliver=partial(deliver, service),
                answers=partial(self._answers, service),
                objection=partial(self._objection, service),
                cache=cache,
                heartbeat_interval=settings.heartbeat_interval,
                clock=clock,
                rng=rng,
            )
            self._discoveries[service.name] = discovery
            service.undiscovered = discovery
            service.nodes.explain_unknown = discovery.explain
        if self._discoveries:
            plane.at_stop(self._close_registry)

    def wait(self, service: Service[C], patience: float) -> None:
        """Wait for the first nodes of a service, then go on with what is known.

        Args:
            service: The service, at its first call.
            patience: Seconds to wait at most. It returns as well when the client is closed.
        """
        discovery = self._begin(service)
        if discovery is not None and not discovery.wait(min(discovery.patience(), patience)):
            discovery.fall_back()

    async def wait_async(self, service: Service[Any], patience: float) -> None:
        """The same on an event loop."""
        discovery = self._begin(service)
        if discovery is None:
            return
        loop = asyncio.get_running_loop()
        known = asyncio.Event()
        discovery.when_known(lambda: on_loop(loop, known.set))
        try:
            await asyncio.wait_for(known.wait(), max(0.0, min(discovery.patience(), patience)))
        except (TimeoutError, asyncio.TimeoutError):
            discovery.fall_back()

    def _begin(self, service: Service[C]) -> Discovery | None:
        """Start the discovery of a service.

        Returns:
            What to wait for. None where nodes are known: there is nothing to discover, or a forked
            child goes on with its parent's list.
        """
        discovery: Discovery | None = service.undiscovered
        if discovery is not None:
            discovery.start(self._plane)
            if service.nodes.snapshot.revision >= 0:
                service.undiscovered = discovery = None
        return discovery

    def trouble(self, service: str) -> str:
        """Why the registry is not heard for a service now.

        Empty while it is heard, and for a service that watches none.
        """
        discovery = self._discoveries.get(service)
        return "" if discovery is None else discovery.trouble

    def release(self) -> None:
        """The client closes: end the waits for a first list."""
        for discovery in self._discoveries.values():
            discovery.release()

    def after_fork(self) -> None:
        """In a forked child: the next call of each service discovers it anew.

        The child makes its own registry object for it.
        """
        self.registry = None
        for name, discovery in self._discoveries.items():
            discovery.after_fork()
            self._assembly.services[name].undiscovered = discovery

    def _the_registry(self) -> Registry:
        if self.registry is None:
            self.registry = self._assembly.make_registry()
        return self.registry

    async def _close_registry(self) -> None:
        if self.registry is not None:
            await self.registry.close()

    async def _answers(self, service: Service[C], node: Node) -> bool:
        """Whether a node answers a ping and takes calls."""
        channel = self._assembly.async_channel(service, node)
        try:
            return await channel.ping(PING_TIMEOUT) == "serving"
        finally:
            await channel.close()

    def _objection(self, service: Service[C], node: Node) -> str:
        """Why the client cannot call a node at all; empty if it can."""
        try:
            self._assembly.transport(service.config, node.url)
        except (BeeError, ValueError, TypeError, AttributeError) as error:
            return f"{str(node.url)[:80]!r}: {error}"
        return ""


def on_loop(loop: asyncio.AbstractEventLoop, function: Callable[[], object]) -> None:
    """Call a function on a loop, from any thread."""
    with contextlib.suppress(RuntimeError):  # a loop that was closed has nobody to tell
        loop.call_soon_threadsafe(function)
