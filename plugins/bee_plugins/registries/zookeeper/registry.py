"""The registries ``zookeeper`` and ``zk``, two names of one: Apache ZooKeeper by way of kazoo.

An instance is an ephemeral znode ``<prefix>/<service>/providers/<id>`` with a record in it. One
session for each registry object (``session``, on kazoo's client in ``kazoo_client``) carries its
registrations (``leases``) and its watches (``watch``).
"""

from __future__ import annotations

import contextlib
import logging
import re
from typing import TYPE_CHECKING

import attrs
from kazoo.exceptions import (  # type: ignore[import-untyped]
    BadVersionError,
    NodeExistsError,
    NoNodeError,
)
from kazoo.security import (  # type: ignore[import-untyped]
    CREATOR_ALL_ACL,
    OPEN_ACL_UNSAFE,
    READ_ACL_UNSAFE,
)

from bee_core.errors import RegistryError
from bee_core.hookspecs import Registrar, hookimpl
from bee_core.options import validator
from bee_plugins.registries.shared.node_record import decode_record, safe_name
from bee_plugins.registries.shared.servers import read_addresses, tls_context
from bee_plugins.registries.shared.watched_registry import (
    WatchedRegistry,
    id_taken,
    record_of,
    refused,
    title,
)
from bee_plugins.registries.zookeeper.leases import Keeper, ZooKeeperLease
from bee_plugins.registries.zookeeper.session import GONE, Session
from bee_plugins.registries.zookeeper.watch import ServiceView

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Sequence

    from bee_core.interfaces import Address, Instance, Lease, Registry, RegistrySettings, Snapshot

log = logging.getLogger("bee.registry.zookeeper")

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
# A znode can come and go between two requests, and parents can be missing.
_TRIES = 5
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
        self._servers = [address.url.partition("://")[2] for address in addresses]
        self._tls = server_tls(options)
        self._prefix = options.prefix
        user = options.username
        self._credentials = None if user is None else f"{user}:{options.password}"
        # A writer can send calls elsewhere, so it needs the credentials. A reader does not.
        self._acl = OPEN_ACL_UNSAFE if user is None else [*CREATOR_ALL_ACL, *READ_ACL_UNSAFE]
        self.keeper = Keeper()
        self.session: Session | None = None
        self._sessions: list[Session] = []  # that of now, and earlier ones that still close
        self._own: set[int] = set()
        self._unfinished: dict[str, ServiceView] = {}
        self._closed = False

    async def register(self, instance: Instance) -> Lease:
        """See :meth:`bee_core.interfaces.Registry.register`.

        It replaces an earlier registration of the same id by this object.

        Raises:
            RegistryError: Another session has the id, ZooKeeper does not permit it, or readers
                would not accept the record.
            OSError: ZooKeeper is out of reach.
            TimeoutError: It does not answer.
        """
        data = record_of(instance)
        session = await self.connected()
        parent = self._folder(instance.service)
        path = f"{parent}/{safe_name(instance.node.id)}"
        # The keeper has it before it exists: if the answer is lost, nobody renews what may stand.
        lease = ZooKeeperLease(session, path, self.keeper, title(instance))
        try:
            for _ in range(_TRIES):
                try:
                    if await self._try(session, path, data, instance):
                        return lease
                except NoNodeError:  # noqa: PERF203  a round trip costs more
                    # The parents are missing, or the znode went between two requests.
                    await session.request(
                        lambda client: client.ensure_path_async(parent, acl=self._acl)
                    )
        except GONE as error:
            raise ConnectionError(
                f"{title(instance)} was not registered: the session has expired meanwhile"
            ) from error
        except RegistryError:
            lease.forget()
            raise
        raise refused(instance, f"{path} comes and goes all the time; somebody else writes there")

    async def _try(self, session: Session, path: str, data: bytes, instance: Instance) -> bool:
        """One attempt; False, or a NoNodeError, if the next one may succeed."""
        request, acl = session.request, self._acl
        with contextlib.suppress(NodeExistsError):
            await request(lambda client: client.create_async(path, data, acl=acl, ephemeral=True))
            return True
        stat = await request(lambda client: client.exists_async(path))
        if stat is None:
            return False
        if stat.ephemeralOwner == session.id:
            # This object registered it earlier, or the answer to such a request was lost.
            await request(lambda client: client.set_async(path, data))
            return True
        if stat.ephemeralOwner in self._own:
            with contextlib.suppress(BadVersionError):
                await request(lambda client: client.delete_async(path, stat.version))
            return False
        if stat.ephemeralOwner == 0:
            raise refused(
                instance,
                f"{path} is no server's registration but was written to stay; remove it",
            )
        raise id_taken(instance, await self._holder(session, path))

    async def _holder(self, session: Session, path: str) -> str:
        try:
            data, _ = await session.request(lambda client: client.get_async(path))
            return f"the server at {decode_record(data or b'', '-').url}"
        except (NoNodeError, OSError, TimeoutError, RegistryError, ValueError):
            return "another server"

    async def watch(self, service: str) -> AsyncIterator[Snapshot]:
        """See :meth:`bee_core.interfaces.Registry.watch`.

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
        try:
            while True:
                await view.refresh()
                snapshot = view.nodes.snapshot()
                if snapshot is not None:
                    finished = True
                    yield snapshot
                await view.news.wait()
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
            self.session = session = Session(self._servers, asked, self._credentials, self._tls)
            self._sessions = [before for before in self._sessions if not before.closed] + [session]
        await session.until_connected()
        self._own.add(session.id)
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
