"""Registrations in ZooKeeper: ephemeral znodes, and a keeper that removes what is not renewed.

kazoo pings the session on a thread of its own. With the session alone, a registration would last
as long as the process, even if the control plane hangs. So a registration must be renewed:
:class:`Keeper`, on a thread of its own too, removes the znode of a lease that has run out.
"""

from __future__ import annotations

import contextlib
import time
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any

from kazoo.exceptions import BadVersionError, NoNodeError  # type: ignore[import-untyped]

from bee_core.errors import RegistryError
from bee_core.interfaces import logger
from bee_plugins.registries.shared.watched_registry import REVOKED, WatchedLease
from bee_plugins.registries.zookeeper.answers import GONE
from bee_plugins.registries.zookeeper.znode import HeldByAnotherError, WrittenToStayError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kazoo.client import KazooClient  # type: ignore[import-untyped]

    from bee_plugins.registries.zookeeper.session import Session
    from bee_plugins.registries.zookeeper.znode import Znode

log = logger("bee.registry.zookeeper")

_EXPIRED = "its session has expired"
_ANSWER_SECONDS = 1.0
# If a znode could not be removed, the keeper tries again: the connection may come back before the
# session expires.
_AGAIN_SECONDS = 0.2


class Keeper:
    """Removes the znodes of leases that ran out. Thread-safe. Its thread starts with a lease."""

    def __init__(self) -> None:
        self._news = Condition()
        self._kept: dict[str, ZooKeeperLease] = {}
        self._thread: Thread | None = None
        self._stopped = False

    def keep(self, lease: ZooKeeperLease) -> None:
        """Take care of a znode from now on. It replaces an earlier lease of the same path."""
        with self._news:
            if self._stopped:
                return
            self._kept[lease.path] = lease
            if self._thread is None:
                thread = Thread(target=self._run, name="bee-zookeeper-leases", daemon=True)
                thread.start()
                self._thread = thread
            self._news.notify()

    def prolong(self, lease: ZooKeeperLease, due: float) -> bool:
        """Set the time at which a lease runs out.

        Returns:
            False if it has run out already, or if another lease has replaced it.
        """
        with self._news:
            if not self.stands(lease):
                return False
            lease.due = due
            self._news.notify()  # it may be sooner than before
            return True

    def delete(self, lease: ZooKeeperLease, client: KazooClient, version: int) -> Any:
        """Send the request that removes a lease's znode, unless the path is a later lease's.

        A later lease takes the path over here before its znode is made, and a session's requests
        are carried out in order. So the request never meets the later lease's znode. The version
        alone does not tell the two apart: that of every new znode is 0.

        Raises:
            NoNodeError: The path belongs to a later lease. This one's znode has gone.
        """
        with self._news:
            if self._kept.get(lease.path) is not lease:
                raise NoNodeError
            return client.delete_async(lease.path, version)

    def stands(self, lease: ZooKeeperLease) -> bool:
        """Whether a lease has neither run out nor been replaced."""
        with self._news:
            return self._kept.get(lease.path) is lease and lease.due > time.monotonic()

    def take_back(self, lease: ZooKeeperLease) -> None:
        """Remove the znode of a lease that ran out, or was left, while a renewal made it anew."""
        with self._news:
            if not self._stopped and self._kept.setdefault(lease.path, lease) is lease:
                self._news.notify()

    def forget(self, lease: ZooKeeperLease) -> None:
        """The znode is gone, or belongs to another lease."""
        with self._news:
            if self._kept.get(lease.path) is lease:
                del self._kept[lease.path]

    def stop(self) -> None:
        """End the thread; does not wait. Znodes that still stand end with their session."""
        with self._news:
            self._stopped = True
            self._kept.clear()
            self._news.notify()

    def join(self, timeout: float) -> None:
        """Wait for the thread after :meth:`stop`."""
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._news:
                if self._stopped:
                    return
                now = time.monotonic()
                overdue = [lease for lease in self._kept.values() if lease.due <= now]
                if not overdue:
                    first = min((lease.due for lease in self._kept.values()), default=now + 3600)
                    self._news.wait(first - now)
                    continue
            removed = [lease for lease in overdue if lease.remove()]
            for lease in removed:
                self.forget(lease)
            if len(removed) < len(overdue):
                with self._news:
                    self._news.wait_for(lambda: self._stopped, _AGAIN_SECONDS)


