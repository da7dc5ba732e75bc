"""Writes that go out together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

BATCH = 16
"""Writes that make a batch before the turn of the loop is over.

A system call for each write costs more than the rest of a call. A single one for a whole turn makes
the two sides take turns: each waits while the other has the whole batch. Measured with 64 calls in
flight, in calls a second: one for all 65,000, every 16 writes 106,000, every 8 writes 101,000."""

_LARGE = 64 * 1024


class BatchedWriter:
    """Collects what a connection writes. For the loop's thread.

    It hands the bytes to the transport at the end of the loop's turn, and every ``BATCH`` writes.

    Attributes:
        corked: Hold everything until ``corked`` is cleared and ``flush`` is called.
    """

    __slots__ = ("_loop", "_out", "_transport", "corked")

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: Any) -> None:
        self._loop = loop
        self._transport = transport
        self._out: list[bytes] = []
        self.corked = False

    def write(self, data: bytes) -> None:
        """Write in order. The data is dropped when the connection is closing."""
        out = self._out
        out.append(data)
        if self.corked:
            return
        if len(data) >= _LARGE:
            # Joined with the others it would be copied.
            out.pop()
            self.flush()
            if not self._transport.is_closing():
                self._transport.write(data)
        elif len(out) == 1:
            self._loop.call_soon(self.flush)
        elif len(out) >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Hand over what has been collected."""
        out = self._out
        if out and not self.corked:
            self._out = []
            if not self._transport.is_closing():
                self._transport.write(out[0] if len(out) == 1 else b"".join(out))
