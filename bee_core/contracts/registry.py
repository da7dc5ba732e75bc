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
    """A registration that lives as long as it is renewed.

    It may also define:

    ``repairs: int``
        How often a renewal has written the record again. The core tells of each.
    """

    ttl: float
    """Seconds from its last renewal to its end, as the registry decided."""

    async def renew(self) -> None:
        """Prolong it by ``ttl``, and see to it that the record is what was registered.

        A record that was overwritten, or has gone although the lease lives, is written again.
        Takes as long as the lease still lasts, if the registry is that slow: the core gives up the
        wait when the lease is over. If it has taken a third of the lease, it is called once more
        beside, since a request may be lost on the way.

        Raises:
            LeaseLost: The registry says that the lease has gone, or another living server holds
                the id. Register again.
            IdTaken: The same, if the registry can tell whose the id is.
            Exception: Anything else means that it is not known; the core tries again until the
                lease's time is over.
        """

    async def revoke(self) -> None:
        """Leave at once. The core calls it only where the server leaves.

        Also for a lease whose time is over as the core counts, since the registry may count later;
        a record that another server has written stays.
        """


class Registry(Protocol):
    """Knows which nodes a service has.

    The factory gets ``RegistrySettings`` and then the options. It makes one object for each client
    and each server. An object is used on one loop only, that of the control plane of its client or
    server, except ``known``. A process with a client and a server has two such loops on two
    threads, so what objects share (a process-wide store, say) must be thread-safe, and must wake
    watchers on their own loops. It may also define:

    ``reach: Reach``
        Where its records are read: in this process, on this machine, or beyond, where it is left
        out. Records of the network cannot name addresses within a machine (``unix://``) or a
        process (``memory://``).
    ``namespace: str``
        What tells its lists from those of the same plugin at the same addresses: the prefix, the
        datacenter, the user whose view it is. No secrets. Lists on disk are kept apart by it. Where
        it is left out, by all options that are shown.
    ``addresses: tuple[str, ...]``
        Its servers, each written in one way only: with scheme and port, in lower case. Lists on
        disk are kept apart by them. Where it is left out, by the configured texts.
    ``confirms_every: float``
        Seconds. While the registry answers, a watch yields its last snapshot again (with its
        revision) at least so often. Where it is left out, a watch that waits counts as answered.
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

        The core makes one attempt at a time. An attempt whose answer was lost leaves nothing behind
        that the next one does not take over.

        Raises:
            IdTaken: Another server that lives has the id.
            RegistryError: The registry refuses.
            OSError: It is out of reach, or what it answers cannot be read. TimeoutError is one.
        """

    def watch(self, service: str) -> AsyncIterator[Snapshot]:
        """The current snapshot at once, then one for each change, and confirmations.

        Of nodes with one url the newest stands last: the others have gone, and their leases run
        out. The core calls the newest only. Ends only by an exception or by being closed.

        Raises:
            RegistryError: The registry refuses.
            OSError: As for ``register``.
        """

    async def close(self) -> None:
        """Let go of connections. Leases that were not revoked run out by themselves."""
