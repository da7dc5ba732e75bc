"""Keeps the newest list of a service on disk, while a client lives."""

from __future__ import annotations

import asyncio
import contextlib
import time
from functools import partial
from typing import TYPE_CHECKING

from ..terms.loggers import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..terms.node import Node
    from .node_states import Suspect
    from .snapshot_cache import SnapshotCache

    _State = tuple[tuple[Node, ...], frozenset[str]]  # all nodes, and which are not listed

log = logger("bee.client")

SAVE_EVERY = 2.0
"""Seconds between two writes of a list that keeps changing.

A write costs in proportion to the whole list. A client that dies meanwhile starts from a list that
is so much older.
"""
CONFIRM_EVERY = 3600.0
"""Seconds until a list that has not changed is written again.

Its time then says when the registry listed it last, to the hour. And its file counts as in use.
"""
_LAST_SAVE = 1.0  # seconds that a client which closes grants to a write under way


class CacheWriter:
    """Keeps the newest list of one service on disk, with one write at a time.

    Used on the control plane's loop only. It writes on threads of the loop's executor.

    Args:
        cache: The lists on disk.
        service: The service's name.
        known: Gives what is known when it is written: the nodes that the registry lists, and those
            in question, asked or not. These stay on disk until they are let go.
    """

    def __init__(
        self,
        cache: SnapshotCache,
        service: str,
        known: Callable[[], tuple[Sequence[Node], Sequence[Suspect]]],
    ) -> None:
        self._saved: _State = (), frozenset()
        self._stale_at = 0.0  # when they are written again, though they are the same
        self._cache = cache
        self._service = service
        self._known = known
        self._waiting = False
        # When the registry listed a node last, by the clock of time.time; of those in doubt.
        self._listed_at: dict[str, float] = {}
        self._saving: asyncio.Future[bool] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._saved_at = -SAVE_EVERY
        self._tidied = False
        self._written_at: float | None = None  # the list that was recalled

    async def recall(self) -> tuple[Node, ...]:
        """The nodes that lie on the disk. They are not written again at once."""
        loop = asyncio.get_running_loop()
        try:
            kept = await loop.run_in_executor(None, self._cache.load, self._service)
        except RuntimeError as error:  # the system gives no thread now: as if there were no list
            log.debug("the list of %s on disk was not read: %s", self._service, error)
            return ()
        self._saved = kept.nodes, frozenset(kept.unlisted)
        if kept.age is not None:
            written = time.time() - kept.age
            self._listed_at = {one.id: kept.unlisted.get(one.id, written) for one in kept.nodes}
            self._written_at = time.monotonic() - kept.age
            self._stale_at = loop.time() + CONFIRM_EVERY - kept.age
        return kept.nodes

    @property
    def age(self) -> float | None:
        """Seconds since the list was written that :meth:`recall` gave; None where there was none.

        From any thread.
        """
        return None if self._written_at is None else time.monotonic() - self._written_at

    def keep(self) -> None:
        """Write the newest list: at once, or :data:`SAVE_EVERY` after the last write.

        Call it for each answer of the registry, also for one that says the same: such a list is
        written again each :data:`CONFIRM_EVERY`. And for each node that is let go. Where nothing is
        known, the file stays as it is.
        """
        loop = asyncio.get_running_loop()
        if not self._tidied:
            self._tidied = True
            with contextlib.suppress(RuntimeError):  # as in _write
                loop.run_in_executor(None, self._cache.tidy)
        self._waiting = True
        if self._saving is not None or self._timer is not None:
            return
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
        waiting, self._waiting = self._waiting, False
        loop = asyncio.get_running_loop()
        if not waiting:
            return
        listed, suspects = self._known()
        unlisted = frozenset(one.node.id for one in suspects)
        nodes = (*listed, *(one.node for one in suspects))
        state = nodes, unlisted
        if not nodes or (state == self._saved and loop.time() < self._stale_at):
            return
        now = time.time()
        self._listed_at = {node_id: self._listed_at.get(node_id, now) for node_id in unlisted}
        try:
            # Not handed over by a task: a client that closes the next moment keeps its list.
            self._saving = loop.run_in_executor(
                None, self._cache.save, self._service, nodes, self._listed_at
            )
        except RuntimeError as error:  # the interpreter leaves, and starts no threads any more
            log.debug("the nodes of %s were not kept: %s", self._service, error)
            return
        self._saved_at = loop.time()
        self._saving.add_done_callback(partial(self._written, state))

    def _written(self, state: _State, saving: asyncio.Future[bool]) -> None:
        self._saving = None
        if not saving.cancelled() and saving.exception() is None and saving.result():
            self._saved = state
            self._stale_at = self._saved_at + CONFIRM_EVERY
        if self._waiting:
            self.keep()
