"""What a registry implements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import attrs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..terms.node import Node, Snapshot


@attrs.frozen
class RegistrySettings:
    """What stands beside ``protocol`` under ``bee.rpc.registry``.

    Attributes:
        addresses: The registry's own addresses.
        heartbeat_interval: Seconds between renewals of a registration; a lease lasts three of them.
    """

    addresses: tuple[str, ...] = ()
    heartbeat_interval: float = 10.0


@attrs.frozen
class Instance:
    """What a server announces: a node of a service."""

    service: str
    node: Node


class Lease(Protocol):
    """A registration that lives as long as it is renewed."""

    ttl: float
    """Seconds from its last renewal to its end, as the registry decided."""

    async def renew(self) -> None:
        """Prolong it by ``ttl``.

        Raises:
            RegistryError: It is gone; register again.
        """

    async def revoke(self) -> None:
        """Leave at once."""


class Registry(Protocol):
    """Knows which nodes a service has.

    The factory gets ``RegistrySettings`` and then the options. Used on the control plane's loop,
    except ``known``.
    """

    def known(self, service: str, addresses: tuple[Node, ...]) -> Snapshot | None:
        """What is known without any I/O: a snapshot that stays true, or None.

        After None the core asks ``watch``.

        Args:
            service: The service's name.
            addresses: The nodes that the client's configuration names under ``address``.
        """

    async def register(self, instance: Instance) -> Lease:
        """Announce an instance.

        Raises:
            RegistryError: The registry refuses. OSError and TimeoutError where it is out of reach.
        """

    def watch(self, service: str) -> AsyncIterator[Snapshot]:
        """The current snapshot at once, then one for each change.

        Ends only by an exception or by being closed.
        """

    async def close(self) -> None:
        """Let go of connections. Leases that were not revoked run out by themselves."""
