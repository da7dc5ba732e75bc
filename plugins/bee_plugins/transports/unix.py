"""Transport ``unix``: bee's frames on a socket in the file system, for processes of one machine."""

from __future__ import annotations

import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from bee_core.hookspecs import Registrar, hookimpl
from bee_core.interfaces import Reach, Transport, parse

from .socket_transport import SocketOptions, SocketTransport, closed_on_error

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from bee_core.interfaces import AcceptTurns
    from bee_core.streams import Acceptor


class UnixTransport(SocketTransport):
    """Unix domain sockets. The permissions of the folder and of the file say who may connect."""

    reach: Reach = "machine"

    def __init__(self, options: SocketOptions | None = None) -> None:
        super().__init__(options)
        self._inodes: WeakKeyDictionary[socket.socket, int] = WeakKeyDictionary()

    def dial(self, url: str, timeout: float) -> socket.socket:
        """See :meth:`StreamTransport.dial`."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with closed_on_error(sock):
                sock.settimeout(timeout)
                sock.connect(parse(url).path)
        except BlockingIOError:
            raise TimeoutError from None  # so Linux reports a full backlog
        return sock

    async def dial_async(self, url: str, factory: Callable[[], asyncio.Protocol]) -> None:
        """See :meth:`StreamTransport.dial_async`."""
        import asyncio  # see ``tcp``

        await asyncio.get_running_loop().create_unix_connection(factory, parse(url).path)

    def bind(self, url: str, backlog: int) -> socket.socket:
        """See :meth:`StreamTransport.bind`. Replaces the file of a server that is dead."""
        path = parse(url).path
        _remove_dead(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with closed_on_error(sock):
                sock.bind(path)
                sock.listen(backlog)
        except OSError as error:
            raise OSError(
                error.errno, f"cannot listen on {url}: {(error.strerror or str(error)).lower()}"
            ) from error
        self._inodes[sock] = _inode(path)
        return sock

    def release(self, sock: socket.socket) -> None:
        """See :meth:`StreamTransport.release`. Removes the file unless it is another server's."""
        path, inode = sock.getsockname(), self._inodes.pop(sock, None)
        sock.close()
        _remove_own(path, inode)

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

        path = parse(url).path
        own = sock is None
        sock = sock or self.bind(url, backlog)
        if turns is not None:
            return SharedAcceptor(sock, f"unix://{path}", factory, turns)
        inode = self._inodes.get(sock)
        create: Any = asyncio.get_running_loop().create_unix_server
        try:
            # From Python 3.13 on a loop removes the file when it closes its copy of the socket.
            # Other processes still need the file, so bee removes it itself.
            server = await create(factory, sock=sock, backlog=backlog, cleanup_socket=False)
        except TypeError:  # an older loop, which removes nothing
            server = await create(factory, sock=sock, backlog=backlog)
        return SocketAcceptor(
            server,
            f"unix://{path}",
            (lambda: _remove_own(path, inode)) if own else None,
        )


def _remove_dead(path: str) -> None:
    try:
        if not stat.S_ISSOCK(Path(path).stat().st_mode):
            return  # not a socket, so it stays: bind reports it
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


def _remove_own(path: str, inode: int | None) -> None:
    with suppress(OSError):  # it may be gone already
        if _inode(path) == inode:
            Path(path).unlink()


@hookimpl
def bee_register_transports(registry: Registrar[Transport]) -> None:
    """Register ``unix``."""
    registry.add("unix", UnixTransport, options=SocketOptions)
