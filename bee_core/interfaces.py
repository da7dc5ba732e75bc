"""What each kind of plugin implements.

These are ``typing.Protocol`` classes: a plugin needs no base class, only the methods. ``bee_core.testing`` has a contract suite for each kind that a plugin's own
tests can inherit.

Rules for all kinds:

- A plugin object is made while a client or server is built, by the factory that its hook registered; see :mod:`bee_core.hookspecs`.
- Time is an argument (``now``, seconds of a monotonic clock) and so is randomness (``rng``). A policy never waits: it returns a decision, the driver carries it out.
- Objects are shared by all calls of a service, on many threads. Each docstring says what must be thread-safe.
- A balancer, breaker or limiter that holds a lock, or counts what is under way, may define ``after_fork()``: called in a forked child, which has one thread and none of
  the parent's calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, Union, final

import attrs

from .call_context import CurrentCall

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
    from random import Random

    from .errors import CallError
    from .failures import Failure
    from .messages import Hello, HelloAck
    from .nodes import Node, Snapshot
    from .signatures import Signature

# ── codec ────────────────────────────────────────────────────────────────────────────────────────────────────────────

POSITIONAL = 0
"""Form of arguments: a list of values, in the order of the signature."""
NAMED = 1
"""Form of arguments: values by parameter name."""
MIXED = 2
"""Form of arguments: a list of two, the positional values and the named ones."""
MESSAGE = 3
"""Form of arguments: one message, with no envelope around it."""

Form = int
"""How the arguments lie in a body: POSITIONAL, NAMED, MIXED or MESSAGE. Travels in the frame's header."""


class MethodCodec(Protocol):
    """A codec bound to one method. Built once, called for every call, from any thread."""

    def encode_args(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Form, bytes]:
        """Turn a call's arguments into a form and a body.

        Raises:
            InvalidArgument: They do not fit the signature, or cannot be encoded. ``path`` says where.
        """
        ...

    def decode_args(self, form: Form, body: bytes) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """The inverse, at the server: validated and converted to the types of the signature.

        Raises:
            InvalidArgument: They do not fit the signature, or the body is not of this codec. No other exception, whatever the bytes.
        """
        ...

    def encode_result(self, value: Any) -> bytes:
        """Turn a handler's result into a body.

        Raises:
            InvalidArgument: It does not fit the signature's result type, or cannot be encoded.
        """
        ...

    def decode_result(self, body: bytes) -> Any:
        """The inverse, at the client.

        Raises:
            InvalidArgument: It does not fit the result type. No other exception, whatever the bytes.
        """
        ...


class Codec(Protocol):
    """Turns arguments and results into bytes. One object a client or server; the factory gets the options."""

    def bind(self, signature: Signature) -> MethodCodec:
        """Prepare one method: compile what can be compiled. A signature without parameters known (``params is None``) takes anything.

        Raises:
            TypeError: The signature has a type that this codec cannot carry; the message names it.
        """
        ...


class Compressor(Protocol):
    """Makes bodies smaller. Thread-safe, stateless. The factory gets the options."""

    def compress(self, body: bytes) -> bytes:
        """The whole body, compressed."""
        ...

    def decompress(self, body: bytes, limit: int) -> bytes:
        """The inverse, bounded while it inflates.

        Raises:
            MessageTooLarge: The result would be longer than ``limit`` bytes. At most about ``limit`` bytes were allocated.
            ProtocolError: The bytes are not of this format, or are cut short.
        """
        ...


# ── transport ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Request:
    """One request on its way to a node: what is the same for every attempt of a call, then what is the attempt's.

    Attributes:
        method: ``add`` or ``Stats.mean``.
        form: How the arguments lie in ``body``.
        body: The encoded arguments, compressed when ``compressed``.
        compressed: Whether the connection's compressor was used.
        fields: The encoded header fields that do not change between calls of a method (method name, metadata, baggage), ready to send.
        deadline: When the whole call ends, seconds on the client's monotonic clock.
        dedupe_key: The same bytes for every attempt of a call, or None.
        connect_timeout, write_timeout, read_timeout: Seconds, bounds of this attempt; none reaches beyond the deadline.
        oneway: No answer will come; ``fields`` say so to the server. The attempt is a success as soon as the request has been handed to the system.
    """

    __slots__ = (
        "body",
        "compressed",
        "connect_timeout",
        "deadline",
        "dedupe_key",
        "fields",
        "form",
        "method",
        "oneway",
        "read_timeout",
        "write_timeout",
    )

    def __init__(
        self,
        method: str,
        form: Form,
        body: bytes,
        compressed: bool,
        fields: bytes,
        deadline: float,
        connect_timeout: float,
        write_timeout: float,
        read_timeout: float,
        dedupe_key: bytes | None = None,
        oneway: bool = False,
    ) -> None:
        self.method = method
        self.form = form
        self.body = body
        self.compressed = compressed
        self.fields = fields
        self.deadline = deadline
        self.connect_timeout = connect_timeout
        self.write_timeout = write_timeout
        self.read_timeout = read_timeout
        self.dedupe_key = dedupe_key
        self.oneway = oneway


