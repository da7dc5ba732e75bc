"""The size rule for bodies: compress a large one, refuse one too large, bound one inflated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import CallError, MessageTooLarge, ProtocolError
from .plugin_faults import kind_of

if TYPE_CHECKING:
    from .codec import Compressor
    from .plugin_faults import PluginFaults

HEAVY = 128 * 1024
"""Bytes from which compressing or inflating leaves an event loop: about a millisecond of gzip."""
MOST_HERE = 1 << 20
"""Bytes that a body is inflated to on an event loop: a millisecond. One that becomes more goes to a
thread, where it begins anew: 2 kB may become 32 MB."""


class SizeRule:
    """Applies one configuration's limits to bodies. Immutable, thread-safe.

    Args:
        compressor: The compressor, or None.
        max_size: Bytes that a body may have on the wire. A larger one is compressed; one that is
            still larger is refused before anything is sent.
        max_inflated: Bytes that a received body may have once it is inflated.
        compress_above: Bytes from which a body is compressed even though it is within ``max_size``;
            None for ``max_size`` itself.
    """

    __slots__ = ("_name", "compressor", "max_inflated", "max_size", "threshold")

    def __init__(
        self,
        compressor: Compressor | None,
        *,
        max_size: int,
        max_inflated: int,
        compress_above: int | None = None,
        name: str = "",
    ) -> None:
        self.compressor = compressor
        self._name = name
        self.max_size = max_size
        self.max_inflated = max_inflated
        self.threshold = max_size if compress_above is None else min(max_size, compress_above)

    def with_threshold(self, compress_above: int | None) -> SizeRule:
        """The same rule with another lower threshold."""
        rule = SizeRule(
            self.compressor,
            max_size=self.max_size,
            max_inflated=self.max_inflated,
            compress_above=compress_above,
            name=self._name,
        )
        return self if rule.threshold == self.threshold else rule

    def pack(self, body: bytes, peer_limit: int | None = None) -> tuple[bytes, bool]:
        """Make a body fit.

        Args:
            body: What the codec made; callers skip this for bodies up to ``threshold``.
            peer_limit: Bytes that the receiver takes, where it said so.

        Returns:
            The body to send, and whether it is compressed.

        Raises:
            MessageTooLarge: It is over the limit, also when compressed.
        """
        limit = self.max_size if peer_limit is None else min(self.max_size, peer_limit)
        size = len(body)
        if size <= min(self.threshold, limit):
            return body, False
        if size > self.max_inflated:
            raise MessageTooLarge(
                f"a body of {size} bytes is over max_inflated ({self.max_inflated} bytes). "
                f"{_ADVICE}"
            )
        if self.compressor is None:
            if size <= limit:
                return body, False
            raise MessageTooLarge(
                f"a body of {size} bytes is over max_size ({limit} bytes), and no compressor is "
                f"configured. {_ADVICE}"
            )
        packed = self.compressor.compress(body)
        if len(packed) >= size and size <= limit:
            return body, False
        if len(packed) > limit:
            raise MessageTooLarge(
                f"a body of {size} bytes, {len(packed)} bytes after "
                f"{self._name or 'compression'}, is over max_size ({limit} bytes). {_ADVICE}"
            )
        return packed, True

    def unpack(self, body: bytes, most: int | None = None) -> bytes:
        """Inflate a received body that is flagged as compressed.

        Args:
            body: As it came.
            most: Bytes that it may become here, where that is less than ``max_inflated``.

        Raises:
            MessageTooLarge: It inflates to more than that.
            ProtocolError: It is not of the compressor's format, or no compressor was agreed.
        """
        if self.compressor is None:
            raise ProtocolError("a compressed body on a connection without a compressor")
        limit = self.max_inflated if most is None else min(most, self.max_inflated)
        return self.compressor.decompress(body, limit)


class Unpacking:
    """Inflates received bodies by a size rule, and contains the compressor. Thread-safe.

    Args:
        rule: The size rule.
        faults: Says what the compressor did wrong.
    """

    __slots__ = ("_faults", "_rule")

    def __init__(self, rule: SizeRule, faults: PluginFaults) -> None:
        self._rule = rule
        self._faults = faults

    def __call__(self, body: bytes, most: int | None = None) -> bytes:
        """:meth:`SizeRule.unpack`.

        Raises:
            PluginFault: The compressor broke its contract. The handler ran: there is a reply.
        """
        compressor = self._rule.compressor
        try:
            inflated: Any = self._rule.unpack(body, most)
        except CallError:
            raise
        except Exception as error:
            raise self._faults.fault(compressor, "decompress", error, "yes") from error
        if not isinstance(inflated, bytes):
            problem = f"returned {kind_of(inflated)} where bytes were due"
            raise self._faults.wrong(compressor, "decompress", problem, "yes")
        return inflated


_ADVICE = (
    "Split the interface so that one call carries less (pages, batches), or raise max_size in "
    "the codec's options on both sides."
)
