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

from typing import TYPE_CHECKING, ClassVar, Literal, Union, final

import msgspec

from ..errors import CALL_ERRORS, CallError, Executed, InvalidArgument, Overloaded, RemoteError

if TYPE_CHECKING:
    from .node import Node

Retry = Literal["never", "same", "other"]
Blame = Literal["node", "caller", "none"]


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
        error_type: The class name of the handler's exception (kind ``remote_error``).
        path: The path of the bad argument (kind ``invalid_argument``).
        traceback: The server's traceback, where it sends it.
        reached: False when no connection was made: a retry costs the server nothing.
        unsent: True when the server cannot have seen the whole request, on a connection that had
            served before: a redial is free.
    """

    kind: str
    message: str
    executed: Executed
    retry: Retry
    blame: Blame
    retry_after: float | None = None
    error_type: str = ""
    path: str = ""
    traceback: str | None = None
    reached: bool = True
    unsent: bool = False
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


@final
class Success(msgspec.Struct, eq=False, gc=False):  # every call makes one: a struct is made in C
    """The reply to a request: the encoded result. Treat as immutable."""

    body: bytes
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
    cls = CALL_ERRORS[failure.kind]
    error = cls(
        failure.message,
        service=service,
        method=method,
        node=node,
        attempts=attempts,
        executed=executed or failure.executed,
    )
    if isinstance(error, RemoteError):
        error.type = failure.error_type
        error.traceback = failure.traceback
    elif isinstance(error, InvalidArgument):
        error.path = failure.path
    elif isinstance(error, Overloaded):
        error.retry_after = failure.retry_after
    return error
