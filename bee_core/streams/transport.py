"""The base of transports that are byte streams: they say how to dial and how to accept, and share bee's framing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable

    from ..interfaces import AsyncChannel, Channel, ChannelSettings, Endpoint, Listener, ListenSettings
    from ..nodes import Node


class Acceptor(Protocol):
    """An open door of a stream transport."""

    url: str
    """With the real port."""

    def close(self) -> None:
        """Close the door; open connections stay."""
        ...


class StreamTransport(ABC):
    """A transport whose connections are byte streams. Thread-safe; keeps no connections itself."""

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
    async def accept(self, url: str, factory: Callable[[], asyncio.Protocol], backlog: int) -> Acceptor:
        """Listen on the running loop; each connection gets a protocol from ``factory``.

        Raises:
            OSError: The address is in use, or not of this machine.
        """

    def channel(self, node: Node, settings: ChannelSettings) -> Channel:
        """See :meth:`bee_core.interfaces.Transport.channel`."""
        from .blocking import BlockingChannel

        return BlockingChannel(self, node, settings)

    def async_channel(self, node: Node, settings: ChannelSettings) -> AsyncChannel:
        """See :meth:`bee_core.interfaces.Transport.async_channel`."""
        from .multiplexed import MultiplexedChannel

        return MultiplexedChannel(self, node, settings)

    async def listen(self, url: str, endpoint: Endpoint, settings: ListenSettings) -> Listener:
        """See :meth:`bee_core.interfaces.Transport.listen`."""
        from .served import StreamListener

        listener = StreamListener(endpoint, settings)
        await listener.open(self, url)
        return listener
