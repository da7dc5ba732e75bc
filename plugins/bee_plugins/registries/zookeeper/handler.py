"""kazoo's threads and sockets under control: named, bounded, untouched by a forked child."""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import socket
import time
from math import ceil
from threading import Thread
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from kazoo.handlers.threading import SequentialThreadingHandler  # type: ignore[import-untyped]

from bee_plugins.registries.zookeeper.company import Company, open_connection

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

CONNECT_SECONDS = 2.0
"""Seconds for a connection to one server, without its hello."""


class Handler(SequentialThreadingHandler):  # type: ignore[misc]
    """kazoo's threads and sockets.

    Args:
        tls: For connections with TLS, or None.

    Attributes:
        sockets: The connection of now.
        heard_at: The monotonic time at which the server has last sent anything.
        company: Asks other servers while this one is silent.
    """

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        super().__init__()
        self._tls = tls
        self.heard_at = 0.0
        self.company = Company(tls, self.spawn)
        self.sockets: list[socket.socket] = []
        self._pair: tuple[socket.socket, ...] = ()
        self._aborted = False
        _living.add(self)

    def start(self) -> None:
        """Start without kazoo's exit hook: a forked child would run it as well."""
        super().start()
        atexit.unregister(self.stop)

    def spawn(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Thread:
        """A daemon thread with a name."""
        thread = Thread(target=func, args=args, kwargs=kwargs, name="bee-zookeeper", daemon=True)
        thread.start()
        return thread

    def select(
        self,
        rlist: Sequence[Any],
        wlist: Sequence[Any],
        xlist: Sequence[Any],
        timeout: float | None = None,
    ) -> tuple[Any, Any, Any]:
        """Which sockets can be read and written.

        A socket with bytes that TLS has decrypted counts as readable. The system does not know of
        them: one TLS record may hold several replies.
        """
        if self._tls is not None:
            pending = [sock for sock in rlist if sock in self.sockets and sock.pending()]
            if pending:
                self.heard_at = time.monotonic()
                return pending, [], []
        # kazoo would make an epoll set each time, and does this several times a request.
        poll = select.poll()
        for sock in rlist:
            poll.register(sock, select.POLLIN)
        for sock in wlist:
            poll.register(sock, select.POLLOUT)
        found = {fd for fd, _ in poll.poll(None if timeout is None else ceil(timeout * 1000))}
        readable = [sock for sock in rlist if sock.fileno() in found]
        if any(sock in self.sockets for sock in readable):
            self.heard_at = time.monotonic()
        return readable, [sock for sock in wlist if sock.fileno() in found], []

    def create_socket_pair(self) -> tuple[socket.socket, socket.socket]:
        """The pipe by which requests wake kazoo's thread.

        An event loop writes into it, so the writing end never blocks.
        """
        ends = socket.socketpair()
        ends[1].setblocking(False)
        self._pair = ends
        return ends

    def create_connection(
        self,
        address: tuple[str, int],
        hostname: str | None = None,
        timeout: float | None = None,
        **_: Any,
    ) -> socket.socket:
        """A connection to one server, within :data:`CONNECT_SECONDS`.

        Raises:
            OSError: It failed.
        """

        def made(sock: socket.socket) -> None:
            self.sockets = [sock]  # at once, so that it can be aborted
            if self._aborted:
                raise ConnectionAbortedError("the client closes")

        patience = min(CONNECT_SECONDS, timeout or CONNECT_SECONDS)
        return open_connection(address, hostname or address[0], patience, self._tls, made)

    def interrupt(self) -> None:
        """Cut the connection of now; kazoo makes the next one. From any thread."""
        for sock in self.sockets:
            with contextlib.suppress(OSError, ValueError):
                sock.shutdown(socket.SHUT_RDWR)

    def abort(self) -> None:
        """Cut the connection for good, so that kazoo's thread stops waiting. From any thread."""
        self._aborted = True
        self.interrupt()
        self.company.close()

    def forget(self) -> None:
        """In a forked child: close its copies of the descriptors; send nothing."""
        for sock in (*self.sockets, *self._pair):
            with contextlib.suppress(OSError, ValueError):
                os.close(sock.detach())
        _inherited.append(self)


_living: WeakSet[Handler] = WeakSet()
_inherited: list[object] = []  # kept in a forked child, so that the parent's destructors never run


def _in_child() -> None:
    for handler in list(_living):
        handler.forget()


os.register_at_fork(after_in_child=_in_child)
