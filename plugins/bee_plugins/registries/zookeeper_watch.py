"""What a watcher sees of a service in ZooKeeper.

One watch on the list of znodes, one on the data of each. ZooKeeper says that a list has changed and not how, so the names are read again and compared; data are read again only where a
znode is new or its own watch has fired. A lost connection takes all watches with it: once it is back everything is read, so nothing between is missed.
"""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, Any

from kazoo.exceptions import NoNodeError  # type: ignore[import-untyped]

from bee_core.errors import RegistryError
from bee_plugins.registries.zookeeper_errors import GONE
from bee_plugins.registries.zookeeper_session import WINDOW

if TYPE_CHECKING:
    from bee_plugins.registries.listing import Listing
    from bee_plugins.registries.zookeeper_session import Session

GRACE_SHARE = 1 / 3
"""Of the session's timeout: for so long a connection may be away before the registry counts as out of reach. kazoo notices silence within the other two thirds."""
_SETTLE_SECONDS = 0.1
# Between a request that failed because the connection was lost and the notice of that.


class ServiceView:
    """Keeps a listing equal to the znodes under a path. Belongs to one event loop; for one watcher.

    Args:
        session: Connected, or about to be.
        path: The parent of the service's znodes. It need not exist.
        listing: Takes the records.
    """

    def __init__(self, session: Session, path: str, listing: Listing) -> None:
        self.session = session
        self._path = path
        self.listing = listing
        self._names: set[str] = set()
        self._to_read: set[str] = set()
        self._to_list = True
        self._connects = 0
        self._news = asyncio.Event()
        session.subscribe(self)

    def close(self) -> None:
        """Hear of nothing any longer."""
        self.session.unsubscribe(self)

    def session_changed(self) -> None:
        """See :class:`bee_plugins.registries.zookeeper_session.Subscriber`."""
        self._news.set()

    def znode_changed(self, path: str) -> None:
        """See :class:`bee_plugins.registries.zookeeper_session.Subscriber`."""
        if path == self._path:
            self._to_list = True
            self._news.set()
            return
        parent, _, name = path.rpartition("/")
        if parent == self._path:
            self._to_read.add(name)
            self._news.set()

    async def news(self) -> None:
        """Wait until there may be something new."""
        await self._news.wait()

    async def refresh(self) -> None:
        """Read what is new. A connection that is lost and back in time costs a second look and nothing else.

        Raises:
            RegistryError: ZooKeeper refuses.
            OSError: The connection did not come back within :data:`GRACE_SHARE` of the session's timeout.
            TimeoutError: ZooKeeper does not answer.
        """
        self._news.clear()
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
                self._connects = 0  # the next connection finds everything unread
                if self.session.connected:
                    await self.session.change(_SETTLE_SECONDS)

    async def _regain(self) -> None:
        session = self.session
        while not session.connected:
            session.check()
            grace = session.timeout * GRACE_SHARE
            if not await session.change(
                session.lost_at + grace - asyncio.get_running_loop().time()
            ):
                raise session.out_of_reach()

    async def _list(self) -> None:
        names: set[str] = set()
        self._to_list = False
        try:
            try:
                names.update(
                    await self.session.request(
                        lambda client: client.get_children_async(
                            self._path, watch=self.session.on_event
                        )
                    )
                )
            except NoNodeError:
                # Nobody has registered yet, or an administrator has removed it: there is a watch for its coming as well.
                if (
                    await self.session.request(
                        lambda client: client.exists_async(self._path, watch=self.session.on_event)
                    )
                    is not None
                ):
                    self._to_list = True
        except (
            BaseException
        ):  # also where it was given up between the two: the next look is the first
            self._to_list = True
            raise
        for name in self._names - names:
            self.listing.remove(name)
            self._to_read.discard(name)
        self._to_read |= names - self._names
        self._names = names

    async def _read(self) -> None:
        while self._to_read:
            some = list(islice(self._to_read, WINDOW))
            self._to_read.difference_update(
                some
            )  # before, since a watch may fire as soon as the answer is there
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
            self.listing.remove(name)
        elif isinstance(answer, RegistryError):
            self.listing.remove(name)
            self.listing.complain(name, f"cannot be read: {answer}")
        elif isinstance(answer, BaseException):
            raise answer
        else:
            self.listing.put(name, answer[0] or b"")

    async def _get(self, name: str) -> Any:
        return await self.session.request(
            lambda client: client.get_async(f"{self._path}/{name}", watch=self.session.on_event)
        )
