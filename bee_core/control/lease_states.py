"""The states of a server's lease as a table. Pure: no clock, no I/O.

A lease is lost for two reasons only: its time is over, or the registry itself says that it has
gone. Whatever else goes wrong with a renewal (no answer, a late one, one that cannot be read, a
refusal) leaves it *unsure*, and the server asks again:

    none ── ask ──> registering ── granted ──> held
    registering ── unknown, refused, taken ──> registering, tried again later
    held ── unknown, refused ──> unsure ── renewed ──> held
    held, unsure ── lost, taken, time_over ──> lost ── ask ──> registering
    each ── leave ──> left

Nothing is revoked before ``leave``.
"""

from __future__ import annotations

from typing import Literal

import attrs

State = Literal["none", "registering", "held", "unsure", "lost", "left"]
"""What the server knows of its lease.

``none``: it has not registered yet. ``registering``: an attempt is under way, or the pause before
the next one. ``held``: the last answer was good. ``unsure``: the registry does not answer, or not
rightly, and the lease may live. ``lost``: it is over, and no attempt has been made since.
``left``: the server has left; final.
"""

Event = Literal[
    "ask",
    "granted",
    "renewed",
    "unknown",
    "refused",
    "taken",
    "lost",
    "time_over",
    "leave",
]
"""What happens to it.

``ask``: an attempt to register begins. ``granted``: it gave a lease. ``renewed``: a renewal was
answered in time. ``unknown``: no answer, a late one, or none that can be read. ``refused``: the
registry answers and does not want it. ``taken``: another server that lives has the id. ``lost``:
the registry says that the lease has gone. ``time_over``: nothing good was heard for as long as the
lease lasts. ``leave``: the server leaves.
"""

EventName = Literal[
    "registered",
    "registered_again",
    "record_repaired",
    "lease_lost",
    "registry_out_of_reach",
    "registry_in_reach",
    "registration_refused",
    "id_taken",
    "not_deregistered",
]
"""What an operator is told, in the log and by observers."""

TROUBLES = frozenset({"registry_out_of_reach", "registration_refused", "id_taken"})
"""What is told once as long as it lasts, however often it is tried again."""


@attrs.frozen
class Step:
    """Where an event leads.

    Attributes:
        state: The new state.
        tells: What an operator is told; None for nothing.
    """

    state: State
    tells: EventName | None = None


_OUT_OF_REACH: EventName = "registry_out_of_reach"
_REFUSED: EventName = "registration_refused"

TABLE: dict[tuple[State, Event], Step] = {
    ("none", "ask"): Step("registering"),
    ("none", "leave"): Step("left"),
    # Attempts are made until one is granted, one at a time.
    ("registering", "ask"): Step("registering"),
    ("registering", "granted"): Step("held", "registered"),
    ("registering", "unknown"): Step("registering", _OUT_OF_REACH),
    ("registering", "refused"): Step("registering", _REFUSED),
    ("registering", "taken"): Step("registering", "id_taken"),
    ("registering", "lost"): Step("registering", _REFUSED),  # a plugin's wrong word for it
    ("registering", "leave"): Step("left"),
    ("held", "renewed"): Step("held"),
    ("held", "unknown"): Step("unsure", _OUT_OF_REACH),
    ("held", "refused"): Step("unsure", _REFUSED),
    ("held", "taken"): Step("lost", "id_taken"),
    ("held", "lost"): Step("lost", "lease_lost"),
    ("held", "time_over"): Step("lost", "lease_lost"),
    ("held", "leave"): Step("left"),
    ("unsure", "renewed"): Step("held", "registry_in_reach"),
    ("unsure", "unknown"): Step("unsure", _OUT_OF_REACH),
    ("unsure", "refused"): Step("unsure", _REFUSED),
    ("unsure", "taken"): Step("lost", "id_taken"),
    ("unsure", "lost"): Step("lost", "lease_lost"),
    ("unsure", "time_over"): Step("lost", "lease_lost"),
    ("unsure", "leave"): Step("left"),
    ("lost", "ask"): Step("registering"),
    ("lost", "leave"): Step("left"),
    # An attempt that was under way may still be granted: then it is taken back. What the registry
    # answers to that is told, unless it is what was wanted.
    ("left", "granted"): Step("left"),
    ("left", "lost"): Step("left"),
    ("left", "taken"): Step("left"),
    ("left", "unknown"): Step("left", "not_deregistered"),
    ("left", "refused"): Step("left", "not_deregistered"),
    ("left", "leave"): Step("left"),
}
"""All that can happen. A pair that is missing is an error of the caller."""


def after(state: State, event: Event) -> Step:
    """The step that an event leads to.

    Raises:
        ValueError: The event cannot come in this state.
    """
    step = TABLE.get((state, event))
    if step is None:
        raise ValueError(f"a lease that is {state!r} cannot meet {event!r}")
    return step


class LeaseState:
    """The state of one server's lease, and what is to be told of it. Not thread-safe.

    Attributes:
        state: The state of now.
        trouble: What is wrong, by the name it was told by; empty where nothing is known to be.
    """

    def __init__(self) -> None:
        self.state: State = "none"
        self.trouble = ""
        self._again = False

    def meet(self, event: Event) -> EventName | None:
        """Go on to the next state.

        Returns:
            What an operator is to be told; None for nothing, or where it was told before and has
            not ended since.

        Raises:
            ValueError: The event cannot come in this state.
        """
        step = after(self.state, event)
        self.state = step.state
        if event in {"granted", "renewed"}:
            self.trouble = ""
        if event == "granted" and step.tells is not None:
            again, self._again = self._again, True
            return "registered_again" if again else step.tells
        if step.tells in TROUBLES:
            if step.tells == self.trouble:
                return None
            self.trouble = step.tells
        return step.tells
