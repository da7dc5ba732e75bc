"""The ring of ``consistent-hash``: which node is next for a key.

The definition is in ``docs/decisions/hash-ring.md``, with test vectors in
``tests/vectors/hash_ring.json``. It is the same in every process and language:

- A node of weight ``w`` has ``round(160 w)`` points (half up), at least 1 and at most 1600. They
  are the 64-bit numbers, big-endian and unsigned, of the SHA-256 digests of ``<url>#0``,
  ``<url>#1`` and so on, four from each digest.
- A key's position is the first 64-bit number of the SHA-256 digest of its UTF-8 bytes.
- The key belongs to the node of the first point at or after its position; behind the last point
  comes the first one.

The points of a node depend on nothing but its url and its weight. So a node that comes or goes
moves only its own keys (Karger et al., 1997; the many points are those of ketama).

The ring is kept in arcs of a few hundred points each. An arc is sorted when a key falls into it for
the first time, so a list costs its digests and no sort, and a change copies the arcs that it
touches.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left
from hashlib import sha256
from itertools import chain
from math import isfinite
from struct import Struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bee_core.interfaces import Node

POINTS = 160
"""Points of a node of weight 1, as in ketama: the shares of equal nodes differ by about 8 %."""

MOST_POINTS = 1600
"""Points of a heavier node: weights above 10 count as 10. It bounds the ring's memory."""

