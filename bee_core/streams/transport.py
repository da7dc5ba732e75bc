"""The class that byte-stream transports derive from: they connect and accept, bee does the rest.

asyncio takes a tenth of the start of a quick command, and a blocking client does without. So what
needs it is imported when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .byte_streams import Accepting, Dialer
from .client.blocking_channel import BlockingChannel

if TYPE_CHECKING:
    from ..contracts.channels import AsyncChannel, Channel
    from ..contracts.endpoint import Endpoint
    from ..contracts.transport import ChannelSettings, Listener, ListenSettings, Reach
    from ..terms.node import Node


class StreamTransport(Dialer, Accepting):
    """A transport whose connections are byte streams. Thread-safe; it keeps no connections."""

    reach: Reach = "network"
    encrypted: bool = False

    def channel(self, node: Node, settings: ChannelSettings) -> Channel:
        """See :meth:`bee_core.interfaces.Transport.channel`."""
        return BlockingChannel(self, node, settings)

    def async_channel(self, node: Node, settings: ChannelSettings) -> AsyncChannel:
        """See :meth:`bee_core.interfaces.Transport.async_channel`."""
        from .client.multiplexed_channel import MultiplexedChannel

        return MultiplexedChannel(self, node, settings)

    async def listen(self, url: str, endpoint: Endpoint, settings: ListenSettings) -> Listener:
        """See :meth:`bee_core.interfaces.Transport.listen`."""
        from .server.listener import StreamListener

        listener = StreamListener(endpoint, settings)
        await listener.open(self, url)
        return listener
