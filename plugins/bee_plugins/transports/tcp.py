"""Transport ``tcp``: bee's frames on TCP."""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from concurrent import futures
from threading import Thread
from typing import TYPE_CHECKING, Any

from bee_core.hookspecs import Registrar, hookimpl
from bee_core.interfaces import Transport, parse

from .socket_transport import SocketAcceptor, SocketOptions, SocketTransport, closed_on_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from bee_core.streams import Acceptor

_NO_PORT = {
    errno.EADDRINUSE: (
        "the port is in use; stop the process that has it, choose another port, or use port 0 for a"
        " free one"
    ),
    errno.EADDRNOTAVAIL: (
        "this machine has no such address; bind to 127.0.0.1, 0.0.0.0 or an address of its own"
    ),
    errno.EACCES: "this user may not bind to that port; ports below 1024 need a privilege",
}


class TcpTransport(SocketTransport):
    """Plain TCP.

    ``TCP_NODELAY`` is set, because a call is one small write that must not wait. Keepalive finds
    peers that disappeared without closing their connection.
    """

    def dial(self, url: str, timeout: float) -> socket.socket:
        """See :meth:`StreamTransport.dial`."""
        address = parse(url)
        until = time.monotonic() + timeout
        error: OSError = ConnectionRefusedError(errno.ECONNREFUSED, "the name has no address")
        found = resolve(address.host, address.port or 0, timeout)
        for tried, (family, kind, proto, _, place) in enumerate(found):
            sock = socket.socket(family, kind, proto)
            try:
                with closed_on_error(sock):
                    # Each address that is left gets a share of the time: an address that drops
                    # packets must not use the time of the others.
                    left = until - time.monotonic()
                    if left <= 0:
                        raise TimeoutError
                    sock.settimeout(left / (len(found) - tried))
                    sock.connect(place)
                    refuse_itself(sock)
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                    return sock
            except OSError as failed:
                error = failed
        raise error

    async def dial_async(
        self, url: str, factory: Callable[[], asyncio.Protocol], **tls: Any
    ) -> None:
        """See :meth:`StreamTransport.dial_async`. asyncio itself sets ``TCP_NODELAY``.

        ``tls`` goes to the loop's ``create_connection``.
        """
        address = parse(url)
        transport, _ = await asyncio.get_running_loop().create_connection(
            factory, address.host, address.port or 0, **tls
        )
        sock = transport.get_extra_info("socket")
        try:
            refuse_itself(sock)
        except OSError:
            transport.abort()
            raise
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def bind(self, url: str, backlog: int) -> socket.socket:
        """See :meth:`StreamTransport.bind`."""
        address = parse(url)
        try:
            family, kind, proto, _, place = socket.getaddrinfo(
                address.host or "127.0.0.1",
                address.port or 0,
                type=socket.SOCK_STREAM,
                flags=socket.AI_PASSIVE,
            )[0]
            sock = socket.socket(family, kind, proto)
            with closed_on_error(sock):
                # A restarted server gets its port back at once. Two servers on one port stay
                # impossible.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                sock.bind(place)
                sock.listen(backlog)
        except OSError as error:
            reason = _NO_PORT.get(error.errno or 0, error.strerror or str(error))
            raise OSError(error.errno, f"cannot listen on {url}: {reason}") from error
        return sock

    async def accept(
        self,
        url: str,
        factory: Callable[[], asyncio.Protocol],
        backlog: int,
        sock: socket.socket | None = None,
    ) -> Acceptor:
        """See :meth:`StreamTransport.accept`."""
        sock = sock or self.bind(url, backlog)
        server = await asyncio.get_running_loop().create_server(factory, sock=sock, backlog=backlog)
        return SocketAcceptor(server, self.url_of(url, sock))

    def url_of(self, url: str, sock: socket.socket) -> str:
        """The url of a listening socket, with the real port."""
        address = parse(url)
        host = address.host or "127.0.0.1"
        return f"{address.scheme}://{f'[{host}]' if ':' in host else host}:{sock.getsockname()[1]}"


def resolve(host: str, port: int, timeout: float) -> list[Any]:
    """The addresses of a name, as ``socket.getaddrinfo`` lists them, within ``timeout`` seconds.

    The system's resolver takes no timeout and may need half a minute. So a thread resolves the
    name, and is left behind when the time is over. A literal address needs no thread.

    Raises:
        TimeoutError: The name was not resolved in time.
        OSError: There is no such name.
    """
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        pass  # a name
    found: futures.Future[list[Any]] = futures.Future()

    def look_up() -> None:
        try:
            found.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except OSError as error:
            found.set_exception(error)

    Thread(target=look_up, name=f"bee-resolve-{host}", daemon=True).start()
    try:
        return found.result(timeout)
    except futures.TimeoutError:
        raise TimeoutError(f"the name {host} was not resolved in time") from None


def refuse_itself(sock: socket.socket) -> None:
    """Refuse a connection of a socket to itself.

    When a client dials a free port of the ephemeral range, its own source port can be the same one.
    TCP then connects the socket to itself.

    Raises:
        ConnectionRefusedError: It is such a connection.
    """
    if sock.getsockname() == sock.getpeername():
        raise ConnectionRefusedError(errno.ECONNREFUSED, "connection refused: nobody listens there")


@hookimpl
def bee_register_transports(registry: Registrar[Transport]) -> None:
    """Register ``tcp``."""
    registry.add("tcp", TcpTransport, options=SocketOptions)
