"""What is sent to a peer that did not get as far as a hello."""

from __future__ import annotations

from ..wire import frames
from ..wire.messages import Goaway


def refusal(kind: str, message: str) -> bytes:
    """The bytes of a goaway that refuses a connection: nothing on it ran. See the wire protocol.

    Args:
        kind: A kind of failure: ``protocol_error``.
        message: One sentence for a person.
    """
    return frames.encode(frames.GOAWAY, 0, Goaway(0, kind, message).encode())
