"""The registry ``etcd3``.

An instance is the key ``<prefix>/<service>/providers/<id>``, whose value is its record. Each
registration has a lease of its own. This process draws the lease's number at random before it
asks for the lease. So it recognises its own registration if the answer was lost, and takes no
other server's for its own.
"""

from __future__ import annotations

import contextlib
import logging
import math
import secrets
from typing import TYPE_CHECKING

import attrs
from anyio import move_on_after

from bee_core.errors import RegistryError
from bee_core.hookspecs import Registrar, hookimpl
from bee_core.options import Seconds, positive, validator
from bee_plugins.registries.etcd3.gateway import Gateway
from bee_plugins.registries.etcd3.watch import EtcdWatch, View
from bee_plugins.registries.shared.node_record import decode_record, safe_name
from bee_plugins.registries.shared.servers import https_context, read_addresses
from bee_plugins.registries.shared.watched_registry import (
    REPLACED,
    REVOKED,
    WatchedLease,
    WatchedRegistry,
    id_taken,
    record_of,
    title,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from bee_core.interfaces import Address, Instance, Lease, Registry, RegistrySettings, Snapshot
    from bee_plugins.registries.etcd3.messages import KeyValue

log = logging.getLogger("bee.registry.etcd3")

PORT = 2379
"""etcd's usual port."""
_LEASE_BITS = 62  # etcd's numbers are positive and have 63
_TRIES = 5
"""How often a key is tried that changes hands meanwhile."""
_TIDYING = 1.0
"""Seconds for giving leases back that nothing depends on."""


@validator
def _usable_prefix(value: str) -> str:
    usable = value.startswith("/") and value.strip("/") and all(char > " " for char in value)
    return "" if usable else "the beginning of the keys, such as /bee/rpc"


@attrs.frozen
class EtcdOptions:
    """Options of the registry ``etcd3``.

    Attributes:
        prefix: Beginning of all keys: ``<prefix>/<service>/providers/<id>``.
        username: The user, if etcd's authentication is enabled.
        password: Its password; better from the environment, ``${NAME}``.
        ca: File with the certificates (PEM) that sign etcd's own; without it those that the
            system trusts. For ``https://`` addresses, like the next two.
        cert: File with the client's certificate (PEM), if etcd asks for one.
        key: File with its key (PEM); without it the key stands in the file of the certificate.
        request_timeout: Seconds for one request, shared out among the addresses. 3, since the
            first answer must come within 5, and an etcd that elects a new leader takes up to 2.
    """

    prefix: str = attrs.field(default="/bee/rpc", validator=_usable_prefix)
    username: str | None = None
    password: str | None = attrs.field(default=None, repr=False)
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    request_timeout: Seconds = attrs.field(default=3.0, validator=positive)

    def __attrs_post_init__(self) -> None:
        """Refuse halves.

        Raises:
            ValueError: A user without a password, or a password without a user.
        """
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together; state both, or neither")

    @property
    def root(self) -> str:
        """The prefix without a slash at its end."""
        return self.prefix.rstrip("/")


def member_addresses(written: Iterable[str]) -> tuple[Address, ...]:
    """The members of etcd, as :func:`~bee_plugins.registries.shared.servers.read_addresses`."""
    forms = "host:port, http://host:port or https://host:port, several separated by commas"
    return read_addresses(written, {"http": PORT, "https": PORT}, "etcd", forms)


class EtcdLease(WatchedLease):
    """A key that lives by a lease in etcd.

    Args:
        gateway: etcd.
        key: The key.
        number: The lease's number.
        ttl: Seconds.
        name: For messages.

    Attributes:
        number: The lease's number.
    """

    def __init__(self, gateway: Gateway, key: bytes, number: int, ttl: float, name: str) -> None:
        super().__init__(ttl, name)
        self.number = number
        self._gateway = gateway
        self._key = key

    async def _renew(self) -> str:
        # Two requests: the lease may live although somebody has removed the key.
        if await self._gateway.keep_alive(self.number) <= 0:
            return "its lease has run out or was revoked, or etcd has lost its data"
        found = await self._gateway.get(self._key)
        if found is not None and found.lease == self.number:
            return ""
        return f"somebody has {'replaced' if found else 'removed'} {self._key.decode()}"

    async def revoke(self) -> None:
        """See :meth:`bee_core.interfaces.Lease.revoke`. Idempotent; may be repeated on failure.

        Raises:
            OSError: etcd is out of reach; the lease runs out by itself.
        """
        if self.over != REVOKED:
            await self._gateway.revoke(self.number)
            self.over = REVOKED


class EtcdRegistry(WatchedRegistry):
    """See :class:`bee_core.interfaces.Registry`. For one event loop.

    Raises:
        ValueError: An address or a file of TLS cannot be used.
    """

    def __init__(self, settings: RegistrySettings, options: EtcdOptions) -> None:
        super().__init__(settings, log)
        addresses = member_addresses(settings.addresses)
        name = options.username
        self._gateway = Gateway(
            [address.url for address in addresses],
            options.request_timeout,
            tls=https_context(options, addresses),
            user=None if name is None else (name, options.password or ""),
        )
        self._root = options.root
        self._heartbeat = settings.heartbeat_interval
        self._timeout = options.request_timeout
        # By key: numbers of leases with which this object has put it, or may have.
        self._ours: dict[bytes, set[int]] = {}
        self._leases: dict[bytes, EtcdLease] = {}

    async def register(self, instance: Instance) -> Lease:
        """See :meth:`bee_core.interfaces.Registry.register`.

        It replaces an earlier registration of the same id by this object.

        Raises:
            RegistryError: Another server has the id, etcd refuses, or readers would not accept
                the record.
            OSError: etcd is out of reach; TimeoutError if it is silent.
        """
        key = self._prefix(instance.service) + safe_name(instance.node.id).encode()
        record = record_of(instance)
        number = secrets.randbits(_LEASE_BITS) | 1
        ours = self._ours.setdefault(key, set())
        before = set(ours)
        ours.add(number)
        ttl = await self._gateway.grant(number, math.ceil(self._ttl))
        if ttl <= 0:
            raise TimeoutError(
                f"{title(instance)} cannot be registered: etcd answers too late, its lease of "
                f"{self._ttl:g} s has run out already"
            )
        other = await self._take(key, record, number, ours)
        if other is not None:
            ours.discard(number)
            await self._tidy({number})
            by_hand = "its key has no lease, so it was written by hand: remove it"
            raise id_taken(instance, _holder(other, key), "stop it" if other.lease else by_hand)
        if key in self._leases:
            self._leases[key].over = self._leases[key].over or REPLACED
        self._ours[key] = {number}
        await self._tidy(before)
        self._leases[key] = EtcdLease(self._gateway, key, number, float(ttl), title(instance))
        return self._leases[key]

    def watch(self, service: str) -> AsyncIterator[Snapshot]:
        """See :meth:`bee_core.interfaces.Registry.watch`.

        Raises:
            RegistryError: etcd refuses.
            OSError: etcd is out of reach; TimeoutError if it is silent.
        """
        prefix = self._prefix(service)
        nodes = self._node_list(service, lambda name: prefix.decode() + name)
        view = View(prefix, nodes)
        return EtcdWatch(self._gateway, view, self._heartbeat, self._timeout).snapshots()

    async def close(self) -> None:
        """See :meth:`bee_core.interfaces.Registry.close`. Leases run out by themselves."""
        await self._gateway.close()

    def _prefix(self, service: str) -> bytes:
        return f"{self._root}/{safe_name(service)}/providers/".encode()

    async def _take(
        self, key: bytes, record: bytes, number: int, ours: set[int]
    ) -> KeyValue | None:
        """Put the key if it is absent or this object's; else return it as another put it."""
        held_by: int | None = None
        found: KeyValue | None = None
        for _ in range(_TRIES):
            found = await self._gateway.put_if(key, record, number, held_by=held_by)
            # The lease may be this one: a first request arrived, but its answer was lost.
            if found is None or found.lease == number:
                return None
            if found.key and found.lease not in ours:
                return found
            held_by = found.lease if found.key else None
        return found

    async def _tidy(self, numbers: set[int]) -> None:
        """Give leases back that hold nothing any more. They would run out by themselves."""
        with move_on_after(_TIDYING):
            for number in numbers:
                with contextlib.suppress(RegistryError, OSError):
                    await self._gateway.revoke(number)


def _holder(other: KeyValue, key: bytes) -> str:
    try:
        return f"the server at {decode_record(other.value, 'it').url}"
    except ValueError:
        return f"somebody (see the key {key.decode()})"


@hookimpl
def bee_register_registries(registry: Registrar[Registry]) -> None:
    """Offer ``etcd3``."""
    registry.add("etcd3", EtcdRegistry, options=EtcdOptions)
