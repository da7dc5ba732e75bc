"""Transport ``unix``: bee's frames on a socket in the file system, for processes of one machine."""

from __future__ import annotations

import asyncio
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from bee_core.hookspecs import hookimpl
from bee_core.interfaces import parse
from bee_core.streams.transport import StreamTransport
from bee_plugins.transports.acceptors import SocketAcceptor
from bee_plugins.transports.stream_options import StreamOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from bee_core.hookspecs import Registrar
    from bee_core.interfaces import Transport


class UnixTransport(StreamTransport):
    """Unix domain sockets. Who may connect is decided by the permissions of the folder and the socket file."""

    def __init__(self, options: StreamOptions | None = None) -> None:
        self.busy_poll = (options or StreamOptions()).busy_poll
        self._inodes: WeakKeyDictionary[socket.socket, int] = WeakKeyDictionary()

    def dial(self, url: str, timeout: float) -> socket.socket:
        """See :meth:`StreamTransport.dial`."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(timeout)
            sock.connect(parse(url).path)
        except BlockingIOError:
            sock.close()
            raise TimeoutError from None  # Linux reports a full backlog this way
        except BaseException:
            sock.close()
            raise
        return sock

    async def dial_async(self, url: str, factory: Callable[[], asyncio.Protocol]) -> None:
        """See :meth:`StreamTransport.dial_async`."""
        await asyncio.get_running_loop().create_unix_connection(factory, parse(url).path)

    def bind(self, url: str, backlog: int) -> socket.socket:
        """See :meth:`StreamTransport.bind`. The file of a server that died is replaced; that of one that lives is not."""
        path = parse(url).path
        _remove_dead(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.bind(path)
            sock.listen(backlog)
        except OSError as error:
            sock.close()
            raise OSError(
                error.errno, f"cannot listen on {url}: {(error.strerror or str(error)).lower()}"
            ) from error
        self._inodes[sock] = _inode(path)
        return sock

    def release(self, sock: socket.socket) -> None:
        """See :meth:`StreamTransport.release`. Removes the file, unless it is another server's by now."""
        path, inode = sock.getsockname(), self._inodes.pop(sock, None)
        sock.close()
        if inode is not None:
            _remove_own(path, inode)

    async def accept(
        self,
        url: str,
        factory: Callable[[], asyncio.Protocol],
        backlog: int,
        sock: socket.socket | None = None,
    ) -> SocketAcceptor:
        """See :meth:`StreamTransport.accept`."""
        path = parse(url).path
        own = sock is None
        sock = sock or self.bind(url, backlog)
        inode = self._inodes.get(sock)
        server = await _serve(factory, sock, backlog)
        return SocketAcceptor(
            server,
            f"unix://{path}",
            (lambda: _remove_own(path, inode)) if own and inode is not None else None,
        )


async def _serve(
    factory: Callable[[], asyncio.Protocol], sock: socket.socket, backlog: int
) -> asyncio.AbstractServer:
    """Serve on the socket. Loops of Python 3.13 remove the file when they close their copy, which other processes still need; we do that ourselves."""
    create: Any = asyncio.get_running_loop().create_unix_server
    try:
        server: asyncio.AbstractServer = await create(
            factory, sock=sock, backlog=backlog, cleanup_socket=False
        )
    except TypeError:  # an older loop, which removes nothing
        server = await create(factory, sock=sock, backlog=backlog)
    return server


def _remove_dead(path: str) -> None:
    try:
        if not stat.S_ISSOCK(Path(path).stat().st_mode):
            return  # not ours to remove: bind reports it
    except OSError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink()
        except OSError:
            return


def _inode(path: str) -> int:
    return Path(path).stat().st_ino


def _remove_own(path: str, inode: int) -> None:
    try:
        if _inode(path) == inode:
            Path(path).unlink()
    except OSError:
        return  # gone already


@hookimpl
def bee_register_transports(registry: Registrar[Transport]) -> None:
    """Register ``unix``."""
    registry.add("unix", UnixTransport, options=StreamOptions)
