"""Balancer ``round-robin``: one node after another, heavier ones more often, without bursts."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from bee_core.hookspecs import Registrar, hookimpl

from .slow_start import StartsSlowly
from .weights import fractions, with_weight

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from random import Random

    from bee_core.interfaces import Balancer, Node, Outcome

_SLOTS = 1000
"""About the length of a rotation when the weights are not small whole numbers.

Each share is then right to a tenth of a percent. Each node has at least one slot.
"""

_GOLDEN = 0.6180339887498949
"""The fractional parts of its multiples lie as far apart as those of any number.

They keep nodes of equal weight apart.
"""


class RoundRobin(StartsSlowly):
    """Smooth weighted round-robin. Thread-safe without a lock.

    ``update`` replaces a tuple, and ``next`` on a count is one step of the interpreter.

    The rotation is laid out when nodes change, so a pick is one look-up. In it each node stands as
    often as its weight says, at even distances. The smooth weighted round-robin of nginx gives the
    same order one pick at a time, and Envoy's scheduler does it by earliest deadline first. Each
    client begins at a random position. Otherwise clients that start at the same moment would all
    call the same node at the same time. A node of weight 0 gets no calls, even when no other node
    is left: an operator has drained it.
    """

    settle: Callable[[Node, Outcome | None, float, float], None] | None = None

    def __init__(self) -> None:
        self.rotation: tuple[Node, ...] = ()
        self._turns: count[int] | None = None

    def update(self, ready: Sequence[Node]) -> None:
        """See :meth:`bee_core.interfaces.Balancer.update`."""
        nodes = with_weight(ready)
        if self.fresh is not None:
            self.fresh.update(nodes)
        self.rotation = _rotation(nodes)

    def twin(self) -> RoundRobin:
        """See :class:`bee_core.interfaces.Balancer`."""
        copy = RoundRobin()
        copy.rotation = self.rotation
        copy.be_as_slow_as(self)
        turns = self._turns
        if turns is not None:
            # The text of a count is the only way to read it without advancing it.
            copy._turns = count(int(repr(turns)[len("count(") : -1]))
        return copy

    def pick(self, key: str | None, tried: Collection[str], now: float, rng: Random) -> Node | None:
        """See :meth:`bee_core.interfaces.Balancer.pick`.

        If the node whose turn it is was tried, the next one that was not tried gets the call.
        """
        rotation = self.rotation
        if not rotation:
            return None
        turns = self._turns
        if turns is None:
            # Two threads may both start a count. One count is lost, with at most a few turns.
            turns = self._turns = count(rng.randrange(len(rotation)))
        turn = next(turns)
        node = rotation[turn % len(rotation)]
        if not tried or node.id not in tried:
            return node
        for step in range(1, len(rotation)):
            node = rotation[(turn + step) % len(rotation)]
            if node.id not in tried:
                return node
        return None


def _rotation(nodes: list[Node]) -> tuple[Node, ...]:
    """A rotation in which each node stands as often as its weight says, at even distances."""
    if len({node.weight for node in nodes}) <= 1:
        return tuple(nodes)
    slots: list[tuple[float, int]] = []
    for index, times in enumerate(_times(nodes)):
        # A node's slots lie at even distances on a circle of length 1. The phase keeps nodes of
        # equal weight apart.
        phase = index * _GOLDEN % 1
        slots.extend(((slot + phase) / times, index) for slot in range(times))
    slots.sort()
    return tuple(nodes[index] for _, index in slots)


def _times(nodes: list[Node]) -> list[int]:
    """How often each node stands in a rotation: at least once, in proportion to its weight."""
    lightest = min(node.weight for node in nodes)
    exact = [node.weight / lightest for node in nodes]
    if sum(exact) <= _SLOTS and all(ratio == int(ratio) for ratio in exact):
        return [int(ratio) for ratio in exact]
    slots, shares = max(_SLOTS, 2 * len(nodes)), fractions(nodes)
    total = sum(shares)
    return [max(1, round(share / total * slots)) for share in shares]


@hookimpl
def bee_register_balancers(registry: Registrar[Balancer]) -> None:
    """Offer ``round-robin``."""
    registry.add("round-robin", RoundRobin)
