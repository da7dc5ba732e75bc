"""What a watcher sees of a service in ZooKeeper.

There is one watch on the list of znodes and one on the data of each znode. ZooKeeper says that a
list has changed but not how, so the names are read again and compared. Data are read again only
for a new znode, or for one whose watch has fired. A lost connection takes all watches with it.
Once it is back everything is read, so no change is missed.
"""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, Any

from kazoo.exceptions import NoNodeError  # type: ignore[import-untyped]

from bee_core.errors import RegistryError
from bee_plugins.registries.zookeeper.answers import GONE
from bee_plugins.registries.zookeeper.session import WINDOW, Session

if TYPE_CHECKING:
    from bee_plugins.registries.shared.watched_registry import NodeList

GRACE_SHARE = 1 / 3
"""Part of the session's timeout that a connection may be away.

After that the registry counts as out of reach. kazoo notices silence within the other two thirds.
"""
# Between a request that failed for a lost connection and the notice of that loss.
_SETTLE_SECONDS = 0.1


class ServiceView:
    """Keeps a list equal to the znodes under a path. For one loop and one watcher.

    Args:
        session: Connected, or about to be.
        path: The parent of the service's znodes. It need not exist.
        nodes: Takes the records.

    Attributes:
        session: As given.
        nodes: As given.
        news: Set while something may be new.
    """

    def __init__(self, session: Session, path: str, nodes: NodeList) -> None:
        self.session = session
        self.nodes = nodes
        self._path = path
        self._names: set[str] = set()
        self._to_read: set[str] = set()
        self._to_list = True
        self._connects = 0
        self.news = asyncio.Event()
        session.subscribers.add(self)

    def session_changed(self) -> None:
        """The session is connected now, or is not any more."""
        self.news.set()

    def znode_changed(self, path: str) -> None:
        """A watch has fired: the znode, its children or its data are new, or it is gone."""
        parent, _, name = path.rpartition("/")
        if path == self._path:
            self._to_list = True
        elif parent == self._path:
            self._to_read.add(name)
        else:
            return
        self.news.set()

    async def refresh(self) -> None:
        """Read what is new. If the connection is lost and back in time, a second look is enough.

        Raises:
            RegistryError: ZooKeeper refuses.
            OSError: Every server refuses connections, or the connection did not come back within
                :data:`GRACE_SHARE` of the session's timeout.
            TimeoutError: ZooKeeper does not answer.
        """
        self.news.clear()
        while True:
            await self._regain()
            if self._connects != self.session.connects:
                self._connects = self.session.connects
                self._to_list = True
                self._to_read |= self._names
            if not self._to_list and not self._to_read:
                return
            try:
                if self._to_list:
                    await self._list()
                await self._read()
            except (ConnectionError, *GONE):
                self._connects = 0  # after the next connection, everything is read again
                if self.session.connected:
                    await self.session.change(_SETTLE_SECONDS)

    async def anything_new(self, seconds: float) -> bool:
        """Wait for news; False if there was none for so long and ZooKeeper confirms it."""
        waiting = asyncio.ensure_future(self.news.wait())
        try:
            await asyncio.wait((waiting,), timeout=seconds)
        finally:
            waiting.cancel()
        # The answer comes after the events of all changes that the server of now has seen.
        confirmed = not self.news.is_set() and await self.session.confirm(self._path)
        return self.news.is_set() or not confirmed

    async def _regain(self) -> None:
        session = self.session
        while not session.connected:
            session.check()
            if session.refused:
                raise session.out_of_reach()
            grace = session.timeout * GRACE_SHARE
            if not await session.change(
                session.lost_at + grace - asyncio.get_running_loop().time()
            ):
                raise session.out_of_reach()

    async def _list(self) -> None:
        path, on_event = self._path, self.session.on_event
        names: set[str] = set()
        self._to_list = False
        try:
            try:
                found = await self.session.request(
                    lambda client: client.get_children_async(path, watch=on_event)
                )
                names.update(found)
            except NoNodeError:
                # No server has registered yet, or an administrator has removed the parent. A watch
                # waits for it to come.
                stat = await self.session.request(
                    lambda client: client.exists_async(path, watch=on_event)
                )
                if stat is not None:  # else it stays as it is: the watch may have fired already
                    self._to_list = True
        except BaseException:
            # Also if it was cancelled between the two requests: the next look is a first one.
            self._to_list = True
            raise
        for name in self._names - names:
            self.nodes.remove(name)
            self._to_read.discard(name)
        self._to_read |= names - self._names
        self._names = names

    async def _read(self) -> None:
        while self._to_read:
            some = list(islice(self._to_read, WINDOW))
            # Before the requests, since a watch may fire as soon as its answer is there.
            self._to_read.difference_update(some)
            try:
                answers = await asyncio.gather(*map(self._get, some), return_exceptions=True)
                for name, answer in zip(some, answers, strict=True):
                    self._take(name, answer)
            except BaseException:
                self._to_read.update(some)
                raise

    def _take(self, name: str, answer: Any) -> None:
        if isinstance(answer, NoNodeError):
            self._names.discard(name)
            self.nodes.remove(name)
        elif isinstance(answer, RegistryError):
            self.nodes.remove(name)
            self.nodes.skip(name, f"cannot be read: {answer}")
        elif isinstance(answer, BaseException):
            raise answer
        else:
            self.nodes.put(name, answer[0] or b"", answer[1].czxid)

    async def _get(self, name: str) -> Any:
        return await self.session.request(
            lambda client: client.get_async(f"{self._path}/{name}", watch=self.session.on_event)
        )
