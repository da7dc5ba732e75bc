"""Balancer ``random``: independent picks, each node in proportion to its weight."""

from __future__ import annotations

from bisect import bisect
from itertools import accumulate
from typing import TYPE_CHECKING

from bee_core.hookspecs import Registrar, hookimpl

from .slow_start import StartsSlowly
from .weights import fractions, with_weight

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from random import Random

    from bee_core.interfaces import Balancer, Node, Outcome


class WeightedRandom(StartsSlowly):
    """Thread-safe without a lock: ``update`` replaces one tuple, ``pick`` reads it once.

    Many clients together spread calls evenly, and need not know of each other. A node of weight 0
    gets no calls, even when no other node is left: an operator has drained it.
    """

    settle: Callable[[Node, Outcome | None, float, float], None] | None = None

    def __init__(self) -> None:
        self._table: tuple[tuple[Node, ...], list[float] | None] = ((), None)

    def update(self, ready: Sequence[Node]) -> None:
        """See :meth:`bee_core.interfaces.Balancer.update`."""
        nodes = with_weight(ready)
        if self.fresh is not None:
            self.fresh.update(nodes)
        self._table = _table(nodes)

    def twin(self) -> WeightedRandom:
        """See :class:`bee_core.interfaces.Balancer`."""
        copy = WeightedRandom()
        copy._table = self._table
        copy.be_as_slow_as(self)
        return copy

    def pick(self, key: str | None, tried: Collection[str], now: float, rng: Random) -> Node | None:
        """See :meth:`bee_core.interfaces.Balancer.pick`."""
        nodes, cumulative = self._table
        if not nodes:
            return None
        node = _draw(nodes, cumulative, rng)
        if not tried or node.id not in tried:
            return node
        # Most draws hit a node that was not tried. Only now a table without the tried nodes is
        # worth its cost; it keeps the shares of the others.
        nodes, cumulative = _table([node for node in nodes if node.id not in tried])
        return _draw(nodes, cumulative, rng) if nodes else None


def _table(nodes: list[Node]) -> tuple[tuple[Node, ...], list[float] | None]:
    """The nodes, and the running totals of their weights; None for equal weights."""
    if len({node.weight for node in nodes}) <= 1:
        return tuple(nodes), None
    return tuple(nodes), list(accumulate(fractions(nodes)))


def _draw(nodes: tuple[Node, ...], cumulative: list[float] | None, rng: Random) -> Node:
    if cumulative is None:
        return nodes[int(rng.random() * len(nodes))]
    # The upper bound is needed because the product may be rounded up to the total.
    return nodes[bisect(cumulative, rng.random() * cumulative[-1], 0, len(nodes) - 1)]


@hookimpl
def bee_register_balancers(registry: Registrar[Balancer]) -> None:
    """Offer ``random``."""
    registry.add("random", WeightedRandom)
