"""Questions to etcd's JSON gateway and its answers (etcd 3.4 and later, ``/v3``).

The gateway follows the JSON mapping of protocol buffers: bytes are base64, 64-bit integers are
texts, and values that are the default (0, false, empty) are left out. msgspec reads base64 by
itself, and integers as texts if it is not strict. The defaults stand here.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import msgspec

from bee_plugins.registries.shared.node_record import UNREADABLE


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """An answer. Unknown fields are ignored: later versions of etcd say more."""


class Header(Reply, frozen=True, kw_only=True):
    """The head of every answer.

    Attributes:
        cluster_id: Hash of the cluster's first members. A cluster that is set up anew in the same
            way has the same hash.
        revision: Counts the changes of the whole store.
    """

    cluster_id: int = 0
    revision: int = 0


class Answer(Reply, frozen=True, kw_only=True):
    """A whole answer of etcd. Its head is never empty; that of a proxy's ``{}`` is.

    Attributes:
        streamed: Whether it is a line of a stream.
    """

    streamed: ClassVar[bool] = False
    header: Header = Header()

    @property
    def is_etcds(self) -> bool:
        """Whether etcd wrote it."""
        return self.header.cluster_id != 0

    @property
    def failure(self) -> Any:
        """An error within an answer that begins well, or None."""
        return None


class KeyValue(Reply, frozen=True, kw_only=True):
    """A key, its value, and its history.

    Attributes:
        mod_revision: The store's revision of the key's last change. In an event of a deletion, the
            revision of that deletion.
        create_revision: The revision of its creation.
        lease: Number of the lease by which it lives, or 0.
    """

    key: bytes = b""
    value: bytes = b""
    mod_revision: int = 0
    create_revision: int = 0
    lease: int = 0


class RangeReply(Answer, frozen=True, kw_only=True):
    """Keys and values of a range.

    Attributes:
        more: Whether the limit left some out.
        count: How many keys there are, whatever the limit.
    """

    kvs: tuple[KeyValue, ...] = ()
    more: bool = False
    count: int = 0


class OperationReply(Reply, frozen=True, kw_only=True):
    """One operation of a transaction. Only reads have an answer."""

    response_range: RangeReply | None = None


class TransactionReply(Answer, frozen=True, kw_only=True):
    """Whether a transaction's comparison held, and what its operations read."""

    succeeded: bool = False
    responses: tuple[OperationReply, ...] = ()


class LeaseReply(Answer, frozen=True, kw_only=True):
    """A lease.

    Attributes:
        number: The lease's number.
        ttl: Seconds, as etcd set it; 0 if the lease does not exist.
    """

    number: int = msgspec.field(name="ID", default=0)
    ttl: int = msgspec.field(name="TTL", default=0)


class KeptAlive(Answer, frozen=True, kw_only=True):
    """A renewal, in the envelope of a stream."""

    streamed: ClassVar[bool] = True
    result: LeaseReply = LeaseReply()
    error: Any = None

    @property
    def is_etcds(self) -> bool:
        """See :class:`Answer`."""
        return self.result.is_etcds and self.result.number != 0

    @property
    def failure(self) -> Any:
        """See :class:`Answer`."""
        return self.error


class Token(Answer, frozen=True, kw_only=True):
    """What etcd gives for a user name and a password."""

    token: str = ""

    @property
    def is_etcds(self) -> bool:
        """See :class:`Answer`."""
        return bool(self.token)


class Event(Reply, frozen=True, kw_only=True):
    """A change. ``type`` is ``DELETE``; etcd leaves it out for a put."""

    type: str = "PUT"
    kv: KeyValue = KeyValue()


class WatchReply(Reply, frozen=True, kw_only=True):
    """A message of a watch: it was created, events, its progress, or why it ends.

    Attributes:
        compact_revision: The oldest revision that etcd still has, if the watch wanted an older.
        fragment: Whether more events of the same revisions follow.
    """

    header: Header = Header()
    created: bool = False
    canceled: bool = False
    cancel_reason: str = ""
    compact_revision: int = 0
    fragment: bool = False
    events: tuple[Event, ...] = ()


class WatchLine(Reply, frozen=True, kw_only=True):
    """A line of the stream of a watch."""

    result: WatchReply | None = None
    error: Any = None


class StreamError(Reply, frozen=True, kw_only=True):
    """An error in a stream."""

    grpc_code: int = 2
    message: str = ""


class ErrorReply(Reply, frozen=True, kw_only=True):
    """An error of a single request. A request for a stream may get it, too."""

    error: Any = None
    code: int = 2
    message: str = ""


# gRPC's codes. The gateway passes on the number.
INVALID_ARGUMENT: Final = 3
DEADLINE_EXCEEDED: Final = 4
NOT_FOUND: Final = 5
PERMISSION_DENIED: Final = 7
RESOURCE_EXHAUSTED: Final = 8
FAILED_PRECONDITION: Final = 9
OUT_OF_RANGE: Final = 11
UNAUTHENTICATED: Final = 16

TRY_ELSEWHERE: Final = frozenset({1, 2, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, 10, 13, 14})
"""Codes that concern the member that was asked, or the moment, but not the request.

They are: cancelled, unknown, late, too much to do, aborted, internal, unavailable (no leader).
"""


def read_error(body: bytes) -> tuple[int, str] | None:
    """The code and the text of an error; None if the gateway did not write it."""
    try:
        reply = msgspec.json.decode(body, type=ErrorReply, strict=False)
        if isinstance(reply.error, dict):
            return read_stream_error(reply.error)
    except UNREADABLE:
        return None
    text = reply.message or reply.error
    return (reply.code, text) if isinstance(text, str) and text else None


def read_stream_error(error: Any) -> tuple[int, str]:
    """The code and the text of an error in a stream, which may have any shape."""
    try:
        found = msgspec.convert(error, StreamError, strict=False)
    except msgspec.ValidationError:
        return 2, str(error)[:200]
    return found.grpc_code, found.message


def end_of(prefix: bytes) -> bytes:
    """The end of the range of keys with a prefix. Its last byte must not be 255."""
    return prefix[:-1] + bytes((prefix[-1] + 1,))
