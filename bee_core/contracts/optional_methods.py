"""What policies may define besides their contracts; checked where they do.

:mod:`.policies` says in each contract what these methods are for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..errors import CallError
    from ..terms.request import Request
    from .policies import Change, PastResult


class Sized(Protocol):
    """What breakers may define that bound how many nodes are cut off."""

    def resize(self, nodes: int) -> Sequence[Change]:
        """Called with the number of the service's nodes; the changes that follow from it."""


class Reasoning(Protocol):
    """What a breaker may define that can say what cut its node off."""

    def why(self, now: float) -> str:
        """One sentence; the empty text while it is closed."""


class Learning(Protocol):
    """What a fallback may define that answers with earlier results."""

    def learn(self, request: Request, result: PastResult) -> None:
        """Called for each call that a node answered."""

    def recall(self, request: Request, error: CallError) -> PastResult | None:
        """The result to answer with, or None."""
