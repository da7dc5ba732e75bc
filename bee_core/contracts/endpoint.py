"""What a transport's listener hands peers and requests to, and what passes between the two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import attrs

from ..terms.call_context import CurrentCall
from ..terms.metadata import NOTHING, check_item

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..methods.declared_errors import DeclaredError
    from ..methods.signatures import Signature
    from ..terms.failures import Failure, Load
    from ..terms.metadata import Metadata, Value
    from ..terms.request import Form
    from ..wire.messages import Hello, HelloAck
    from .connection_numbers import ConnectionNumbers, Line
    from .memory_bound import Turn


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
        identity: Whom its token stands for, as the server's ``tokens`` say, or None. It is not
            shown.
        load_wanted: Whether its answers are to say how busy the server is.
        line: Its connection, where the server remembers its answers; else None.
    """

    address: str
    codec: str
    compressor: str | None
    max_body: int | None = None
    certificate: Mapping[str, Any] | None = None
    identity: str | None = attrs.field(default=None, repr=False)
    load_wanted: bool = False
    line: Line | None = None


class InboundCall(CurrentCall):
    """A request as a transport hands it to the endpoint, and what the handler sees of it.

    A transport derives from it and implements ``reply`` and ``fail``. Both send along what
    :meth:`answer_metadata` returns.

    Attributes:
        id: The request's number on its connection; the log names it.
        form: How the arguments lie in ``body``.
        body: The encoded arguments.
        compressed: Whether ``body`` went through the caller's compressor.
        granted: Seconds that the caller granted as the request was sent, or None. The endpoint
            makes ``deadline`` of it.
        accepted: When the endpoint began it, seconds of the endpoint's clock.
        caller: What was agreed with the caller.
        oneway: Nobody waits for an answer: ``reply`` sends nothing, ``fail`` writes the log.
        repeated: Its caller does not know whether an earlier request with the same key ran.
        deduplicated: It gets the answer of that earlier request, and no handler of its own.
        outlives: It goes on when its connection is lost: its caller may ask again.
        held: Bytes that are counted for it; see :mod:`bee_core.contracts.memory_bound`.
        held_up: The caller leaves replies unread, or many results wait for a compressor. No handler
            begins and no result is encoded before ``when_room`` says so.
    """

    __slots__ = ("accepted", "body", "caller", "compressed", "form", "granted", "id")

    oneway: bool = False
    repeated: bool = False
    deduplicated: bool = False
    held: int = 0

    @property
    def held_up(self) -> bool:
        """See the class."""
        return False

    @property
    def outlives(self) -> bool:
        """See the class."""
        return False

    id: int
    form: Form
    body: bytes
    compressed: bool
    granted: float | None
    accepted: float
    caller: Peer

    @property
    def peer_certificate(self) -> Mapping[str, Any] | None:
        """See :attr:`bee_core.terms.call_context.CurrentCall.peer_certificate`."""
        return self.caller.certificate

    @property
    def peer_identity(self) -> str | None:
        """See :attr:`bee_core.terms.call_context.CurrentCall.peer_identity`."""
        return self.caller.identity

    def add_metadata(self, name: str, value: Value) -> None:
        """Show the handler one more value; for interceptors. Raises as a client's request does."""
        check_item("metadata", name, value)
        self._metadata = {**self._metadata, name: value}

    def add_baggage(self, name: str, value: Value) -> None:
        """Like :meth:`add_metadata`, for what also goes with the calls that the handler makes."""
        check_item("baggage", name, value)
        self.baggage = {**self.baggage, name: value}

    def answer_metadata(self) -> Metadata:
        """What the handler sends along with the answer."""
        written = self._reply_metadata
        return NOTHING if written is None else written.taken()

    def reply(self, body: bytes, compressed: bool) -> None:
        """Send the result.

        On the loop's thread only; ignored when the peer has gone or given up.
        """
        raise AssertionError

    def fail(self, failure: Failure) -> None:
        """Send an error. Like :meth:`reply`."""
        raise AssertionError

    def drop(self) -> None:
        """Send nothing, as if the answer were lost. Like :meth:`reply`."""

    def when_room(self, go_on: Callable[[], None]) -> None:
        """Call back once the call is not held up, in the order of the calls. Like :meth:`reply`."""
        go_on()

    def inflates(self, size: int, go_on: Callable[[], None]) -> Turn | None:
        """Count what the body may become. Like :meth:`reply`, as are those below.

        Returns:
            None where that is counted already, or not at all; else the place in the queue for
            memory, and ``go_on`` is called once there is room.
        """

    def becomes(self, size: int) -> None:
        """Count what the body has become."""

    def packs(self, size: int) -> None:
        """Count a result that waits for a compressor, by its bytes; less if it is negative."""

    def let_go(self) -> None:
        """The call has ended: count nothing for it any more. Idempotent."""


class Running(Protocol):
    """A request that an endpoint has begun and not ended."""

    def cancel(self) -> None:
        """The peer gave the request up or has gone. On the loop's thread only; idempotent."""


@attrs.frozen
class ServedMethod:
    """A method that a server has, for transports and tools that describe it.

    Attributes:
        name: ``add`` or ``Stats.mean``.
        signature: What it takes and gives.
        doc: Its docstring, without the indentation; empty without one.
        proto: Its full name in the ``.proto`` that declares it, ``shop.v1.Greeter.SayHello``, or
            None.
        errors: The exceptions that it declares (``@bee_core.raises``).
        kind: How its handler runs: ``async``, ``threaded`` or ``nonblocking``; empty if there is
            none, for a method of an interface.
        idempotent: Whether the handler or its interface is marked ``@bee_core.idempotent``.
        oneway: Whether the handler or its interface is marked ``@bee_core.oneway``.
    """

    name: str
    signature: Signature
    doc: str = ""
    proto: str | None = None
    errors: tuple[DeclaredError, ...] = ()
    kind: str = ""
    idempotent: bool = False
    oneway: bool = False


class Endpoint(Protocol):
    """What a transport's listener hands peers and requests to.

    On the loop's thread only.
    """

    ack: HelloAck
    """What the server says of itself. If it remembers its answers, a listener gives each connection
    a number of ``numbers`` and says so; one that does not, leaves ``deduplication`` out."""

    numbers: ConnectionNumbers
    """Those of its connections; only looked at if the ack has ``deduplication``."""

    clock: Callable[[], float]
    """Seconds, monotonic: the clock of every deadline here."""

    def admit(self, hello: Hello) -> Failure | None:
        """Decide about a hello. A failure refuses the peer: nothing on that connection ran."""

    def identity(self, hello: Hello) -> str | None:
        """Whom the token of a peer that was admitted stands for, or None: for :class:`Peer`."""

    def begin(self, call: InboundCall) -> Running | None:
        """Start a request. One of ``call.reply`` and ``call.fail`` follows once, now or later.

        ``call.drop`` follows instead where the configuration injects that. Never raises.

        Returns:
            What can be cancelled, or None where the request is over already.
        """

    def methods(self) -> Sequence[ServedMethod]:
        """The methods that it has, in the order of their names."""

    def load(self) -> Load:
        """How busy the server is now."""

    @property
    def draining(self) -> bool:
        """Answer pings with ``draining``."""
