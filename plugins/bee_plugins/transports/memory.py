"""Transport ``memory``: client and server in one process, without an address. For tests and examples.

The bytes go through a socket pair, so framing, back-pressure and the end of a connection are those of the real thing.
"""

from __future__ import annotations

import asyncio
import socket
from threading import Lock
from typing import TYPE_CHECKING

from bee_core.hookspecs import hookimpl
from bee_core.interfaces import parse
from bee_core.streams.transport import StreamTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from bee_core.hookspecs import Registrar
    from bee_core.interfaces import Transport

_doors: dict[str, MemoryAcceptor] = {}
_lock = Lock()


class MemoryAcceptor:
    """A name in this process that clients can connect to."""

    def __init__(self, url: str, factory: Callable[[], asyncio.Protocol]) -> None:
        self.url = url
        self._factory = factory
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[object]] = set()

    def connect(self) -> socket.socket:
        """The client's end of a new connection. From any thread."""
        ours, theirs = socket.socketpair()
        try:
            self._loop.call_soon_threadsafe(self._take, ours)
        except RuntimeError as error:
            ours.close()
            theirs.close()
            raise ConnectionRefusedError(f"the server of {self.url} is gone") from error
        return theirs

    def _take(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        task = self._loop.create_task(self._loop.connect_accepted_socket(self._factory, sock))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Take the name away. Idempotent."""
        with _lock:
            if _doors.get(self.url) is self:
                del _doors[self.url]


class MemoryTransport(StreamTransport):
    """Connects within the process: ``memory://name``."""

    def dial(self, url: str, timeout: float) -> socket.socket:  # connecting takes no time
        """See :meth:`StreamTransport.dial`."""
        return _door(url).connect()

    async def dial_async(self, url: str, factory: Callable[[], asyncio.Protocol]) -> None:
        """See :meth:`StreamTransport.dial_async`."""
        sock = _door(url).connect()
        sock.setblocking(False)
        await asyncio.get_running_loop().create_connection(factory, sock=sock)

    async def accept(
        self,
        url: str,
        factory: Callable[[], asyncio.Protocol],
        backlog: int,
        sock: socket.socket | None = None,
    ) -> MemoryAcceptor:
        """See :meth:`StreamTransport.accept`. Nothing queues up, and no other process gets in."""
        acceptor = MemoryAcceptor(parse(url).url, factory)
        with _lock:
            if acceptor.url in _doors:
                raise OSError(
                    f"cannot listen on {acceptor.url}: another server of this process has that name"
                )
            _doors[acceptor.url] = acceptor
        return acceptor


def _door(url: str) -> MemoryAcceptor:
    url = parse(url).url
    door = _doors.get(url)
    if door is None:
        raise ConnectionRefusedError(f"no server of this process listens on {url}")
    return door


@hookimpl
def bee_register_transports(registry: Registrar[Transport]) -> None:
    """Register ``memory``."""
    registry.add("memory", MemoryTransport)
