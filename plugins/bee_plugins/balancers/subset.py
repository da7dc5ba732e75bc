"""Balancer ``subset``: this client uses some of the nodes only, and another balancer picks there.

With 500 clients and 500 nodes, 250,000 connections are open and each is idle nearly always. With a
subset of 20 there are 10,000. Each client takes the nodes that it ranks first (:mod:`.rendezvous`).
So about the same number of clients uses each node, and a node that comes or goes changes at most
one node of each client.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Annotated

import attrs

from bee_core.hookspecs import Registrar, hookimpl
from bee_core.interfaces import Balancer  # noqa: TC001  attrs reads the annotation
from bee_core.options import Plugin, at_least, some_text

from .rendezvous import Ranking
from .weights import with_weight
from .wrapping import RANDOM, Wrapper, twin_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from random import Random

    from bee_core.interfaces import Node, Outcome


@attrs.frozen
class SubsetOptions:
    """Options of ``subset``.

    Attributes:
        size: How many nodes this client uses. State it: at least 20 with ``p2c`` (gRFC A68 gives
            this number), and so many that each node has about ten clients or more.
        within: The balancer that picks among them.
        client: What tells this client from the others, such as ``${HOSTNAME}``. Clients of equal
            text use the same nodes, so it must differ between processes. None: random for each
            client object, so another subset after a restart.
    """

    size: int = attrs.field(validator=at_least(1))
    within: Annotated[Balancer, Plugin("balancer")] = attrs.field(default=RANDOM)
    client: str | None = attrs.field(default=None, validator=some_text)


class Subset(Wrapper):
    """Thread-safe if the balancer within is. A pick costs what the balancer within costs.

    Only ready nodes count: the place of one that is cut off is taken by the next one in rank. A
    call that has tried all nodes of the subset goes on to the next ones in rank.
    """

    def __init__(self, options: SubsetOptions) -> None:
        super().__init__(options.within)
        self._options = options
        self._ranking = None if options.client is None else Ranking(options.client)
        self._ready: Sequence[Node] = ()
        self._ranked: list[Node] | None = None
        self._lock = Lock()  # a first pick and a new list may both choose
        # Of nodes beyond the subset one entry for each call: the balancer within has not picked it.
        self._beyond: dict[str, list[None]] = {}
        if options.within.settle is not None:
            self.settle = self._settle

    def update(self, ready: Sequence[Node]) -> None:
        """See :meth:`bee_core.interfaces.Balancer.update`."""
        # A drained node would take the place of one that works.
        self._ready = with_weight(ready)
        self._beyond = {id_: calls for id_, calls in self._beyond.copy().items() if calls}
        self._choose(None)

    def pick(self, key: str | None, tried: Collection[str], now: float, rng: Random) -> Node | None:
        """See :meth:`bee_core.interfaces.Balancer.pick`."""
        if self._ranked is None:
            self._choose(rng)
        node = self.within.pick(key, tried, now, rng)
        if node is not None or not tried:
            return node
        for other in (self._ranked or ())[self._options.size :]:
            if other.id not in tried:
                if self.settle is not None:
                    self._beyond.setdefault(other.id, []).append(None)
                return other
        return None

    def _settle(
        self, node: Node, outcome: Outcome | None, seconds: float, now: float, *method: str
    ) -> None:
        if self._beyond:
            try:
                self._beyond[node.id].pop()
            except (KeyError, IndexError):
                pass
            else:
                return
        settle = self.within.settle
        if settle is not None:
            settle(node, outcome, seconds, now, *method)

    def twin(self) -> Subset:
        """See :class:`bee_core.interfaces.Balancer`."""
        copy = Subset(attrs.evolve(self._options, within=twin_of(self.within)))
        copy._ready, copy._ranked = self._ready, self._ranked
        if self._ranking is not None:
            copy._ranking = Ranking(self._ranking.client)
        return copy

    def after_fork(self) -> None:
        """See :mod:`bee_core.interfaces`. A child with a random name needs one of its own."""
        super().after_fork()
        self._lock = Lock()
        self._beyond.clear()
        if self._options.client is None:
            self._ranking = self._ranked = None

    def remark(self, node: Node, now: float) -> str:
        """See :class:`bee_core.interfaces.Balancer`."""
        used = (self._ranked or ())[: self._options.size]
        if all(node.id != one.id for one in used):
            return "not in this client's subset" if used else ""
        return super().remark(node, now) or "in this client's subset"

    def _choose(self, rng: Random | None) -> None:
        """Rank the nodes that are ready. A client without a name draws it at its first pick."""
        with self._lock:
            if self._ranking is None:
                if rng is None:
                    return
                self._ranking = Ranking(f"{rng.getrandbits(64):016x}")
            ranked = self._ranking.ranked(self._ready)
            self.within.update(ranked[: self._options.size])
            self._ranked = ranked


@hookimpl
def bee_register_balancers(registry: Registrar[Balancer]) -> None:
    """Offer ``subset``."""
    registry.add("subset", Subset, options=SubsetOptions)
