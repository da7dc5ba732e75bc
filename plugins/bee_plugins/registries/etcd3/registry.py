"""The registry ``etcd3``.

An instance is the key ``<prefix>/<service>/providers/<id>``, whose value is its record. Each key
has a lease of its own. This process draws the lease's number at random before it asks for the
lease. So it recognises its own registration if the answer was lost, and takes no other server's for
its own.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

from bee_core.hookspecs import Registrar, hookimpl
from bee_core.interfaces import logger
from bee_core.options import Seconds, positive, validator
from bee_plugins.registries.etcd3.gateway import Gateway
from bee_plugins.registries.etcd3.http import EtcdError
from bee_plugins.registries.etcd3.leases import Claim, EtcdLease, holder
from bee_plugins.registries.etcd3.messages import KeyValue
from bee_plugins.registries.etcd3.watch import EtcdWatch, View, shortest_interval
from bee_plugins.registries.shared.node_record import safe_name
from bee_plugins.registries.shared.servers import https_context, read_addresses
from bee_plugins.registries.shared.watched_registry import (
    REPLACED,
    WarnOnce,
    WatchedRegistry,
    id_taken,
    record_of,
    title,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from bee_core.interfaces import Address, Instance, Lease, Registry, RegistrySettings, Snapshot

log = logger("bee.registry.etcd3")

PORT = 2379
"""etcd's usual port."""


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
        request_timeout: Seconds for one request, at all addresses together. 3, since an etcd that
            elects a new leader takes up to 2. Registrations and renewals have longer.
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


class EtcdRegistry(WatchedRegistry):
    """See :class:`bee_core.interfaces.Registry`. For one event loop.

    Raises:
        ValueError: An address or a file of TLS cannot be used.
    """

    def __init__(self, settings: RegistrySettings, options: EtcdOptions) -> None:
        super().__init__(settings, log)
        addresses = member_addresses(settings.addresses)
        name = options.username
        self.addresses = tuple(address.url for address in addresses)
        self._gateway = Gateway(
            self.addresses,
            options.request_timeout,
            tls=https_context(options, addresses),
            user=None if name is None else (name, options.password or ""),
        )
        self._root = options.root
        self._user = name
        self._heartbeat = settings.heartbeat_interval
        self._timeout = options.request_timeout
        self.confirms_every = shortest_interval(self._heartbeat)
        self._claims: dict[bytes, Claim] = {}
        self._leases: dict[bytes, EtcdLease] = {}

    @property
    def namespace(self) -> str:
        """See :class:`bee_core.interfaces.Registry`."""
        return f"prefix={self._root}" + (f" user={self._user}" if self._user else "")

    async def register(self, instance: Instance) -> Lease:
        """See :meth:`bee_core.interfaces.Registry.register`.

        It replaces an earlier registration of the same id by this object.

        Raises:
            IdTaken: Another server has the id.
            RegistryError: etcd refuses, or readers would not accept the record.
            OSError: etcd is out of reach; TimeoutError if it is silent.
        """
        key = self._prefix(instance.service) + safe_name(instance.node.id).encode()
        record = record_of(instance)
        claim = self._claims.setdefault(key, Claim())
        # Two or three requests, and an attempt may take as long as a lease: three heartbeats.
        patience = max(self._timeout, self._heartbeat)
        ttl = await claim.lease(self._gateway, math.ceil(self._ttl), patience)
        try:
            if ttl <= 0:
                raise _too_late(instance, self._ttl)
            other = await claim.put(self._gateway, key, record, KeyValue(), patience)
        except EtcdError as error:
            raise (_too_late(instance, self._ttl) if error.says_no_lease else error) from error
        if other is not None:
            by_hand = "its key has no lease, so it was written by hand: remove it"
            raise id_taken(instance, holder(other, key), "stop it" if other.lease else by_hand)
        if key in self._leases:
            self._leases[key].over = REPLACED
        self._leases[key] = EtcdLease(
            self._gateway,
            claim,
            key,
            record,
            ttl=float(ttl),
            heartbeat=self._heartbeat,
            name=title(instance),
            warnings=WarnOnce(log),
        )
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


def _too_late(instance: Instance, ttl: float) -> TimeoutError:
    return TimeoutError(
        f"{title(instance)} cannot be registered: etcd answers too late, its lease of "
        f"{ttl:g} s has run out already"
    )


@hookimpl
def bee_register_registries(registry: Registrar[Registry]) -> None:
    """Offer ``etcd3``."""
    registry.add("etcd3", EtcdRegistry, options=EtcdOptions)
