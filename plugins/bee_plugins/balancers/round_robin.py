"""Balancer ``round-robin``: one node after the other, heavier ones more often, never in bursts."""

from __future__ import annotations

from itertools import count
from math import isfinite
from typing import TYPE_CHECKING

from bee_core.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from random import Random

    from bee_core.hookspecs import Registrar
    from bee_core.interfaces import Balancer, Node, Outcome

_SLOTS = 1000
"""About as long is one rotation when the weights are no small whole numbers: a share is then right to a tenth of a percent. A rotation has at least a slot a node."""

_GOLDEN = 0.6180339887498949
"""Multiples of it, less their whole part, lie as far from one another as any sequence can; used to set nodes of equal weight apart."""


class RoundRobin:
    """Smooth weighted round-robin. Thread-safe without a lock: ``update`` replaces a tuple, and ``next`` on a count is one step of the interpreter.

    The rotation is laid out when nodes change, so that a pick is one look-up. Each node stands in it as often as its weight says, at even distances: what nginx's
    smooth weighted round-robin does pick by pick, and Envoy's scheduler with its earliest deadline first. Each client begins somewhere else, or a fleet that
    starts at one moment would go from node to node in step. A node of weight 0 gets no calls, also when no other is left: an operator has drained it.
    """

    settle: Callable[[Node, Outcome | None, float], None] | None = None

    def __init__(self) -> None:
        self._rotation: tuple[Node, ...] = ()
        self._turns: count[int] | None = None

    def update(self, ready: Sequence[Node]) -> None:
        """See :meth:`bee_core.interfaces.Balancer.update`."""
        self._rotation = _rotation(
            [node for node in ready if node.weight > 0 and isfinite(node.weight)]
        )

    def twin(self) -> RoundRobin:
        """See :class:`bee_core.interfaces.Balancer`."""
        copy = RoundRobin()
        copy._rotation = self._rotation
        turns = self._turns
        if turns is not None:
            copy._turns = count(
                int(repr(turns)[len("count(") : -1])
            )  # the one way to read a count without a step
        return copy

    def pick(self, key: str | None, tried: Collection[str], rng: Random) -> Node | None:
        """See :meth:`bee_core.interfaces.Balancer.pick`. Where the node whose turn it is was tried, the next that was not has the call."""
        rotation = self._rotation
        if not rotation:
            return None
        turns = self._turns
        if turns is None:
            # Two threads may both begin; one count is lost with at most a few turns.
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
    """Lay out a rotation in which each node stands as often as its weight says, at even distances."""
    if len({node.weight for node in nodes}) <= 1:
        return tuple(nodes)
    slots: list[tuple[float, int]] = []
    for index, times in enumerate(_times([node.weight for node in nodes])):
        # A node's slots lie at even distances on a circle of length 1; the phase sets nodes of equal weight apart.
        phase = index * _GOLDEN % 1
        slots.extend(((slot + phase) / times, index) for slot in range(times))
    slots.sort()
    return tuple(nodes[index] for _, index in slots)


def _times(weights: list[float]) -> list[int]:
    """How often each node stands in a rotation: at least once, in proportion to the weights as far as the length allows."""
    if not weights:
        return []
    lightest = min(weights)
    exact = [weight / lightest for weight in weights]
    if sum(exact) <= _SLOTS and all(ratio == int(ratio) for ratio in exact):
        return [int(ratio) for ratio in exact]
    slots = max(_SLOTS, 2 * len(weights))
    heaviest = max(weights)
    total = sum(
        weight / heaviest for weight in weights
    )  # in parts of the heaviest, a sum cannot overflow
    return [max(1, round(weight / heaviest / total * slots)) for weight in weights]


@hookimpl
def bee_register_balancers(registry: Registrar[Balancer]) -> None:
    """Offer ``round-robin``."""
    registry.add("round-robin", RoundRobin)
