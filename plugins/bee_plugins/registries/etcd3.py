"""Registry ``etcd3``: instances are keys in etcd that live by leases.

The key is ``<prefix>/<service>/providers/<id>``, the value a record (``records``). Each registration has a lease of its own, whose number this process has drawn at random before it
asked for it: so a registration whose answer was lost is recognised as one's own, and nobody else's is.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import secrets
from typing import TYPE_CHECKING

from anyio import move_on_after

from bee_core.errors import RegistryError
from bee_core.hookspecs import hookimpl
from bee_plugins.registries.complaints import Complaints
from bee_plugins.registries.etcd_gateway import Gateway
from bee_plugins.registries.etcd_options import EtcdOptions, read_addresses, tls_context
from bee_plugins.registries.etcd_view import View
from bee_plugins.registries.etcd_watch import EtcdWatch
from bee_plugins.registries.listing import Listing
from bee_plugins.registries.records import decode_record, encode_record
from bee_plugins.registries.safe_names import safe_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bee_core.hookspecs import Registrar
    from bee_core.interfaces import Instance, Lease, Node, Registry, RegistrySettings, Snapshot
    from bee_plugins.registries.etcd_messages import KeyValue

log = logging.getLogger("bee.registry.etcd3")

_BEATS = 3
_LEASE_BITS = 62  # etcd's numbers are positive and have 63
_TRIES = 5
"""How often a key is tried that changes hands meanwhile."""
_TIDYING = 1.0
"""Seconds for taking back a lease that nothing depends on."""


class EtcdLease:
    """A key that lives by a lease in etcd.

    Args:
        gateway: etcd.
        key: The key.
        number: The lease's.
        ttl: Seconds.
        name: For messages.
    """

    def __init__(self, gateway: Gateway, key: bytes, number: int, ttl: float, name: str) -> None:
        self.ttl = ttl
        self.number = number
        self._gateway = gateway
        self._key = key
        self._name = name
        self._over = ""

    async def renew(self) -> None:
        """See :meth:`bee_core.interfaces.Lease.renew`. Two requests: the lease may live while somebody has removed the key."""
        if not self._over and await self._gateway.keep_alive(self.number) <= 0:
            self._over = "its lease has run out or was revoked, or etcd has lost its data"
        if not self._over:
            found = await self._gateway.get(self._key)
            if found is None or found.lease != self.number:
                self._over = f"somebody has {'removed' if found is None else 'replaced'} {self._key.decode()}"
        if self._over:
            raise RegistryError(f"the registration of {self._name} has gone: {self._over}")

    async def revoke(self) -> None:
        """See :meth:`bee_core.interfaces.Lease.revoke`. Idempotent; tried again when it failed.

        Raises:
            OSError: etcd is out of reach; the lease runs out by itself.
        """
        if self._over != _LEFT:
            await self._gateway.revoke(self.number)
            self._over = _LEFT

    def replace(self) -> None:
        """The same object has registered the same id again."""
        self._over = self._over or "it was registered again"


_LEFT = "it was left"


class EtcdRegistry:
    """See :class:`bee_core.interfaces.Registry`. Belongs to one event loop.

    Raises:
        ValueError: An address or a file of TLS cannot be used.
    """

    def __init__(self, settings: RegistrySettings, options: EtcdOptions) -> None:
        addresses = read_addresses(settings.addresses)
        user = (
            None
            if options.username is None or options.password is None
            else (options.username, options.password)
        )
        self._gateway = Gateway(
            addresses, options.request_timeout, tls=tls_context(addresses, options), user=user
        )
        self._root = options.root
        self._heartbeat = settings.heartbeat_interval
        self._timeout = options.request_timeout
        self._ours: dict[
            bytes, set[int]
        ] = {}  # numbers of leases by which this object has, or may have, put a key
        self._leases: dict[bytes, EtcdLease] = {}
        self._revisions = itertools.count(1)
        self._complaints: dict[
            str, Complaints
        ] = {}  # by service: a watch that begins anew has nothing new to say

    def known(self, service: str, addresses: tuple[Node, ...]) -> Snapshot | None:
        """See :meth:`bee_core.interfaces.Registry.known`. Nothing without asking etcd."""
        return None

    async def register(self, instance: Instance) -> Lease:
        """See :meth:`bee_core.interfaces.Registry.register`. A registration of the same id that this object made before is replaced.

        Raises:
            RegistryError: Another server has the id; etcd refuses; the record is none that readers would take.
            OSError: etcd is out of reach; TimeoutError where it is silent.
        """
        node = instance.node
        name = f"{instance.service} at {node.url}"
        key = self._prefix(instance.service) + safe_name(node.id).encode()
        try:
            record = encode_record(node)
        except ValueError as error:
            raise RegistryError(f"{name} cannot be registered: its record {error}") from error
        number = secrets.randbits(_LEASE_BITS) | 1
        ours = self._ours.setdefault(key, set())
        before = set(ours)
        ours.add(number)
        ttl = await self._gateway.grant(number, math.ceil(_BEATS * self._heartbeat))
        if ttl <= 0:
            raise TimeoutError(
                f"{name} cannot be registered: etcd answers too late, its lease of {_BEATS * self._heartbeat:g} s has run out already"
            )
        other = await self._take(key, record, number, ours)
        if other is not None:
            ours.discard(number)
            await self._tidy({number})
            raise RegistryError(
                f"{name} cannot be registered: {_holder(other, key)} has registered the id {node.id!r} and lives; {_advice(other)}"
            )
        replaced = self._leases.pop(key, None)
        if replaced is not None:
            replaced.replace()
        self._ours[key] = {number}
        await self._tidy(before)
        lease = self._leases[key] = EtcdLease(self._gateway, key, number, float(ttl), name)
        return lease

    def watch(self, service: str) -> AsyncIterator[Snapshot]:
        """See :meth:`bee_core.interfaces.Registry.watch`.

        Raises:
            RegistryError: etcd refuses.
            OSError: etcd is out of reach; TimeoutError where it is silent.
        """
        prefix = self._prefix(service)
        complaints = self._complaints.setdefault(service, Complaints(log))
        listing = Listing(
            lambda name: prefix.decode() + name, self._revisions, log, complaints=complaints
        )
        return EtcdWatch(
            self._gateway, View(prefix, listing), self._heartbeat, self._timeout
        ).snapshots()

    async def close(self) -> None:
        """See :meth:`bee_core.interfaces.Registry.close`. What was not revoked runs out by itself."""
        await self._gateway.close()

    def _prefix(self, service: str) -> bytes:
        return f"{self._root}/{safe_name(service)}/providers/".encode()

    async def _take(
        self, key: bytes, record: bytes, number: int, ours: set[int]
    ) -> KeyValue | None:
        """Put the key if it is absent or one's own; the key as it is where it is another's."""
        held_by: int | None = None
        found: KeyValue | None = None
        for _ in range(_TRIES):
            found = await self._gateway.put_if(key, record, number, held_by=held_by)
            if (
                found is None or found.lease == number
            ):  # the latter: a first request had arrived, and its answer had not
                return None
            if found.key and found.lease not in ours:
                return found
            held_by = found.lease if found.key else None
        return found

    async def _tidy(self, numbers: set[int]) -> None:
        """Take leases back that hold nothing any more; they would run out by themselves."""
        with move_on_after(_TIDYING):
            for number in numbers:
                with contextlib.suppress(RegistryError, OSError):
                    await self._gateway.revoke(number)


def _holder(other: KeyValue, key: bytes) -> str:
    try:
        return f"the server at {decode_record(other.value, 'it').url}"
    except ValueError:
        return f"somebody (see the key {key.decode()})"


def _advice(other: KeyValue) -> str:
    if other.lease == 0:
        return "its key has no lease, so it was written by hand: remove it, or give each server an id of its own"
    return "stop it, or give each server an id of its own"


@hookimpl
def bee_register_registries(registry: Registrar[Registry]) -> None:
    """Offer ``etcd3``."""
    registry.add("etcd3", EtcdRegistry, options=EtcdOptions)
