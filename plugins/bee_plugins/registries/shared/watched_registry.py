"""What is the same in every registry whose nodes must be asked for."""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import TYPE_CHECKING

from bee_core.errors import RegistryError
from bee_plugins.registries.shared.node_list import NodeList, WarnOnce
from bee_plugins.registries.shared.node_record import decode_record, encode_record

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from bee_core.interfaces import Instance, RegistrySettings
    from bee_core.nodes import Node, Snapshot

BEATS = 3
"""Heartbeats that a lease lasts: two may be lost."""

REPLACED = "it was registered again"
"""Why a lease is over if the same object has registered the same id again."""
REVOKED = "it was revoked"
"""Why a lease is over if the server has left."""


class WatchedRegistry:
    """The base of such a registry.

    Args:
        settings: As the registry's factory gets them.
        log: Takes warnings about records. Each is logged once, also when a watch starts anew.
    """

    def __init__(self, settings: RegistrySettings, log: logging.Logger) -> None:
        self._ttl = BEATS * settings.heartbeat_interval
        self._revisions = itertools.count(1)
        self._warnings: defaultdict[str, WarnOnce] = defaultdict(lambda: WarnOnce(log))

    def known(self, service: str, addresses: tuple[Node, ...]) -> Snapshot | None:
        """See :meth:`bee_core.interfaces.Registry.known`. Without asking, nothing is known."""
        return None

    def _node_list(
        self,
        service: str,
        where: Callable[[str], str],
        parse: Callable[[bytes, str], Node] = decode_record,
    ) -> NodeList:
        """An empty list of a service's nodes; for the arguments see :class:`NodeList`."""
        return NodeList(where, self._revisions, self._warnings[service], parse)


class WatchedLease:
    """The base of a lease that counts as lost for good once it is found lost.

    Args:
        ttl: Seconds that it outlives its last renewal.
        name: For messages.

    Attributes:
        ttl: The same.
        over: Why it is over; empty while it may live.
    """

    def __init__(self, ttl: float, name: str) -> None:
        self.ttl = ttl
        self.over = ""
        self._name = name

    async def renew(self) -> None:
        """See :meth:`bee_core.interfaces.Lease.renew`.

        Raises:
            RegistryError: It is over; register again.
            OSError: The registry is out of reach; TimeoutError if it is silent.
        """
        if not self.over:
            self.over = await self._renew()
        if self.over:
            raise RegistryError(f"the registration of {self._name} has gone: {self.over}")

    async def _renew(self) -> str:
        """Renew it, or say why it is over."""
        raise NotImplementedError


def title(instance: Instance) -> str:
    """What messages call an instance."""
    return f"{instance.service} at {instance.node.url}"


def record_of(instance: Instance) -> bytes:
    """The record to register.

    Raises:
        RegistryError: Readers would not accept it.
    """
    try:
        return encode_record(instance.node)
    except ValueError as error:
        raise refused(instance, f"its record {error}") from error


def refused(instance: Instance, reason: str) -> RegistryError:
    """The error for a registration that is refused."""
    return RegistryError(f"{title(instance)} cannot be registered: {reason}")


def id_taken(instance: Instance, holder: str, advice: str = "stop it") -> RegistryError:
    """The error for a registration whose id another server has."""
    return refused(
        instance,
        f"{holder} has registered the id {instance.node.id!r} and lives; "
        f"{advice}, or give each server an id of its own",
    )
