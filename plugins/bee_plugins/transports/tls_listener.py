"""A server's listening TLS socket: handshakes side by side, bounded in time and number."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
import sys
from typing import TYPE_CHECKING, Any

from bee_core.streams import Accepting, StreamListener, refusal

from .socket_transport import closed_on_error
from .tls_client import words

if TYPE_CHECKING:
    from collections.abc import Callable

    from .tls_contexts import ReloadedContext

log = logging.getLogger("bee.tls")

SHUTDOWN: dict[str, Any] = {"ssl_shutdown_timeout": 1.0} if sys.version_info >= (3, 11) else {}
"""How long a loop waits for the peer's goodbye.

With its default of 30 s it would keep the sockets of peers that disappeared.
"""

_ACCEPTED_AT_ONCE = 16
"""Connections accepted in one turn of the loop.

Each handshake costs about a millisecond, and other calls wait for it.
"""
_LINGER_SECONDS = 1.0
"""How long the input of a failed handshake is read and thrown away.

Closing at once would send a reset, and a reset destroys the alert in the peer's buffer.
"""
_NO_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class TlsAcceptor:
    """Accepts connections on the running loop; each gets its protocol after the handshake.

    Args:
        sock: A listening socket; the acceptor closes it.
        url: With the real port.
        factory: Makes the protocol of a connection.
        contexts: Gives the context of each new connection.
        seconds: The most that a handshake may take.
        most: Handshakes at a time. One more connection is closed, so many silent peers cannot take
            more sockets than that.
    """

    def __init__(
        self,
        sock: socket.socket,
        url: str,
        factory: Callable[[], asyncio.Protocol],
        contexts: ReloadedContext,
        *,
        seconds: float,
        most: int,
    ) -> None:
        self.url = url
        self._sock = sock
        self._factory = factory
        self._contexts = contexts
        self._seconds = seconds
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._handshakes: set[asyncio.Task[None]] = set()
        self._resting: asyncio.TimerHandle | None = None
        sock.setblocking(False)
        self._loop.add_reader(sock.fileno(), self._accept)

    def close(self) -> None:
        """Stop listening; open connections and handshakes go on. Idempotent."""
        if self._resting is not None:
            self._resting.cancel()
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock.fileno())
            self._sock.close()

    async def end_handshakes(self) -> None:
        """Give up the handshakes that are not over."""
        while self._handshakes:
            tasks = list(self._handshakes)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self._handshakes.difference_update(tasks)

    def _accept(self) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                sock, address = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _NO_DESCRIPTORS:
                    raise
                # The listening socket stays readable: without a pause the loop does nothing else.
                log.warning("no connection can be accepted on %s: %s", self.url, error.strerror)
                self._loop.remove_reader(self._sock.fileno())
                self._resting = self._loop.call_later(
                    1.0, self._loop.add_reader, self._sock.fileno(), self._accept
                )
                return
            host, port, *_ = address
            peer = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            if len(self._handshakes) >= self._most:
                log.debug(
                    "%d handshakes are under way on %s, so %s is turned away",
                    self._most,
                    self.url,
                    peer,
                )
                sock.close()
                continue
            task = self._loop.create_task(self._shake_hands(sock, peer))
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    async def _shake_hands(self, sock: socket.socket, peer: str) -> None:
        # A second descriptor. The loop closes its own when the handshake fails, and the peer is
        # told why after that.
        with sock.dup() as spare:
            spare.setblocking(False)
            spare.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connect: Any = self._loop.connect_accepted_socket
            try:
                with closed_on_error(sock):
                    await connect(
                        self._factory,
                        sock,
                        ssl=self._contexts.current(),
                        ssl_handshake_timeout=self._seconds,
                        **SHUTDOWN,
                    )
            except ssl.SSLError as error:
                log.info(
                    "the TLS handshake with %s failed: %s", peer, words(error.reason or str(error))
                )
                alert: bytes | None = getattr(error, "alert", None)
                if alert is not None:
                    # An empty alert: the peer does not speak TLS at all.
                    await self._tell(
                        spare,
                        alert
                        or refusal(
                            "protocol_error",
                            "this port speaks TLS and the client does not; write tls:// in the"
                            " client's address",
                        ),
                    )
            except (OSError, ValueError) as error:
                # The peer went away or took too long, or the first certificate cannot be read.
                log.debug("no TLS connection with %s: %s", peer, error)

    async def _tell(self, sock: socket.socket, last_words: bytes) -> None:
        try:
            sock.send(last_words)
            sock.shutdown(socket.SHUT_WR)
            await asyncio.wait_for(self._discard(sock), _LINGER_SECONDS)
        except (OSError, asyncio.TimeoutError):
            return

    async def _discard(self, sock: socket.socket) -> None:
        while await self._loop.sock_recv(sock, 64 * 1024):
            pass


class TlsListener(StreamListener):
    """See :class:`StreamListener`. Before the end of its handshake a peer is no connection."""

    async def open(self, transport: Accepting, url: str, sock: socket.socket | None = None) -> None:
        """Begin to accept, with this listener's bounds for handshakes."""
        accept: Any = transport.accept
        self._opened(
            await accept(
                url,
                self.connection,
                self.settings.backlog,
                sock,
                handshake_timeout=self.settings.read_timeout,
                most_handshakes=self.settings.max_connections,
            )
        )

    async def close(self) -> None:
        """See :meth:`bee_core.interfaces.Listener.close`."""
        self.stop_accepting()
        if isinstance(self._acceptor, TlsAcceptor):
            await self._acceptor.end_handshakes()
        await super().close()
