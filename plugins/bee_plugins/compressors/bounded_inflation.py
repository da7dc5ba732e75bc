"""Inflating within a bound, for formats whose bodies are frames (gzip: members) one behind the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from bee_core.errors import MessageTooLarge, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_FRAMES = 16
"""Frames that may follow one another in a body. The formats allow any number, but each costs a copy of what is left, so a body of tiny ones would cost quadratic time."""


class Stream(Protocol):
    """Inflates one frame, as the decompressors of zlib, zstd and lz4 do."""

    @property
    def eof(self) -> bool:
        """Whether the end of the frame was reached."""
        ...

    @property
    def unused_data(self) -> bytes | None:
        """What follows the end of the frame."""
        ...

    @property
    def decompress(self) -> Callable[[bytes, int], bytes]:
        """Takes the input and the most bytes to return."""
        ...


def inflate(
    body: bytes,
    limit: int,
    open_frame: Callable[[], Any],
    *,
    name: str,
    frame: str,
    errors: tuple[type[Exception], ...],
) -> bytes:
    """Inflate all frames of a body within one limit.

    Args:
        body: The frames.
        limit: Bytes that they may become together.
        open_frame: Makes what inflates one frame, a :class:`Stream`.
        name: The format.
        frame: What the format calls its frames.
        errors: What a stream raises for bytes that are not of the format.

    Raises:
        MessageTooLarge: It would be more than ``limit`` bytes.
        ProtocolError: It is not of the format, cut short, or has too many frames.
    """
    parts: list[bytes] = []
    left = limit
    rest = body
    for _ in range(MOST_FRAMES):
        stream: Stream = open_frame()
        try:
            # One byte more than may be left shows that there is more, without inflating it.
            part = stream.decompress(rest, left + 1)
        except errors as error:
            raise ProtocolError(f"the body is not {name}: {error}") from error
        if len(part) > left:
            raise too_large(limit)
        if not stream.eof:
            raise ProtocolError(f"the {name} body is cut short")
        parts.append(part)
        left -= len(part)
        rest = stream.unused_data or b""
        if not rest:
            return parts[0] if len(parts) == 1 else b"".join(parts)
    raise ProtocolError(f"the {name} body has more than {MOST_FRAMES} {frame}")


def too_large(limit: int) -> MessageTooLarge:
    """The error for a body that inflates, or says that it inflates, to more than the limit."""
    return MessageTooLarge(
        f"the body inflates to more than {limit} bytes (max_inflated); split the message, or raise the limit"
    )
