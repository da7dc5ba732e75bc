"""Inflates a body of one or more frames within one limit, for gzip (members), zstd and lz4."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bee_core.errors import MessageTooLarge, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_FRAMES = 16
"""Frames that a body may have.

The formats allow any number. But each frame costs a copy of the bytes behind it, so the time for a
body of many tiny frames would grow with the square of its size.
"""


def inflate(
    body: bytes,
    limit: int,
    open_frame: Callable[[], Any],
    *,
    name: str,
    frames: str,
    errors: tuple[type[Exception], ...],
) -> bytes:
    """All frames of a body, inflated within one limit.

    Args:
        body: The frames.
        limit: Bytes that they may become together.
        open_frame: Makes a decompressor for one frame. It has ``decompress(data, most)``, ``eof``
            and ``unused_data``, as those of zlib, zstd and lz4 do.
        name: The format.
        frames: What the format calls its frames.
        errors: What a decompressor raises for bytes that are not of the format.

    Raises:
        MessageTooLarge: It would be more than ``limit`` bytes.
        ProtocolError: It is not of the format, cut short, or has too many frames.
    """
    parts: list[bytes] = []
    left = limit
    rest = body
    for _ in range(MOST_FRAMES):
        stream = open_frame()
        try:
            # One byte over the limit shows that there is more; the rest is not inflated.
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
    raise ProtocolError(f"the {name} body has more than {MOST_FRAMES} {frames}")


def too_large(limit: int) -> MessageTooLarge:
    """The error for a body that inflates, or says that it inflates, to more than the limit."""
    return MessageTooLarge(
        f"the body inflates to more than {limit} bytes (max_inflated); split the message, or raise"
        " the limit"
    )
