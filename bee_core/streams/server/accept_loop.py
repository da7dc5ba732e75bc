"""Accepts the connections of a listening socket on an event loop, in turns with other processes."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from ...terms.loggers import logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...contracts.transport import AcceptTurns

log = logger("bee.server")

_AT_ONCE = 16
"""Connections accepted in one turn of the loop: what is done with each may cost a millisecond."""
_GRANT = 0.005
"""Seconds that a process lets pass for each other one whose turn comes first. That is one switch of
Python's interpreter, so a process with busy threads gets its turn. One that hangs costs the others
5 ms a connection."""
_LOOK = 0.001  # seconds between two looks at whether the turn has come
_NO_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_QUEUE_OFFSET = 24
"""Of ``tcpi_unacked`` in Linux's ``struct tcp_info``. A listening socket has there how many
connections wait."""


class AcceptLoop:
    """Accepts connections until it is closed. Belongs to the running loop.

    Args:
        sock: A listening socket; the loop closes it.
        url: With the real port.
        take: Called with each accepted socket, which does not block, and its peer's address.
        turns: Whose turn it is, where several processes share the socket.
    """

    def __init__(
        self,
        sock: socket.socket,
        url: str,
        take: Callable[[socket.socket, Any], None],
        turns: AcceptTurns | None = None,
    ) -> None:
        self.url = url
        self._sock = sock
        self._take = take
        self._turns = turns
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._patience = 0.0
        self._accepted: WeakSet[socket.socket] = WeakSet()
        sock.setblocking(False)
        self._listen()

    def descriptors(self) -> list[int]:
        """The one that listens, and those of all open connections, handshakes included."""
        return [self._sock.fileno(), *(sock.fileno() for sock in self._accepted)]

    def close(self) -> None:
        """Stop listening; open connections go on. Idempotent.

        What waits to be accepted is taken first: a socket that closes would reset it.
        """
        if self._sock.fileno() < 0:
            return
        self._pause()
        self._accept(_AT_ONCE)
        self._sock.close()

    def _listen(self) -> None:
        self._timer = None
        self._patience = 0.0
        self._loop.add_reader(self._sock.fileno(), self._readable)

    def _pause(self) -> None:
        if self._timer is None:
            self._loop.remove_reader(self._sock.fileno())
        else:
            self._timer.cancel()

    def _readable(self) -> None:
        """Connections wait."""
        if self._turns is None:
            self._accept(_AT_ONCE)
        elif self._turns.before_us() == 0:
            self._accept(self._share())
        else:
            self._pause()
            self._wait()

    def _wait(self) -> None:
        self._timer = self._loop.call_later(_LOOK, self._look)

    def _look(self) -> None:
        """Whether it is our turn by now, or others have let theirs pass."""
        assert self._turns is not None  # noqa: S101  # only then it waits
        self._patience += _LOOK
        if self._patience < self._turns.before_us() * _GRANT:
            self._wait()
            return
        self._listen()
        self._accept(self._share())

    def _share(self) -> int:
        """How many to accept: one, or our part of a long queue."""
        assert self._turns is not None  # noqa: S101  # only then it shares
        waiting = 0
        option = getattr(socket, "TCP_INFO", None)
        if option is not None and self._sock.family != getattr(socket, "AF_UNIX", None):
            info = self._sock.getsockopt(socket.IPPROTO_TCP, option, _QUEUE_OFFSET + 4)
            (waiting,) = struct.unpack_from("=I", info, _QUEUE_OFFSET)
        return min(_AT_ONCE, max(1, int(waiting) // self._turns.count))

    def _accept(self, most: int) -> None:
        for _ in range(most):
            try:
                sock, address = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _NO_DESCRIPTORS:
                    raise
                # The listening socket stays readable: without a pause the loop does nothing else.
                log.warning("no connection can be accepted on %s: %s", self.url, error.strerror)
                self._pause()
                self._timer = self._loop.call_later(1.0, self._listen)
                return
            if self._turns is not None:
                self._turns.taken()
            sock.setblocking(False)
            self._accepted.add(sock)
            self._take(sock, address)
