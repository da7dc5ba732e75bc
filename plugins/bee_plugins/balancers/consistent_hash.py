"""Balancer ``consistent-hash``: equal keys go to the same node, from every client.

The ring is in :mod:`.hash_ring`. With ``bound`` no node gets more than its fair share of the calls
in flight times this factor; what is above goes to the next nodes on the ring (Mirrokni, Thorup and
Zadimoghaddam, *Consistent Hashing with Bounded Loads*, 2018). So one key that everybody asks for
does not fill its node. What is in flight is counted in this client, as Envoy and HAProxy do.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

import attrs

from bee_core.hookspecs import Registrar, hookimpl
from bee_core.options import some_text, validator

from .hash_ring import EMPTY, Place, Ring, position
from .slow_start import FreshNodes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from random import Random

    from bee_core.interfaces import Balancer, Node, Outcome


@attrs.frozen
class ConsistentHashOptions:
    """Options of ``consistent-hash``.

    Attributes:
        argument: The argument whose value is the key of a call that states none with
            ``with_options(key=…)``. None: only stated keys count.
        bound: How many times its fair share of the calls in flight a node may have, above 1; 1.25
            is usual. None, the default, as in Envoy and HAProxy: a key never leaves its node.
    """

    argument: str | None = attrs.field(default=None, validator=some_text)
    bound: float | None = attrs.field(
        default=None,
        validator=validator(
            lambda value: "" if value > 1 and isfinite(value) else "more than 1, such as 1.25"
        ),
    )


class ConsistentHash:
    """Thread-safe without a lock: ``update`` replaces the ring, ``pick`` reads it once.

    A call without a key goes to a random node, by weight. A call whose node was tried goes to the
    next node on the ring, the same for all clients.

    Attributes:
        key_argument: See :class:`bee_core.interfaces.Balancer`.
    """

    settle: Callable[[Node, Outcome | None, float, float], None] | None = None

    def __init__(self, options: ConsistentHashOptions | None = None) -> None:
        self._options = options or ConsistentHashOptions()
        self.key_argument = self._options.argument
        self._bound = self._options.bound
        self.ring = EMPTY
        self.calls: list[None] = []  # one entry for each attempt of this client that runs
        self._running: dict[str, list[None]] = {}  # by node id; also of nodes that have left
        self._fresh = FreshNodes()
        if self._bound is not None:
            self.settle = self._settle

    def start_slowly(self, window: float) -> None:
        """See :class:`bee_core.interfaces.Balancer`.

        A fresh node gets a part of its keys, more and more of them. The others are where they were.
        """
        self._fresh = FreshNodes(window)

    def update(self, ready: Sequence[Node]) -> None:
        """See :meth:`bee_core.interfaces.Balancer.update`."""
        ring = self.ring.changed(ready, self._running)
        if self._bound is not None:
            running = {id_: place.running for id_, place in ring.places.items()}
            for id_, calls in self._running.items():
                if id_ not in running and calls:
                    running[id_] = calls  # it may come back before they end
            self._running = running
        if self._fresh.window:
            self._fresh.update([place.node for place in ring.places.values()])
        self.ring = ring

    def pick(self, key: str | None, tried: Collection[str], now: float, rng: Random) -> Node | None:
        """See :meth:`bee_core.interfaces.Balancer.pick`."""
        ring = self.ring
        if not ring.total:
            return None
        at = rng.getrandbits(64) if key is None else position(key)
        if self._bound is None:
            if not tried and not self._fresh.began:
                return ring.owner(at).node
            place = self._first(ring, at, tried, now)
            return None if place is None else place.node
        place = self._first(ring, at, tried, now)
        if place is None:
            return None
        node, running, total = place.node, place.running, self.calls
        # Whatever a handler of signals raises before anybody hears of the pick: what was counted is
        # taken back, and nothing else.
        try:
            total.append(None)
            try:
                running.append(None)
            except BaseException:
                _end(running)
                raise
        except BaseException:
            _end(total)
            raise
        return node

    def _settle(self, node: Node, outcome: Outcome | None, seconds: float, now: float) -> None:
        _end(self.calls)
        running = self._running.get(node.id)
        if running is not None:
            _end(running)

    def twin(self) -> ConsistentHash:
        """See :class:`bee_core.interfaces.Balancer`."""
        copy = ConsistentHash(self._options)
        ring = self.ring
        calls = {id_: place.running for id_, place in ring.places.items()} | self._running
        copy._running = {id_: running.copy() for id_, running in calls.items()}
        copy.calls = self.calls.copy()
        copy.ring = ring.twin(copy._running)
        copy._fresh = self._fresh.twin()
        return copy

    def after_fork(self) -> None:
        """See :mod:`bee_core.interfaces`. The calls in flight are the parent's."""
        self.calls.clear()
        for running in self._running.values():
            running.clear()

    def _first(self, ring: Ring, at: int, tried: Collection[str], now: float) -> Place | None:
        """The first place from a position on that may have the call.

        If none may, because nodes are fresh or full, the first one gets it that was not tried.
        """
        fresh, bound = self._fresh, self._bound
        # The ring compares high bits. So the low ones tell nothing of the node, and are the chance.
        chance = (at & 0xFFFFFFFF) / 0x100000000
        calls = 0.0 if bound is None else bound * (len(self.calls) + 1) / ring.total
        first: Place | None = None
        for place in ring.from_here(at):
            id_ = place.node.id
            if id_ in tried:
                continue
            if first is None:
                first = place
            if fresh.began and fresh.refuses(id_, now, chance):
                continue
            # As "below the share, rounded up", and a share without an end is one as well.
            if bound is None or len(place.running) < calls * place.points:
                return place
        return first


def _end(running: list[None]) -> None:
    """One attempt has ended. A forked child may be told of its parent's."""
    try:  # noqa: SIM105  a context manager costs more than the pop
        running.pop()
    except IndexError:
        pass


@hookimpl
def bee_register_balancers(registry: Registrar[Balancer]) -> None:
    """Offer ``consistent-hash``."""
    registry.add("consistent-hash", ConsistentHash, options=ConsistentHashOptions)
