"""SIGTERM and SIGINT of a process that serves."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator
    from types import FrameType

_FLUSH_SECONDS = 0.2
"""How long a process that leaves at once waits for its last lines to be written."""


@contextlib.contextmanager
def stop_signals(
    loop: asyncio.AbstractEventLoop,
    stopping: asyncio.Event,
    patience: float,
    ignored: tuple[signal.Signals, ...] = (),
) -> Iterator[None]:
    """While the block runs, a first SIGTERM or SIGINT asks the server to leave.

    A second one makes the process leave. The loop's own signal handlers are not used. They run only
    while the loop runs, so a handler that hangs on the loop would make the process deaf.

    Args:
        loop: Where ``stopping`` belongs.
        stopping: Set by the first signal.
        patience: Seconds after the first signal when the process leaves in any case.
        ignored: Signals to take without doing anything.
    """
    asked = False

    def on_signal(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            leave_now(128 + number)
        asked = True
        loop.call_soon_threadsafe(stopping.set)
        watchdog = threading.Timer(patience, leave_now, (1,))
        watchdog.daemon = True
        watchdog.start()

    before = {
        number: signal.signal(number, _ignore if number in ignored else on_signal)
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore(number: int, frame: FrameType | None) -> None:
    """Not SIG_IGN, which programs that a handler starts would inherit."""


def leave_now(code: int) -> None:
    """End the process without waiting for anything but its last lines, and for those not long."""
    # The signal may have come in the middle of a write to these streams, which cannot be flushed
    # then. The reader of the streams may hang, too. Neither keeps the process.
    flush = threading.Thread(target=_flush_output, daemon=True)
    flush.start()
    flush.join(_FLUSH_SECONDS)
    os._exit(code)


def _flush_output() -> None:
    for stream in (sys.stderr, sys.stdout):
        with contextlib.suppress(Exception):
            stream.flush()
