"""Transport ``memory``: client and server in one process. For tests and examples.

The bytes go through a socket pair, so framing, back-pressure and the end of a connection are the
same as with a real network.
"""

from __future__ import annotations

import asyncio
import socket
from threading import Lock
from typing import TYPE_CHECKING

from bee_core.hookspecs import Registrar, hookimpl
from bee_core.interfaces import Reach, Transport, parse
from bee_core.streams import StreamTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from bee_core.interfaces import AcceptTurns


_acceptors: dict[str, MemoryAcceptor] = {}
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
        """Give the name up. Idempotent."""
        with _lock:
            if _acceptors.get(self.url) is self:
                del _acceptors[self.url]


class MemoryTransport(StreamTransport):
    """Connects within the process: ``memory://name``."""

    reach: Reach = "process"

    def dial(self, url: str, timeout: float) -> socket.socket:  # connecting takes no time
        """See :meth:`StreamTransport.dial`."""
        return _acceptor(url).connect()

    async def dial_async(self, url: str, factory: Callable[[], asyncio.Protocol]) -> None:
        """See :meth:`StreamTransport.dial_async`."""
        sock = _acceptor(url).connect()
        sock.setblocking(False)
        await asyncio.get_running_loop().create_connection(factory, sock=sock)

    async def accept(
        self,
        url: str,
        factory: Callable[[], asyncio.Protocol],
        backlog: int,
        sock: socket.socket | None = None,
        turns: AcceptTurns | None = None,
    ) -> MemoryAcceptor:
        """See :meth:`StreamTransport.accept`. There is no queue; other processes cannot connect."""
        acceptor = MemoryAcceptor(parse(url).url, factory)
        with _lock:
            if acceptor.url in _acceptors:
                raise OSError(
                    f"cannot listen on {acceptor.url}: another server of this process has that name"
                )
            _acceptors[acceptor.url] = acceptor
        return acceptor


def _acceptor(url: str) -> MemoryAcceptor:
    url = parse(url).url
    acceptor = _acceptors.get(url)
    if acceptor is None:
        raise ConnectionRefusedError(f"no server of this process listens on {url}")
    return acceptor


@hookimpl
def bee_register_transports(registry: Registrar[Transport]) -> None:
    """Register ``memory``."""
    registry.add("memory", MemoryTransport)
