"""SIGTERM and SIGINT of a process that serves."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from types import FrameType

_FLUSH_SECONDS = 0.2
"""How long a process that leaves at once waits for its last lines to be written."""


class StopSignals:
    """The first SIGTERM or SIGINT asks the server to leave, the second makes the process leave.

    Not the loop's own signal handlers: those run only while the loop does, and a handler that hangs on the loop would make the process deaf.

    Args:
        loop: Where ``stopping`` belongs.
        stopping: Set by the first signal.
        patience: Seconds after the first signal when the process leaves in any case.
        ignored: Signals to take without doing anything.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        stopping: asyncio.Event,
        patience: float,
        ignored: tuple[signal.Signals, ...] = (),
    ) -> None:
        self._loop = loop
        self._stopping = stopping
        self._patience = patience
        self._ignored = ignored
        self._before: dict[int, Any] = {}
        self._asked = False

    def __enter__(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(
                number, _ignore if number in self._ignored else self._on_signal
            )

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # signal's signature
        if self._asked:
            leave_now(128 + number)
        self._asked = True
        self._loop.call_soon_threadsafe(self._stopping.set)
        watchdog = threading.Timer(self._patience, leave_now, (1,))
        watchdog.daemon = True
        watchdog.start()


def _ignore(number: int, frame: FrameType | None) -> None:
    """Not SIG_IGN, which programs that a handler starts would inherit."""


def leave_now(code: int) -> None:
    """End the process without waiting for anything but its last lines, and for those not long."""
    # The signal may have come in the middle of a write to these streams, which cannot be flushed then, and whoever reads them may hang: neither keeps the process.
    flush = threading.Thread(target=_flush_output, daemon=True)
    flush.start()
    flush.join(_FLUSH_SECONDS)
    os._exit(code)


def _flush_output() -> None:
    for stream in (sys.stderr, sys.stdout):
        with contextlib.suppress(Exception):
            stream.flush()
