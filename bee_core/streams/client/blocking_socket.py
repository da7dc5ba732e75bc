"""A socket that one thread at a time uses: how it is written to, read, interrupted and closed."""

from __future__ import annotations

import os
import select
import socket
from contextlib import suppress
from math import ceil
from typing import TYPE_CHECKING, Protocol

from ...terms.causes import not_sent, write_timed_out

if TYPE_CHECKING:
    from ...contracts.transport import ChannelSettings
    from ...terms.failures import Failure

CHUNK = 64 * 1024
"""Bytes that are read at most at a time."""
LONG = 1_000_000.0
"""Seconds. ``poll()`` takes no more milliseconds, so a longer wait has several."""
_LONG_MILLISECONDS = int(LONG * 1000)


class SocketOwner(Protocol):
    """What a socket needs of its channel."""

    settings: ChannelSettings
    closed: bool  # the application closed the client; set before interrupt() is called


class BlockingSocket:
    """A socket to a node. The socket does not block: each wait is a poll with the time left.

    A derived class may use ``_sock``, and ``pollin``: the poll object that waits for input.
    """

    __slots__ = ("_clock", "_interrupts", "_owner", "_sock", "_writing", "pollin")

    def __init__(self, owner: SocketOwner, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._owner = owner
        self._clock = owner.settings.clock
        self._interrupts = owner.settings.interrupts
        self.pollin = select.poll()
        self.pollin.register(sock.fileno(), select.POLLIN)
        self._writing = False

    def fileno(self) -> int:
        """See :meth:`bee_core.interfaces.Pending.fileno`."""
        return self._sock.fileno()

    def _write(
        self, rest: memoryview, now: float, seconds: float, deadline: float
    ) -> Failure | None:
        """Write as the system takes it, within ``seconds`` from ``now`` and before the deadline."""
        # Set before `closed` is looked at. The channel sets `closed` before it calls interrupt(),
        # which looks at `_writing`: one of the two sees the other.
        self._writing = True
        if self._owner.closed:
            return not_sent(ConnectionAbortedError("the client was closed"), reused=False)
        until = min(now + seconds, deadline)
        pollout = select.poll()
        pollout.register(self._sock.fileno(), select.POLLOUT)
        while rest:
            left = until - self._clock()
            if left <= 0 or not pollout.poll(ceil(min(left, LONG) * 1000)):
                return write_timed_out(seconds, full=now + seconds <= deadline)
            try:
                rest = rest[self._sock.send(rest) :]
            except BlockingIOError:
                continue
            except OSError as error:
                if self._interrupts(error):
                    raise
                return self._broken_while_writing(error)
        self._writing = False
        return None

    def _receive(
        self, until: float, left: float, ready: bool = False, size: int = CHUNK
    ) -> bytes | OSError | None:
        """What the server says next.

        Args:
            until: The end of the wait, a moment of the clock.
            left: The same in seconds from now.
            ready: It is known that there is something to read, or it is likely.
            size: Bytes to take at most.

        Returns:
            Bytes, none at the end of the stream; the error that ended it; None when time is up.
        """
        sock, poll = self._sock, self.pollin.poll
        while True:
            if not ready and (
                left <= 0 or not poll(ceil(left * 1000) if left < LONG else _LONG_MILLISECONDS)
            ):
                if left <= LONG:
                    return None
            else:
                try:
                    return sock.recv(size)
                except BlockingIOError:
                    ready = False  # no byte of the stream: TLS may have read something of its own
                except OSError as error:
                    if self._interrupts(error):
                        raise
                    return error
            left = until - self._clock()

    def _broken_while_writing(self, error: OSError) -> Failure:
        """Why a write has failed; a derived class may know more."""
        return not_sent(error, reused=False)

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    def interrupt(self) -> None:
        """Wake the thread that waits on this connection. It sees the end of the stream."""
        with suppress(OSError):  # not connected any more: nothing waits
            # The way out stays open for the cancel frame, unless a thread is stuck in a write.
            self._sock.shutdown(socket.SHUT_RDWR if self._writing else socket.SHUT_RD)

    def abandon(self) -> None:
        """In a forked child: close the descriptor. The parent's connection is not touched."""
        if (fd := self._sock.detach()) >= 0:
            os.close(fd)
