"""Keeps the newest list of one service on disk, not more often than is of use."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..terms.node import Node
    from .snapshot_cache import SnapshotCache

log = logging.getLogger("bee.client")

SAVE_EVERY = 2.0
"""Seconds between two writes of a list that keeps changing. A write costs in proportion to the whole list; a client that dies meanwhile starts from one that is so much older."""
_LAST_SAVE = 1.0  # seconds that a client which closes grants to a write under way


class CacheWriter:
    """Writes one service's list to the cache, one write at a time, on threads of the loop's executor. On the control plane's loop only.

    Args:
        cache: The lists on disk.
        service: The service's name.

    Attributes:
        saved: The nodes that stand on the disk, as far as is known; they are not written again.
    """

    def __init__(self, cache: SnapshotCache, service: str) -> None:
        self.saved: tuple[Node, ...] = ()
        self._cache = cache
        self._service = service
        self._waiting: tuple[Node, ...] | None = None
        self._saving: asyncio.Future[bool] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._saved_at = -SAVE_EVERY

    def save(self, nodes: tuple[Node, ...]) -> None:
        """Write the newest list: at once, or where one was written a moment ago, when that is :data:`SAVE_EVERY` ago."""
        self._waiting = nodes
        if self._saving is not None or self._timer is not None:
            return
        loop = asyncio.get_running_loop()
        pause = self._saved_at + SAVE_EVERY - loop.time()
        if pause > 0:
            self._timer = loop.call_later(pause, self._write)
        else:
            self._write()

    async def finish(self) -> None:
        """The client closes: write what waits for its turn."""
        if self._saving is not None:
            await asyncio.wait((self._saving,), timeout=_LAST_SAVE)
        self._write()

    def _write(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        nodes, self._waiting = self._waiting, None
        if nodes is None or nodes == self.saved:
            return
        loop = asyncio.get_running_loop()
        try:
            # Handed over here and now and not by a task, so that a client which closes the next moment has kept its list.
            self._saving = loop.run_in_executor(None, self._cache.save, self._service, nodes)
        except RuntimeError as error:  # the interpreter leaves, and starts no threads any more
            log.debug("the nodes of %s were not kept: %s", self._service, error)
            return
        self._saved_at = loop.time()
        self._saving.add_done_callback(partial(self._written, nodes))

    def _written(self, nodes: tuple[Node, ...], saving: asyncio.Future[bool]) -> None:
        self._saving = None
        if not saving.cancelled() and saving.exception() is None and saving.result():
            self.saved = nodes
        if self._waiting is not None:
            self.save(self._waiting)
