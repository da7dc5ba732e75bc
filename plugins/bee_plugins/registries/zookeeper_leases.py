"""Registrations in ZooKeeper: ephemeral znodes, and the keeper that takes back what nobody renews.

kazoo pings the session on a thread of its own, so the session alone would keep a registration for as long as the process lives, even if its control plane hangs. So a registration
stands as long as it is renewed: :class:`Keeper`, on a thread of its own too, removes the znode of a lease that has run out.
"""

from __future__ import annotations

import contextlib
import time
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any

import attrs
from kazoo.exceptions import (  # type: ignore[import-untyped]
    BadVersionError,
    NoNodeError,
)

from bee_core.errors import RegistryError
from bee_plugins.registries.zookeeper_errors import GONE

if TYPE_CHECKING:
    from collections.abc import Callable

    from bee_plugins.registries.zookeeper_session import Session

_ANSWER_SECONDS = 1.0
_AGAIN_SECONDS = 0.2
# A znode that could not be removed is tried again: the connection may be back before the session expires.


@attrs.define(eq=False)
class Kept:
    """A znode that stands until ``due``.

    Attributes:
        session: The client whose session owns it.
        session_id: That session.
        path: The znode.
        due: When the lease runs out, on the monotonic clock; as soon as possible where that has passed.
    """

    session: Session
    session_id: int
    path: str
    due: float

    @property
    def owner_lives(self) -> bool:
        """Whether the session that owns the znode is not known to be gone."""
        return not self.session.ended and self.session.id == self.session_id


class Keeper:
    """Removes the znodes of leases that have run out. Thread-safe; its thread starts with the first lease."""

    def __init__(self) -> None:
        self._news = Condition()
        self._kept: dict[str, Kept] = {}
        self._thread: Thread | None = None
        self._stopped = False

    def keep(self, kept: Kept) -> None:
        """Look after a znode from now on, in the place of an earlier lease of the same path."""
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
            False where it has run out already, or another lease has taken its place.
        """
        with self._news:
            if self._kept.get(kept.path) is not kept or kept.due <= time.monotonic():
                return False
            kept.due = due
            self._news.notify()  # it may be sooner than before
            return True

    def forget(self, kept: Kept) -> None:
        """The znode is gone, or another one's."""
        with self._news:
            if self._kept.get(kept.path) is kept:
                del self._kept[kept.path]

    def stop(self) -> None:
        """End the thread; does not wait. What stands ends with its session."""
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
                    self._news.wait(
                        min((kept.due for kept in self._kept.values()), default=now + 3600) - now
                    )
                    continue
            left = [kept for kept in overdue if not _remove(kept)]
            for kept in overdue:
                if kept not in left:
                    self.forget(kept)
            if left:
                with self._news:
                    self._news.wait_for(lambda: self._stopped, _AGAIN_SECONDS)


def _remove(kept: Kept) -> bool:
    """Remove a znode from the keeper's thread, whatever the loop does. False where that must be tried again."""
    if not kept.owner_lives:
        return True
    client = kept.session.client
    if not client.connected:
        return False
    try:
        stat = client.exists_async(kept.path).get(timeout=_ANSWER_SECONDS)
        if stat is None or stat.ephemeralOwner != kept.session_id:
            return True
        # Not if it was written meanwhile: then it has been registered again.
        client.delete_async(kept.path, stat.version).get(timeout=_ANSWER_SECONDS)
    except (BadVersionError, NoNodeError, *GONE):
        return True
    except Exception:  # the connection is lost, or slow
        return False
    return True


class ZooKeeperLease:
    """See :class:`bee_core.interfaces.Lease`.

    Args:
        kept: The znode, which the keeper looks after already.
        keeper: Looks after it.
        ttl: Seconds that it outlives its last renewal.
        name: For messages: the service and the address.
    """

    def __init__(self, kept: Kept, keeper: Keeper, ttl: float, name: str) -> None:
        self.ttl = ttl
        self._kept = kept
        self._keeper = keeper
        self._name = name
        self._gone = ""

    async def renew(self) -> None:
        """See :meth:`bee_core.interfaces.Lease.renew`. One look at the znode: that it is there, and this session's.

        Raises:
            RegistryError: It is gone; register again.
            OSError: The connection is lost; the session may live.
            TimeoutError: No answer.
        """
        begun = time.monotonic()
        if not self._gone and not self._kept.owner_lives:
            self._lose("its session has expired")
        if not self._gone:
            try:
                stat = await self._exists()
            except GONE:
                self._lose("its session has expired")
            else:
                if stat is None:
                    self._lose(f"{self._kept.path} was removed")
                elif stat.ephemeralOwner != self._kept.session_id:
                    self._lose(f"{self._kept.path} belongs to another session")
                elif not self._keeper.prolong(self._kept, begun + self.ttl):
                    self._gone = f"it was not renewed within {self.ttl:g} s, or was made anew"
        if self._gone:
            raise RegistryError(f"the registration of {self._name} has gone: {self._gone}")

    async def revoke(self) -> None:
        """See :meth:`bee_core.interfaces.Lease.revoke`. Idempotent. Where the connection is lost, the znode goes as soon as it is back, or with the session.

        Raises:
            OSError: The connection is lost.
            TimeoutError: No answer.
        """
        if self._gone:
            return
        self._gone = "it was revoked"
        if not self._keeper.prolong(self._kept, time.monotonic()):
            return  # the keeper is at it, or the znode is a later lease's
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

    def _lose(self, reason: str) -> None:
        self._gone = reason
        self._keeper.forget(self._kept)
