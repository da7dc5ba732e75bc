"""Requests of callers that are none of the scenario's clients, and that use a node's workers."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from ...terms.request import POSITIONAL, Request, RequestHead
from .exchange import Exchange, Ledger
from .nodes import UP

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from ...terms.failures import Outcome
    from .nodes import SimulatedNode
    from .world import World

PATIENCE = 30.0
"""Seconds that such a caller waits."""


class _Neighbour:
    """The caller, and its way to the node, which has no length."""

    network = 0.0
    wants_load = False

    def __init__(self) -> None:
        self.ledger = Ledger(idempotent=True)

    def answered(self, exchange: Exchange, outcome: Outcome) -> None:
        """Nobody needs the outcome."""

    def out_of_patience(self, exchange: Exchange) -> None:
        """It waits as long as the node lives."""


class Neighbours:
    """Sends such requests to one node, as a Poisson process.

    Args:
        world: The clock.
        there: The node.
        rate: Requests a second.
        until: When it ends.
        rng: Draws the times.
    """

    def __init__(
        self, world: World, there: SimulatedNode, rate: float, until: float, rng: Random
    ) -> None:
        self._world = world
        self._there = there
        self._pause = 1 / rate
        self._until = until
        self._draw: Callable[[float], float] = rng.expovariate
        self._head = RequestHead("neighbour", "call", idempotent=True)

    def begin(self) -> None:
        """Plan the first one."""
        self._plan()

    def _plan(self) -> None:
        due = self._world.now + self._draw(1.0) * self._pause
        if due < self._until:
            self._world.at(due, self._call)

    def _call(self, _: Any) -> None:
        there = self._there
        if there.mode == UP:
            deadline = self._world.now + PATIENCE
            request = Request(self._head, POSITIONAL, b"", False, deadline, inf, inf, inf)
            caller = _Neighbour()
            there.accept(Exchange(request, caller, caller, inf, False))
        self._plan()
