"""Failures of an attempt, classed once.

A driver or a channel never raises for a failed attempt. It returns a :class:`Failure`, which a
function of :mod:`.causes` made. Every later decision reads its fields: whether to retry, whom to
blame, which error the caller sees. Three fields answer three questions:

========== ============================== ==================================================
field      values                         question
========== ============================== ==================================================
executed   ``no`` ``maybe`` ``yes``       Did the handler run?
retry      ``never`` ``same`` ``other``   Where is a retry of use: nowhere, anywhere, only
                                          elsewhere?
blame      ``node`` ``caller`` ``none``   Whose fault is it? Breakers count only ``node``.
========== ============================== ==================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, Union, final

import msgspec

from ..errors import (
    CALL_ERRORS,
    CallError,
    Executed,
    InvalidArgument,
    Overloaded,
    PluginFault,
    RemoteError,
    ServiceError,
)
from .metadata import NOTHING, Metadata
from .printable import name_of

if TYPE_CHECKING:
    from .node import Node

Retry = Literal["never", "same", "other"]
Blame = Literal["node", "caller", "none"]


@final
class Load(NamedTuple):
    """How busy a server was when it answered.

    Attributes:
        in_flight: Requests that it had begun and not ended, the answered one included.
        lag: Seconds by which its event loop was late.
    """

    in_flight: int
    lag: float


class Failure(msgspec.Struct, eq=False, gc=False):
    """Why an attempt gave no result. Treat as immutable.

    Attributes:
        kind: The ``kind`` of the error that the caller would see; a key of
            :data:`bee_core.errors.CALL_ERRORS`.
        message: One sentence for a person.
        executed: Did the handler run?
        retry: Is another try of any use, and where?
        blame: Whose fault?
        retry_after: Seconds that the server asks to wait, or None.
        error_type: The class name of the handler's exception (kind ``remote_error``); the plugin,
            as ``codec 'json'``, where a server says that one has a bug (kind ``plugin_fault``).
        code: What the application calls it (kind ``remote_error``); empty for an exception that
            nobody meant.
        details: What came with such an error, as the codec of the call has encoded it; empty for
            nothing.
        path: The path of the bad argument (kind ``invalid_argument``).
        traceback: The server's traceback, where it sends it.
        reached: False when no connection was made: a retry costs the server nothing.
        refused: True when nobody listens at the address: the system refused the connection.
        token_refused: True when the server refused the connection for its token: a new connection
            may show a newer one.
        unsent: True when the server cannot have seen the whole request, on a connection that had
            served before: a redial is free.
        metadata: What the handler sent along with its error.
        load: How busy the server was, where it said so.
    """

    kind: str
    message: str
    executed: Executed
    retry: Retry
    blame: Blame
    retry_after: float | None = None
    error_type: str = ""
    code: str = ""
    details: bytes = b""
    path: str = ""
    traceback: str | None = None
    reached: bool = True
    refused: bool = False
    token_refused: bool = False
    unsent: bool = False
    metadata: Metadata = NOTHING
    load: Load | None = None
    ok: ClassVar[bool] = False

    def copy(self, *, executed: Executed | None = None) -> Failure:
        """The same failure for another call that met it: each call adds its own notes."""
        return msgspec.structs.replace(self, executed=executed or self.executed)

    def __repr__(self) -> str:
        """All that a decision is made from."""
        return (
            f"Failure({self.kind}: {self.message!r}, executed={self.executed}, "
            f"retry={self.retry}, blame={self.blame})"
        )


class Raised(Failure, gc=True):
    """A failure that is an exception already: a plugin's fault, or an interceptor's refusal."""

    error: CallError | None = None


def raised(error: CallError) -> Raised:
    """The failure for an error that ends a call: it is the same wherever it is tried."""
    return Raised(error.kind, error.message, error.executed, "never", "caller", error=error)


def refused_by(error: CallError | ServiceError) -> Raised:
    """The failure for the error by which an interceptor of the client refuses a call."""
    if isinstance(error, ServiceError):
        told = RemoteError(error.message)
        told.type, told.code = name_of(error), error.code
        told.details, told.retry_after = error.details, error.retry_after
        told.__cause__ = error
        failure = raised(told)
        failure.error_type, failure.code = told.type, told.code
        return failure
    error.executed = "no"
    return raised(error)


@final
class Success(msgspec.Struct, eq=False, gc=False):  # every call makes one: a struct is made in C
    """The reply to a request. Treat as immutable.

    Attributes:
        body: The encoded result.
        metadata: What the handler sent along with it.
        epoch: Names the server process that answered, or None where the transport cannot tell.
        load: How busy that process was, where the client asked for it.
    """

    body: bytes
    metadata: Metadata = NOTHING
    epoch: bytes | None = None
    load: Load | None = None
    ok: ClassVar[bool] = True


Outcome = Union[Success, Failure]
"""How an attempt ended."""


class HandshakeError(ConnectionError):
    """A transport reached a server, and the handshake before bee's own bytes (TLS) failed.

    Nothing ran.

    Args:
        message: One sentence: what failed, and what to do.
        rejected: The server rejected this client for its certificate. Every node would.
    """

    def __init__(self, message: str, *, rejected: bool = False) -> None:
        super().__init__(message)
        self.rejected = rejected


def to_error(
    failure: Failure,
    *,
    service: str,
    method: str,
    node: Node | None,
    attempts: int,
    executed: Executed | None = None,
) -> CallError:
    """The exception that the caller sees."""
    if isinstance(failure, Raised) and failure.error is not None:
        known = failure.error
        known.message, known.args = failure.message, (failure.message,)
        known.service, known.method, known.node = service, method, node
        known.attempts, known.executed = attempts, executed or failure.executed
        return known
    error = CALL_ERRORS[failure.kind](
        failure.message,
        service=service,
        method=method,
        node=node,
        attempts=attempts,
        executed=executed or failure.executed,
    )
    if failure.metadata:
        error.metadata = dict(failure.metadata)
    if isinstance(error, RemoteError):
        error.type = failure.error_type
        error.code = failure.code
        error.retry_after = failure.retry_after
        error.traceback = failure.traceback
    elif isinstance(error, PluginFault):
        error.plugin = failure.error_type
    elif isinstance(error, InvalidArgument):
        error.path = failure.path
    elif isinstance(error, Overloaded):
        error.retry_after = failure.retry_after
    return error
