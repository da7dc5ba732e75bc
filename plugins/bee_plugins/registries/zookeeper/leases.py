"""Registrations in ZooKeeper: ephemeral znodes, and a keeper that removes what is not renewed.

kazoo pings the session on a thread of its own. With the session alone, a registration would last
as long as the process, even if the control plane hangs. So a registration must be renewed:
:class:`Keeper`, on a thread of its own too, removes the znode of a lease that has run out.
"""

from __future__ import annotations

import contextlib
import time
from threading import Condition, Thread
from typing import Any

from kazoo.exceptions import BadVersionError, NoNodeError  # type: ignore[import-untyped]

from bee_plugins.registries.shared.watched_registry import REVOKED, WatchedLease
from bee_plugins.registries.zookeeper.session import GONE, Session

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
                self._thread = Thread(target=self._run, name="bee-zookeeper-leases", daemon=True)
                self._thread.start()
            self._news.notify()

    def prolong(self, lease: ZooKeeperLease, due: float) -> bool:
        """Set the time at which a lease runs out.

        Returns:
            False if it has run out already, or if another lease has replaced it.
        """
        with self._news:
            if self._kept.get(lease.path) is not lease or lease.due <= time.monotonic():
                return False
            lease.due = due
            self._news.notify()  # it may be sooner than before
            return True

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
        path: The znode.
        keeper: Takes care of the znode from now on.
        name: For messages: the service and the address.

    Attributes:
        path: The znode.
        due: When the lease runs out, on the monotonic clock.
    """

    def __init__(self, session: Session, path: str, keeper: Keeper, name: str) -> None:
        super().__init__(session.timeout, name)
        self.path = path
        self.due = time.monotonic() + session.timeout
        self._session = session
        self._session_id = session.id
        self._keeper = keeper
        keeper.keep(self)

    async def _renew(self) -> str:
        # One look at the znode: whether this session has it.
        begun = time.monotonic()
        reason = await self._why_lost()
        if reason:
            self.forget()
        elif not self._keeper.prolong(self, begun + self.ttl):
            reason = f"it was not renewed within {self.ttl:g} s, or was made anew"
        return reason

    async def _why_lost(self) -> str:
        stat = None
        if self._owner_lives:
            with contextlib.suppress(*GONE):
                stat = await self._exists()
                if stat is None:
                    return f"{self.path} was removed"
                if stat.ephemeralOwner != self._session_id:
                    return f"{self.path} belongs to another session"
        return "" if stat else "its session has expired"

    async def revoke(self) -> None:
        """See :meth:`bee_core.interfaces.Lease.revoke`. Idempotent.

        If the connection is lost, the znode goes when it is back, or with the session.

        Raises:
            OSError: The connection is lost.
            TimeoutError: No answer.
        """
        if self.over:
            return
        self.over = REVOKED
        if not self._keeper.prolong(self, time.monotonic()):
            return  # the keeper removes it now, or the znode belongs to a later lease
        with contextlib.suppress(BadVersionError, NoNodeError, *GONE):
            stat = await self._exists()
            if stat is not None and stat.ephemeralOwner == self._session_id:
                await self._session.request(
                    lambda client: client.delete_async(self.path, stat.version)
                )
        self.forget()

    def forget(self) -> None:
        """The znode is gone, or belongs to another lease."""
        self._keeper.forget(self)

    def remove(self) -> bool:
        """Remove the znode on the keeper's thread, whatever the loop does; False to try again."""
        if not self._owner_lives:
            return True
        client = self._session.client
        if not client.connected:
            return False
        try:
            stat = client.exists_async(self.path).get(timeout=_ANSWER_SECONDS)
            if stat is None or stat.ephemeralOwner != self._session_id:
                return True
            # With the version, so that a znode that was registered anew meanwhile stays.
            client.delete_async(self.path, stat.version).get(timeout=_ANSWER_SECONDS)
        except (BadVersionError, NoNodeError, *GONE):
            return True
        except Exception:  # the connection is lost, or slow
            return False
        return True

    @property
    def _owner_lives(self) -> bool:
        """Whether the session that owns the znode may still live."""
        return not self._session.ended and self._session.id == self._session_id

    async def _exists(self) -> Any:
        return await self._session.request(lambda client: client.exists_async(self.path))
