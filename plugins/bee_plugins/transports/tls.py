"""Transport ``tls``: bee's frames on TLS on TCP, with certificates that are read anew when their files change."""

from __future__ import annotations

import logging
import ssl
import time
from typing import TYPE_CHECKING

from bee_core.hookspecs import hookimpl
from bee_core.interfaces import parse
from bee_core.options import OptionError
from bee_plugins.transports.tcp import TcpTransport
from bee_plugins.transports.tls_contexts import (
    NO_CERTIFICATE,
    ReloadedContext,
    check_files,
    client_context,
    server_context,
)
from bee_plugins.transports.tls_errors import explained, turned_away
from bee_plugins.transports.tls_listener import SHUTDOWN, TlsAcceptor, TlsListener
from bee_plugins.transports.tls_options import TlsOptions
from bee_plugins.transports.tls_socket import TlsConnection

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable

    from bee_core.hookspecs import Registrar
    from bee_core.interfaces import Endpoint, Listener, ListenSettings, Transport
    from bee_core.streams.blocking_channel import BlockingChannel
    from bee_core.streams.blocking_connection import BlockingConnection

log = logging.getLogger("bee.tls")

_HANDSHAKE_SECONDS = 10.0
_MOST_HANDSHAKES = 1000
"""Bounds for who calls ``accept`` itself; a listener passes those of the server."""


class TlsTransport(TcpTransport):
    """TLS over TCP. The handshake is part of connecting, so connect_timeout bounds it in a client; in a server read_timeout does.

    Args:
        options: Names the files; they are read at once, and again whenever they have changed when a connection is made.

    Raises:
        OptionError: A file cannot be used.
    """

    def __init__(self, options: TlsOptions) -> None:
        check_files(options)
        self._options = options
        self._client = ReloadedContext(options, client_context)
        self._server = ReloadedContext(options, server_context)
        if not options.verify:
            log.warning(
                "verify is off: clients take any certificate of any server, so anybody in between can read and change what they send"
            )

    def _name(self, url: str) -> str:
        return self._options.server_hostname or parse(url).host

    def dial(self, url: str, timeout: float) -> socket.socket:
        """See :meth:`StreamTransport.dial`."""
        until = time.monotonic() + timeout
        context = self._client.current()
        plain = super().dial(url, timeout)
        try:
            # Python counts the timeout of a socket from the handshake's beginning to its end, not for each step.
            plain.settimeout(max(until - time.monotonic(), 0.001))
            return context.wrap_socket(plain, server_hostname=self._name(url))
        except ssl.SSLError as error:
            plain.close()
            raise explained(error) from error
        except BaseException:
            plain.close()
            raise

    async def dial_async(self, url: str, factory: Callable[[], asyncio.Protocol]) -> None:
        """See :meth:`StreamTransport.dial_async`."""
        try:
            await self.connect(
                url,
                factory,
                ssl=self._client.current(),
                server_hostname=self._name(url),
                **SHUTDOWN,
            )
        except ssl.SSLError as error:
            raise explained(error) from error

    def connection(self, channel: BlockingChannel, sock: socket.socket) -> BlockingConnection:
        """See :meth:`StreamTransport.connection`."""
        return TlsConnection(channel, sock)

    def explained(self, error: Exception) -> Exception:
        """See :meth:`StreamTransport.explained`."""
        return turned_away(error)

    def check_listening(self, url: str) -> None:
        """See :meth:`StreamTransport.check_listening`."""
        if self._options.cert is None:
            raise OptionError("cert", NO_CERTIFICATE)

    async def listen(self, url: str, endpoint: Endpoint, settings: ListenSettings) -> Listener:
        """See :meth:`bee_core.interfaces.Transport.listen`."""
        listener = TlsListener(endpoint, settings)
        await listener.open(self, url, settings.sock)
        return listener

    async def accept(
        self,
        url: str,
        factory: Callable[[], asyncio.Protocol],
        backlog: int,
        sock: socket.socket | None = None,
        *,
        handshake_timeout: float = _HANDSHAKE_SECONDS,
        most_handshakes: int = _MOST_HANDSHAKES,
    ) -> TlsAcceptor:
        """See :meth:`StreamTransport.accept`.

        Args:
            url: Where.
            factory: Makes the protocol of a connection, after its handshake.
            backlog: Connections that may wait.
            sock: What ``bind`` made.
            handshake_timeout: Seconds that a handshake may take.
            most_handshakes: That may be under way.
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
            most=most_handshakes,
        )


@hookimpl
def bee_register_transports(registry: Registrar[Transport]) -> None:
    """Register ``tls``."""
    registry.add("tls", TlsTransport, options=TlsOptions)
