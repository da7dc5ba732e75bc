"""What a server tells the service manager that started it: the protocol of ``sd_notify(3)``.

systemd sets ``NOTIFY_SOCKET`` for a unit with ``Type=notify``, and ``WATCHDOG_USEC`` where it has
``WatchdogSec``. Other managers, such as s6 and containers' inits, speak the same protocol.
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING

from .log_lines import log

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .announcement import LoopTicks
    from .readiness import Readiness, State

_TICKS_A_WATCHDOG = 4
"""How often a server says that it lives in the time that the manager grants. One late tick, and one
that gets lost, cost no restart."""
_LONGEST_NUMBER = 20
"""Digits of WATCHDOG_USEC: it is a number of 64 bits."""
_SEND_TIMEOUT = 0.5
"""Seconds that a change may wait for a manager that does not read: systems queue ten messages."""

_LINES: dict[State, tuple[str, ...]] = {
    "starting": ("STATUS=starting",),
    "registering": ("STATUS=serving, registering",),
    "ready": ("READY=1", "STATUS=serving"),
    "draining": ("STOPPING=1", "STATUS=draining"),
}


class ServiceManager:
    """Takes messages for the manager. That one cannot be sent is logged once, and stops nobody.

    Args:
        environ: Has ``NOTIFY_SOCKET``: a path, or the name of an abstract socket behind an ``@``.
        pid: This process, for ``WATCHDOG_PID``.

    Attributes:
        watchdog: Seconds within which the manager wants a sign of life, or None.
    """

    def __init__(self, environ: Mapping[str, str], pid: int) -> None:
        place = environ["NOTIFY_SOCKET"]
        self._place = "\0" + place[1:] if place.startswith("@") else place
        self._usable = place.startswith(("/", "@"))
        self._said = False
        if not self._usable:
            log.warning("NOTIFY_SOCKET is %r, neither a path nor a name behind @", place)
        micros, meant = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", str(pid))
        usable = micros.isdecimal() and len(micros) <= _LONGEST_NUMBER
        wanted = usable and int(micros) > 0 and meant == str(pid)
        self.watchdog = int(micros) / 1e6 if wanted else None

    def tell(self, *lines: str, patience: float = _SEND_TIMEOUT) -> None:
        """Send a message of some lines, such as ``READY=1``. From any thread.

        Args:
            lines: Of the message.
            patience: Seconds that it may wait for a manager that does not read.
        """
        if not self._usable:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.settimeout(patience)
                sock.sendto("\n".join(lines).encode(), self._place)
        except OSError as error:  # the next message may arrive
            if not self._said:
                log.warning("the service manager (NOTIFY_SOCKET) cannot be told: %s", error)
            self._said = True

    def state_changed(self, state: State) -> None:
        """The server's readiness has changed."""
        if lines := _LINES.get(state):
            self.tell(*lines)

    def alive(self) -> None:
        """The serving loop has ticked."""
        # Not waited for, as the loop runs meanwhile: the next tick says the same.
        self.tell("WATCHDOG=1", patience=0.0)


@contextlib.contextmanager
def service_manager(readiness: Readiness, ticks: LoopTicks) -> Iterator[None]:
    """While the block runs, tell the manager of this process how the server is, if there is one.

    Args:
        readiness: Is watched.
        ticks: Of the serving loop. They become as frequent as the manager wants signs of life.
    """
    if not os.environ.get("NOTIFY_SOCKET") or not hasattr(socket, "AF_UNIX"):
        yield
        return
    manager = ServiceManager(os.environ, os.getpid())
    before = ticks.interval
    if manager.watchdog is not None:
        ticks.interval = min(before, manager.watchdog / _TICKS_A_WATCHDOG)
        ticks.told = manager.alive
    readiness.watch(manager.state_changed)
    try:
        yield
    finally:
        readiness.unwatch(manager.state_changed)
        ticks.interval, ticks.told = before, None
