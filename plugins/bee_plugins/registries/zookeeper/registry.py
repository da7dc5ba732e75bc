"""The registries ``zookeeper`` and ``zk``, two names of one: Apache ZooKeeper by way of kazoo.

An instance is an ephemeral znode ``<prefix>/<service>/providers/<id>`` with a record in it. One
session for each registry object (``session``, on kazoo's client in ``kazoo_client``) carries its
registrations (``leases``) and its watches (``watch``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs
from kazoo.security import (  # type: ignore[import-untyped]
    CREATOR_ALL_ACL,
    OPEN_ACL_UNSAFE,
    READ_ACL_UNSAFE,
)

from bee_core.errors import RegistryError
from bee_core.hookspecs import Registrar, hookimpl
from bee_core.interfaces import logger
from bee_core.options import validator
from bee_plugins.registries.shared.node_record import safe_name
from bee_plugins.registries.shared.servers import read_addresses, tls_context
from bee_plugins.registries.shared.watched_registry import (
    WatchedRegistry,
    id_taken,
    record_of,
    refused,
    title,
)
from bee_plugins.registries.zookeeper.answers import GONE
from bee_plugins.registries.zookeeper.leases import Keeper, ZooKeeperLease
from bee_plugins.registries.zookeeper.session import Session
from bee_plugins.registries.zookeeper.watch import ServiceView
from bee_plugins.registries.zookeeper.znode import HeldByAnotherError, WrittenToStayError, Znode

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Sequence

    from bee_core.interfaces import Address, Instance, Lease, Registry, RegistrySettings, Snapshot

log = logger("bee.registry.zookeeper")

PORT = 2181
"""ZooKeeper's usual port."""
TLS_PORT = 2281
"""The port for TLS in ZooKeeper's own examples. It has no usual one."""

# ZooKeeper allows no control characters, no surrogates, no private use area, and not the last
# characters of the basic plane.
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\uf8ff\ufff0-\uffff]")

SHORTEST_SESSION = 2.0
"""Seconds. kazoo sends pings up to 0.4 s early or late.

With a much shorter session it would drop the connection for no reason.
"""
SHORTEST_CONFIRMING = 0.5
"""Seconds between two confirmations, at least."""
_THREAD_SECONDS = 1.0


@validator
def _usable_prefix(value: str) -> str:
    parts = value.split("/")
    if parts[0] or len(parts) < 2 or not all(parts[1:]):
        return "a path like /bee/rpc: a slash before each part, none at the end"
    if _FORBIDDEN.search(value) or not {".", ".."}.isdisjoint(parts):
        return "parts and characters that ZooKeeper takes for names"
    return "" if parts[1] != "zookeeper" else "a path that is not ZooKeeper's own, /zookeeper"


@attrs.frozen
class ZooKeeperOptions:
    """Options of the registry ``zookeeper``.

    Attributes:
        prefix: Beginning of all paths: ``<prefix>/<service>/providers/<id>``. What other clients
            call a chroot goes here as well.
        username: The user of ZooKeeper's scheme ``digest``. With it, only this user may write
            what bee writes, and everybody may read it.
        password: Its password; better from the environment, ``${NAME}``.
        tls: Whether the addresses are those of a ``secureClientPort``.
        ca: File with the certificates (PEM) that sign the servers'; without it those that the
            system trusts. For ``tls``, like the next two.
        cert: File with the client's certificate (PEM). ZooKeeper asks for it unless
            ``ssl.clientAuth`` says otherwise.
        key: File with its key (PEM); without it the key stands in the file of the certificate.
    """

    prefix: str = attrs.field(default="/bee/rpc", validator=_usable_prefix)
    username: str | None = None
    password: str | None = attrs.field(default=None, repr=False)
    tls: bool = False
    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    def __attrs_post_init__(self) -> None:
        """Refuse a user that ZooKeeper could not have.

        Raises:
            ValueError: A half is missing, or the name cannot be one.
        """
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together; state both, or neither")
        if self.username is not None and (not self.username or ":" in self.username):
            raise ValueError("username must not be empty and must not have a colon in it")


def server_tls(options: ZooKeeperOptions) -> ssl.SSLContext | None:
    """As :func:`bee_plugins.registries.shared.servers.tls_context`."""
    how = "is for TLS; set tls: true, with the address of the server's secureClientPort"
    return tls_context(options, wanted=options.tls, how=how)


def server_addresses(written: Sequence[str], *, tls: bool) -> tuple[Address, ...]:
    """The servers, as :func:`bee_plugins.registries.shared.servers.read_addresses` has them."""
    for text in written:
        path = text.rpartition("://")[2].partition("/")[2]
        if path and "@" not in text:  # what stands before an @ is a secret
            raise ValueError(
                f"address {text!r}: a path does not belong to an address; "
                f"state it as the option prefix: /{path}"
            )
    ports = dict.fromkeys(("zk", "zookeeper", "tcp"), TLS_PORT if tls else PORT)
    forms = "host:port; for TLS set tls: true in the options"
    return read_addresses(written, ports, "ZooKeeper", forms)


