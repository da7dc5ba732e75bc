"""What a call waits for because of memory: room for its body, and a caller that reads its replies.

On the loop's thread.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from ..contracts.endpoint import InboundCall
    from ..contracts.memory_bound import Turn
    from .answers import Answers


class LargeBody:
    """A compressed body that is inflated once there is memory for what it may become.

    Args:
        answers: Knows how large that is.
        call: Whose body it is.
    """

    __slots__ = ("_answers", "_call", "_turn")

    def __init__(self, answers: Answers, call: InboundCall) -> None:
        self._answers = answers
        self._call = call
        self._turn: Turn | None = None

    def wait(self, granted: Callable[[], None]) -> None:
        """Call back once the memory is there, or at once."""

        def have_memory() -> None:
            self._turn = None
            granted()

        self._turn = self._call.inflates(self._answers.most_inflated(self._call), have_memory)
        if self._turn is None:
            granted()

    def leave(self) -> bool:
        """Wait no longer; False where nobody waits."""
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.leave()
        return turn is not None


async def room_of(call: InboundCall, loop: asyncio.AbstractEventLoop) -> None:
    """Wait until the caller reads its replies."""
    while call.held_up:
        room: asyncio.Future[None] = loop.create_future()
        call.when_room(partial(_open, room))
        await room


def _open(room: asyncio.Future[None]) -> None:
    if not room.done():
        room.set_result(None)
