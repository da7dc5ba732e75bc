"""A server's listening TLS socket: handshakes side by side, bounded in time and number."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from typing import TYPE_CHECKING, Any

from bee_core.interfaces import logger
from bee_core.streams import Accepting, AcceptLoop, StreamListener, refusal

from .tls_client import words
from .tls_contexts import connection_context

if TYPE_CHECKING:
    from collections.abc import Callable

    from bee_core.interfaces import AcceptTurns

    from .tls_contexts import ReloadedContext

    HasRoom = Callable[[str, int, int], bool]

log = logger("bee.tls")

SHUTDOWN: dict[str, Any] = {"ssl_shutdown_timeout": 1.0} if sys.version_info >= (3, 11) else {}
"""How long a loop waits for the peer's goodbye.

With its default of 30 s it would keep the sockets of peers that disappeared.
"""

_LINGER_SECONDS = 1.0
"""How long the input of a failed handshake is read and thrown away.

Closing at once would send a reset, and a reset destroys the alert in the peer's buffer.
"""
_LOG_SECONDS = 10.0
"""Failed handshakes have one log line in so many seconds: peers decide how many there are."""
_REFUSED_AT_ONCE = 16
"""Handshakes above max_connections that go on, so that a client can read why it is refused."""


class HandshakeLog:
    """Log lines about handshakes that failed: the first one at once, then one with a count.

    Args:
        url: Where the server listens.
        loop: The running loop.
    """

    def __init__(self, url: str, loop: asyncio.AbstractEventLoop) -> None:
        self._url = url
        self._loop = loop
        self._count = 0
        self._last = ("", "")
        self._quiet: asyncio.TimerHandle | None = None

    def failed(self, peer: str, why: str) -> None:
        """A handshake failed, or was not begun."""
        self._count += 1
        self._last = peer, why
        if self._quiet is None:
            self._say()

    def _say(self) -> None:
        self._quiet = None
        count, (peer, why) = self._count, self._last
        if not count:
            return
        if count == 1:
            log.info("the TLS handshake with %s failed: %s", peer, why)
        else:
            log.info(
                "%d TLS handshakes on %s failed within %g s; the last one, with %s: %s",
                count,
                self._url,
                _LOG_SECONDS,
                peer,
                why,
            )
        self._count = 0
        self._quiet = self._loop.call_later(_LOG_SECONDS, self._say)

    def close(self) -> None:
        """Say what is left."""
        if self._quiet is not None:
            self._quiet.cancel()
            self._say()
        if self._quiet is not None:
            self._quiet.cancel()


class TlsAcceptor(AcceptLoop):
    """Accepts connections on the running loop; each gets its protocol after the handshake.

    A handshake has one descriptor. One that fails has a second one for a moment: the loop closes
    its own, and the peer is told why after that.

    Args:
        sock: A listening socket; the acceptor closes it.
        url: With the real port.
        factory: Makes the protocol of a connection.
        contexts: Gives the context of each new connection.
        seconds: The most that a handshake may take.
        has_room: Whether one more handshake may begin: of a host, with so many handshakes under
            way, and so many of them from this host. Else the connection is closed.
        turns: Whose turn it is to accept, where several processes share the socket.
    """

    def __init__(
        self,
        sock: socket.socket,
        url: str,
        factory: Callable[[], asyncio.Protocol],
        contexts: ReloadedContext,
        *,
        seconds: float,
        has_room: HasRoom,
        turns: AcceptTurns | None = None,
    ) -> None:
        self._factory = factory
        self._contexts = contexts
        self._seconds = seconds
        self._has_room = has_room
        self._handshakes: dict[asyncio.Task[None], str] = {}
        self._failures = HandshakeLog(url, asyncio.get_running_loop())
        super().__init__(sock, url, self._begin, turns)

    async def end_handshakes(self) -> None:
        """Give up the handshakes that are not over."""
        while self._handshakes:
            tasks = list(self._handshakes)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            for task in tasks:
                self._handshakes.pop(task, None)
        self._failures.close()

    def _begin(self, sock: socket.socket, address: Any) -> None:
        host, port, *_ = address
        peer = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        under_way = self._handshakes
        of_host = sum(1 for other in under_way.values() if other == host)
        if not self._has_room(host, len(under_way), of_host):
            self._failures.failed(
                peer, "turned away, since handshakes and connections have reached their bound"
            )
            sock.close()
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(self._shake_hands(sock, peer))
        under_way[task] = host
        task.add_done_callback(lambda done: under_way.pop(done, None))

    async def _shake_hands(self, sock: socket.socket, peer: str) -> None:
        last_words: list[tuple[socket.socket, bytes]] = []

        def failed(alert: bytes) -> None:
            # While the loop has the socket still open. Without a descriptor the peer hears nothing.
            try:
                last_words.append((sock.dup(), alert))
            except OSError:
                return

        connect: Any = self._loop.connect_accepted_socket
        handed_over = http = False
        try:
            context = connection_context(self._contexts.current(), failed)
            handed_over = True
            await connect(
                self._factory,
                sock,
                ssl=context,
                ssl_handshake_timeout=self._seconds,
                **SHUTDOWN,
            )
        except ssl.SSLError as error:
            http = error.reason in {"HTTP_REQUEST", "HTTPS_PROXY_REQUEST"}  # OpenSSL looks for it
            self._failures.failed(peer, words(error.reason or str(error)))
        except ConnectionAbortedError:
            self._failures.failed(peer, f"it took longer than {self._seconds:g} s")
        except (OSError, ValueError) as error:
            # The peer went away, or the first certificate cannot be read.
            log.debug("no TLS connection with %s: %s", peer, error)
        finally:
            if not handed_over:
                sock.close()
        for spare, alert in last_words:
            with spare:
                await self._tell(spare, alert, http=http)

    async def _tell(self, sock: socket.socket, alert: bytes, *, http: bool) -> None:
        """Say why the handshake failed. An empty alert: the peer does not speak TLS at all."""
        try:
            sock.setblocking(False)
            sock.send(
                alert
                or refusal(
                    "protocol_error",
                    "this port speaks TLS and the client does not; write tls:// in the client's"
                    " address",
                    http=http,
                )
            )
            sock.shutdown(socket.SHUT_WR)
            await asyncio.wait_for(self._discard(sock), _LINGER_SECONDS)
        except (OSError, asyncio.TimeoutError):
            return

    async def _discard(self, sock: socket.socket) -> None:
        while await self._loop.sock_recv(sock, 64 * 1024):
            pass


class TlsListener(StreamListener):
    """See :class:`StreamListener`. A handshake counts like a connection."""

    async def open(self, transport: Accepting, url: str) -> None:
        """Begin to accept, with this listener's bounds for handshakes."""
        accept: Any = transport.accept
        self._opened(
            await accept(
                url,
                self.connection,
                self.settings.backlog,
                **self.shared_socket(),
                handshake_timeout=self.settings.read_timeout,
                has_room=self._has_room,
            )
        )

    def _has_room(self, host: str, handshakes: int, of_host: int) -> bool:
        most, most_of_peer = self.settings.max_connections, self.settings.max_connections_per_peer
        return (
            self.connections + handshakes < most + _REFUSED_AT_ONCE
            and self.connections_of(host) + of_host < most_of_peer + _REFUSED_AT_ONCE
        )

    async def close(self) -> None:
        """See :meth:`bee_core.interfaces.Listener.close`."""
        self.stop_accepting()
        if isinstance(self._acceptor, TlsAcceptor):
            await self._acceptor.end_handshakes()
        await super().close()
