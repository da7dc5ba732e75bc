"""Connections whose request was given up, until their server shows that it listens."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...terms.request import Request
    from .blocking_connection import BlockingConnection

MOST_GIVEN_UP = 4
"""Connections that are kept, of a channel, whose server has not answered yet. Each loser of a race
leaves one; a server that hangs would collect them."""


class GivenUp:
    """Thread-safe without a lock: each step is one operation of a deque."""

    __slots__ = ("_kept", "append")

    def __init__(self) -> None:
        self._kept: deque[BlockingConnection] = deque()
        self.append = self._kept.append

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[BlockingConnection]:
        return iter(self._kept.copy())

    def take(self, request: Request) -> BlockingConnection | None:
        """A connection whose server has answered since, for a request that owns it then."""
        kept = self._kept
        connection: BlockingConnection | None = None
        try:
            for _ in range(len(kept)):
                try:
                    connection = kept.popleft()
                except IndexError:
                    return None
                answering = connection.request is None and connection.is_answering()
                if answering:
                    connection.request, request.pending = request, connection
                    return connection
                if answering is None:
                    connection.close()
                else:
                    kept.append(connection)
        except BaseException:  # an interrupt: it has no owner, or the request
            if connection is not None and connection not in kept:
                connection.close_unowned()
            raise
        return None

    def close_all_but(self, most: int) -> None:
        """Close the oldest ones, so that no more are left than that."""
        while len(self._kept) > most:
            with suppress(IndexError):  # another thread took it
                self._kept.popleft().close()
