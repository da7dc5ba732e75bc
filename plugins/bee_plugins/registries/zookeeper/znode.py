"""One registration's znode: made, looked at, and repaired."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
from kazoo.exceptions import (  # type: ignore[import-untyped]
    BadVersionError,
    NodeExistsError,
    NoNodeError,
    RolledBackError,
)

from bee_core.errors import RegistryError
from bee_plugins.registries.shared.node_record import decode_record

if TYPE_CHECKING:
    from kazoo.client import KazooClient  # type: ignore[import-untyped]

    from bee_plugins.registries.zookeeper.session import Session

# A znode can come and go between two requests, and parents can be missing.
_TRIES = 5
_MEANWHILE = (BadVersionError, NodeExistsError, NoNodeError)


class HeldByAnotherError(Exception):
    """Another session has the znode. The text says who."""


class WrittenToStayError(Exception):
    """The znode is not ephemeral, and was not put in the place of ours."""


@attrs.frozen
class Znode:
    """A registration's znode.

    Attributes:
        parent: The path of the service's znodes.
        name: The znode's own name.
        data: The record.
        acl: Who may do what with it, and with its parents.
    """

    parent: str
    name: str
    data: bytes
    acl: Any

    @property
    def path(self) -> str:
        """Where it is."""
        return f"{self.parent}/{self.name}"

    async def create(self, session: Session) -> bool:
        """Make it, and its parents; False if there is something already.

        Raises:
            RegistryError, OSError, SessionExpiredError: As for :meth:`Session.request`.
        """
        for _ in range(_TRIES):
            try:
                await session.request(
                    lambda client: client.create_async(
                        self.path, self.data, acl=self.acl, ephemeral=True
                    )
                )
            except NodeExistsError:  # noqa: PERF203  a round trip costs more
                return False
            except NoNodeError:  # the parents are missing
                await self._make_parents(session)
            else:
                return True
        return False

    async def _make_parents(self, session: Session) -> None:
        """All of them in one round trip: a server that comes back is looked for meanwhile."""
        parts = self.parent.split("/")
        paths = ["/".join(parts[: count + 1]) for count in range(1, len(parts))]
        answers = await asyncio.gather(
            *(session.request(partial(_create_parent, path=path, acl=self.acl)) for path in paths),
            return_exceptions=True,
        )
        if isinstance(answers[-1], BaseException) and not isinstance(answers[-1], NodeExistsError):
            # Somebody who may write below may be forbidden to write further up. So an error there
            # matters only where the last one is missing; then the first one says why.
            raise next(
                answer
                for answer in answers
                if isinstance(answer, BaseException) and not isinstance(answer, NodeExistsError)
            )

    async def hold(self, session: Session, *, ours: bool) -> str:
        """See to it that it stands, has the record, and belongs to this session.

        One request if that is so. What a living session may own is neither removed nor changed.

        Args:
            session: Its owner.
            ours: Whether it was made before. Then something that nobody alive holds, which others
                have put in its place, is replaced.

        Returns:
            What had happened to it; empty if nothing.

        Raises:
            HeldByAnotherError: Another session has it.
            WrittenToStayError: There is something that was written to stay.
            RegistryError, OSError, SessionExpiredError: As for :meth:`Session.request`.
        """
        for _ in range(_TRIES):
            try:
                data, stat = await session.request(lambda client: client.get_async(self.path))
            except NoNodeError:
                if await self.create(session):
                    return "was removed"
                continue
            version = stat.version
            try:
                if stat.ephemeralOwner == session.id:
                    if data == self.data:
                        return ""
                    await self._overwrite(session, version)
                    return "was overwritten"
                if stat.ephemeralOwner != 0:
                    raise HeldByAnotherError(_holder(data or b""))
                if not ours or stat.numChildren:
                    raise WrittenToStayError
                if await self._replace(session, version):
                    return "was replaced by something that was written to stay"
            except _MEANWHILE:
                continue
        raise RegistryError(f"{self.path} comes and goes all the time; somebody else writes there")

    async def _overwrite(self, session: Session, version: int) -> Any:
        return await session.request(
            lambda client: client.set_async(self.path, self.data, version=version)
        )

    async def _replace(self, session: Session, version: int) -> bool:
        # Its version tells it from a later znode only if it is not 0, as that of a new one is.
        stat = await self._overwrite(session, version)
        if stat.ephemeralOwner != 0:
            return False

        def start(client: KazooClient) -> Any:
            transaction = client.transaction()
            transaction.delete(self.path, version=stat.version)
            transaction.create(self.path, self.data, acl=self.acl, ephemeral=True)
            return transaction.commit_async()

        for result in await session.request(start):
            if isinstance(result, Exception) and not isinstance(result, RolledBackError):
                raise session.classed(result)
        return True


def _create_parent(client: KazooClient, path: str, acl: Any) -> Any:
    return client.create_async(path, acl=acl)


def _holder(data: bytes) -> str:
    try:
        return f"the server at {decode_record(data, '-').url}"
    except ValueError:
        return "another server"
