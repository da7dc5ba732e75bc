"""Idle connections of a blocking channel: last in, first out, so that few stay warm and the rest age."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .blocking_connection import BlockingConnection

IDLE_SECONDS = 60.0
"""An idle connection older than this is closed: many load balancers and NATs forget one after a few minutes, and a burst's sockets should not stay for ever."""


class IdlePool:
    """A stack of idle connections. Thread-safe without a lock: each step is one operation of a deque.

    It does no I/O: what is to be closed is returned.
    """

    __slots__ = ("_idle", "closed")

    def __init__(self) -> None:
        self._idle: deque[BlockingConnection] = deque()
        self.closed = False

    def take(self) -> BlockingConnection | None:
        """The connection used last, or None."""
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def give(self, connection: BlockingConnection, now: float) -> list[BlockingConnection]:
        """Put a connection back; returns those that are to be closed."""
        connection.idle_since = now
        idle = self._idle
        idle.append(connection)
        if self.closed:
            return self.clear()
        if len(idle) > 1 and now - idle[0].idle_since > IDLE_SECONDS:
            try:
                oldest = idle.popleft()
            except IndexError:
                return []
            if now - oldest.idle_since > IDLE_SECONDS:
                return [oldest]
            idle.append(oldest)
        return []

    def clear(self) -> list[BlockingConnection]:
        """Take all out, to be closed."""
        taken = []
        while (connection := self.take()) is not None:
            taken.append(connection)
        return taken

    def __len__(self) -> int:
        """How many are idle."""
        return len(self._idle)
