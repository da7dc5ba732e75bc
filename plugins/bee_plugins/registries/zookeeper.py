"""Registry ``zookeeper``: ephemeral znodes in Apache ZooKeeper, by way of kazoo.

An instance is an ephemeral znode ``<prefix>/<service>/providers/<id>`` with a record (see ``records``) in it. One session a registry object (``zookeeper_session``, on kazoo's client in
``zookeeper_client``) carries its registrations (``zookeeper_leases``) and its watches (``zookeeper_watch``).
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import time
from typing import TYPE_CHECKING

from kazoo.exceptions import (  # type: ignore[import-untyped]
    BadVersionError,
    NodeExistsError,
    NoNodeError,
)
from kazoo.security import CREATOR_ALL_ACL, OPEN_ACL_UNSAFE, READ_ACL_UNSAFE  # type: ignore[import-untyped]

from bee_core.errors import RegistryError
from bee_core.hookspecs import hookimpl
from bee_plugins.registries.complaints import Complaints
from bee_plugins.registries.listing import Listing
from bee_plugins.registries.records import decode_record, encode_record
from bee_plugins.registries.safe_names import safe_name
from bee_plugins.registries.zookeeper_errors import GONE
from bee_plugins.registries.zookeeper_leases import Keeper, Kept, ZooKeeperLease
from bee_plugins.registries.zookeeper_options import ZooKeeperOptions, server_addresses, tls_context
from bee_plugins.registries.zookeeper_session import Session
from bee_plugins.registries.zookeeper_watch import ServiceView

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bee_core.hookspecs import Registrar
    from bee_core.interfaces import Instance, Lease, Node, Registry, RegistrySettings, Snapshot

log = logging.getLogger("bee.registry.zookeeper")

SHORTEST_SESSION = 2.0
"""Seconds. kazoo sends pings up to 0.4 s early or late, so it would drop the connection of a much shorter session for no reason."""
_BEATS = 3
_TRIES = 5
# A znode can come and go between two requests, and parents can be missing.
_THREAD_SECONDS = 1.0


class ZooKeeperRegistry:
    """See :class:`bee_core.interfaces.Registry`."""

    def __init__(self, settings: RegistrySettings, options: ZooKeeperOptions) -> None:
        self._servers = server_addresses(settings.addresses, tls=options.tls)
        self._tls = tls_context(options)
        self._asked = max(SHORTEST_SESSION, _BEATS * settings.heartbeat_interval)
        self._prefix = options.prefix
        self._credentials = (
            None if options.username is None else f"{options.username}:{options.password}"
        )
        # Whoever may write can send calls elsewhere, so that takes the credentials; to read, clients need none.
        self._acl = (
            OPEN_ACL_UNSAFE if self._credentials is None else [*CREATOR_ALL_ACL, *READ_ACL_UNSAFE]
        )
        self._keeper = Keeper()
        self._session: Session | None = None
        self._before: list[Session] = []
        self._own: set[int] = set()
        self._unfinished: dict[str, ServiceView] = {}
        self._complaints: dict[str, Complaints] = {}
        self._revisions = itertools.count(1)
        self._closed = False

    def known(self, service: str, addresses: tuple[Node, ...]) -> Snapshot | None:
        """See :meth:`bee_core.interfaces.Registry.known`. Nothing without asking ZooKeeper."""
        return None

    async def register(self, instance: Instance) -> Lease:
        """See :meth:`bee_core.interfaces.Registry.register`.

        A registration of the same id that this object made before is replaced.

        Raises:
            RegistryError: Another session has the id; ZooKeeper does not permit it; the record cannot be written.
            OSError: ZooKeeper is out of reach.
            TimeoutError: It does not answer.
        """
        node = instance.node
        name = f"{instance.service} at {node.url}"
        try:
            data = encode_record(node)
        except ValueError as error:
            raise RegistryError(f"{name} cannot be registered: its record {error}") from error
        session = await self._connected()
        path = f"{self._folder(instance.service)}/{safe_name(node.id)}"
        # Kept before it is there: where the answer is lost, what may stand there is renewed by nobody.
        kept = Kept(session, session.id, path, time.monotonic() + session.timeout)
        self._keeper.keep(kept)
        try:
            for _ in range(_TRIES):
                if await self._try(session, path, data, name, node.id):
                    return ZooKeeperLease(kept, self._keeper, session.timeout, name)
        except GONE as error:
            raise ConnectionError(
                f"{name} was not registered: the session has expired meanwhile"
            ) from error
        except RegistryError:
            self._keeper.forget(kept)
            raise
        raise RegistryError(
            f"{name} cannot be registered: {path} comes and goes all the time; somebody else writes there"
        )

    async def _try(self, session: Session, path: str, data: bytes, name: str, id_: str) -> bool:
        """One attempt; False where another one is of use."""
        try:
            await session.request(
                lambda client: client.create_async(path, data, acl=self._acl, ephemeral=True)
            )
        except NoNodeError:
            await session.request(
                lambda client: client.ensure_path_async(path.rpartition("/")[0], acl=self._acl)
            )
            return False
        except NodeExistsError:
            pass
        else:
            return True
        stat = await session.request(lambda client: client.exists_async(path))
        if stat is None:
            return False
        if stat.ephemeralOwner == session.id:
            # An earlier registration of this object, or the fruit of a request whose answer was lost.
            try:
                await session.request(lambda client: client.set_async(path, data))
            except NoNodeError:
                return False
            return True
        if stat.ephemeralOwner in self._own:
            with contextlib.suppress(BadVersionError, NoNodeError):
                await session.request(lambda client: client.delete_async(path, stat.version))
            return False
        if stat.ephemeralOwner == 0:
            raise RegistryError(
                f"{name} cannot be registered: {path} is no server's registration but was written to stay; remove it"
            )
        raise RegistryError(
            f"{name} cannot be registered: {await self._holder(session, path)} has registered the id {id_!r} and lives; stop it, or give each server an id of its own"
        )

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
            OSError: ZooKeeper is out of reach, for longer than a third of the session's timeout where it was heard before.
            TimeoutError: It does not answer.
        """
        session = await self._connected()
        # A long list may take longer than a first answer is waited for: the next watch goes on where that one was given up.
        view = self._unfinished.pop(service, None)
        if view is None or view.session is not session:
            folder = self._folder(service)
            view = ServiceView(
                session,
                folder,
                Listing(
                    lambda name: f"{folder}/{name}",
                    self._revisions,
                    log,
                    complaints=self._complaints.setdefault(service, Complaints(log)),
                ),
            )
        finished = False
        try:
            while True:
                await view.refresh()
                snapshot = view.listing.snapshot()
                if snapshot is not None:
                    finished = True
                    yield snapshot
                await view.news()
        finally:
            if finished or session.ended or self._closed:
                view.close()
            else:
                self._unfinished[service] = view

    async def close(self) -> None:
        """See :meth:`bee_core.interfaces.Registry.close`. Ends the session, and with it what was not revoked. Within about two seconds, also where ZooKeeper is frozen."""
        self._closed = True
        self._keeper.stop()
        sessions = [*self._before, *([self._session] if self._session else [])]
        for session in sessions:
            session.end()
        for session in sessions:
            await session.close()
        self._before, self._session = [], None
        self._keeper.join(_THREAD_SECONDS)

    async def _connected(self) -> Session:
        if self._closed:
            raise RegistryError("the registry was closed")
        session = self._session
        if session is None or session.ended:
            if session is not None:
                session.end()
                self._before = [before for before in self._before if not before.closed] + [session]
            self._session = session = Session(
                self._servers, self._asked, self._credentials, self._tls
            )
        await session.until_connected()
        self._own.add(session.id)
        return session

    def _folder(self, service: str) -> str:
        return f"{self._prefix}/{safe_name(service)}/providers"


@hookimpl
def bee_register_registries(registry: Registrar[Registry]) -> None:
    """Offer ``zookeeper``."""
    registry.add("zookeeper", ZooKeeperRegistry, options=ZooKeeperOptions)
