"""Transport ``tls``: bee's frames on TLS on TCP. Changed certificate files are read again."""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING, Any

from bee_core.hookspecs import Registrar, hookimpl
from bee_core.interfaces import Endpoint, Listener, ListenSettings, Transport, logger, parse

from .socket_transport import closed_on_error
from .tcp import TcpTransport
from .tls_client import TlsConnection, explained, turned_away
from .tls_contexts import (
    ReloadedContext,
    TlsOptions,
    check_files,
    client_context,
    server_context,
)
from .tls_listener import SHUTDOWN, TlsAcceptor, TlsListener

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable

    from bee_core.interfaces import AcceptTurns
    from bee_core.streams import BlockingConnection, Owner

    from .tls_listener import HasRoom

log = logger("bee.tls")


class TlsTransport(TcpTransport):
    """TLS over TCP.

    The handshake is part of connecting. In a client connect_timeout bounds it, in a server
    read_timeout does.

    Args:
        options: Names the files. They are read at once, and again for a new connection if they have
            changed.

    Raises:
        OptionError: A file cannot be used.
    """

    encrypted = True

    def __init__(self, options: TlsOptions) -> None:
        check_files(options)
        self._options = options
        self._client = ReloadedContext(options, client_context)
        self._server = ReloadedContext(options, server_context)
        if not options.verify:
            log.warning(
                "verify is off: clients take any certificate of any server, so anybody in between"
                " can read and change what they send"
            )

    def _name(self, url: str) -> str:
        return self._options.server_hostname or parse(url).host

    def dial(self, url: str, timeout: float) -> socket.socket:
        """See :meth:`StreamTransport.dial`."""
        until = time.monotonic() + timeout
        context = self._client.current()
        plain = super().dial(url, timeout)
        try:
            with closed_on_error(plain):
                # Python applies the timeout of a socket to the whole handshake, not to each step.
                plain.settimeout(max(until - time.monotonic(), 0.001))
                return context.wrap_socket(plain, server_hostname=self._name(url))
        except ssl.SSLError as error:
            raise explained(error) from error

    async def dial_async(
        self, url: str, factory: Callable[[], asyncio.Protocol], **tls: Any
    ) -> None:
        """See :meth:`StreamTransport.dial_async`."""
        tls.update(SHUTDOWN, ssl=self._client.current(), server_hostname=self._name(url))
        try:
            await super().dial_async(url, factory, **tls)
        except ssl.SSLError as error:
            raise explained(error) from error

    def connection(self, owner: Owner, sock: socket.socket) -> BlockingConnection:
        """See :meth:`StreamTransport.connection`."""
        return TlsConnection(owner, sock)

    def explained(self, error: Exception) -> Exception:
        """See :meth:`StreamTransport.explained`."""
        return turned_away(error)

    def check_listening(self, url: str) -> None:
        """See :meth:`StreamTransport.check_listening`."""
        self._server.current()

    async def listen(self, url: str, endpoint: Endpoint, settings: ListenSettings) -> Listener:
        """See :meth:`bee_core.interfaces.Transport.listen`."""
        listener = TlsListener(endpoint, settings)
        await listener.open(self, url)
        return listener

    async def accept(
        self,
        url: str,
        factory: Callable[[], asyncio.Protocol],
        backlog: int,
        sock: socket.socket | None = None,
        turns: AcceptTurns | None = None,
        *,
        handshake_timeout: float = 10.0,
        has_room: HasRoom = lambda *_: True,
    ) -> TlsAcceptor:
        """See :meth:`StreamTransport.accept`.

        Args:
            url: Where to listen.
            factory: Makes the protocol of a connection, after its handshake.
            backlog: Connections that may wait.
            sock: The socket that ``bind`` made.
            turns: Go with a socket that several processes share.
            handshake_timeout: Seconds that a handshake may take. A listener passes the
                read_timeout of the server.
            has_room: Whether one more handshake may begin; see :class:`TlsAcceptor`.
        """
        try:
            self._server.current()
        except ValueError as error:
            raise OSError(f"cannot listen on {url}: {error}") from None
        sock = sock or self.bind(url, backlog)
        return TlsAcceptor(
            sock,
            self.url_of(url, sock),
            factory,
            self._server,
            seconds=handshake_timeout,
            has_room=has_room,
            turns=turns,
        )


@hookimpl
def bee_register_transports(registry: Registrar[Transport]) -> None:
    """Register ``tls``."""
    registry.add("tls", TlsTransport, options=TlsOptions)