@final
class Success:
    """The reply to a request: the encoded result. Treat as immutable."""

    __slots__ = ("body",)

    ok = True

    def __init__(self, body: bytes) -> None:
        self.body = body


Outcome = Union[
    Success, "Failure"
]  # evaluated at run time on 3.10, where Failure is a forward reference
"""How an attempt ended."""


class Pending(Protocol):
    """A request that was started on a blocking channel. Belongs to the thread that started it."""

    def wait(self) -> Outcome:
        """Block until the reply is complete or a bound of the request is reached; for a oneway request not at all. Never raises for a failed attempt."""
        ...

    def cancel(self) -> None:
        """Give the request up instead of waiting: tell the server, release the connection. Never after ``wait`` has returned: the connection may be another call's by then."""
        ...


class Channel(Protocol):
    """The blocking way to one node. Made without I/O; connects when first used. Thread-safe.

    Once its node has left, a client refers to it weakly: a class with ``__slots__`` needs ``__weakref__`` among them.
    """

    def start(self, request: Request) -> Pending | Failure:
        """Send a request within its connect and write timeouts. A oneway request only goes to a server that has accepted the connection, since nobody would hear of a refusal later.

        Returns:
            The pending reply, or the failure where nothing went out.
        """
        ...

    def ping(self, timeout: float) -> Literal["serving", "draining"] | Failure:
        """Ask for the node's health within ``timeout`` seconds."""
        ...

    def close(self) -> None:
        """Close all connections. Calls waiting on them end with a failure. Idempotent."""
        ...

    def retire(self) -> None:
        """The node has left the list: close what is idle now and the rest when its calls end."""
        ...

    def discard_after_fork(self) -> None:
        """In a forked child: let go of every descriptor without a byte on the wire, and renew every lock."""
        ...


class AsyncPending(Protocol):
    """A request that was started on an asyncio channel."""

    reply: asyncio.Future[Outcome]
    """Resolves to the outcome when the reply is complete or a bound of the request is reached. Never to an exception for a failed attempt."""

    def cancel(self) -> None:
        """Give the request up: tell the server. Idempotent; harmless once there is a reply."""
        ...


class AsyncChannel(Protocol):
    """The way to one node on one event loop. Made without I/O; connects when first used.

    Referred to weakly like :class:`Channel`. One that holds descriptors may define ``discard_after_fork()``, like :meth:`Channel.discard_after_fork`: called in a forked child whose parent's loop used it.
    """

    def start(self, request: Request) -> AsyncPending:
        """Send a request, or take it to be sent as soon as there is a connection. Does not wait."""
        ...

    async def ping(self, timeout: float) -> Literal["serving", "draining"] | Failure:
        """Like :meth:`Channel.ping`."""
        ...

    async def close(self) -> None:
        """Like :meth:`Channel.close`."""
        ...

    def retire(self) -> None:
        """Like :meth:`Channel.retire`."""
        ...


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
    """A server's open door, made by :meth:`Transport.listen`."""

    url: str
    """With the real port, and never a wildcard address as long as the url named none."""

    def stop_accepting(self) -> None:
        """Close the door; connections that are open stay."""
        ...

    async def drain(self) -> None:
        """Tell every peer to go elsewhere (goaway). Requests accepted before still get their replies."""
        ...

    async def close(self) -> None:
        """Close every connection, after what was written has left or a short bound has passed."""
        ...


class Transport(Protocol):
    """Carries requests to nodes and into servers. One object a client or server; the factory gets the options.

    A transport that is a byte stream derives from :class:`bee_core.streams.StreamTransport`, which implements this protocol by bee's framing.
    One with a protocol of its own implements it whole. A transport is chosen by the scheme of a url, which is its name.
    """

    def channel(self, node: Node, settings: ChannelSettings) -> Channel:
        """A blocking channel to a node. No I/O."""
        ...

    def async_channel(self, node: Node, settings: ChannelSettings) -> AsyncChannel:
        """A channel to a node on the running loop. No I/O."""
        ...

    async def listen(self, url: str, endpoint: Endpoint, settings: ListenSettings) -> Listener:
        """Open a door on the running loop and hand every request to the endpoint.

        Raises:
            OSError: The address is in use or not ours; the message names the url.
        """
        ...


