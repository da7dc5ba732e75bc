"""Transport ``tcp``: bee's frames on TCP."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import TYPE_CHECKING

from bee_core.addresses import parse
from bee_core.hookspecs import hookimpl
from bee_core.streams.transport import StreamTransport
from bee_plugins.transports.acceptors import SocketAcceptor

if TYPE_CHECKING:
    from collections.abc import Callable

    from bee_core.hookspecs import Registrar
    from bee_core.interfaces import Transport


class TcpTransport(StreamTransport):
    """Plain TCP. ``TCP_NODELAY`` is set, since a call is one small write that must not wait; keepalive finds peers that vanished without a word."""

    def dial(self, url: str, timeout: float) -> socket.socket:
        """See :meth:`StreamTransport.dial`."""
        address = parse(url)
        sock = socket.create_connection((address.host, address.port or 0), timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return sock

    async def dial_async(self, url: str, factory: Callable[[], asyncio.Protocol]) -> None:
        """See :meth:`StreamTransport.dial_async`. asyncio sets ``TCP_NODELAY`` by itself."""
        address = parse(url)
        transport, _ = await asyncio.get_running_loop().create_connection(factory, address.host, address.port or 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    async def accept(self, url: str, factory: Callable[[], asyncio.Protocol], backlog: int) -> SocketAcceptor:
        """See :meth:`StreamTransport.accept`."""
        address = parse(url)
        host = address.host or "127.0.0.1"
        try:
            sock = _bound(host, address.port or 0, backlog)
        except OSError as error:
            raise _explained(error, url) from error
        server = await asyncio.get_running_loop().create_server(factory, sock=sock, backlog=backlog)
        port = sock.getsockname()[1]
        return SocketAcceptor(server, f"tcp://{f'[{host}]' if ':' in host else host}:{port}")


def _bound(host: str, port: int, backlog: int) -> socket.socket:
    family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    sock = socket.socket(family, kind, proto)
    try:
        # A restarted server gets its port back at once; two servers on one port are still refused.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.bind(address)
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def _explained(error: OSError, url: str) -> OSError:
    reasons = {
        errno.EADDRINUSE: "the port is in use; stop the process that has it, choose another port, or use port 0 for a free one",
        errno.EADDRNOTAVAIL: "this machine has no such address; bind to 127.0.0.1, 0.0.0.0 or an address of its own",
        errno.EACCES: "this user may not bind to that port; ports below 1024 need a privilege",
    }
    return OSError(error.errno, f"cannot listen on {url}: {reasons.get(error.errno or 0, error.strerror or str(error))}")


@hookimpl
def bee_register_transports(registry: Registrar[Transport]) -> None:
    """Register ``tcp``."""
    registry.add("tcp", TcpTransport)
