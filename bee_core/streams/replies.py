"""What the blocking and the asyncio channel make of a server's answers, and the hello that both begin with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import CallError, MessageTooLarge, ProtocolError
from ..terms.failures import Failure, Success, broken_peer, local, reported
from ..wire import frames
from ..wire.messages import Hello

if TYPE_CHECKING:
    from ..contracts.transport import ChannelSettings
    from ..terms.failures import Outcome
    from ..terms.request import Request


SENT = Success(b"")
"""How a oneway request ends once it has been written."""


def encode_hello(settings: ChannelSettings) -> bytes:
    """The hello frame of a connection that is made now: the token may have changed since the one before."""
    token = None if settings.token is None else settings.token()
    hello = Hello(settings.service, settings.codec, settings.compressor, token, settings.max_body)
    return frames.encode(frames.HELLO, 0, hello.encode())


def inflate(settings: ChannelSettings, body: bytes) -> Outcome:
    """A compressed reply as an outcome. The handler ran, whatever is wrong with the bytes."""
    try:
        return Success(settings.decompress(body) if settings.decompress else _no_compressor())
    except MessageTooLarge as error:
        return Failure("message_too_large", error.message, "yes", "never", "none")
    except CallError as error:
        return Failure("protocol_error", error.message, "yes", "never", "node")


def _no_compressor() -> bytes:
    raise ProtocolError("a compressed reply, and this client has no compressor")


def too_large(request: Request, limit: int) -> Failure:
    """A request that this server would not take; it said so in its hello-ack."""
    return local(
        "message_too_large",
        f"a body of {len(request.body)} bytes is over the server's max_size ({limit} bytes)",
    )


def unreadable(error: CallError) -> Failure:
    """The stream cannot be read on: a reply that is too large, or not bee's protocol."""
    if isinstance(error, MessageTooLarge):
        return reported("message_too_large", error.message, executed="maybe")
    return broken_peer(error)
