"""How many bytes a server process holds for its clients: a total, and a share for each connection.

What is counted: bodies of requests from their first to their last use, what compressed ones may
become and then what they became, frames of which more than ``FREE`` bytes are there, replies that a
client leaves unread, results that wait for a compressor. What is not: anything of at most ``FREE``
bytes, which the bounds on connections and on requests in flight bound already, and the objects that
handlers make.

Two things wait for memory: a frame that is to be read on, and a body that is to be inflated. Bodies
come first, because a call that runs gives its memory back. One body may always be inflated, however
full it is, so nothing waits for ever. Nobody overtakes in a queue, except past one whose own share
is used up.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

FREE = 16 * 1024
"""Bytes of a request, a reply or a frame that are not counted. 1,024 requests in flight are 16 MiB
of them."""


class Turn:
    """A place in a queue for memory.

    Attributes:
        over: Whether the memory was granted, or the place was given up.
    """

    __slots__ = ("granted", "inflating", "over", "share", "size")

    def __init__(
        self, share: MemoryShare, size: int, granted: Callable[[], None], *, inflating: bool
    ) -> None:
        self.share = share
        self.size = size
        self.granted = granted
        self.inflating = inflating
        self.over = False

    def leave(self) -> None:
        """Wait no longer. Has no effect once the memory was granted."""
        if not self.over:
            self.over = True
            self.share.bound.grant()


class SlowReader(Protocol):
    """A connection whose client leaves replies unread.

    Attributes:
        address: The client's.
        host: Its address without the port, or None where the transport has none.
        paused_since: Since when it does so; or None.
    """

    address: str
    host: str | None
    paused_since: float | None

    def abort(self) -> None:
        """Close it now."""


class MemoryBound:
    """The total of one process. On the serving loop's thread only.

    Args:
        limit: Bytes in all.
        largest: Bytes that one request may have once it is inflated. A connection's share is never
            below it.

    Attributes:
        limit: Bytes in all.
        half: Bytes that requests may take. Unread replies may take more for a moment.
        held: Bytes that are counted for requests now.
        inflated: Those among them that are for inflated bodies.
        unread: Bytes that clients leave unread.
        slow: Who leaves them unread, whichever address it came to, as keys.
        share: Bytes that one connection may hold before no frame is taken from it.
    """

    __slots__ = (
        "_bodies",
        "_frames",
        "_granting",
        "half",
        "held",
        "inflated",
        "limit",
        "share",
        "slow",
        "unread",
    )

    def __init__(self, limit: int, largest: int) -> None:
        self.held = 0
        self.inflated = 0
        self.unread = 0
        self.slow: dict[SlowReader, None] = {}
        self._bodies: deque[Turn] = deque()
        self._frames: deque[Turn] = deque()
        self._granting = False
        self.resize(limit, largest)

    def resize(self, limit: int, largest: int) -> None:
        """Take other bounds; see the arguments of the class. What is held is given back as ever."""
        self.limit = limit
        self.half = limit // 2
        self.share = max(largest, limit // 8)
        self.grant()

    def fits(self, share: MemoryShare, size: int, *, inflating: bool) -> bool:
        """Whether the total has room. The first one has room always."""
        wanted = self.held + size
        return (wanted <= self.half and wanted + self.unread <= self.limit) or (
            self.inflated == 0 if inflating else self.held == share.held
        )

    def queue(self, turn: Turn) -> None:
        """Wait until there is room."""
        (self._bodies if turn.inflating else self._frames).append(turn)

    def grant(self) -> None:
        """Give room to those who wait, as far as there is room. After every release."""
        if self._granting or not (self._bodies or self._frames):
            return
        self._granting = True
        try:
            if self._grant_from(self._bodies):
                self._grant_from(self._frames)
        finally:
            self._granting = False

    def _grant_from(self, queue: deque[Turn]) -> bool:
        """Whether the total had room for all whose own share has room."""
        passed: list[Turn] = []
        room = True
        while queue and room:
            turn = queue.popleft()
            if turn.over:
                continue
            if not turn.share.fits(turn.size, inflating=turn.inflating):
                passed.append(turn)
            elif self.fits(turn.share, turn.size, inflating=turn.inflating):
                turn.over = True
                turn.share.take(turn.size, inflating=turn.inflating)
                turn.granted()
            else:
                passed.append(turn)
                room = False
        queue.extendleft(reversed(passed))
        return room


class MemoryShare:
    """What one connection holds. On the serving loop's thread only.

    Args:
        bound: The process's.
        relieved: Called when the share was used up and has room again.

    Attributes:
        held: Bytes that are counted for it now.
        inflated: Those among them that are for inflated bodies.
    """

    __slots__ = ("_relieved", "bound", "held", "inflated")

    def __init__(self, bound: MemoryBound, relieved: Callable[[], None]) -> None:
        self.bound = bound
        self._relieved = relieved
        self.held = 0
        self.inflated = 0

    @property
    def full(self) -> bool:
        """Whether no further frame is to be taken from the connection."""
        return self.held >= self.bound.share

    def fits(self, size: int, *, inflating: bool) -> bool:
        """Whether the share has room. The first one has room always."""
        return self.held + size <= self.bound.share or (
            self.inflated == 0 if inflating else self.held == 0
        )

    def take(self, size: int, *, inflating: bool = False) -> None:
        """Count bytes that are there already, or that were granted."""
        self.held += size
        self.bound.held += size
        if inflating:
            self.inflated += size
            self.bound.inflated += size

    def give_back(self, size: int, *, inflating: bool = False) -> None:
        """Count them no longer."""
        was_full = self.full
        self.take(-size, inflating=inflating)
        self.bound.grant()
        if was_full and not self.full:
            self._relieved()

    def reserve(
        self, size: int, granted: Callable[[], None], *, inflating: bool = False
    ) -> Turn | None:
        """Count bytes that are to come, as soon as there is room for them.

        Args:
            size: Bytes.
            granted: Called later, once they are counted. Not called when that is so at once.
            inflating: They are for a body that is to be inflated.

        Returns:
            The place in the queue, or None where the bytes are counted already.
        """
        turn = Turn(self, size, _at_once, inflating=inflating)
        self.bound.queue(turn)
        # Those in the queue may wait for their own share only. Then this one passes them.
        self.bound.grant()
        if turn.over:
            return None
        turn.granted = granted
        return turn


def _at_once() -> None:
    """The caller sees it from what ``reserve`` returns."""
