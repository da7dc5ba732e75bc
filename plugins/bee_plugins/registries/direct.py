"""Registry ``direct``: no registry. The nodes are the addresses in the client's configuration."""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING

from bee_core.hookspecs import Registrar, hookimpl
from bee_core.interfaces import Instance, Lease, Node, Reach, Registry, RegistrySettings, Snapshot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class EndlessLease:
    """A lease that never runs out: nobody keeps the registration, so nobody can forget it."""

    ttl: float = inf

    async def renew(self) -> None:
        """See :meth:`bee_core.interfaces.Lease.renew`."""

    async def revoke(self) -> None:
        """See :meth:`bee_core.interfaces.Lease.revoke`."""


class DirectRegistry:
    """Tells what the configuration says. Thread-safe."""

    reach: Reach = "process"

    def __init__(self, settings: RegistrySettings) -> None:
        self._known: dict[str, Snapshot] = {}

    def known(self, service: str, addresses: tuple[Node, ...]) -> Snapshot | None:
        """See :meth:`bee_core.interfaces.Registry.known`. Never None, also without addresses."""
        snapshot = self._known[service] = Snapshot(0, "address", addresses)
        return snapshot

    async def register(self, instance: Instance) -> Lease:
        """See :meth:`bee_core.interfaces.Registry.register`. Clients have the address already."""
        return EndlessLease()

    async def watch(self, service: str) -> AsyncIterator[Snapshot]:
        """See :meth:`bee_core.interfaces.Registry.watch`. What ``known`` said; never a change."""
        yield self._known.get(service, Snapshot(0, "address"))
        await asyncio.Event().wait()

    async def close(self) -> None:
        """See :meth:`bee_core.interfaces.Registry.close`."""


@hookimpl
def bee_register_registries(registry: Registrar[Registry]) -> None:
    """Offer ``direct``."""
    registry.add("direct", DirectRegistry)
