"""What a registry is to a client, and for how long it has answered. Pure: no I/O and no clock.

=============== ==================================================================================
event           meaning
=============== ==================================================================================
heard           it has answered: a list, or a confirmation of the last one
silence         a confirmation is overdue
lost            the watch has ended with anything but a refusal: it is out of reach, or garbled
refused         it answers, and refuses
contradicted    a node that it does not list says that it serves
agreed          no node contradicts it any more
=============== ==================================================================================

:data:`STATES` has the next state of each pair. The states are those of
:data:`bee_core.nodes.outlook.RegistryState`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..nodes.outlook import RegistryState

RegistryEvent = Literal["heard", "silence", "lost", "refused", "contradicted", "agreed"]
"""See the head of this module."""

STATES: Mapping[RegistryState, Mapping[RegistryEvent, RegistryState]] = {
    "unheard": {
        "heard": "answering",
        "silence": "silent",
        "lost": "silent",
        "refused": "refusing",
        "contradicted": "unheard",
        "agreed": "unheard",
    },
    "answering": {
        "heard": "answering",
        "silence": "silent",
        "lost": "silent",
        "refused": "refusing",
        "contradicted": "lying",
        "agreed": "answering",
    },
    "lying": {
        "heard": "lying",
        "silence": "silent",
        "lost": "silent",
        "refused": "refusing",
        "contradicted": "lying",
        "agreed": "answering",
    },
    "silent": {
        "heard": "answering",
        "silence": "silent",
        "lost": "silent",
        "refused": "refusing",
        "contradicted": "silent",
        "agreed": "silent",
    },
    "refusing": {
        "heard": "answering",
        "silence": "refusing",
        "lost": "silent",
        "refused": "refusing",
        "contradicted": "refusing",
        "agreed": "refusing",
    },
}
"""The next state, by state and event."""

ANSWERING = frozenset({"answering", "lying"})
"""The states in which it is heard."""

_LEAST_GRACE, _MOST_GRACE = 1.0, 5.0


def grace(confirms_every: float) -> float:
    """Seconds that a confirmation may be late before it counts as silence.

    Half of its interval: a registry under load is late, and a heartbeat is long already.
    """
    return min(max(confirms_every / 2, _LEAST_GRACE), _MOST_GRACE)


class Hearing:
    """One registry as a client hears it. Not thread-safe. Times are of the caller's clock.

    **The answered time** is the sum of the spans between two answers, of which neither the watch
    nor the registry was silent. The span since the last answer does not count yet: it may turn out
    to be a silence. Where a registry confirms nothing, a watch that waits counts as answered.

    Attributes:
        state: What the registry is.
        heard_at: When it answered last; None if it never did.
        silent_since: Since when it has not been heard; None while it is.
    """

    def __init__(self) -> None:
        self.state: RegistryState = "unheard"
        self.heard_at: float | None = None
        self.silent_since: float | None = None
        self._confirms_every: float | None = None
        self._answered = 0.0

    def expect(self, confirms_every: float | None) -> None:
        """A watch begins, of a registry that confirms so often; None: not at all."""
        self._confirms_every = confirms_every

    @property
    def patience(self) -> float | None:
        """Seconds since the last answer after which it counts as silent; None: never."""
        every = self._confirms_every
        return None if every is None else every + grace(every)

    def on(self, event: RegistryEvent, now: float) -> bool:
        """Take an event.

        Returns:
            Whether the registry went out of hearing by it, or came back.
        """
        before, after = self.state, STATES[self.state][event]
        if before in ANSWERING and (event == "heard" or self._confirms_every is None):
            self._count(now)
        if event == "heard":
            self.heard_at, self.silent_since = now, None
        elif after in {"silent", "refusing"} and self.silent_since is None:
            heard_at = self.heard_at
            self.silent_since = heard_at if event == "silence" and heard_at is not None else now
        self.state = after
        # From `unheard` it can come, but not come back.
        return (after in ANSWERING) != (before in ANSWERING or before == "unheard")

    def answered(self, now: float) -> float:
        """For how many seconds it has answered in all."""
        if self._confirms_every is None and self.state in ANSWERING and self.heard_at is not None:
            return self._answered + now - self.heard_at
        return self._answered

    def _count(self, now: float) -> None:
        if self.heard_at is not None:
            span, patience = now - self.heard_at, self.patience
            if patience is None or span <= patience:
                self._answered += span
            self.heard_at = now
