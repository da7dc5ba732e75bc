"""Slow start: a node that has just come gets a small share of the calls, which grows.

As Envoy's slow start: its weight counts times ``max(10 %, age / window)``. Its caches are cold, its
code is not compiled yet, its connections are not open. A policy has no clock. So the age of a node
begins with the first pick after the update that brought it.

A balancer draws a node as ever, and draws again where :meth:`FreshNodes.refuses` says so. A draw by
weight that is refused in proportion gives shares in proportion, and costs nothing once no node is
fresh.

- The nodes of the first list are not fresh: all are new then, and none can help another.
- Where all nodes are fresh, the oldest counts in full and the others relative to it.
- A node that was cut off by a breaker and comes back is fresh.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from random import Random

    from bee_core.interfaces import Node

LEAST = 0.1
"""The share of its weight that the youngest node has. Envoy's ``min_weight_percent``."""

MOST_DRAWS = 16
"""Draws for one pick. With nine fresh nodes of ten the last one is reached once in 30 picks."""

_NEVER = float("inf")  # seen by no pick yet


class FreshNodes:
    """The nodes of a balancer that have just come. Thread-safe without a lock.

    Args:
        window: Seconds that a node is fresh; 0: never.

    Attributes:
        began: When each fresh node was seen by a pick, by id. Replaced by ``update``; a pick only
            removes from it.
    """

    __slots__ = ("_known", "_oldest", "_unseen", "began", "window")

    def __init__(self, window: float = 0.0) -> None:
        self.window = window
        self.began: dict[str, float] = {}
        self._known: frozenset[str] = frozenset()
        self._unseen = False
        self._oldest = 0.0

    def update(self, nodes: Iterable[Node]) -> None:
        """Take the new list."""
        ids = frozenset(node.id for node in nodes)
        before, known = self.began, self._known
        self._known = ids
        if not self.window:
            return
        fresh = {
            id_: before.get(id_, _NEVER)
            for id_ in ids
            if known and (id_ in before or id_ not in known)
        }
        self._unseen = bool(fresh)
        self.began = fresh

    def refuses(self, node_id: str, now: float, chance: float) -> bool:
        """Whether a call that has fallen to a node should go to another one.

        Args:
            node_id: The node.
            now: As ``pick`` was given it.
            chance: From 0 to 1, evenly distributed: a random number, or a hash where equal keys
                must go to equal nodes.
        """
        began = self.began
        if self._unseen:
            self._see(began, now)
        since = began.get(node_id)
        if since is None:
            return False
        share = (now - since) / self.window
        if share >= 1.0:
            began.pop(node_id, None)
            return False
        share = max(LEAST, share)
        if len(began) >= len(self._known):  # all are fresh
            share /= max(LEAST, min(1.0, (now - self._oldest) / self.window))
        return chance >= share

    def twin(self) -> FreshNodes:
        """A copy as it is now."""
        copy = FreshNodes(self.window)
        copy._known, copy._unseen, copy._oldest = self._known, self._unseen, self._oldest
        copy.began = self.began.copy()
        return copy

    def _see(self, began: dict[str, float], now: float) -> None:
        """The first pick after an update."""
        self._unseen = False
        for id_, since in began.copy().items():
            if since == _NEVER:
                began[id_] = now
        self._oldest = min(began.values(), default=now)


class StartsSlowly:
    """What ``random`` and ``round-robin`` share: pick again where a fresh node refuses.

    Without slow start, ``pick`` is the method of the class and costs what it cost.
    """

    fresh: FreshNodes | None = None
    pick: Callable[[str | None, Collection[str], float, Random], Node | None]

    def start_slowly(self, window: float) -> None:
        """See :class:`bee_core.interfaces.Balancer`."""
        self._be_slow(FreshNodes(window))

    def be_as_slow_as(self, other: StartsSlowly) -> None:
        """Take over the fresh nodes of a balancer that this one is a twin of."""
        if other.fresh is not None:
            self._be_slow(other.fresh.twin())

    def _be_slow(self, fresh: FreshNodes) -> None:
        self.fresh = fresh
        plain = type(self).pick

        def pick(key: str | None, tried: Collection[str], now: float, rng: Random) -> Node | None:
            node = plain(self, key, tried, now, rng)  # type: ignore[arg-type, call-arg]
            if fresh.began:
                for _ in range(MOST_DRAWS):
                    if node is None or not fresh.refuses(node.id, now, rng.random()):
                        break
                    node = plain(self, key, tried, now, rng)  # type: ignore[arg-type, call-arg]
            return node

        self.pick = pick
