"""The open door of transports that listen on a socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class SocketAcceptor:
    """A listening asyncio server under its url.

    Args:
        server: What asyncio made.
        url: With the real port.
        cleanup: Called once after the door is closed.
    """

    def __init__(
        self, server: asyncio.AbstractServer, url: str, cleanup: Callable[[], None] | None = None
    ) -> None:
        self.url = url
        self._server = server
        self._cleanup = cleanup

    def close(self) -> None:
        """Close the door; open connections stay. Idempotent."""
        self._server.close()
        cleanup, self._cleanup = self._cleanup, None
        if cleanup is not None:
            cleanup()
