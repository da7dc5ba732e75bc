"""The pings that are under way on a shared connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ...terms.causes import read_timed_out
from ...terms.failures import Failure
from .outcomes import health_of

if TYPE_CHECKING:
    from ...wire.frames import Frame
    from ...wire.messages import Status


class Pings:
    """By id, who waits for the answer. For the thread of one loop."""

    __slots__ = ("_loop", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: dict[int, asyncio.Future[Frame | Failure]] = {}

    async def wait(self, id_: int, timeout: float) -> Status | Failure:
        """What the answer to a ping says, which was sent just now."""
        answer = self._waiting[id_] = self._loop.create_future()
        try:
            frame = await asyncio.wait_for(answer, timeout)
        except (TimeoutError, asyncio.TimeoutError):
            return read_timed_out(timeout, full=True)
        finally:
            self._waiting.pop(id_, None)
        return frame if isinstance(frame, Failure) else health_of(frame)

    def answer(self, frame: Frame) -> None:
        """A frame came that answers no request. It may answer nobody any more."""
        ping = self._waiting.pop(frame.id, None)
        if ping is not None and not ping.done():
            ping.set_result(frame)

    def fail(self, failure: Failure) -> None:
        """End all of them."""
        for ping in self._waiting.values():
            if not ping.done():
                ping.set_result(failure)
