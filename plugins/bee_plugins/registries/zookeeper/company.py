"""Which other servers of an ensemble answer while one is silent.

A frozen server, or one behind a cut network, takes connections and says nothing. So the others are
asked as well, without touching the session: each hello would move it to the server that gets it, so
only one server may have it at a time. The question is ZooKeeper's command ``srvr``. Where it is not
in ``4lw.commands.whitelist`` the server says so, which is an answer too.
"""

from __future__ import annotations

import contextlib
import socket
import time
from threading import Event, Lock, current_thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence
    from threading import Thread

Server = tuple[str, str, int]
"""A server's name, one of its addresses, and its port."""

STEP_SECONDS = 0.25
"""Seconds of silence after which the next server is asked as well."""
_ANSWER_SECONDS = 4.0
_JOIN_SECONDS = 1.0
_WITHOUT_QUORUM = b"not currently serving"


class Company:
    """Asks servers, one more every :data:`STEP_SECONDS`. One round at a time. Thread-safe.

    Args:
        tls: For connections with TLS, or None.
        spawn: Starts a thread.
    """

    def __init__(self, tls: ssl.SSLContext | None, spawn: Callable[..., Thread]) -> None:
        self._tls = tls
        self._spawn = spawn
        self._lock = Lock()
        self._round: _Round | None = None
        self._closed = False

    def call(
        self, servers: Sequence[Server], after: float, found: Callable[[Server], None]
    ) -> None:
        """Begin a round. It ends with the first good answer, or by :meth:`dismiss`.

        Args:
            servers: Whom to ask, in this order.
            after: Seconds until the first one is asked.
            found: Called once, on a thread of the round, with the server that answered first.
        """
        begun = _Round(self._tls, found)
        with self._lock:
            if self._closed:
                return
            before, self._round = self._round, begun
            begun.threads = [
                self._spawn(begun.ask, server, after + number * STEP_SECONDS)
                for number, server in enumerate(servers)
            ]
        if before is not None:
            before.end()

    def dismiss(self) -> None:
        """End the round, and wait for its threads, which have no more to wait for. Idempotent."""
        with self._lock:
            ended, self._round = self._round, None
        if ended is not None:
            ended.end()
            ended.join()

    def close(self) -> None:
        """As :meth:`dismiss`, and there is no other round."""
        with self._lock:
            self._closed = True
        self.dismiss()


class _Round:
    def __init__(self, tls: ssl.SSLContext | None, found: Callable[[Server], None]) -> None:
        self._tls = tls
        self._found = found
        self._over = Event()
        self._lock = Lock()
        self._sockets: list[socket.socket] = []
        self.threads: list[Thread] = []

    def ask(self, server: Server, delay: float) -> None:
        """What each thread does."""
        if self._over.wait(delay) or not self._answers(server):
            return
        with self._lock:
            if self._over.is_set():
                return
            self._over.set()
            self._found(server)

    def end(self) -> None:
        """Stop asking. Does not wait."""
        with self._lock:
            self._over.set()
            for sock in self._sockets:
                with contextlib.suppress(OSError, ValueError):
                    sock.shutdown(socket.SHUT_RDWR)

    def join(self) -> None:
        """Wait for the threads, except for the one that calls."""
        until = time.monotonic() + _JOIN_SECONDS
        for thread in self.threads:
            if thread is not current_thread():
                thread.join(max(0.0, until - time.monotonic()))

    def _answers(self, server: Server) -> bool:
        host, address, port = server
        try:
            with open_connection(
                (address, port), host, _ANSWER_SECONDS, self._tls, self._keep
            ) as sock:
                sock.sendall(b"srvr")
                answer = sock.recv(4096)
                return bool(answer) and _WITHOUT_QUORUM not in answer
        except (OSError, ValueError):
            return False

    def _keep(self, sock: socket.socket) -> None:
        with self._lock:
            if self._over.is_set():
                raise ConnectionAbortedError
            self._sockets.append(sock)


def open_connection(
    address: tuple[str, int],
    hostname: str,
    timeout: float,
    tls: ssl.SSLContext | None,
    made: Callable[[socket.socket], None],
) -> socket.socket:
    """A connection to one server.

    Args:
        address: Its address and port.
        hostname: What its certificate is for.
        timeout: Seconds for the connection; a handshake has twice as long.
        tls: For TLS, or None.
        made: Gets each socket before it waits for anything, so that it can be shut down. What it
            raises ends the attempt.

    Raises:
        OSError: It failed.
    """
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        made(sock)
        sock.settimeout(timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect(address)
        if tls is not None:
            sock = tls.wrap_socket(sock, server_hostname=hostname, do_handshake_on_connect=False)
            made(sock)
            sock.settimeout(2 * timeout)  # both sides calculate
            sock.do_handshake()
    except OSError as error:
        sock.close()
        error.strerror = error.strerror or str(error)  # which is what kazoo tells
        raise
    except BaseException:
        sock.close()
        raise
    return sock
