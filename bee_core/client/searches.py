"""How the nodes of one service are looked for: its discovery, and the registry that is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..calls.service import Service
    from ..contracts.registry import Registry
    from ..control.discovery import Discovery
    from ..control.snapshot_cache import SnapshotCache
    from ..terms.node import Snapshot

C = TypeVar("C")


@attrs.define(eq=False)
class Source:
    """A registry, as one configuration names it.

    Attributes:
        registry: The plugin's object; None in a forked child that has not asked for it yet.
        make: Makes another one.
        name: For messages.
        cache: The lists on disk.
        heartbeat_interval: Seconds.
    """

    registry: Registry | None
    make: Callable[[], Registry]
    name: str
    cache: SnapshotCache
    heartbeat_interval: float

    def get(self) -> Registry:
        """The registry."""
        if self.registry is None:
            self.registry = self.make()
        return self.registry

    async def close(self) -> None:
        """Close the registry, if it is there."""
        registry, self.registry = self.registry, None
        if registry is not None:
            await registry.close()


@attrs.frozen(eq=False)
class Search(Generic[C]):
    """The discovery of one service, and the registry that it asks."""

    service: Service[C]
    discovery: Discovery
    source: Source


@attrs.frozen
class Found(Generic[C]):
    """How the nodes of a draft's services will be found.

    Attributes:
        source: The registry.
        searches: The discoveries.
        known: The lists of services that need none.
    """

    source: Source
    searches: list[Search[C]] = attrs.field(factory=list)
    known: dict[Service[C], Snapshot] = attrs.field(factory=dict)