class ZooKeeperRegistry(WatchedRegistry):
    """See :class:`bee_core.interfaces.Registry`.

    Raises:
        ValueError: An address or a file of TLS cannot be used.
    """

    def __init__(self, settings: RegistrySettings, options: ZooKeeperOptions) -> None:
        super().__init__(settings, log)
        addresses = server_addresses(settings.addresses, tls=options.tls)
        self.addresses = tuple(address.url.partition("://")[2] for address in addresses)
        self._tls = server_tls(options)
        self._prefix = options.prefix
        user = options.username
        self._credentials = None if user is None else f"{user}:{options.password}"
        # A writer can send calls elsewhere, so it needs the credentials. A reader does not.
        self._acl = OPEN_ACL_UNSAFE if user is None else [*CREATOR_ALL_ACL, *READ_ACL_UNSAFE]
        self.confirms_every = max(SHORTEST_CONFIRMING, settings.heartbeat_interval)
        self.namespace = f"prefix={self._prefix}" + ("" if user is None else f" user={user}")
        self.keeper = Keeper()
        self.session: Session | None = None
        self._sessions: list[Session] = []  # that of now, and earlier ones that still close
        self._tried: set[str] = set()  # paths of registrations, successful or not
        self._unfinished: dict[str, ServiceView] = {}
        self._closed = False

    async def register(self, instance: Instance) -> Lease:
        """See :meth:`bee_core.interfaces.Registry.register`.

        It replaces an earlier registration of the same id by this object.

        Raises:
            IdTaken: Another session has the id.
            RegistryError: ZooKeeper does not permit it, or readers would not accept the record.
            OSError: ZooKeeper is out of reach.
            TimeoutError: It does not answer.
        """
        data = record_of(instance)
        session = await self.connected()
        znode = Znode(self._folder(instance.service), safe_name(instance.node.id), data, self._acl)
        # The keeper has it before it exists: if the answer is lost, nobody renews what may stand.
        lease = ZooKeeperLease(
            session, znode, self.keeper, title(instance), lambda: self.session, self.connected
        )
        try:
            # A first registration begins by making it, a further one by looking: both are mostly
            # one request, also where answers take long.
            if znode.path in self._tried or not await znode.create(session):
                await znode.hold(session, ours=False)
        except GONE as error:
            raise ConnectionError(
                f"{title(instance)} was not registered: the session has expired meanwhile"
            ) from error
        except HeldByAnotherError as error:
            lease.forget()
            raise id_taken(instance, str(error)) from None
        except WrittenToStayError:
            lease.forget()
            raise refused(
                instance,
                f"{znode.path} is no server's registration but was written to stay; remove it",
            ) from None
        except RegistryError:
            lease.forget()
            raise
        finally:
            self._tried.add(znode.path)
        return lease

    async def watch(self, service: str) -> AsyncIterator[Snapshot]:
        """See :meth:`bee_core.interfaces.Registry.watch`.

        It confirms the last snapshot each time that the leader has answered, by way of the server
        of now. A server that is cut off from its leader confirms nothing.

        Raises:
            RegistryError: ZooKeeper does not permit it.
            OSError: ZooKeeper is out of reach. If it was in reach before: for longer than a third
                of the session's timeout.
            TimeoutError: It does not answer.
        """
        session = await self.connected()
        # A first answer is given up after a while, and a long list may take longer. The next watch
        # then continues where that one stopped.
        view = self._unfinished.pop(service, None)
        if view is None or view.session is not session:
            folder = self._folder(service)
            nodes = self._node_list(service, lambda name: f"{folder}/{name}")
            view = ServiceView(session, folder, nodes)
        finished = False
        last: Snapshot | None = None
        try:
            while True:
                await view.refresh()
                snapshot = view.nodes.snapshot()
                if snapshot is not None:
                    finished, last = True, snapshot
                    yield snapshot
                if not await view.anything_new(self.confirms_every) and last is not None:
                    yield last
        finally:
            if finished or session.ended or self._closed:
                session.subscribers.discard(view)
            else:
                self._unfinished[service] = view

    async def close(self) -> None:
        """See :meth:`bee_core.interfaces.Registry.close`.

        It ends the session, and with it what was not revoked. It takes two seconds at most, also
        if ZooKeeper hangs.
        """
        self._closed = True
        self.keeper.stop()
        for session in self._sessions:
            session.end()
        for session in self._sessions:
            await session.close()
        self.keeper.join(_THREAD_SECONDS)

    async def connected(self) -> Session:
        """The session of now, or a new one."""
        if self._closed:
            raise RegistryError("the registry was closed")
        session = self.session
        if session is None or session.ended:
            for before in self._sessions:
                before.end()
            asked = max(SHORTEST_SESSION, self._ttl)
            # ZooKeeper may still have the session of a client that came to an end.
            resume = None if session is None else session.client_id
            self.session = session = Session(
                self.addresses, asked, self._credentials, self._tls, resume
            )
            self._sessions = [before for before in self._sessions if not before.closed] + [session]
        await session.until_connected()
        return session

    def _folder(self, service: str) -> str:
        return f"{self._prefix}/{safe_name(service)}/providers"


class _Offer:
    """Offers the registry under one name.

    Each name is a plugin of its own: if another distribution brings a ``zk``, only that name is
    offered twice, and ``zookeeper`` stays.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    @hookimpl
    def bee_register_registries(self, registry: Registrar[Registry]) -> None:
        registry.add(self._name, ZooKeeperRegistry, options=ZooKeeperOptions)


zookeeper, zk = _Offer("zookeeper"), _Offer("zk")
