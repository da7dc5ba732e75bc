"""What to do when a registry lists no node of a service any more.

A registry that lost its data, or every lease in an outage of its own, gives the same answer as one
whose services have all left. The nodes themselves know better.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..terms.node import Node

log = logging.getLogger("bee.client")

PING_TIMEOUT = 1.0
"""Seconds that a node may take to answer the question whether it still serves."""

HELD_HEARTBEATS = 3
"""For how many heartbeats an empty list is doubted.

As long as a lease: by then every living server has registered again.
"""

_PINGS_AT_A_TIME = 64


class EmptyListGuard:
    """Keeps nodes that nobody lists while they answer a ping as serving, for a bounded time.

    The time is bounded because the registry tells nothing more about such a node. Used on the
    control plane's loop only.

    Args:
        service: The service's name.
        registry_name: For messages.
        answers: Tells whether a node answers a ping as serving.
        publish: Takes the nodes that are left, whenever they change; none in the end.
        heartbeat_interval: Seconds.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        service: str,
        registry_name: str,
        *,
        answers: Callable[[Node], Awaitable[bool]],
        publish: Callable[[tuple[Node, ...]], None],
        heartbeat_interval: float,
        clock: Callable[[], float],
    ) -> None:
        self._service = service
        self._registry_name = registry_name
        self._answers = answers
        self._publish = publish
        self._heartbeat = heartbeat_interval
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    def hold(self, nodes: tuple[Node, ...]) -> None:
        """Keep those of the last nodes that still serve. Without effect while some are kept."""
        if self._task is None:
            self._task = asyncio.ensure_future(self._hold(nodes))

    def stop(self) -> None:
        """The registry lists nodes again, or the client closes."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _hold(self, kept: tuple[Node, ...]) -> None:
        bound = HELD_HEARTBEATS * self._heartbeat
        until = self._clock() + bound
        said = False
        while kept:
            serving = await self._serving(kept)
            left = until - self._clock()
            if left <= 0:
                serving = ()
            if serving and not said:
                said = True
                log.warning(
                    "the registry %s lists no node of %s; what still answers (%d) is kept for %g s",
                    self._registry_name,
                    self._service,
                    len(serving),
                    bound,
                )
            elif said and not serving:
                log.warning(
                    "the registry %s still lists no node of %s: the last ones are let go",
                    self._registry_name,
                    self._service,
                )
            if serving != kept:
                kept = serving
                self._publish(kept)
            if kept:
                await asyncio.sleep(min(PING_TIMEOUT, self._heartbeat, left))
        self._task = None

    async def _serving(self, nodes: tuple[Node, ...]) -> tuple[Node, ...]:
        places = asyncio.Semaphore(_PINGS_AT_A_TIME)

        async def ask(node: Node) -> bool:
            async with places:
                try:
                    return await self._answers(node)
                except Exception:  # a transport's; a node that cannot be asked does not answer
                    return False

        return tuple(
            node
            for node, serves in zip(nodes, await asyncio.gather(*map(ask, nodes)), strict=True)
            if serves
        )
