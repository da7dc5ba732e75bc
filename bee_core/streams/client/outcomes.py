"""What a server's answers mean, and the hello: the same for both kinds of connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...contracts.size_rule import HEAVY, MOST_HERE
from ...errors import CallError, MessageTooLarge, PluginFault, ProtocolError
from ...terms.causes import (
    broken_off,
    broken_peer,
    cancelled,
    connect_timed_out,
    local,
    passed_over,
    reported,
)
from ...terms.failures import Failure, Outcome, Success, raised
from ...wire import frames
from ...wire.messages import Hello, Status, parse_answer, parse_error, parse_pong

if TYPE_CHECKING:
    from ...contracts.transport import ChannelSettings
    from ...terms.request import Request
    from ...wire.frames import Frame
    from ...wire.protocol import ClientProtocol


SENT = Success(b"")
"""The outcome of a oneway request once it is written."""

_ABOVE_ALL_IDS = 1 << 32  # an id takes four bytes


def encode_hello(settings: ChannelSettings) -> bytes:
    """The hello frame of a new connection. The token may have changed since the last one."""
    token = None if settings.token is None else settings.token()
    hello = Hello(
        settings.service,
        settings.codec,
        settings.compressor,
        token,
        settings.max_body,
        settings.load_wanted,
    )
    return frames.encode(frames.HELLO, 0, hello.encode())


def outcome_here(frame: Frame, settings: ChannelSettings, epoch: bytes | None) -> Outcome | None:
    """The outcome from a compressed frame; None for one that would hold up an event loop."""
    if len(frame.body) >= HEAVY:
        return None
    outcome = outcome_of(frame, settings, epoch, MOST_HERE)
    too_large_here = type(outcome) is Failure and outcome.kind == "message_too_large"
    return None if too_large_here else outcome


def outcome_of(
    frame: Frame, settings: ChannelSettings, epoch: bytes | None = None, most: int | None = None
) -> Outcome:
    """The outcome of a request, from the frame that answers it.

    Args:
        frame: The frame.
        settings: The channel's.
        epoch: The server's, as its hello-ack said.
        most: Bytes that a compressed body may become; None for the client's bound.
    """
    if frame.kind == frames.RESPONSE:
        return _result(frame, settings, epoch, most)
    try:
        if frame.kind == frames.ERROR:
            return parse_error(frame.fields, frame.body)
        raise ProtocolError("a pong where a response was due")
    except ProtocolError as error:
        return broken_peer(error)


def _result(
    frame: Frame, settings: ChannelSettings, epoch: bytes | None, most: int | None
) -> Outcome:
    """The outcome from a response. The handler ran, even if the bytes are wrong."""
    try:
        metadata, load = parse_answer(frame.fields)
        body = frame.body
        if frame.flags:
            if settings.decompress is None:
                raise ProtocolError("a compressed reply, and this client has no compressor")
            body = settings.decompress(body, most)
        return Success(body, metadata, epoch, load)
    except PluginFault as error:
        return raised(error)
    except MessageTooLarge as error:
        return Failure("message_too_large", error.message, "yes", "never", "none")
    except CallError as error:
        return Failure("protocol_error", error.message, "yes", "never", "node")


def health_of(frame: Frame) -> Status | Failure:
    """The node's health, from the frame that answers a ping."""
    try:
        if frame.kind == frames.PONG:
            return parse_pong(frame.fields)
        raise ProtocolError("a response where a pong was due")
    except ProtocolError as error:
        return broken_peer(error)


def passed_by(protocol: ClientProtocol, id_: int = _ABOVE_ALL_IDS) -> Failure | None:
    """The failure of a request that gets no answer after the server's goaway, or None.

    One that the server did not accept did not run. One that it accepted is still answered after the
    goaway of a drain. Any other goaway is the end of the connection.

    Args:
        protocol: The connection's.
        id_: The id of the request. Without one: a request that was not sent.
    """
    goaway = protocol.goaway
    if goaway is None:
        return None
    if id_ > goaway.last_id:
        return passed_over(goaway.message, kind=goaway.kind)
    return None if goaway.drain else broken_off(goaway.message, kind=goaway.kind)


def client_closed(*, sent: bool) -> Failure:
    """The application closed the client while the call was under way."""
    return cancelled("the client was closed", sent=sent)


def too_large(request: Request, limit: int) -> Failure:
    """The request is larger than the server accepts, as its hello-ack said."""
    return local(
        "message_too_large",
        f"a body of {len(request.body)} bytes is over the server's max_size ({limit} bytes)",
    )


def unreadable(error: CallError) -> Failure:
    """Nothing more can be read: a reply is too large, or the bytes are not bee's protocol."""
    if isinstance(error, MessageTooLarge):
        return reported("message_too_large", error.message, executed="maybe")
    return broken_peer(error)


def connected_late(request: Request | None, seconds: float, allowed: float) -> Failure:
    """Why there is no connection after so many seconds, of those that were allowed.

    Args:
        request: Which it is for; None for a ping.
        seconds: How long it might take.
        allowed: See :meth:`bee_core.interfaces.Request.may_connect`.
    """
    if request is None:
        return connect_timed_out(allowed, full=seconds >= allowed)
    # Where another request of the call waits, the end of the wait says nothing of the node.
    waited = seconds if seconds < request.connect_within else 0.0
    full, configured = seconds >= allowed, request.connect_timeout
    return connect_timed_out(allowed, full=full, waited=waited, configured=configured)
