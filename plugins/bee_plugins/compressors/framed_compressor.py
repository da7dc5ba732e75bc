"""What the compressors gzip, zstd and lz4 share: bodies of one or more frames, one limit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from bee_core.errors import MessageTooLarge, ProtocolError

MOST_FRAMES = 16
"""Frames that a body may have.

The formats allow any number. But each frame costs a copy of the bytes behind it, so the time for a
body of many tiny frames would grow with the square of its size.
"""


class FramedCompressor(ABC):
    """Inflates all frames of a body in one limit.

    Attributes:
        name: The format.
        frames: What the format calls its frames.
        errors: What the library raises for bytes that are not of the format.
    """

    name: ClassVar[str]
    frames: ClassVar[str] = "frames"
    errors: ClassVar[tuple[type[Exception], ...]]

    @abstractmethod
    def open_frame(self, limit: int) -> Any:
        """A new decompressor for one frame.

        It has ``decompress(data, most)``, ``eof`` and ``unused_data``, as those of zlib, zstd and
        lz4 do.

        Args:
            limit: The limit of the whole body, in bytes.
        """

    def decompress(self, body: bytes, limit: int) -> bytes:
        """See :meth:`bee_core.interfaces.Compressor.decompress`."""
        parts: list[bytes] = []
        left = limit
        rest = body
        for _ in range(MOST_FRAMES):
            stream = self.open_frame(limit)
            try:
                # One byte over the limit shows that there is more; the rest is not inflated.
                part = stream.decompress(rest, left + 1)
            except self.errors as error:
                raise self.foreign(error) from error
            if len(part) > left:
                raise too_large(limit)
            if not stream.eof:
                raise ProtocolError(f"the {self.name} body is cut short")
            parts.append(part)
            left -= len(part)
            rest = stream.unused_data or b""
            if not rest:
                return parts[0] if len(parts) == 1 else b"".join(parts)
        raise ProtocolError(f"the {self.name} body has more than {MOST_FRAMES} {self.frames}")

    def foreign(self, error: Exception) -> ProtocolError:
        """The error for bytes that are not of the format."""
        return ProtocolError(f"the body is not {self.name}: {error}")


def too_large(limit: int) -> MessageTooLarge:
    """The error for a body that inflates, or says that it inflates, to more than the limit."""
    return MessageTooLarge(
        f"the body inflates to more than {limit} bytes (max_inflated); split the message, or raise"
        " the limit"
    )
