"""The base of transports that are byte streams: they say how to dial and how to accept, and share bee's framing."""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable

    from ..contracts.transport import (
        AsyncChannel,
        Channel,
        ChannelSettings,
        Endpoint,
        Listener,
        ListenSettings,
    )
    from ..terms.node import Node
    from .blocking_channel import BlockingChannel
    from .blocking_connection import BlockingConnection


class Acceptor(Protocol):
    """An open door of a stream transport."""

    url: str
    """With the real port."""

    def close(self) -> None:
        """Close the door; open connections stay."""
        ...


class StreamTransport(ABC):
    """A transport whose connections are byte streams. Thread-safe; keeps no connections itself."""

    busy_poll: float = 0.0
    """Seconds for which a blocking call may look for its reply before it sleeps; see ``streams/busy_poll.py``. 0 for not at all."""

    @abstractmethod
    def dial(self, url: str, timeout: float) -> socket.socket:
        """Connect, blocking, within ``timeout`` seconds.

        Raises:
            TimeoutError: Not within the time.
            OSError: Refused, unreachable, no such name.
        """

    @abstractmethod
    async def dial_async(self, url: str, factory: Callable[[], asyncio.Protocol]) -> None:
        """Connect on the running loop, and let the protocol that ``factory`` makes have the connection. The caller bounds the time.

        Raises:
            OSError: Refused, unreachable, no such name.
        """

    @abstractmethod
    async def accept(
        self,
        url: str,
        factory: Callable[[], asyncio.Protocol],
        backlog: int,
        sock: socket.socket | None = None,
    ) -> Acceptor:
        """Listen on the running loop; each connection gets a protocol from ``factory``.

        Args:
            url: Where.
            factory: Makes the protocol of a connection.
            backlog: Connections that may wait.
            sock: What ``bind`` made for this url, perhaps in the process that this one was forked from; the acceptor closes this process's copy and leaves the
                address to ``release``. Not passed where there is none: bind here.

        Raises:
            OSError: The address is in use, or not of this machine.
        """

    def bind(self, url: str, backlog: int) -> socket.socket:
        """Make a socket that listens, before any loop runs, for processes that are forked later to share. Optional: what cannot be shared leaves this as it is.

        Raises:
            OSError: The address is in use, not of this machine, or cannot be shared by processes.
        """
        raise OSError(
            errno.EOPNOTSUPP,
            f"{url} cannot be shared by several processes; set workers: 1, or listen on tcp://, tls:// or unix://",
        )

    def release(self, sock: socket.socket) -> None:
        """Close what ``bind`` made, in the process that made it, and take its address away; other processes may still serve who is connected."""
        sock.close()

    def check_listening(self, url: str) -> None:  # noqa: B027  # optional
        """Whether a server could listen on a url with these options, looked at while the server is built.

        Raises:
            ValueError: It could not; the message says what to state.
        """

    def connection(self, channel: BlockingChannel, sock: socket.socket) -> BlockingConnection:
        """The blocking connection around what ``dial`` made. For transports whose sockets need more than to be polled."""
        from .blocking_connection import BlockingConnection

        return BlockingConnection(channel, sock)

    def explained(self, error: Exception) -> Exception:
        """What ended an asyncio connection, as the core knows it: a :class:`~bee_core.terms.failures.HandshakeError` where the server turned this client away."""
        return error

    def channel(self, node: Node, settings: ChannelSettings) -> Channel:
        """See :meth:`bee_core.interfaces.Transport.channel`."""
        from .blocking_channel import BlockingChannel

        return BlockingChannel(self, node, settings)

    def async_channel(self, node: Node, settings: ChannelSettings) -> AsyncChannel:
        """See :meth:`bee_core.interfaces.Transport.async_channel`."""
        if node.workers > 1:
            from .spread import SpreadChannel

            return SpreadChannel(self, node, settings)
        from .multiplexed_channel import MultiplexedChannel

        return MultiplexedChannel(self, node, settings)

    async def listen(self, url: str, endpoint: Endpoint, settings: ListenSettings) -> Listener:
        """See :meth:`bee_core.interfaces.Transport.listen`."""
        from .stream_listener import StreamListener

        listener = StreamListener(endpoint, settings)
        await listener.open(self, url, settings.sock)
        return listener