@attrs.frozen
class ListenSettings:
    """Bounds of a server's connections; seconds and bytes.

    Attributes:
        backlog: Connections that may wait to be accepted.
        max_connections: Connections open at a time; one more is refused with Overloaded.
        read_timeout: Seconds that a peer may take from the first to the last byte of a frame.
        write_timeout: Seconds that a peer may leave replies unread before it is cut off.
        max_body: Bytes that a body may have on the wire.
        sock: A socket that listens already, which several processes share, or None to make one. Only for transports that have ``bind``.
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
        certificate: The certificate that it showed and the server verified, in the form of ``ssl.SSLSocket.getpeercert()``; None without one.
    """

    address: str
    codec: str
    compressor: str | None
    max_body: int | None = None
    certificate: Mapping[str, Any] | None = None


class InboundCall(CurrentCall):
    """A request as a transport hands it to the endpoint, and what the handler sees of it. A transport derives from it and implements ``reply`` and ``fail``.

    Attributes:
        form: How the arguments lie in ``body``.
        body: The encoded arguments.
        compressed: Whether ``body`` went through the caller's compressor.
        granted: Seconds that the caller granted as the request was sent, or None. The endpoint makes ``deadline`` of it.
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
        """See :attr:`bee_core.call_context.CurrentCall.peer_certificate`."""
        return self.caller.certificate

    def reply(self, body: bytes, compressed: bool) -> None:
        """Send the result. On the loop's thread only; ignored when the peer has gone or given up."""
        raise AssertionError

    def fail(self, failure: Failure) -> None:
        """Send an error. Like :meth:`reply`."""
        raise AssertionError


class Running(Protocol):
    """A request that an endpoint has begun and not ended."""

    def cancel(self) -> None:
        """The peer gave it up or has gone. On the loop's thread only; idempotent."""
        ...


class Endpoint(Protocol):
    """The server's side of a transport: decides about peers and requests. On the loop's thread only."""

    ack: HelloAck
    """What the server says of itself."""

    clock: Callable[[], float]
    """Seconds, monotonic: the clock of every deadline here."""

    def admit(self, hello: Hello) -> Failure | None:
        """Decide about a hello. A failure refuses the peer: nothing on that connection ran."""
        ...

    def begin(self, call: InboundCall) -> Running | None:
        """Start a request. Exactly one of ``call.reply`` and ``call.fail`` follows, at once or later.

        Returns:
            What can be cancelled, or None where the request is over already.
        """
        ...

    @property
    def draining(self) -> bool:
        """Answer pings with ``draining``."""
        ...


# ── registry ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@attrs.frozen
class RegistrySettings:
    """What stands beside ``protocol`` under ``bee.rpc.registry``.

    Attributes:
        addresses: The registry's own addresses.
        heartbeat_interval: Seconds between renewals of a registration; a lease lasts three of them.
    """

    addresses: tuple[str, ...] = ()
    heartbeat_interval: float = 10.0


@attrs.frozen
class Instance:
    """What a server announces of itself: a node of a service."""

    service: str
    node: Node


class Lease(Protocol):
    """A registration that lives as long as it is renewed."""

    ttl: float
    """Seconds that it outlives its last renewal, as the registry made it."""

    async def renew(self) -> None:
        """Prolong it by ``ttl``.

        Raises:
            RegistryError: It is gone; register again.
        """
        ...

    async def revoke(self) -> None:
        """Leave at once."""
        ...


class Registry(Protocol):
    """Knows which nodes a service has. The factory gets ``RegistrySettings`` and then the options. Used on the control plane's loop, except ``known``."""

    def known(self, service: str, addresses: tuple[Node, ...]) -> Snapshot | None:
        """What can be said without any I/O: a snapshot that stays true, or None when ``watch`` must be asked.

        Args:
            service: The service's name.
            addresses: The nodes that the client's configuration names under ``address``.
        """
        ...

    async def register(self, instance: Instance) -> Lease:
        """Announce an instance.

        Raises:
            RegistryError: The registry refuses. OSError and TimeoutError where it is out of reach.
        """
        ...

    def watch(self, service: str) -> AsyncIterator[Snapshot]:
        """The current snapshot at once, then one for each change. Ends only by an exception or by being closed."""
        ...

    async def close(self) -> None:
        """Let go of connections. Leases that were not revoked run out by themselves."""
        ...


