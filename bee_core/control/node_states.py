"""What a client believes of each node, and why it changes its mind. Pure: no I/O and no clock.

A registry's list is evidence and not truth. A registry that has lost its data lists nobody, and so
does one whose services have all left. The nodes themselves know better. So a node that vanishes
from the list is *doubted*: it is asked, and calls go on to it until somebody says that it is gone.

========= ============== ========================================================================
state     calls go to it meaning
========= ============== ========================================================================
cached    no             known from the disk only; the registry answers, and does not list it
listed    yes            in the registry's list, or in the list that stands in for it
doubted   yes            the registry does not list it any more; nothing says that it has gone
gone      no             let go; also a node that was never heard of, and a listed one whose
                         address a newer one has
========= ============== ========================================================================

=============== ==================================================================================
event           meaning
=============== ==================================================================================
listed          the registry's list names it
vanished        the registry's list does not name it any more
address_taken   a listed node has its address, and appeared later if both are listed: whoever
                answers there is the other one
serving         it answered a ping as serving, or refused it for its load: a sign of life
draining        it answered that it is about to leave; a server that deregisters says so
refused         nobody listens at its address, as a ping or a call has found
failed          :data:`MOST_FAILURES` pings in a row brought no answer; a slow one counts as none
time_over       the registry has answered for as long as a lease lasts, and not listed it
=============== ==================================================================================

:data:`STATES` has the next state of each pair; :mod:`.roster` follows it for all nodes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ..terms.failures import Failure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..terms.node import Node

NodeStatus = Literal["cached", "listed", "doubted", "gone"]
"""See the head of this module."""
NodeEvent = Literal[
    "listed",
    "vanished",
    "address_taken",
    "serving",
    "draining",
    "refused",
    "failed",
    "time_over",
]
"""See the head of this module."""

MOST_FAILURES = 3
"""Pings in a row without an answer after which a node is let go.

One ping may be lost or late. Three of them with the pauses between take longer than a pause of a
process that collects its garbage.
"""

STATES: Mapping[NodeStatus, Mapping[NodeEvent, NodeStatus]] = {
    "cached": {
        "listed": "listed",
        "vanished": "cached",
        "address_taken": "gone",
        "serving": "doubted",
        "draining": "gone",
        "refused": "gone",
        "failed": "gone",
        "time_over": "gone",
    },
    # What it answers to a ping that was sent before it was listed again changes nothing. A node
    # that is listed and does not serve is a matter for breakers. It comes back ("listed") when the
    # newer node leaves the list that had its address.
    "listed": {
        "listed": "listed",
        "vanished": "doubted",
        "address_taken": "gone",
        "serving": "listed",
        "draining": "listed",
        "refused": "listed",
        "failed": "listed",
        "time_over": "listed",
    },
    "doubted": {
        "listed": "listed",
        "vanished": "doubted",
        "address_taken": "gone",
        "serving": "doubted",
        "draining": "gone",
        "refused": "gone",
        "failed": "gone",
        "time_over": "gone",
    },
    # Only the registry brings a node back.
    "gone": {
        "listed": "listed",
        "vanished": "gone",
        "address_taken": "gone",
        "serving": "gone",
        "draining": "gone",
        "refused": "gone",
        "failed": "gone",
        "time_over": "gone",
    },
}
"""The next state, by state and event."""

SIGNS_OF_LIFE = frozenset({"overloaded", "unauthenticated"})
"""Kinds of failure that a node answers which serves others: it is full, or refuses this client."""


def event_of(answer: str | Failure) -> NodeEvent:
    """What an answer to a ping says of its node. ``failed`` here is one failure of several.

    Args:
        answer: ``serving``, ``draining``, or why there was no such answer.
    """
    if not isinstance(answer, Failure):
        return "serving" if answer == "serving" else "draining"
    if answer.refused:
        return "refused"
    return "serving" if answer.kind in SIGNS_OF_LIFE else "failed"


class Suspect:
    """A node that the registry does not list, and that is not let go.

    Attributes:
        node: The node as it was listed last.
        status: ``cached`` or ``doubted``; ``gone`` or ``listed`` once that is over.
        since: The registry's answered seconds when it vanished.
        began: When it vanished, by the client's clock.
        failures: Pings in a row that brought no answer.
        said: Its last answer in words; empty before the first.
        serves: Whether the last answer was a sign of life.
    """

    __slots__ = ("began", "failures", "node", "said", "serves", "since", "status")

    def __init__(self, node: Node, status: NodeStatus, since: float, began: float) -> None:
        self.node = node
        self.status = status
        self.since = since
        self.began = began
        self.failures = 0
        self.said = ""
        self.serves = False

    @property
    def reason(self) -> str:
        """Why it is in doubt, to stand behind its name."""
        if self.failures:
            heard = f"{self.failures} of {MOST_FAILURES} pings failed: {self.said}"
        elif not self.said:
            heard = "it has not been asked yet"
        elif self.said == "serving":
            heard = "it answers pings"
        else:
            heard = f"it answers pings: {self.said}"
        return f"the registry does not list it, and {heard}"
