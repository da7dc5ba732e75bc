"""The cache of a simulated node: what was asked for last is there, and a call for it is quick."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .scenario import Cache


class CacheCounts:
    """How often calls with a key began, on all nodes, and how often their key was in the cache."""

    __slots__ = ("asked", "hits")

    def __init__(self) -> None:
        self.asked = 0
        self.hits = 0


class NodeCache:
    """Keeps the keys that were asked for last (LRU), as many as the scenario says.

    A key is there from the moment when its first call begins: calls that come meanwhile wait for
    nothing in a simulation, and would all be misses otherwise.

    Args:
        cache: Of the scenario.
        counts: Of all nodes.
    """

    __slots__ = ("_counts", "_hit", "_keys", "_size")

    def __init__(self, cache: Cache, counts: CacheCounts) -> None:
        self._size = cache.size
        self._hit = cache.hit
        self._counts = counts
        self._keys: OrderedDict[str, None] = OrderedDict()

    def part(self, key: str | None) -> float:
        """Which part of its time a call takes; 1 where its key is not there, or it has none."""
        if key is None:
            return 1.0
        keys, counts = self._keys, self._counts
        counts.asked += 1
        if key in keys:
            keys.move_to_end(key)
            counts.hits += 1
            return self._hit
        keys[key] = None
        if len(keys) > self._size:
            keys.popitem(last=False)
        return 1.0
