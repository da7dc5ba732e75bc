"""What a transport implements: the client's channels and the server's listener.

Here is also what passes between them and the core.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

import attrs

from ..terms.call_context import CurrentCall

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable, Mapping

    from ..terms.failures import Failure, Outcome
    from ..terms.node import Node
    from ..terms.request import Form, Request
    from ..wire.messages import Hello, HelloAck


class Pending(Protocol):
    """A request that was started on a blocking channel. Belongs to the thread that started it."""

    def wait(self) -> Outcome:
        """Block until the reply is complete or a bound of the request is reached.

        For a oneway request it does not block. Never raises for a failed attempt.
        """

    def cancel(self) -> None:
        """Give the request up instead of waiting: tell the server, release the connection.

        Never after ``wait`` has returned: the connection may be another call's by then.
        """


class Channel(Protocol):
    """The blocking way to one node. Made without I/O; connects when first used. Thread-safe.

    Once its node has left, a client refers to it weakly: a class with ``__slots__`` needs
    ``__weakref__`` among them.
    """

    def start(self, request: Request) -> Pending | Failure:
        """Send a request within its connect and write timeouts.

        A oneway request only goes to a server that has accepted the connection: nobody would hear
        of a refusal later.

        Returns:
            The pending reply, or the failure where nothing went out.
        """

    def ping(self, timeout: float) -> Literal["serving", "draining"] | Failure:
        """Ask for the node's health within ``timeout`` seconds."""

    def close(self) -> None:
        """Close all connections. Calls waiting on them end with a failure. Idempotent."""

    def retire(self) -> None:
        """The node has left the list: close what is idle now and the rest when its calls end."""

    def discard_after_fork(self) -> None:
        """In a forked child: close every descriptor and renew every lock.

        No byte goes on the wire.
        """


class AsyncPending(Protocol):
    """A request that was started on an asyncio channel."""

    reply: asyncio.Future[Outcome]
    """Resolves to the outcome when the reply is complete or a bound of the request is reached.

    A failed attempt is an outcome, not an exception.
    """

    def cancel(self) -> None:
        """Give the request up: tell the server. Idempotent; harmless once there is a reply."""


class AsyncChannel(Protocol):
    """The way to one node on one event loop. Made without I/O; connects when first used.

    Referred to weakly like :class:`Channel`. One that holds descriptors may define
    ``discard_after_fork()``, like :meth:`Channel.discard_after_fork`: called in a forked child
    whose parent's loop used it.
    """

    def start(self, request: Request) -> AsyncPending:
        """Send a request, or take it to be sent as soon as there is a connection. Does not wait."""

    async def ping(self, timeout: float) -> Literal["serving", "draining"] | Failure:
        """Like :meth:`Channel.ping`."""

    async def close(self) -> None:
        """Like :meth:`Channel.close`."""

    def retire(self) -> None:
        """Like :meth:`Channel.retire`."""


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
        decompress: Inflates a reply within the client's bound, or None without a compressor.
    """

    service: str
    codec: str
    compressor: str | None
    max_body: int
    clock: Callable[[], float]
    decompress: Callable[[bytes], bytes] | None = None
    token: Callable[[], str] | None = attrs.field(default=None, repr=False)


class Listener(Protocol):
    """An open address of a server, made by :meth:`Transport.listen`."""

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


@attrs.frozen
class ListenSettings:
    """Bounds of a server's connections; seconds and bytes.

    Attributes:
        backlog: Connections that may wait to be accepted.
        max_connections: Connections open at a time. One more is refused with Overloaded.
        read_timeout: Seconds that a peer may take from the first to the last byte of a frame.
        write_timeout: Seconds that a peer may leave replies unread before it is cut off.
        max_body: Bytes that a body may have on the wire.
        sock: A socket that listens already, which several processes share, or None to make one.
            Only for transports that have ``bind``.
    """

    backlog: int
    max_connections: int
    read_timeout: float
    write_timeout: float
    max_body: int
    sock: socket.socket | None = None


@attrs.frozen
class Peer:
    """What a server agreed with one client when it said hello.

    Attributes:
        address: Where it calls from.
        codec: Name of the codec of all its bodies.
        compressor: Name of the compressor of bodies flagged as compressed, or None.
        max_body: Bytes that it takes in a reply, or None when it did not say.
        certificate: The certificate that it showed and the server verified, in the form of
            ``ssl.SSLSocket.getpeercert()``; None without one.
    """

    address: str
    codec: str
    compressor: str | None
    max_body: int | None = None
    certificate: Mapping[str, Any] | None = None


class InboundCall(CurrentCall):
    """A request as a transport hands it to the endpoint, and what the handler sees of it.

    A transport derives from it and implements ``reply`` and ``fail``.

    Attributes:
        form: How the arguments lie in ``body``.
        body: The encoded arguments.
        compressed: Whether ``body`` went through the caller's compressor.
        granted: Seconds that the caller granted as the request was sent, or None. The endpoint
            makes ``deadline`` of it.
        caller: What was agreed with the caller.
        oneway: Nobody waits for an answer: ``reply`` sends nothing, ``fail`` writes the log.
    """

    __slots__ = ("body", "caller", "compressed", "form", "granted")

    oneway: bool = False

    form: Form
    body: bytes
    compressed: bool
    granted: float | None
    caller: Peer

    @property
    def peer_certificate(self) -> Mapping[str, Any] | None:
        """See :attr:`bee_core.terms.call_context.CurrentCall.peer_certificate`."""
        return self.caller.certificate

    def reply(self, body: bytes, compressed: bool) -> None:
        """Send the result.

        On the loop's thread only; ignored when the peer has gone or given up.
        """
        raise AssertionError

    def fail(self, failure: Failure) -> None:
        """Send an error. Like :meth:`reply`."""
        raise AssertionError


class Running(Protocol):
    """A request that an endpoint has begun and not ended."""

    def cancel(self) -> None:
        """The peer gave the request up or has gone. On the loop's thread only; idempotent."""


class Endpoint(Protocol):
    """What a transport's listener hands peers and requests to.

    On the loop's thread only.
    """

    ack: HelloAck
    """What the server says of itself."""

    clock: Callable[[], float]
    """Seconds, monotonic: the clock of every deadline here."""

    def admit(self, hello: Hello) -> Failure | None:
        """Decide about a hello. A failure refuses the peer: nothing on that connection ran."""

    def begin(self, call: InboundCall) -> Running | None:
        """Start a request. One of ``call.reply`` and ``call.fail`` follows once, now or later.

        Returns:
            What can be cancelled, or None where the request is over already.
        """

    @property
    def draining(self) -> bool:
        """Answer pings with ``draining``."""
