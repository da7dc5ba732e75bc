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

import attrs
from kazoo.exceptions import BadVersionError, NoNodeError  # type: ignore[import-untyped]

from bee_plugins.registries.shared.watched_registry import lease_lost
from bee_plugins.registries.zookeeper.session import GONE

if TYPE_CHECKING:
    from collections.abc import Callable

    from bee_plugins.registries.zookeeper.session import Session

_ANSWER_SECONDS = 1.0
# If a znode could not be removed, the keeper tries again: the connection may come back before the
# session expires.
_AGAIN_SECONDS = 0.2


@attrs.define(eq=False)
class Kept:
    """A znode that stands until ``due``.

    Attributes:
        session: The client whose session owns it.
        session_id: That session.
        path: The znode.
        due: When the lease runs out, on the monotonic clock.
    """

    session: Session
    session_id: int
    path: str
    due: float

    @property
    def owner_lives(self) -> bool:
        """Whether the session that owns the znode may still live."""
        return not self.session.ended and self.session.id == self.session_id


class Keeper:
    """Removes the znodes of leases that ran out. Thread-safe. Its thread starts with a lease."""

    def __init__(self) -> None:
        self._news = Condition()
        self._kept: dict[str, Kept] = {}
        self._thread: Thread | None = None
        self._stopped = False

    def keep(self, kept: Kept) -> None:
        """Take care of a znode from now on. It replaces an earlier lease of the same path."""
        with self._news:
            if self._stopped:
                return
            self._kept[kept.path] = kept
            if self._thread is None:
                self._thread = Thread(target=self._run, name="bee-zookeeper-leases", daemon=True)
                self._thread.start()
            self._news.notify()

    def prolong(self, kept: Kept, due: float) -> bool:
        """Set the time at which a lease runs out.

        Returns:
            False if it has run out already, or if another lease has replaced it.
        """
        with self._news:
            if self._kept.get(kept.path) is not kept or kept.due <= time.monotonic():
                return False
            kept.due = due
            self._news.notify()  # it may be sooner than before
            return True

    def forget(self, kept: Kept) -> None:
        """The znode is gone, or belongs to another lease."""
        with self._news:
            if self._kept.get(kept.path) is kept:
                del self._kept[kept.path]

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
                overdue = [kept for kept in self._kept.values() if kept.due <= now]
                if not overdue:
                    first = min((kept.due for kept in self._kept.values()), default=now + 3600)
                    self._news.wait(first - now)
                    continue
            all_removed = True
            for kept in overdue:
                if _remove(kept):
                    self.forget(kept)
                else:
                    all_removed = False
            if not all_removed:
                with self._news:
                    self._news.wait_for(lambda: self._stopped, _AGAIN_SECONDS)


def _remove(kept: Kept) -> bool:
    """Remove a znode on the keeper's thread, whatever the loop does; False to try again."""
    if not kept.owner_lives:
        return True
    client = kept.session.client
    if not client.connected:
        return False
    try:
        stat = client.exists_async(kept.path).get(timeout=_ANSWER_SECONDS)
        if stat is None or stat.ephemeralOwner != kept.session_id:
            return True
        # With the version, so that a znode that was registered anew meanwhile stays.
        client.delete_async(kept.path, stat.version).get(timeout=_ANSWER_SECONDS)
    except (BadVersionError, NoNodeError, *GONE):
        return True
    except Exception:  # the connection is lost, or slow
        return False
    return True


class ZooKeeperLease:
    """See :class:`bee_core.interfaces.Lease`.

    Args:
        kept: The znode. The keeper takes care of it already.
        keeper: The keeper.
        ttl: Seconds that the znode outlives its last renewal.
        name: For messages: the service and the address.
    """

    def __init__(self, kept: Kept, keeper: Keeper, ttl: float, name: str) -> None:
        self.ttl = ttl
        self._kept = kept
        self._keeper = keeper
        self._name = name
        self._gone = ""

    async def renew(self) -> None:
        """See :meth:`bee_core.interfaces.Lease.renew`. It checks that this session has the znode.

        Raises:
            RegistryError: The znode is gone; register again.
            OSError: The connection is lost; the session may live.
            TimeoutError: No answer.
        """
        begun = time.monotonic()
        if not self._gone:
            reason = await self._why_lost()
            if reason:
                self._gone = reason
                self._keeper.forget(self._kept)
            elif not self._keeper.prolong(self._kept, begun + self.ttl):
                self._gone = f"it was not renewed within {self.ttl:g} s, or was made anew"
        if self._gone:
            raise lease_lost(self._name, self._gone)

    async def _why_lost(self) -> str:
        expired = "its session has expired"
        if not self._kept.owner_lives:
            return expired
        try:
            stat = await self._exists()
        except GONE:
            return expired
        if stat is None:
            return f"{self._kept.path} was removed"
        if stat.ephemeralOwner != self._kept.session_id:
            return f"{self._kept.path} belongs to another session"
        return ""

    async def revoke(self) -> None:
        """See :meth:`bee_core.interfaces.Lease.revoke`. Idempotent.

        If the connection is lost, the znode goes when it is back, or with the session.

        Raises:
            OSError: The connection is lost.
            TimeoutError: No answer.
        """
        if self._gone:
            return
        self._gone = "it was revoked"
        if not self._keeper.prolong(self._kept, time.monotonic()):
            return  # the keeper removes it now, or the znode belongs to a later lease
        with contextlib.suppress(BadVersionError, NoNodeError, *GONE):
            stat = await self._exists()
            if stat is not None and stat.ephemeralOwner == self._kept.session_id:
                await self._request(
                    lambda client: client.delete_async(self._kept.path, stat.version)
                )
        self._keeper.forget(self._kept)

    async def _exists(self) -> Any:
        return await self._request(lambda client: client.exists_async(self._kept.path))

    async def _request(self, start: Callable[[Any], Any]) -> Any:
        return await self._kept.session.request(start)
