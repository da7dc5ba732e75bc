"""What each cause of a failed attempt means, classed once.

Each function makes the :class:`~.failures.Failure` of one cause. Every later decision reads its
fields.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ..errors import CallError, Executed


from .codes import MAX_CODE
from .failures import Blame, Failure, HandshakeError, Retry
from .printable import printable, text_of


class FailureClass(NamedTuple):
    """What a kind of error frame means when the frame does not say more."""

    executed: Executed
    retry: Retry
    blame: Blame


REPORTED: dict[str, FailureClass] = {
    # The handler's own word. The node did its work.
    "remote_error": FailureClass("yes", "never", "none"),
    # The caller's mistakes: no node would answer otherwise.
    "method_not_found": FailureClass("no", "never", "caller"),
    "invalid_argument": FailureClass("no", "never", "caller"),
    "message_too_large": FailureClass("no", "never", "caller"),
    "unauthenticated": FailureClass("no", "never", "caller"),
    # The node says that it cannot now: load or a shutdown, neither is a fault. Other nodes may.
    "overloaded": FailureClass("no", "same", "none"),
    "unavailable": FailureClass("no", "other", "none"),
    # The server gave up a request that was late or that it had begun. The frame's `executed` field
    # says which.
    "deadline_exceeded": FailureClass("maybe", "never", "none"),
    "cancelled": FailureClass("maybe", "never", "none"),
    # The peers do not understand each other.
    "protocol_error": FailureClass("maybe", "other", "node"),
    # A plugin of the server has a bug. Another node may have another version of it.
    "plugin_fault": FailureClass("maybe", "other", "none"),
}
"""The class of each kind that a server reports in an error frame or a goaway."""


def reported(
    kind: str,
    message: str,
    *,
    executed: Executed | None = None,
    retry_after: float | None = None,
    error_type: str = "",
    code: str = "",
    details: bytes = b"",
    path: str = "",
    traceback: str | None = None,
) -> Failure:
    """Class what the server said about a request.

    Args:
        kind: The error code's name. One that is unknown (a newer server) is taken as
            ``remote_error``, or as ``unavailable`` if the server says that nothing ran.
        message: The server's message.
        executed: What the server said, else the default of the kind.
        retry_after: Seconds, or None.
        error_type: Class name of the handler's exception, or the plugin of a ``plugin_fault``.
        code: What the application calls it; made printable here.
        details: What came with it, encoded.
        path: Path of the bad argument.
        traceback: Text, or None.
    """
    row = REPORTED.get(kind)
    if row is None:
        row = REPORTED["unavailable"] if executed == "no" else REPORTED["remote_error"]
        message = f"{kind}: {message}"
        kind = "unavailable" if executed == "no" else "remote_error"
    executed = executed or row.executed
    return Failure(
        kind,
        message,
        executed,
        # A bug is met again, at the least on the same way: only what did not run is tried again.
        "never" if kind == "plugin_fault" and executed != "no" else row.retry,
        row.blame,
        retry_after=retry_after,
        error_type=error_type,
        code=printable(code, MAX_CODE),
        details=details,
        path=path,
        traceback=traceback,
    )


def refused(error: BaseException) -> Failure:
    """No connection was made and nothing was sent. A retry elsewhere, or here later, is safe."""
    if isinstance(error, HandshakeError):
        return handshake_failed(error)
    return Failure(
        "unavailable",
        f"cannot connect: {describe(error)}",
        "no",
        "same",
        "node",
        reached=False,
        # A Unix socket has no file any more when its server has gone.
        refused=isinstance(error, (ConnectionRefusedError, FileNotFoundError)),
    )


def handshake_failed(error: HandshakeError) -> Failure:
    """The server does not trust this client, or this client must not trust the server.

    It stays so until somebody changes a file, so the same node is not asked again.
    """
    if error.rejected:
        return Failure("unauthenticated", str(error), *REPORTED["unauthenticated"])
    return Failure("unavailable", f"cannot connect: {error}", "no", "other", "node")


CONNECT_EVIDENCE = 0.1
"""Seconds without a connection that say something of the node, where the deadline ended the wait.
Most connections take one to three round trips, of some milliseconds within a region; the longest
ways on earth take 0.1 s there and back and more, and calls over those have more time."""
_ROUNDING = 1e-6  # differences of moments are no round numbers


def connect_timed_out(
    seconds: float, *, full: bool, waited: float = 0.0, configured: float | None = None
) -> Failure:
    """No connection was made in time.

    Args:
        seconds: How long it might take: the connect_timeout, or less.
        full: All of it was waited, so the node is to blame.
        waited: Where the call's deadline came first: how long was waited. From
            :data:`CONNECT_EVIDENCE` on the node is to blame as well: nobody answered there.
        configured: The connect_timeout, if ``seconds`` is less to leave time for another node.
    """
    if full:
        message = f"cannot connect: no answer within connect_timeout ({seconds:g} s)"
        if configured is not None and seconds < configured - _ROUNDING:
            message = (
                f"cannot connect: no answer within {seconds:.3g} s, half of what was left"
                f" (connect_timeout is {configured:g} s)"
            )
        return Failure("unavailable", message, "no", "same", "node", reached=False)
    return Failure(
        "deadline_exceeded",
        "the deadline came while connecting",
        "no",
        "never",
        "node" if waited >= CONNECT_EVIDENCE else "none",
        reached=False,
    )


def connect_given_up(seconds: float) -> Failure:
    """No connection in the little time that another request of the call leaves for it."""
    return Failure(
        "unavailable",
        f"cannot connect within {seconds:g} s, and another attempt is under way",
        "no",
        "other",
        "none",
        reached=False,
    )


def not_sent(error: BaseException, *, reused: bool) -> Failure:
    """The connection broke before the system had the whole request.

    So the server cannot have seen a whole frame.

    Args:
        error: What the system said.
        reused: The connection had served before, so it may only have been idle too long. A redial
            is free and nobody is to blame.
    """
    return Failure(
        "unavailable",
        f"connection broke while sending: {describe(error)}",
        "no",
        "same",
        "none" if reused else "node",
        unsent=reused,
    )


def write_timed_out(seconds: float, *, full: bool) -> Failure:
    """The request could not be written in time. No server runs a part of a frame.

    Args:
        seconds: The write_timeout.
        full: The whole write_timeout was waited, so the node is to blame.
    """
    if full:
        return Failure(
            "deadline_exceeded",
            f"the request could not be written within write_timeout ({seconds:g} s)",
            "no",
            "same",
            "node",
        )
    return Failure(
        "deadline_exceeded", "the deadline came while writing the request", "no", "never", "none"
    )


def lost(error: BaseException | str, *, greeted: bool = True) -> Failure:
    """The connection was lost after the request went out: nobody knows whether it ran.

    Args:
        error: What ended it.
        greeted: The server had answered the hello. Before that, the error may say that the server
            rejected the client: a TLS 1.3 server checks the client's certificate after the client
            has finished its handshake. Then nothing ran.
    """
    if isinstance(error, HandshakeError) and error.rejected and not greeted:
        return handshake_failed(error)
    return Failure(
        "unavailable",
        f"connection lost before the reply: {describe(error)}",
        "maybe",
        "same",
        "node",
    )


def read_timed_out(seconds: float, *, full: bool) -> Failure:
    """No complete reply in time.

    Args:
        seconds: The read_timeout.
        full: The whole read_timeout was waited, so the node is to blame. Else the call's own
            deadline came first, which proves nothing about the node.
    """
    if full:
        return Failure(
            "deadline_exceeded",
            f"no reply within read_timeout ({seconds:g} s)",
            "maybe",
            "same",
            "node",
        )
    return Failure(
        "deadline_exceeded", "the deadline came before the reply", "maybe", "never", "none"
    )


def passed_over(message: str, *, kind: str = "unavailable") -> Failure:
    """The server's goaway did not accept this request: it did not run, and will not run here.

    Args:
        message: Why the server goes, in its words.
        kind: The code in the goaway: ``unavailable`` for a drain, another one for a refusal of the
            hello.
    """
    row = REPORTED.get(kind, REPORTED["unavailable"])
    return Failure(
        kind if kind in REPORTED else "unavailable",
        message,
        "no",
        row.retry,
        row.blame,
        unsent=kind == "unavailable",
        token_refused=kind == "unauthenticated",
    )


def broken_off(message: str, *, kind: str) -> Failure:
    """The server ends the connection with a goaway that is no drain, and had accepted this request.

    It may have run, and there will be no answer.

    Args:
        message: Why, in the server's words.
        kind: The code in the goaway.
    """
    row = REPORTED[kind]
    return Failure(kind, message, "maybe", row.retry, row.blame)


def broken_peer(error: BaseException) -> Failure:
    """The server sent what is not the protocol, after the request went out."""
    return Failure(
        "protocol_error",
        f"the server does not speak bee's protocol: {error}",
        "maybe",
        "other",
        "node",
    )


def undecodable(error: CallError) -> Failure:
    """The reply came and cannot be decoded as the signature says: the handler ran."""
    return Failure(
        error.kind, error.message, "yes", "never", "none", path=getattr(error, "path", "")
    )


def cancelled(message: str, *, sent: bool) -> Failure:
    """The call was given up on this side."""
    return Failure("cancelled", message, "maybe" if sent else "no", "never", "none")


def local(kind: str, message: str, *, path: str = "", retry_after: float | None = None) -> Failure:
    """Decided on this side before anything was sent."""
    return Failure(kind, message, "no", "never", "caller", path=path, retry_after=retry_after)


def describe(error: BaseException | str) -> str:
    """The shortest useful text of an exception: the system's words, else the class name."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"  # asyncio puts its own words there
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return error if isinstance(error, str) else text_of(error)
