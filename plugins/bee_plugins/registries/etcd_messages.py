"""What etcd's JSON gateway is asked and what it answers (etcd 3.4 and later, ``/v3``).

The gateway translates protocol buffers by their JSON mapping: bytes are base64, 64-bit integers are texts, and what has its default value (0, false, empty) is left out.
msgspec does the first by itself and the second when it is not strict; the defaults stand here.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec


class _Reply(msgspec.Struct, frozen=True, kw_only=True):
    """Fields that are not known are passed over: later versions say more."""


class Header(_Reply, frozen=True, kw_only=True):
    """Stands in every answer.

    Attributes:
        cluster_id: Hash of the cluster's first members. A cluster that was set up again the same way has the same.
        revision: Counts the changes of the whole store.
    """

    cluster_id: int = 0
    revision: int = 0


class KeyValue(_Reply, frozen=True, kw_only=True):
    """A key, its value, and its history.

    Attributes:
        mod_revision: The store's revision of its last change; of its deletion, in an event that tells of one.
        lease: Number of the lease that it lives by, or 0.
    """

    key: bytes = b""
    value: bytes = b""
    mod_revision: int = 0
    lease: int = 0


class RangeReply(_Reply, frozen=True, kw_only=True):
    """Keys and values of a range.

    Attributes:
        more: Whether the limit cut some off.
        count: How many there are, whatever the limit.
    """

    header: Header = Header()
    kvs: tuple[KeyValue, ...] = ()
    more: bool = False
    count: int = 0


class OperationReply(_Reply, frozen=True, kw_only=True):
    """One operation of a transaction; only reads have something to say."""

    response_range: RangeReply | None = None


class TransactionReply(_Reply, frozen=True, kw_only=True):
    """Which way a transaction went, and what it read there."""

    succeeded: bool = False
    responses: tuple[OperationReply, ...] = ()


class LeaseReply(_Reply, frozen=True, kw_only=True):
    """A lease.

    Attributes:
        ttl: Seconds, as etcd made it; 0 for one that does not exist.
    """

    ttl: int = msgspec.field(name="TTL", default=0)


class KeptAlive(_Reply, frozen=True, kw_only=True):
    """A renewal, in the envelope of a stream."""

    result: LeaseReply = LeaseReply()
    error: Any = None


class Token(_Reply, frozen=True, kw_only=True):
    """What a user name and a password give."""

    token: str = ""


class Nothing(_Reply, frozen=True, kw_only=True):
    """An answer of which only the arrival matters."""


class Event(_Reply, frozen=True, kw_only=True):
    """A change. ``type`` is ``DELETE`` or, left out, a put."""

    type: str = "PUT"
    kv: KeyValue = KeyValue()


class WatchReply(_Reply, frozen=True, kw_only=True):
    """A message of a watch: that it was created, events, how far it has come, or why it ends.

    Attributes:
        compact_revision: The oldest revision that is still there, where the watch wanted an older one.
        fragment: Whether more events of the same revisions follow.
    """

    header: Header = Header()
    created: bool = False
    canceled: bool = False
    cancel_reason: str = ""
    compact_revision: int = 0
    fragment: bool = False
    events: tuple[Event, ...] = ()


class WatchLine(_Reply, frozen=True, kw_only=True):
    """A line of the stream of a watch."""

    result: WatchReply | None = None
    error: Any = None


class StreamError(_Reply, frozen=True, kw_only=True):
    """An error in a stream."""

    grpc_code: int = 2
    message: str = ""


class ErrorReply(_Reply, frozen=True, kw_only=True):
    """An error of a single request, which also comes as an answer to one that wanted a stream."""

    error: Any = None
    code: int = 2
    message: str = ""


# gRPC's codes, of which the gateway hands on the number.
INVALID_ARGUMENT: Final = 3
DEADLINE_EXCEEDED: Final = 4
NOT_FOUND: Final = 5
PERMISSION_DENIED: Final = 7
RESOURCE_EXHAUSTED: Final = 8
FAILED_PRECONDITION: Final = 9
OUT_OF_RANGE: Final = 11
UNAUTHENTICATED: Final = 16

TRY_ELSEWHERE: Final = frozenset({1, 2, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, 10, 13, 14})
"""Codes that say nothing about the request and all about the member asked, or the moment: cancelled, unknown, late, too much to do, aborted, internal, unavailable (no leader)."""


def read_error(body: bytes) -> tuple[int, str] | None:
    """The code and the text of an error, or None where it is no error of the gateway."""
    try:
        reply = msgspec.json.decode(body, type=ErrorReply, strict=False)
        if isinstance(reply.error, dict):
            return read_stream_error(reply.error)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    text = reply.message or reply.error
    return (reply.code, text) if isinstance(text, str) and text else None


def read_stream_error(error: Any) -> tuple[int, str]:
    """The same of an error in a stream; it may be of any shape."""
    try:
        found = msgspec.convert(error, StreamError, strict=False)
    except msgspec.ValidationError:
        return 2, str(error)[:200]
    return found.grpc_code, found.message


def end_of(prefix: bytes) -> bytes:
    """The end of the range of all keys that begin with a prefix, whose last byte is not the highest."""
    return prefix[:-1] + bytes((prefix[-1] + 1,))
