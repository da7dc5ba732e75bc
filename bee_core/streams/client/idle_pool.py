"""The idle connections of a blocking channel."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .blocking_connection import BlockingConnection


class IdlePool:
    """A stack of idle connections: last in, first out, so that few stay in use and the rest age.

    Thread-safe without a lock: each step is one operation of a deque. It does no I/O: it returns
    the connections that the caller must close.

    Args:
        max_idle: Seconds. A connection that is idle for longer is closed, so that those of a burst
            of calls do not stay for ever. One is kept: the next call looks at its age.

    Attributes:
        closed: Keep no connection any more.
    """

    __slots__ = ("_idle", "_max_idle", "closed")

    def __init__(self, max_idle: float) -> None:
        self._idle: deque[BlockingConnection] = deque()
        self._max_idle = max_idle
        self.closed = False

    def take(self) -> BlockingConnection | None:
        """The connection that was used last, or None."""
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def give(self, connection: BlockingConnection, now: float) -> list[BlockingConnection]:
        """Put a connection back. Returns the connections to close."""
        connection.idle_since = now
        idle = self._idle
        idle.append(connection)
        # Looked at after the append. Whoever closes the pool sets `closed` and then clears: one of
        # the two takes the connection out.
        if self.closed:
            return self.clear()
        try:
            if len(idle) > 1 and now - idle[0].idle_since > self._max_idle:
                oldest = idle.popleft()
                if now - oldest.idle_since > self._max_idle:
                    return [oldest]
                # Another thread took the oldest one meanwhile, so this one is younger.
                idle.append(oldest)
        except IndexError:
            pass  # other threads took all of them
        return []

    def put_back(self, connection: BlockingConnection) -> None:
        """Put a connection back that is not for the caller: the next one finds others first."""
        self._idle.appendleft(connection)

    def remove(self, connection: BlockingConnection) -> None:
        """Take one connection out, if it is there."""
        with suppress(ValueError):
            self._idle.remove(connection)

    @property
    def connections(self) -> tuple[BlockingConnection, ...]:
        """Those that are there now."""
        return tuple(self._idle.copy())  # see BlockingChannel.in_use

    def clear(self) -> list[BlockingConnection]:
        """Take all connections out. The caller closes them."""
        taken = []
        while (connection := self.take()) is not None:
            taken.append(connection)
        return taken
