"""What a server's answers mean, and the hello: the same for both kinds of connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import CallError, MessageTooLarge, ProtocolError
from ...terms.causes import broken_peer, cancelled, local, passed_over, reported
from ...terms.failures import Failure, Outcome, Success
from ...wire import frames
from ...wire.messages import Hello, Status, parse_error, parse_pong

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
    hello = Hello(settings.service, settings.codec, settings.compressor, token, settings.max_body)
    return frames.encode(frames.HELLO, 0, hello.encode())


def outcome_of(frame: Frame, settings: ChannelSettings) -> Outcome:
    """The outcome of a request, from the frame that answers it."""
    if frame.kind == frames.RESPONSE:
        return inflate(settings, frame.body) if frame.flags else Success(frame.body)
    try:
        if frame.kind == frames.ERROR:
            return parse_error(frame.fields)
        raise ProtocolError("a pong where a response was due")
    except ProtocolError as error:
        return broken_peer(error)


def inflate(settings: ChannelSettings, body: bytes) -> Outcome:
    """The outcome from a compressed reply. The handler ran, even if the bytes are wrong."""
    try:
        if settings.decompress is None:
            raise ProtocolError("a compressed reply, and this client has no compressor")
        return Success(settings.decompress(body))
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
    """The failure of a request that the server's goaway did not accept, or None if it did.

    Args:
        protocol: The connection's.
        id_: The id of the request. Without one: a request that was not sent.
    """
    goaway = protocol.goaway
    if goaway is None or id_ <= goaway.last_id:
        return None
    return passed_over(goaway.message, kind=goaway.kind)


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
