"""Compressor ``zstd`` (RFC 8878): smaller than gzip in a third of its time. The module is that of Python 3.14, and its backport before."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import attrs

from bee_core.errors import ProtocolError
from bee_core.hookspecs import hookimpl
from bee_plugins.compressors.bounded_inflation import inflate, too_large

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from bee_core.hookspecs import Registrar
    from bee_core.interfaces import Compressor

_SMALLEST_WINDOW_LOG = 23
"""8 MiB: what RFC 8878 (section 3.1.1.1.2) wants every decoder to support. The library takes it from the system and touches no more of it than it inflates."""
_LARGEST_WINDOW_LOG = 27
"""128 MiB: the library's own bound for frames from anywhere."""


@attrs.frozen
class ZstdOptions:
    """Options of the compressor ``zstd``.

    Attributes:
        level: 1 (fastest) to 19 (smallest). 1, since a call waits for it: on JSON records it takes a third
            of the time of gzip's level 1 and leaves three quarters of its result. The levels above 19 need windows that a decoder may refuse.
    """

    level: int = attrs.field(
        default=1, validator=attrs.validators.and_(attrs.validators.ge(1), attrs.validators.le(19))
    )


class ZstdCompressor:
    """Zstandard frames with a checksum and the size of their content. Stateless, thread-safe; the library lets other threads run meanwhile."""

    def __init__(self, options: ZstdOptions) -> None:
        parameter = zstd.CompressionParameter
        self._options: dict[int, int] = {
            parameter.compression_level: options.level,
            parameter.checksum_flag: 1,
        }

    def compress(self, body: bytes) -> bytes:
        """See :meth:`bee_core.interfaces.Compressor.compress`."""
        return zstd.compress(body, options=self._options)

    def decompress(self, body: bytes, limit: int) -> bytes:
        """See :meth:`bee_core.interfaces.Compressor.decompress`."""
        try:
            declared = zstd.get_frame_info(body).decompressed_size
        except zstd.ZstdError as error:
            raise ProtocolError(f"the body is not zstd: {error}") from error
        if (declared or 0) > limit:  # None for a frame that does not say
            # Said by the frame itself, so nothing need be inflated. What a frame says is never trusted further.
            raise too_large(limit)
        window_log = min(max(_SMALLEST_WINDOW_LOG, (limit - 1).bit_length()), _LARGEST_WINDOW_LOG)
        bounds: dict[int, int] = {zstd.DecompressionParameter.window_log_max: window_log}
        return inflate(
            body,
            limit,
            lambda: zstd.ZstdDecompressor(options=bounds),
            name="zstd",
            frame="frames",
            errors=(zstd.ZstdError,),
        )


@hookimpl
def bee_register_compressors(registry: Registrar[Compressor]) -> None:
    """Offer ``zstd``."""
    registry.add("zstd", ZstdCompressor, options=ZstdOptions)
