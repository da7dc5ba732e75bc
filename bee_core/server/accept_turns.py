"""Whose turn it is to accept a connection, among the workers that share a listening socket.

The system wakes all workers for each connection, and which one comes first depends on the order of
its queue: on an idle machine often the same one. So the workers take turns. In a piece of memory
that they share, each notes when it last accepted. The one for which that is longest ago comes
first; the others let a moment pass for it. So the connections of one client, made one after
another, reach all workers; a worker that was replaced comes first; one that hangs is passed over.
"""

from __future__ import annotations

import mmap
import time

_SLOT = 8  # bytes; a process writes its slot in one step


class WorkerTurns:
    """The turns of one worker; see :class:`bee_core.interfaces.AcceptTurns`.

    Args:
        count: How many workers there are.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._memory = mmap.mmap(-1, count * _SLOT)  # shared with the processes that fork
        self._accepted = memoryview(self._memory).cast("q")
        self._place = 0

    def of(self, place: int) -> WorkerTurns:
        """The turns of the worker in a place, from 0. For the child, or before the fork."""
        turns = object.__new__(WorkerTurns)
        turns.__dict__.update(self.__dict__, _place=place)
        return turns

    def taken(self) -> None:
        """This worker has accepted a connection."""
        self._accepted[self._place] = time.monotonic_ns()

    def before_us(self) -> int:
        """How many workers have not accepted for longer than this one."""
        own = self._accepted[self._place]
        return sum(
            accepted < own or (accepted == own and place < self._place)
            for place, accepted in enumerate(self._accepted)
        )