# ── policies ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class Balancer(Protocol):
    """Picks the node of an attempt. One object a service; the factory gets the options. Thread-safe; ``pick`` should not lock.

    One that goes by an order or by counts of its own may define ``twin()``: a copy of it as it is now, on which ``bee explain`` picks without any effect on calls.
    Without it a new balancer is asked instead.
    """

    def update(self, ready: Sequence[Node]) -> None:
        """Take a new set of nodes that may be picked. Called on change, never for a pick."""
        ...

    def pick(self, key: str | None, tried: Collection[str], rng: Random) -> Node | None:
        """Choose among the ready nodes whose id is not in ``tried``.

        Args:
            key: The call's routing key (``with_options(key=…)``), or None.
            tried: Ids of nodes that this call has tried or that gave no permit.
            rng: The source of randomness.

        Returns:
            A node, or None when none is left.
        """
        ...

    settle: Callable[[Node, Outcome | None, float], None] | None
    """``settle(node, outcome, now)``, told for every pick how it ended (None: given up), or None for a balancer that does not care: then nothing is called."""


@attrs.frozen
class Again:
    """Try again.

    Attributes:
        where: ``same``: the node of the last attempt. ``other``: a node that was not tried.
        delay: Seconds to wait before.
    """

    where: Literal["same", "other"]
    delay: float = 0.0


class Tried:
    """One failed attempt of the call at hand."""

    __slots__ = ("failure", "node")

    def __init__(self, node: Node, failure: Failure) -> None:
        self.node = node
        self.failure = failure


class FaultTolerance(Protocol):
    """Decides what follows a failed attempt. Stateless, thread-safe. The factory gets the options.

    The core asks only when a retry is allowed at all: the failure permits it, ``retries`` are left, and the method is idempotent where nobody knows whether it ran.
    After the answer it still checks the deadline and the budget.
    """

    def next(self, history: Sequence[Tried], rng: Random) -> Again | None:
        """What to do after the last attempt of ``history``; None gives up."""
        ...


class Permit(Protocol):
    """Leave to make one attempt or one call. Opaque to the core."""


BreakerState = Literal["closed", "open", "half-open"]
"""``closed``: calls pass. ``open``: the node is cut off and pinged. ``half-open``: it answers pings, and shows with single calls whether it works."""


class Breaker(Protocol):
    """Watches one node. One object a node; the factory gets the options. Thread-safe."""

    state: BreakerState
    """Read without a lock. An ``open`` node is not in the ready set."""

    def admit(self, now: float) -> Permit | None:
        """Leave for one attempt, or None."""
        ...

    def settle(self, permit: Permit, outcome: Outcome | None, now: float) -> bool:
        """Take the verdict on an attempt; None counts as none. True when ``state`` changed."""
        ...

    def probed(self, ok: bool, now: float) -> bool:
        """Take the answer of a ping to a node that is cut off. True when ``state`` changed."""
        ...


class Ticket(Protocol):
    """A place in a limiter's queue."""

    timeout: float | None
    """Seconds that it may be waited with, or None: until the call's deadline."""

    def on_admitted(self, callback: Callable[[], None]) -> None:
        """Call back once, from any thread, when the permit is there; at once when it is already."""
        ...

    def leave(self) -> bool:
        """Give the place up. False when the permit was granted meanwhile: then it is the caller's to release."""
        ...


class Limiter(Protocol):
    """Bounds the calls of one service that run at a time. One object a service; the factory gets the options. Thread-safe."""

    def admit(self, now: float) -> Ticket | Literal[True] | Failure:
        """One permit for one call: True at once, a ticket to wait with, or the failure (``overloaded``) when the queue is full."""
        ...

    def release(self, outcome: Outcome | None, seconds: float) -> None:
        """Give a permit back. Exactly once for each permit. ``seconds`` is how long it was held."""
        ...


class Fallback(Protocol):
    """Answers when a call could not. The factory gets the options. Thread-safe."""

    def answer(
        self,
        service: str,
        method: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        error: CallError,
    ) -> Any:
        """A value to return instead of raising ``error``, or ``error`` itself (or another exception) raised."""
        ...


# ── observers ────────────────────────────────────────────────────────────────────────────────────────────────────────


@attrs.frozen
class CallRecord:
    """What an observer is told of a finished call."""

    service: str
    method: str
    node: Node | None
    attempts: int
    seconds: float
    failure: Failure | None
    degraded: bool


class Observer(Protocol):
    """Is told of every call of a service when it ends. Called on the calling thread: be quick, never block.

    One that also defines ``breaker_changed(service, node, before, after)`` is told of each change of a node's breaker: the service's name, the ``Node``, and two of
    ``closed``, ``open``, ``half-open``. That comes from whichever thread changed it, a calling one or the control plane's.
    """

    def finished(self, record: CallRecord) -> None:
        """A call has ended. An exception is logged once and swallowed: observing must not break calls."""
        ...
