"""What a transport implements, and the settings that it is handed.

Its ways to a node are in :mod:`.channels`. What a listener hands requests to is in
:mod:`.endpoint`.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Literal, Protocol

import attrs

Reach = Literal["process", "machine", "network"]
"""How far something goes: within a process, within a machine, or beyond."""

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from ..terms.node import Node
    from .channels import AsyncChannel, Channel
    from .endpoint import Endpoint
    from .memory_bound import MemoryBound


@attrs.frozen
class ChannelSettings:
    """What a channel must know beside the node.

    Attributes:
        service: The service asked for; travels in the hello.
        codec: Name of the codec.
        compressor: Name of the compressor, or None.
        token: Gives the shared secret of the moment for a connection that is made, or None.
        max_body: Bytes that a body of a reply may have on the wire.
        clock: Seconds, monotonic.
        decompress: Inflates a reply within the client's bound, or None without a compressor. A
            second argument is a lower bound, for a reply that is inflated on an event loop.
        load_wanted: Somebody (a balancer) wants to know how busy the servers are: each answer is to
            say so, see :class:`~bee_core.terms.failures.Load`.
        max_idle: Seconds. A connection that has been idle for longer takes no new request.
        interrupts: Whether an exception is an interruption of the caller: a handler of signals
            raised it. It may be an ``OSError`` too (``TimeoutError``). A blocking channel lets it
            pass instead of making a failure of it.
        attended: Whoever calls ``start`` of a blocking channel calls ``wait`` at once. So ``start``
            may wait for the reply too, within the bounds of the request.
    """

    service: str
    codec: str
    compressor: str | None
    max_body: int
    clock: Callable[[], float]
    decompress: Callable[..., bytes] | None = None
    token: Callable[[], str] | None = attrs.field(default=None, repr=False)
    load_wanted: bool = False
    max_idle: float = inf
    interrupts: Callable[[BaseException], bool] = lambda _: False
    attended: bool = False


class Listener(Protocol):
    """An open address of a server, made by :meth:`Transport.listen`.

    Two methods may be left out. ``discard_after_fork()`` is called in a child that a handler forks,
    and lets go of the listening socket and of all connections there. ``reload(settings)`` takes
    other :class:`ListenSettings`; without it they need a restart. Both are quick.
    """

    url: str
    """With the real port. It is a wildcard address only if the url named one."""

    def stop_accepting(self) -> None:
        """Accept no more connections. Open connections stay."""

    async def drain(self) -> None:
        """Tell every peer to go elsewhere (goaway).

        Requests accepted before still get their replies.
        """

    async def close(self) -> None:
        """Close every connection, after what was written has left or a short bound has passed."""


class Transport(Protocol):
    """Carries requests to nodes and into servers.

    One object a client or server; the factory gets the options. A transport that is a byte stream
    derives from :class:`bee_core.streams.StreamTransport`, which implements this protocol by bee's
    framing. One with a protocol of its own implements all of it. The scheme of a url is the name of
    its transport.

    Two attributes may be left out. Then it goes over the network in clear.

    - ``reach: Reach`` says how far its bytes go. The record of a registry that is read farther away
      cannot name its addresses.
    - ``encrypted: bool`` says whether nobody on the way can read what it carries. A token only goes
      over such a transport, or to an address that the client's file names.
    """

    def channel(self, node: Node, settings: ChannelSettings) -> Channel:
        """A blocking channel to a node. No I/O."""

    def async_channel(self, node: Node, settings: ChannelSettings) -> AsyncChannel:
        """A channel to a node on the running loop. No I/O."""

    async def listen(self, url: str, endpoint: Endpoint, settings: ListenSettings) -> Listener:
        """Listen on the running loop and hand every request to the endpoint.

        Raises:
            OSError: The address is in use or not ours; the message names the url.
        """


class AcceptTurns(Protocol):
    """Whose turn it is to accept a connection, where several processes share a listening socket."""

    count: int
    """How many processes there are."""

    def before_us(self) -> int:
        """How many processes come before this one."""

    def taken(self) -> None:
        """This process has accepted a connection."""


@attrs.frozen
class ListenSettings:
    """Bounds of a server's connections; seconds and bytes.

    Attributes:
        backlog: Connections that may wait to be accepted.
        max_connections: Connections open at a time. One more is refused with Overloaded.
        read_timeout: Seconds that a peer may take from the first to the last byte of a frame.
        write_timeout: Seconds that a peer may leave replies unread before it is cut off.
        max_body: Bytes that a body may have on the wire.
        memory: Counts what all listeners of the process hold.
        max_idle: Seconds. A connection without a request for longer gets a goaway and is closed.
        max_connections_per_peer: Connections of one peer address, where the transport knows it. One
            more is refused with Overloaded.
        sock: A socket that listens already, which several processes share, or None to make one.
            Only for transports that have ``bind``.
        turns: Goes with ``sock`` where several processes share it. Without turns the system decides
            who accepts, and that is often the same process.
    """

    backlog: int
    max_connections: int
    read_timeout: float
    write_timeout: float
    max_body: int
    memory: MemoryBound
    max_idle: float = inf
    max_connections_per_peer: float = inf
    sock: socket.socket | None = None
    turns: AcceptTurns | None = None
