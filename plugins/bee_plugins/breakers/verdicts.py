"""What an outcome says of a node, and how successes and failures are counted."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Literal

from bee_core.interfaces import Failure

if TYPE_CHECKING:
    from bee_core.interfaces import Outcome

Verdict = Literal["well", "ill", "unknown"]

_MOST_SAID = 200  # characters of a message, which may be a server's


class Tally:
    """Successes and failures of a node since its breaker was made.

    ``succeeded`` counts a success without a lock: the interpreter runs one step of
    ``itertools.count`` at a time. The rest is called under the lock of the breakers.
    """

    __slots__ = ("_reads", "failures", "succeeded")

    def __init__(self) -> None:
        self.succeeded = count().__next__
        self._reads = 0
        self.failures = 0

    def successes(self) -> int:
        """How often ``succeeded`` was called. Reading it takes one step too."""
        self._reads += 1
        return self.succeeded() - self._reads + 1


def verdict_of(outcome: Outcome | None) -> Verdict:
    """What an outcome says of the node.

    Only a failure whose blame is the node counts against it. An error that the handler raised is a
    success of the node, because it did its work. Overload, the caller's own deadline and a call
    that was given up say nothing.
    """
    if outcome is None:
        return "unknown"
    if not isinstance(outcome, Failure):
        return "well"
    if outcome.blame == "node":
        return "ill"
    return "well" if outcome.executed == "yes" else "unknown"


def said(outcome: Outcome | None) -> str:
    """A failure in a few words."""
    if not isinstance(outcome, Failure):
        return "no verdict"
    return f"{outcome.kind}: {outcome.message[:_MOST_SAID]}"
