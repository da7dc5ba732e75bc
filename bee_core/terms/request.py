"""A request on its way to a node, and the forms in which a body carries arguments."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from .criticality import criticality_of
from .metadata import NOTHING, check_item

if TYPE_CHECKING:
    from .criticality import Criticality
    from .metadata import Metadata, Value

POSITIONAL = 0
"""Form of arguments: a list of values, in the order of the signature."""
NAMED = 1
"""Form of arguments: values by parameter name."""
MIXED = 2
"""Form of arguments: a list of two, the positional values and the named ones."""
MESSAGE = 3
"""Form of arguments: one message, with no envelope around it."""

DESCRIBE = "_bee.describe"
"""The method with which a service describes itself. No handler can have a name like this."""

FORMS = (POSITIONAL, NAMED, MIXED, MESSAGE)
"""All of them."""

Form = int
"""How the arguments lie in a body: POSITIONAL, NAMED, MIXED or MESSAGE.

Travels in the frame's header.
"""


class RequestHead:
    """What is the same for all requests of a method with one set of options.

    Immutable but for ``made``. Thread-safe.

    Attributes:
        service: The service's name.
        method: ``add`` or ``Stats.mean``.
        metadata: For the handler only.
        baggage: For the handler, and sent on with the calls that it makes.
        idempotent: Whether the call may run twice.
        oneway: No answer will come, and the server is told so.
        made: What transports and fallbacks have made of this head, such as encoded header fields.
            Each uses a key of its own, so that it does so once and not for every request.
        base: The head that this one was made of by :meth:`adding`, or None.
        added: What was added to the metadata of ``base``. A transport sends it last: what it has
            made of ``base`` is used again, and a receiver may know what stands before.
    """

    __slots__ = (
        "added",
        "baggage",
        "base",
        "idempotent",
        "made",
        "metadata",
        "method",
        "oneway",
        "service",
    )

    def __init__(
        self,
        service: str,
        method: str,
        metadata: Metadata = NOTHING,
        baggage: Metadata = NOTHING,
        *,
        idempotent: bool = False,
        oneway: bool = False,
    ) -> None:
        self.service = service
        self.method = method
        self.metadata = metadata
        self.baggage = baggage
        self.idempotent = idempotent
        self.oneway = oneway
        self.made: dict[str, Any] = {}
        self.base: RequestHead | None = None
        self.added: Metadata = NOTHING

    def adding(self, name: str, value: Value) -> RequestHead:
        """The same head with one more value in its metadata, for one request."""
        head = self.carrying({**self.metadata, name: value}, self.baggage)
        base = self.base or self
        if name not in base.metadata:
            head.base, head.added = base, {**self.added, name: value}
        return head

    def carrying(self, metadata: Metadata, baggage: Metadata) -> RequestHead:
        """The same head with other metadata and baggage."""
        return RequestHead(
            self.service,
            self.method,
            metadata,
            baggage,
            idempotent=self.idempotent,
            oneway=self.oneway,
        )


class Sent:
    """Where a request went that must not run twice, to a server that remembers its answers.

    Belongs to the call.

    Attributes:
        epoch: The server process.
        window: Seconds that the process remembers an answer.
        connection: The number that it gave to the connection.
        at: When the request was about to be written, seconds on the client's clock.
        repeated: It is a repetition from now on: to that process and to no other.
    """

    __slots__ = ("at", "connection", "epoch", "repeated", "window")

    def __init__(self, epoch: bytes, window: float, connection: bytes, at: float) -> None:
        self.epoch = epoch
        self.window = window
        self.connection = connection
        self.at = at
        self.repeated = False


class Request:
    """One request on its way to a node. The timeouts belong to one attempt, the rest to the call.

    Attributes:
        head: What does not change from request to request of a method; ``service``, ``method``,
            ``metadata``, ``baggage`` and ``idempotent`` are read from it.
        form: How the arguments lie in ``body``.
        body: The encoded arguments, compressed when ``compressed``.
        compressed: Whether the connection's compressor was used.
        deadline: When the whole call ends, seconds on the client's monotonic clock.
        dedupe_key: The same bytes for every attempt of a call, or None.
        connect_timeout, write_timeout, read_timeout: Seconds, the bounds of this attempt. None
            reaches beyond the deadline.
        oneway: No answer will come. The attempt is a success as soon as the request has been handed
            to the system.
        pending: What a blocking channel has under way for this request, or None. The channel sets
            it before ``start`` returns, and takes it back before the request lets go of its
            connection. So an exception between any two lines (Ctrl-C) finds what is to be
            cancelled.
        moment: Milliseconds that ``start`` of a blocking channel may wait for the reply, where the
            channel is ``attended``. Short, so that a signal that comes between two system calls of
            a native step, and ends no wait, is handled soon. Shorter for one of several requests
            that run at the same time.
        sent: Where it went; see :attr:`where_sent`. Not there until a channel sets it.
        connect_within: Seconds that a blocking channel may take to connect, besides
            ``connect_timeout``. It says nothing of the node that they are over: another request of
            the call waits meanwhile.
    """

    moment: int = 20
    connect_within: float = inf

    __slots__ = (
        "body",
        "compressed",
        "connect_timeout",
        "deadline",
        "dedupe_key",
        "form",
        "head",
        "oneway",
        "pending",
        "read_timeout",
        "sent",
        "write_timeout",
    )

    def __init__(
        self,
        head: RequestHead,
        form: Form,
        body: bytes,
        compressed: bool,
        deadline: float,
        connect_timeout: float,
        write_timeout: float,
        read_timeout: float,
        dedupe_key: bytes | None = None,
    ) -> None:
        self.head = head
        self.form = form
        self.body = body
        self.compressed = compressed
        self.deadline = deadline
        self.connect_timeout = connect_timeout
        self.write_timeout = write_timeout
        self.read_timeout = read_timeout
        self.dedupe_key = dedupe_key
        self.oneway = head.oneway
        self.pending: Any = None
        self.sent: Sent | None

    @property
    def where_sent(self) -> Sent | None:
        """Where its last attempt went, if that server remembers its answers; else None."""
        return getattr(self, "sent", None)

    def new_key(self) -> bytes | None:
        """A new deduplication key; None for a request that belongs to no call."""
        return None

    def may_connect(self, now: float) -> float:
        """Seconds that this attempt may take to connect, from ``now`` on.

        A channel asks when it connects. It is ``connect_timeout``, or less where the time of the
        call is to be left for another node. When they are over the node is to blame.
        """
        return self.connect_timeout

    @property
    def service(self) -> str:
        """The service's name."""
        return self.head.service

    @property
    def method(self) -> str:
        """``add`` or ``Stats.mean``."""
        return self.head.method

    @property
    def metadata(self) -> Metadata:
        """For the handler only."""
        return self.head.metadata

    @property
    def baggage(self) -> Metadata:
        """For the handler, and sent on with the calls that it makes."""
        return self.head.baggage

    @property
    def criticality(self) -> Criticality:
        """How important the call is: the level that its baggage states, else ``critical``."""
        return criticality_of(self.head.baggage)

    @property
    def idempotent(self) -> bool:
        """Whether the call may run twice."""
        return self.head.idempotent

    def add_metadata(self, name: str, value: Value) -> None:
        """Send one more value with this request only. Before it is sent.

        Raises:
            TypeError: The name is not text, or the value is neither text nor bytes.
            ValueError: The name is empty or longer than 255 bytes.
        """
        check_item("metadata", name, value)
        self.head = self.head.adding(name, value)

    def add_baggage(self, name: str, value: Value) -> None:
        """Like :meth:`add_metadata`, for what also travels on."""
        check_item("baggage", name, value)
        head = self.head
        self.head = head.carrying(head.metadata, {**head.baggage, name: value})