_SERIAL = 32  # bits of a point's number in the ring that say whose it is
_OWNER = (1 << _SERIAL) - 1
_BEHIND = 1 << 64 + _SERIAL  # behind every point
_FEW = 8  # up to an eighth of the ring is changed arc by arc
_ARC = 9  # bits: a new ring has 256 to 512 points an arc; sorting them takes about 50 µs
_FIRST = Struct(">Q24x")
_SUFFIXES = [b"#%d" % count for count in range(-(-MOST_POINTS // 4))]


def position(key: str) -> int:
    """Where a key is on the ring."""
    # A text may have half a surrogate pair, which has no UTF-8.
    found: int = _FIRST.unpack(sha256(key.encode("utf-8", "surrogatepass")).digest())[0]
    return found


def number_of_points(weight: float) -> int:
    """How many points a node has."""
    return int(max(1.0, min(MOST_POINTS, POINTS * weight + 0.5)))


def points_of(url: str, number: int) -> list[int]:
    """The points of a node, in no order."""
    text = url.encode("utf-8", "surrogatepass")
    suffixes = _SUFFIXES[: -(-number // 4)]
    points = array("Q", b"".join([sha256(text + suffix).digest() for suffix in suffixes]))
    if sys.byteorder == "little":
        points.byteswap()
    return points[:number].tolist()


class Place:
    """A node on the ring.

    Attributes:
        serial: Its number; of two equal points the one with the smaller number is first. Among
            10,000 nodes two points are equal with a chance of one in ten millions.
        node: The node as it was listed last.
        points: How many points it has.
        running: One entry for each attempt of this client that runs there; counted only with a
            bound. ``append``, ``pop`` and ``len`` of a list are single steps, so threads need no
            lock.
    """

    __slots__ = ("node", "points", "running", "serial")

    def __init__(self, serial: int, node: Node, points: int, running: list[None]) -> None:
        self.serial = serial
        self.node = node
        self.points = points
        self.running = running

    def marks(self) -> list[int]:
        """Its points with its number behind them, in no order."""
        serial = self.serial
        return [point << _SERIAL | serial for point in points_of(self.node.url, self.points)]


class Ring:
    """An immutable ring, but for what runs at its places and for the order inside its arcs.

    Args:
        listed: All nodes of the list by their identity, also those without a place.
        places: By node id.
        owners: The places by their numbers.
        arcs: The marks of each arc, in no order; a power of two of them, all of the same length on
            the ring. A mark is a point with the number of its node behind it.
        serial: The largest number that a place has had.
        total: Points of all nodes.

    Attributes:
        arcs, places, total: As they were handed in.
        ordered: Each arc in order, and at its end the owner of the first point behind it; None
            until a key falls into the arc. Two threads may sort the same one: they put down the
            same list.
    """

    __slots__ = ("_listed", "_owners", "_serial", "_shift", "arcs", "ordered", "places", "total")

    def __init__(
        self,
        listed: dict[int, Node],
        places: dict[str, Place],
        owners: dict[int, Place],
        arcs: list[list[int]],
        serial: int,
        total: int,
    ) -> None:
        self.places = places
        self.total = total
        self._listed = listed
        self._owners = owners
        self.arcs = arcs
        self._serial = serial
        self._shift = 64 - (len(arcs).bit_length() - 1)
        self.ordered: list[list[int] | None] = [None] * len(arcs)

    def changed(self, nodes: Sequence[Node], running: dict[str, list[None]]) -> Ring:
        """The ring with these nodes: only what is new is looked at and hashed.

        Args:
            nodes: The nodes. One that is the same object as before has not changed.
            running: What runs at nodes that were there before, by id.
        """
        before = self._listed
        listed = dict(zip(map(id, nodes), nodes, strict=True))
        came = [node for key, node in listed.items() if key not in before]
        left = [before[key] for key in before.keys() - listed.keys()]
        places, owners, serial = self.places.copy(), self._owners.copy(), self._serial
        gone = {node.id: places.pop(node.id) for node in left if node.id in places}
        fresh: list[Place] = []
        for node in came:
            if not (node.weight > 0 and isfinite(node.weight)):
                continue
            place, number = gone.get(node.id), number_of_points(node.weight)
            if place is not None and (place.node.url, place.points) == (node.url, number):
                del gone[node.id]
                place.node = node
            else:
                serial += 1
                place = Place(serial, node, number, running.get(node.id) or [])
                owners[serial] = place
                fresh.append(place)
            places[node.id] = place
        for place in gone.values():
            del owners[place.serial]
        hashed, lost = _points(fresh), _points(gone.values())
        total = self.total + hashed - lost
        length = total // len(self.arcs)
        if hashed + lost <= self.total // _FEW and 1 << _ARC - 2 <= length < 1 << _ARC + 1:
            arcs, ordered = self._with(fresh, gone.values())
            ring = Ring(listed, places, owners, arcs, serial, total)
            ring.ordered = ordered
            return ring
        kept: Iterator[int] = chain.from_iterable(self.arcs)
        if gone:
            kept = (mark for mark in kept if mark & _OWNER in owners)
        return Ring(listed, places, owners, _arcs_of(kept, fresh, total), serial, total)

    def twin(self, running: dict[str, list[None]]) -> Ring:
        """The same ring with other lists of what runs."""
        places = {
            id_: Place(place.serial, place.node, place.points, running[id_])
            for id_, place in self.places.items()
        }
        owners = {place.serial: place for place in places.values()}
        return Ring(self._listed, places, owners, self.arcs, self._serial, self.total)

    def owner(self, at: int) -> Place:
        """The place that a position belongs to. The ring is not empty."""
        number = at >> self._shift
        arc = self.ordered[number] or self._sort(number)
        return self._owners[arc[bisect_left(arc, at << _SERIAL)] & _OWNER]

    def from_here(self, at: int) -> Iterator[Place]:
        """All places, each once, in the order of the ring from a position on."""
        owners, first = self._owners, at >> self._shift
        if not owners:
            return
        seen: set[int] = set()
        start = bisect_left(self.ordered[first] or self._sort(first), at << _SERIAL)
        for step in range(first, first + len(self.arcs) + 1):
            number = step % len(self.arcs)
            arc = self.ordered[number] or self._sort(number)
            for mark in arc[start:-1]:
                serial = mark & _OWNER
                if serial not in seen:
                    seen.add(serial)
                    yield owners[serial]
            if len(seen) == len(owners):
                return
            start = 0

    def _sort(self, number: int) -> list[int]:
        """Put an arc in order."""
        arcs = self.arcs
        arc = sorted(arcs[number])
        behind = number + 1
        while not arcs[behind % len(arcs)]:
            behind += 1
        arc.append(_BEHIND | min(arcs[behind % len(arcs)]) & _OWNER)
        self.ordered[number] = arc
        return arc

    def _with(
        self, fresh: Iterable[Place], gone: Iterable[Place]
    ) -> tuple[list[list[int]], list[list[int] | None]]:
        """``arcs`` and ``ordered`` with other places: what did not change is shared."""
        arcs, ordered = self.arcs.copy(), self.ordered.copy()
        shift = self._shift + _SERIAL
        changed: dict[int, list[int]] = {}
        for leaves, places in ((True, gone), (False, fresh)):
            for mark in chain.from_iterable([place.marks() for place in places]):
                number = mark >> shift
                arc = changed.get(number)
                if arc is None:
                    arc = changed[number] = arcs[number].copy()
                if leaves:
                    arc.remove(mark)
                else:
                    arc.append(mark)
        for number, arc in changed.items():
            arcs[number] = arc
            ordered[number] = None
        for number in changed:
            # The arc before it ends with the owner of its first point. Empty ones lie between.
            before = number - 1
            ordered[before] = None
            while not arcs[before] and before > number - len(arcs):
                before -= 1
                ordered[before] = None
        return arcs, ordered


def _points(places: Iterable[Place]) -> int:
    return sum([place.points for place in places])


def _arcs_of(kept: Iterator[int], fresh: list[Place], total: int) -> list[list[int]]:
    """New arcs for marks that are known and for places that are to be hashed."""
    bits = max(0, total.bit_length() - _ARC)
    arcs: list[list[int]] = [[] for _ in range(1 << bits)]
    shift = 64 + _SERIAL - bits
    for mark in kept:
        arcs[mark >> shift].append(mark)
    for place in fresh:
        for mark in place.marks():
            arcs[mark >> shift].append(mark)
    return arcs


EMPTY = Ring({}, {}, {}, [[]], 0, 0)
