"""Balancer ``zone``: the nodes of the own zone first, the others as far as health asks for it.

The rule is Envoy's for two priorities with its overprovisioning factor of 1.4. The *health* of a
side is the weight of its ready nodes divided by the weight of all its listed ones. While the health
of the own zone times 1.4 is 100 % or more, all calls stay there: 29 % of the nodes may be cut off.
Below that the rest goes to the other zones. If both sides together have less than 100 %, each gets
its part of what there is.

A call whose own side has no node left to try goes to the other one.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Annotated, NamedTuple

import attrs

from bee_core.hookspecs import Registrar, hookimpl
from bee_core.interfaces import Balancer  # noqa: TC001  attrs reads the annotation
from bee_core.options import Plugin, some_text, validator

from .hash_ring import position
from .weights import with_weight
from .wrapping import RANDOM, Wrapper, remark_of, twin_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from random import Random

    from bee_core.interfaces import Node, Outcome


@attrs.frozen
class ZoneOptions:
    """Options of ``zone``.

    Attributes:
        zone: The zone that this client runs in, such as ``${ZONE}``.
        within: The balancer that picks on each side.
        overprovisioning: How much more than its share of the calls a side can take, 1 or more. The
            default is 1.4, Envoy's.
    """

    zone: str = attrs.field(validator=some_text)
    within: Annotated[Balancer, Plugin("balancer")] = attrs.field(default=RANDOM)
    overprovisioning: float = attrs.field(
        default=1.4,
        validator=validator(
            lambda value: "" if value >= 1 and isfinite(value) else "1 or more, such as 1.4"
        ),
    )


class _Sides(NamedTuple):
    """How the nodes are split. Replaced whole."""

    far: dict[str, bool]
    """Whether a node is on the other side, by id."""
    own_share: float
    """The share of the calls that stays in the own zone."""
    own_health: float
    far_health: float


class Zone(Wrapper):
    """Thread-safe if the balancer within is.

    Each side has a balancer of its own: ``within`` and a twin of it. Calls with equal keys go to
    the same side.
    """

    def __init__(self, options: ZoneOptions) -> None:
        super().__init__(options.within)
        self._options = options
        self._elsewhere: Balancer = twin_of(options.within)
        self._sides = _Sides({}, 0.0, 0.0, 0.0)
        self._listed: Sequence[Node] | None = None
        if options.within.settle is not None:
            self.settle = self._settle

    def others(self) -> tuple[Balancer, ...]:
        """The balancers that pick besides ``within``."""
        return (self._elsewhere,)

    def listed(self, nodes: Sequence[Node]) -> None:
        """See :class:`bee_core.interfaces.Balancer`."""
        self._listed = nodes

    def update(self, ready: Sequence[Node]) -> None:
        """See :meth:`bee_core.interfaces.Balancer.update`."""
        nodes = with_weight(ready)
        # Nobody told of the list: then all that are known are ready, and health is no matter.
        listed = nodes if self._listed is None else with_weight(self._listed)
        # A node whose zone changes stays on its side, where the calls that run there are counted,
        # until it leaves the list.
        before, zone = self._sides.far, self._options.zone
        far = {node.id: before.get(node.id, node.zone != zone) for node in (*listed, *nodes)}
        sides: list[list[Node]] = [[], []]
        for node in nodes:
            sides[far[node.id]].append(node)
        own, other = (
            _health(sides[side], [node for node in listed if far[node.id] is side])
            for side in (False, True)
        )
        self.within.update(sides[False])
        self._elsewhere.update(sides[True])
        self._sides = _Sides(far, self._own_share(own, other), own, other)

    def pick(self, key: str | None, tried: Collection[str], now: float, rng: Random) -> Node | None:
        """See :meth:`bee_core.interfaces.Balancer.pick`."""
        share = self._sides.own_share
        first, second = self.within, self._elsewhere
        if share < 1.0:
            chance = rng.random() if key is None else position(f"zone\n{key}") / 2.0**64
            if chance >= share:
                first, second = second, first
        node = first.pick(key, tried, now, rng)
        return second.pick(key, tried, now, rng) if node is None else node

    def _settle(
        self, node: Node, outcome: Outcome | None, seconds: float, now: float, *method: str
    ) -> None:
        # Of a node that has left, the zone tells.
        far = self._sides.far.get(node.id, node.zone != self._options.zone)
        settle: Callable[..., None] | None = (self._elsewhere if far else self.within).settle
        if settle is not None:
            settle(node, outcome, seconds, now, *method)

    def twin(self) -> Zone:
        """See :class:`bee_core.interfaces.Balancer`."""
        copy = Zone(attrs.evolve(self._options, within=twin_of(self.within)))
        copy._elsewhere = twin_of(self._elsewhere)
        copy._sides, copy._listed = self._sides, self._listed
        return copy

    def remark(self, node: Node, now: float) -> str:
        """See :class:`bee_core.interfaces.Balancer`."""
        sides = self._sides
        far = sides.far.get(node.id)
        if far is None:
            return ""
        share, health = (
            (1.0 - sides.own_share, sides.far_health)
            if far
            else (sides.own_share, sides.own_health)
        )
        where = "other zones" if far else "own zone"
        said = remark_of(self._elsewhere if far else self.within, node, now)
        return f"{where} ({health:.0%} ready, {share:.0%} of the calls)" + (said and f", {said}")

    def _own_share(self, own: float, other: float) -> float:
        """Envoy's priority load of the first of two priorities."""
        factor = self._options.overprovisioning
        own, other = min(1.0, factor * own), min(1.0, factor * other)
        return min(1.0, own / min(1.0, own + other)) if own else 0.0


def _health(ready: Sequence[Node], listed: Sequence[Node]) -> float:
    """The weight of the ready nodes, as a part of that of all."""
    # Fractions of the heaviest weight: no sum of them overflows.
    heaviest = max((node.weight for node in (*listed, *ready)), default=1.0)
    total = sum(node.weight / heaviest for node in listed)
    return min(1.0, sum(node.weight / heaviest for node in ready) / total) if total else 0.0


@hookimpl
def bee_register_balancers(registry: Registrar[Balancer]) -> None:
    """Offer ``zone``."""
    registry.add("zone", Zone, options=ZoneOptions)