class ZooKeeperLease(WatchedLease):
    """An ephemeral znode that stands until ``due``.

    Args:
        session: The client whose session owns it. Its timeout is the lease's.
        znode: What is registered.
        keeper: Takes care of the znode from now on.
        name: For messages: the service and the address.
        now: Gives the registry's client of now, from any thread.
        connected: The same once it is connected, or raises the reason why it is not.

    Attributes:
        path: The znode's.
        due: When the lease runs out, on the monotonic clock.
        repairs: See :class:`bee_core.interfaces.Lease`.
    """

    def __init__(
        self,
        session: Session,
        znode: Znode,
        keeper: Keeper,
        name: str,
        now: Callable[[], Session | None],
        connected: Callable[[], Awaitable[Session]],
    ) -> None:
        super().__init__(session.timeout, name)
        self.path = znode.path
        self.due = time.monotonic() + session.timeout
        self.repairs = 0
        self._znode = znode
        self._session_id = session.id
        self._keeper = keeper
        self._now = now
        self._connected = connected
        keeper.keep(self)

    async def _renew(self) -> str:
        # One look at the znode, unless something is to be repaired.
        begun = time.monotonic()
        session = await self._connected()
        if session.id == self._session_id:
            if not self._keeper.stands(self):  # the keeper removes the znode, and nobody else
                return self._ran_out
            try:
                found = await self._znode.hold(session, ours=True)
            except HeldByAnotherError as error:
                self.forget()
                raise self.taken(str(error)) from None
            except GONE:
                pass
            except WrittenToStayError:
                raise RegistryError(
                    f"the registration of {self._name} cannot be repaired: {self.path} was written "
                    "to stay, with children; remove it"
                ) from None
            else:
                if found:
                    self.repairs += 1
                    log.info("the registration of %s %s; it is made again", self._name, found)
                if self._keeper.prolong(self, begun + self.ttl):
                    return ""
                self._keeper.take_back(self)
                return self._ran_out
        self.forget()
        return _EXPIRED

    @property
    def _ran_out(self) -> str:
        return f"it was not renewed within {self.ttl:g} s, or was made anew"

    async def revoke(self) -> None:
        """See :meth:`bee_core.interfaces.Lease.revoke`. Idempotent.

        If the connection is lost, the znode goes when it is back, or with the session.

        Raises:
            OSError: The connection is lost; TimeoutError if there is no answer.
        """
        if self.over:
            return
        self.over = REVOKED
        if not self._keeper.prolong(self, time.monotonic()):
            return  # the keeper removes it now, or the znode belongs to a later lease
        session = self._now()
        if session is not None and session.id == self._session_id:
            with contextlib.suppress(BadVersionError, NoNodeError, *GONE):
                stat = await session.request(lambda client: client.exists_async(self.path))
                if stat is not None and stat.ephemeralOwner == self._session_id:
                    await session.request(
                        lambda client: self._keeper.delete(self, client, stat.version)
                    )
        self.forget()

    def forget(self) -> None:
        """The znode is gone, or belongs to another lease."""
        self._keeper.forget(self)

    def remove(self) -> bool:
        """Remove the znode on the keeper's thread, whatever the loop does; False to try again."""
        session = self._now()
        if session is None or session.id != self._session_id:
            return True  # it went with its session
        client = session.client
        if not client.connected:
            return False
        try:
            stat = client.exists_async(self.path).get(timeout=_ANSWER_SECONDS)
            if stat is None or stat.ephemeralOwner != self._session_id:
                return True
            self._keeper.delete(self, client, stat.version).get(timeout=_ANSWER_SECONDS)
        except (BadVersionError, NoNodeError, *GONE):
            return True
        except Exception:  # the connection is lost, or slow
            return False
        return True
