"""Whether the other end of a shared connection still answers. Asked only when there is a doubt."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

PONG_SECONDS = 2.0
"""How long a connection in doubt may take to answer a ping. A server answers on its event loop,
between two handlers. A new connection is cheap, so the wait is short."""


class Liveness:
    """The doubt about one connection.

    Args:
        loop: The connection's.
        ask: Sends a ping.
        vanished: Called when nothing came in answer.

    Attributes:
        heard: How many chunks have come in.
    """

    __slots__ = ("_ask", "_loop", "_timer", "_vanished", "heard")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        ask: Callable[[], None],
        vanished: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._ask = ask
        self._vanished = vanished
        self._timer: asyncio.TimerHandle | None = None
        self.heard = 0

    def doubt(self, heard: int) -> None:
        """A call got no reply in its full read_timeout.

        A slow handler is the usual reason. If nothing else came meanwhile, the network or the
        server's process may have vanished.

        Args:
            heard: How many chunks had come in when the call was sent.
        """
        if heard == self.heard and self._timer is None:
            self._ask()
            self._timer = self._loop.call_later(PONG_SECONDS, self._judge, heard)

    def _judge(self, heard: int) -> None:
        self._timer = None
        if heard == self.heard:
            self._vanished()

    def close(self) -> None:
        """The connection is gone."""
        if self._timer is not None:
            self._timer.cancel()
