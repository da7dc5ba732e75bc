"""Failures of an attempt, classed once.

A driver or a channel never raises for a failed attempt. It returns a :class:`Failure`, made by one of the functions here, and every later decision (retry, blame, the
error that the caller sees) reads its fields. Three questions, three fields:

========== ============================== ===========================================================
field      values                         question
========== ============================== ===========================================================
executed   ``no`` ``maybe`` ``yes``        Did the handler run?
retry      ``never`` ``same`` ``other``    Is another try of any use: nowhere, anywhere, only elsewhere?
blame      ``node`` ``caller`` ``none``    Whose fault is it? Breakers count only ``node``.
========== ============================== ===========================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Union, final

import msgspec

from ..errors import CALL_ERRORS, InvalidArgument, Overloaded, RemoteError

if TYPE_CHECKING:
    from ..errors import CallError, Executed
    from .node import Node

Retry = Literal["never", "same", "other"]
Blame = Literal["node", "caller", "none"]


class Failure:
    """Why an attempt gave no result. Treat as immutable.

    Attributes:
        kind: The ``kind`` of the class in :data:`bee_core.errors.CALL_ERRORS` that the caller would see.
        message: One sentence for a person.
        executed: Did the handler run?
        retry: Is another try of any use, and where?
        blame: Whose fault?
        retry_after: Seconds that the server asks to wait, or None.
        error_type: The class name of the handler's exception (kind ``remote_error``).
        path: The path of the bad argument (kind ``invalid_argument``).
        traceback: The server's traceback, where it sends it.
        reached: False when no connection came about: the server was not even reached, so a retry costs it nothing.
        unsent: True when it is proven that the server cannot have seen the whole request, on a connection that had served before: a redial is free.
    """

    __slots__ = (
        "blame",
        "error_type",
        "executed",
        "kind",
        "message",
        "path",
        "reached",
        "retry",
        "retry_after",
        "traceback",
        "unsent",
    )

    ok = False

    def __init__(
        self,
        kind: str,
        message: str,
        executed: Executed,
        retry: Retry,
        blame: Blame,
        *,
        retry_after: float | None = None,
        error_type: str = "",
        path: str = "",
        traceback: str | None = None,
        reached: bool = True,
        unsent: bool = False,
    ) -> None:
        self.kind = kind
        self.message = message
        self.executed = executed
        self.retry = retry
        self.blame = blame
        self.retry_after = retry_after
        self.error_type = error_type
        self.path = path
        self.traceback = traceback
        self.reached = reached
        self.unsent = unsent

    def copy(self, *, executed: Executed | None = None) -> Failure:
        """The same failure for another call that met it: each call adds its own notes."""
        return Failure(
            self.kind,
            self.message,
            executed or self.executed,
            self.retry,
            self.blame,
            retry_after=self.retry_after,
            error_type=self.error_type,
            path=self.path,
            traceback=self.traceback,
            reached=self.reached,
            unsent=self.unsent,
        )

    def __repr__(self) -> str:
        """All that a decision is made from."""
        return f"Failure({self.kind}: {self.message!r}, executed={self.executed}, retry={self.retry}, blame={self.blame})"


@final
class Success(msgspec.Struct, eq=False, gc=False):  # every call makes one: a struct is made in C
    """The reply to a request: the encoded result. Treat as immutable."""

    body: bytes
    ok: ClassVar[bool] = True


Outcome = Union[Success, Failure]
"""How an attempt ended."""


class HandshakeError(ConnectionError):
    """Raised by transports: a server was reached, and what has to be agreed before the first byte of bee's own (TLS) failed, so that nothing ran.

    Args:
        message: One sentence: what failed, and what to do.
        rejected: The server turned this client away for what it is, its certificate: no node would do otherwise.
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
