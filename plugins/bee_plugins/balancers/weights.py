"""Weights of nodes, as balancers read them."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bee_core.interfaces import Node


def with_weight(nodes: Iterable[Node]) -> list[Node]:
    """Those that take calls. An operator has drained a node of weight 0."""
    return [node for node in nodes if node.weight > 0 and isfinite(node.weight)]


def fractions(nodes: Sequence[Node]) -> list[float]:
    """The weights as fractions of the heaviest one: no sum of them overflows."""
    heaviest = max((node.weight for node in nodes), default=1.0)
    return [node.weight / heaviest for node in nodes]
