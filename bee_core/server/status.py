"""What a server shows at ``metrics_address``: its metrics, and whether it lives and is ready."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ..control.status import Source, StatusPlace, Verdict
from .log_lines import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..contracts.observation import Observation
    from .announcement import Announcer
    from .readiness import Readiness


class ServerStatus:
    """One server's, or that of the parent of its workers. On the loop that opens it.

    Args:
        address: ``host:port``; None to show nothing.
        observers: Gives those of the server.
        readiness: Of the server.

    Attributes:
        announcer: Keeps it registered; None where it is not to be.
    """

    def __init__(
        self, address: str | None, observers: Callable[[], Observation], readiness: Readiness
    ) -> None:
        self._address = address
        self._observers = observers
        self._readiness = readiness
        self._place = StatusPlace(address)
        self.announcer: Announcer | None = None

    @property
    def url(self) -> str | None:
        """``http://host:port`` with the real port; None where nothing is shown."""
        return self._place.url

    async def open(
        self, *, on_thread: bool, lives: Callable[[], Verdict] = lambda: Verdict(good=True)
    ) -> None:
        """Begin to show it.

        Args:
            on_thread: The loop serves calls, which must not wait for the metrics.
            lives: What else must work beside the loop.

        Raises:
            OSError: The address cannot be listened on.
        """
        self.announcer = None
        source = Source(
            lambda accept: self._observers().exposition(accept),
            self.ready,
            lives,
            asyncio.get_running_loop(),
            on_thread,
        )
        try:
            await self._place.open_here(source)
        except OSError as error:
            raise OSError(
                error.errno,
                f"bee.application.metrics_address {self._address} cannot be listened on: "
                f"{error.strerror or error}",
            ) from error
        if self.url is not None:
            say("metrics", f"metrics and probes at {self.url}", url=self.url)

    def close(self) -> None:
        """Show nothing more. Idempotent."""
        self._place.begin_stop()

    def ready(self) -> Verdict:
        """Whether clients may send calls, with a line for what is worth a word."""
        lines = [] if self._readiness.ready else [self._readiness.why_not]
        if self.announcer is not None:
            lines.append(f"registry: {self.announcer.standing}")
        return Verdict(self._readiness.ready, tuple(lines))
