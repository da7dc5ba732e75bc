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


class ServerStatus:
    """One server's, or that of the parent of its workers. On the loop that opens it.

    A server is ready when it serves, the first attempt to register it has ended, and it does not
    drain. A lost lease does not make it unready: then an outage of the registry would take all
    servers away from their clients.

    Args:
        address: ``host:port``; None to show nothing.
        observers: Those of the server.

    Attributes:
        started: Whether it serves; set after all that has to come first.
        draining: Whether it leaves.
        announcer: Keeps it registered; None where it is not to be.
    """

    def __init__(self, address: str | None, observers: Observation) -> None:
        self._address = address
        self._observers = observers
        self._place = StatusPlace(address)
        self.started = self.draining = False
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
        self.started = self.draining = False
        self.announcer = None
        source = Source(
            self._observers.exposition,
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
        announcer, lines = self.announcer, []
        good = self.started and not self.draining
        if self.draining:
            lines.append("draining")
        elif not self.started:
            lines.append("starting")
        if announcer is not None:
            lines.append(f"registry: {announcer.standing}")
            if not announcer.attempted:
                good = False
                lines.append("the first attempt to register has not ended yet")
        return Verdict(good, tuple(lines))
