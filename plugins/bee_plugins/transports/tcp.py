"""Transport ``tcp``: bee's frames on TCP.

asyncio is imported by what runs on a loop: a blocking client does without.
"""

from __future__ import annotations

import errno
import socket
import time
from typing import TYPE_CHECKING, Any

from bee_core.hookspecs import Registrar, hookimpl
from bee_core.interfaces import Transport, parse

from .address_race import connect, connect_async
from .name_lookup import resolve, resolve_async
from .socket_transport import SocketOptions, SocketTransport, closed_on_error

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from bee_core.interfaces import AcceptTurns
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


_KEEPALIVE = {
    "TCP_KEEPIDLE": 60,
    "TCP_KEEPALIVE": 60,
    "TCP_KEEPINTVL": 10,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 90_000,
}
"""Options of TCP by name; a system has some of them (macOS calls the first one ``TCP_KEEPALIVE``).

A probe after 60 s of silence, and then each 10 s; after the third one without an answer, that is
90 s after the last sign of life, the connection ends. With the system's defaults that takes two
hours and eleven minutes. 60 s is also below what NATs and balancers take for idle, so those that
count probes keep the connection. ``TCP_USER_TIMEOUT`` (milliseconds) does the same for bytes that
were sent and not acknowledged, where the system would send them again for a quarter of an hour.
Without it, Linux sends no probe while bytes wait. Its value is the sum of the other three, so that
none of them comes too late to count."""


def keep_alive(sock: socket.socket) -> None:
    """Let the system find out that the other end has vanished without a word."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


class TcpTransport(SocketTransport):
    """Plain TCP.

    ``TCP_NODELAY`` is set, because a call is one small write that must not wait.
    """

    def dial(self, url: str, timeout: float) -> socket.socket:
        """See :meth:`StreamTransport.dial`. Each dial looks the name up anew."""
        address = parse(url)
        until = time.monotonic() + timeout
        return connect(resolve(address.host, address.port or 0, timeout), _prepare, until)

    async def dial_async(
        self, url: str, factory: Callable[[], asyncio.Protocol], **tls: Any
    ) -> None:
        """See :meth:`StreamTransport.dial_async`.

        ``tls`` goes to the loop's ``create_connection``: the handshake is made with the address
        that was connected first.
        """
        import asyncio

        address = parse(url)
        found = await resolve_async(address.host, address.port or 0)
        sock = await connect_async(found, _prepare)
        await asyncio.get_running_loop().create_connection(factory, sock=sock, **tls)

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
                # An accepted socket takes this over from the listening one.
                keep_alive(sock)
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
        turns: AcceptTurns | None = None,
    ) -> Acceptor:
        """See :meth:`StreamTransport.accept`."""
        import asyncio

        from .socket_acceptors import SharedAcceptor, SocketAcceptor

        sock = sock or self.bind(url, backlog)
        if turns is not None:
            return SharedAcceptor(sock, self.url_of(url, sock), factory, turns)
        server = await asyncio.get_running_loop().create_server(factory, sock=sock, backlog=backlog)
        return SocketAcceptor(server, self.url_of(url, sock))

    def url_of(self, url: str, sock: socket.socket) -> str:
        """The url of a listening socket, with the real port."""
        address = parse(url)
        host = address.host or "127.0.0.1"
        return f"{address.scheme}://{f'[{host}]' if ':' in host else host}:{sock.getsockname()[1]}"


def _prepare(sock: socket.socket) -> None:
    refuse_itself(sock)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    keep_alive(sock)


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
