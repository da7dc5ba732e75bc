"""A balancer that keeps to one node for each routing key.

It uses rendezvous hashing (Thaler and Ravishankar, 1998): when a node leaves, only the keys of that
node move to others.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import attrs

import bee_core

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from random import Random

    from bee_core.hookspecs import Registrar
    from bee_core.interfaces import Balancer, Node, Outcome


@attrs.frozen
class StickyOptions:
    """What stands under ``balancer: {name: sticky, options: {…}}``."""

    salt: str = ""


class StickyBalancer:
    """Highest hash of key and node wins; calls without a key are spread at random."""

    settle: Callable[[Node, Outcome | None, float, float], None] | None = None

    def __init__(self, options: StickyOptions) -> None:
        self._salt = options.salt
        self._ready: tuple[Node, ...] = ()

    def update(self, ready: Sequence[Node]) -> None:
        """Take the nodes that may be picked."""
        self._ready = tuple(node for node in ready if node.weight > 0)

    def pick(self, key: str | None, tried: Collection[str], now: float, rng: Random) -> Node | None:
        """The node for this key among those not tried."""
        candidates = [node for node in self._ready if node.id not in tried]
        if not candidates:
            return None
        if key is None:
            return rng.choices(candidates, [node.weight for node in candidates])[0]
        return max(
            candidates,
            key=lambda node: blake2b(
                f"{self._salt}{key}{node.id}".encode(), digest_size=8
            ).digest(),
        )


@bee_core.hookimpl
def bee_register_balancers(registry: Registrar[Balancer]) -> None:
    """Offer ``sticky``."""
    registry.add("sticky", StickyBalancer, options=StickyOptions)
