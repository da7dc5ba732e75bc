"""How first calls wait for the first nodes of a service. All of them wait for the same answer."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from threading import Event, Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

AFTER_REFUSAL = 1.0
"""Seconds that calls wait on after the registry has refused.

It answers, and will hardly change its mind: somebody has to correct the configuration.
"""

_MARGIN, _SHARE = 0.1, 0.1
"""What is kept of a call's time, in seconds or as a share of it: to say why no node is known.

The call would end by its deadline otherwise, and nobody would learn the reason.
"""
_LONGEST = 60.0  # seconds of one wait; a thread's may not be endless


class FirstNodes:
    """The wait of a service's first calls. Thread-safe.

    Args:
        clock: Seconds, monotonic.
        stand_in: Whether something is known that calls could go on with.
        unasked: Whether nodes are in question that nobody has asked yet. From any thread.

    Attributes:
        stand_in: The same, as of now.
        refused_at: When the registry began to refuse; None while it does not.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        stand_in: bool,
        unasked: Callable[[], bool] = lambda: False,
    ) -> None:
        self._clock = clock
        self._unasked = unasked
        self._lock = Lock()
        self._news = Event()
        self._callbacks: dict[object, Callable[[], object]] = {}
        self.over = False
        self.stand_in = stand_in
        self.refused_at: float | None = None

    def tell(self) -> None:
        """Something has changed: all that wait look again whether they must, and how long."""
        with self._lock:
            news, self._news = self._news, Event()
            callbacks, self._callbacks = self._callbacks, {}
        news.set()
        for callback in callbacks.values():
            callback()

    def end(self) -> None:
        """Nodes are known, or the registry says that there are none."""
        self.over = True
        self.tell()

    def close(self) -> None:
        """The client closes: nobody waits for anything any more."""
        self._unasked = lambda: False
        self.end()

    def left(self, began: float, until: float) -> float:
        """Seconds that a call may still wait.

        Args:
            began: When it began.
            until: Its deadline.
        """
        span = until - began
        end = began + span / 2 if self.stand_in else until - min(_MARGIN, _SHARE * span)
        if self.refused_at is not None:
            end = min(end, max(began, self.refused_at) + AFTER_REFUSAL)
        return end - self._clock()

    def wait(self, began: float, until: float, *, asked: bool = False) -> bool:
        """Wait on this thread; see :meth:`left`.

        Args:
            began: When the call began.
            until: Its deadline.
            asked: Wait for the nodes in question as well, until each was asked once.

        Returns:
            False when the time is over.
        """
        while True:
            news = self._news  # taken first: what comes from now on sets it
            if self.over and not (asked and self._unasked()):
                return True
            left = self.left(began, until)
            if left <= 0:
                return False
            news.wait(min(left, _LONGEST))

    async def wait_async(self, began: float, until: float, *, asked: bool = False) -> bool:
        """The same on an event loop."""
        loop = asyncio.get_running_loop()
        token = object()
        while True:
            news: asyncio.Future[None] = loop.create_future()

            def tell(news: asyncio.Future[None] = news) -> None:
                with suppress(RuntimeError):  # a loop that was closed has nobody to tell
                    loop.call_soon_threadsafe(_set, news)

            with self._lock:
                self._callbacks[token] = tell
            try:
                if self.over and not (asked and self._unasked()):
                    return True
                left = self.left(began, until)
                if left <= 0:
                    return False
                # Not wait_for: before Python 3.12 it loses a cancellation that meets the news.
                await asyncio.wait((news,), timeout=min(left, _LONGEST))
            finally:
                with self._lock:
                    self._callbacks.pop(token, None)


def _set(news: asyncio.Future[None]) -> None:
    if not news.done():
        news.set_result(None)
