"""Which tokens a server accepts."""

from __future__ import annotations

from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Tokens:
    """Compares what a hello carries with the tokens of the moment. Thread-safe.

    Args:
        sources: Each gives the tokens of one entry of the configuration, as they are now.
    """

    __slots__ = ("_sources",)

    def __init__(self, sources: Sequence[Callable[[], Sequence[str]]]) -> None:
        self._sources = tuple(sources)

    def accept(self, token: str | None) -> bool:
        """Whether a token is one of them.

        The time that it takes does not tell which one, how much of it was right, or how long they
        are.
        """
        # Digests have one length, and the comparison looks at all of each and at all of them.
        given = sha256((token or "").encode()).digest()
        found = False
        for source in self._sources:
            for known in source():
                found |= compare_digest(sha256(known.encode()).digest(), given)
        return found and token is not None
