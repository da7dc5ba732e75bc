"""One attempt on its way to a node and back."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from ...terms.causes import lost, reported

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...terms.failures import Failure, Outcome
    from ...terms.request import Request, Sent
    from .world import World

SENT, WAITING, QUEUED, RUNNING, ANSWERED, OVER = range(6)
"""States of an exchange: under way to the node, in the queue of its limiter, in that for a worker,
in the handler, the answer under way, and known to the caller (or given up)."""


def _raised() -> Failure:
    return reported("remote_error", "the scenario says so", error_type="Simulated")


FATES: dict[str, Callable[[], Failure]] = {
    "error": _raised,
    "reset": partial(lost, "connection reset by peer"),
}
"""What a handler ends in where that is no success, by the name that a scenario has for it."""


class Ledger:
    """What the handlers of the simulated nodes did for one call: nodes write it, and nobody else.

    Args:
        idempotent: Whether the call may run twice.
        everywhere: Whether it goes to many nodes, and may run once on each.
        everyone: Whether somebody asks which nodes have heard of it.

    Attributes:
        idempotent: As given.
        runs: How often a handler began.
        heard: The numbers of the nodes where one began; None where nobody asks.
        key: The call's routing key, or None.
    """

    __slots__ = ("_everywhere", "heard", "idempotent", "key", "runs")

    def __init__(
        self,
        *,
        idempotent: bool,
        everywhere: bool = False,
        everyone: bool = False,
        key: str | None = None,
    ) -> None:
        self.runs = 0
        self.idempotent = idempotent
        self.heard: set[int] | None = set() if everywhere or everyone else None
        self._everywhere = everywhere
        self.key = key

    def began(self, node: int) -> bool:
        """A handler begins on the node of this number. Returns whether the call runs again."""
        self.runs += 1
        again = self.runs > 1
        if self.heard is not None:
            if self._everywhere:
                again = node in self.heard
            self.heard.add(node)
        return again


class Owner(Protocol):
    """Who waits for an exchange."""

    ledger: Ledger

    def answered(self, exchange: Exchange, outcome: Outcome) -> None:
        """Take the outcome. Called once, unless the owner has given the exchange up."""


class Exchange:
    """One attempt. The channel makes it, the node works on it, its owner gets the outcome.

    Attributes:
        call: The request.
        owner: Gets the outcome.
        channel: The way it went.
        until: When the caller's patience with this attempt ends.
        full: Whether that is a whole read_timeout, and not the call's own deadline.
        state: See above.
        timed: Whether the end of the patience is planned as an event.
        fate: What the handler will end in where that is no success, or None.
        limiter: Of the server, whose permit it has or waits for; None without one.
        ticket: The place in the limiter's queue, or None.
        sent: Where a write went, to a server that remembers its answers; else None.
        entry: What that server keeps of it while it runs, or None.
        permitted: When the server's limiter gave its permit, or None.
        outcome: What the node answered.
    """

    __slots__ = (
        "call",
        "channel",
        "entry",
        "fate",
        "full",
        "limiter",
        "outcome",
        "owner",
        "permitted",
        "sent",
        "state",
        "ticket",
        "timed",
        "until",
    )

    def __init__(self, call: Request, owner: Owner, channel: Any, until: float, full: bool) -> None:
        self.call = call
        self.owner = owner
        self.channel = channel
        self.until = until
        self.full = full
        self.state = SENT
        self.timed = False
        self.fate: str | None = None
        self.limiter: Any = None
        self.ticket: Any = None
        self.permitted: float | None = None
        self.sent: Sent | None = None
        self.entry: Any = None
        self.outcome: Any = None

    def answer(self, world: World, delay: float, outcome: Outcome) -> None:
        """The node has answered: the caller hears of it after a delay."""
        self.state = ANSWERED
        self.outcome = outcome
        world.at(world.now + delay, deliver, self)


def deliver(exchange: Exchange) -> None:
    """The answer has arrived."""
    if exchange.state != OVER:
        exchange.state = OVER
        exchange.owner.answered(exchange, exchange.outcome)
