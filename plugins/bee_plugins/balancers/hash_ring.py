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
"""

from __future__ import annotations

from bisect import bisect_left
from hashlib import sha256
from struct import Struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bee_core.interfaces import Node

POINTS = 160
"""Points of a node of weight 1, as in ketama: the shares of equal nodes differ by about 8 %."""

MOST_POINTS = 1600
"""Points of a heavier node: weights above 10 count as 10. It bounds the ring's memory."""

_SERIAL = 32  # bits of a point's number in the ring that say whose it is
_OWNER = (1 << _SERIAL) - 1
_FEW = 8  # up to an eighth of the ring is changed piece by piece
_FOUR = Struct(">4Q")
_FIRST = Struct(">Q24x")


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
    points: list[int] = []
    for count in range(-(-number // 4)):
        text = f"{url}#{count}".encode("utf-8", "surrogatepass")
        points.extend(_FOUR.unpack(sha256(text).digest()))
    return points[:number]


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
        return [point << _SERIAL | self.serial for point in points_of(self.node.url, self.points)]


class Ring:
    """An immutable ring, but for what runs at its places.

    Attributes:
        places: By node id.
        total: Points of all nodes.
    """

    __slots__ = ("_owners", "marks", "places", "total")

    def __init__(
        self, places: dict[str, Place], marks: list[int], owners: dict[int, Place]
    ) -> None:
        self.places = places
        self.marks = marks  # points with the numbers of their nodes behind them, sorted
        self._owners = owners
        self.total = len(marks)

    def changed(self, nodes: Sequence[Node], running: dict[str, list[None]]) -> Ring:
        """The ring with these nodes: only what is new is hashed.

        Args:
            nodes: The nodes.
            running: What runs at nodes that were there before, by id.
        """
        before = self.places
        serial = max(self._owners, default=0)
        places: dict[str, Place] = {}
        fresh: list[int] = []
        for node in nodes:
            place, number = before.get(node.id), number_of_points(node.weight)
            if place is not None and (place.node.url, place.points) == (node.url, number):
                place.node = node
            else:
                serial += 1
                place = Place(serial, node, number, running.get(node.id) or [])
                fresh.extend(place.marks())
            places[node.id] = place
        owners = {place.serial: place for place in places.values()}
        gone = [place for place in before.values() if place.serial not in owners]
        marks = self.marks
        if sum(place.points for place in gone) > len(marks) // _FEW:
            marks = [mark for mark in marks if mark & _OWNER in owners]
        else:
            marks = _without(marks, [mark for place in gone for mark in place.marks()])
        return Ring(places, _merged(marks, sorted(fresh)), owners)

    def twin(self, running: dict[str, list[None]]) -> Ring:
        """The same ring with other lists of what runs."""
        places = {
            id_: Place(place.serial, place.node, place.points, running[id_])
            for id_, place in self.places.items()
        }
        return Ring(places, self.marks, {place.serial: place for place in places.values()})

    def owner(self, at: int) -> Place:
        """The place that a position belongs to. The ring is not empty."""
        marks = self.marks
        index = bisect_left(marks, at << _SERIAL)
        return self._owners[marks[index if index < len(marks) else 0] & _OWNER]

    def from_here(self, at: int) -> Iterator[Place]:
        """All places, each once, in the order of the ring from a position on."""
        marks, owners = self.marks, self._owners
        start = bisect_left(marks, at << _SERIAL)
        seen: set[int] = set()
        for step in range(start, start + len(marks)):
            serial = marks[step if step < len(marks) else step - len(marks)] & _OWNER
            if serial not in seen:
                seen.add(serial)
                yield owners[serial]
                if len(seen) == len(owners):
                    return


def _without(marks: list[int], gone: list[int]) -> list[int]:
    """A sorted list without a few of its numbers: what lies between them is copied in one step."""
    if not gone:
        return marks
    kept: list[int] = []
    start = 0
    for mark in sorted(gone):
        at = bisect_left(marks, mark)
        kept += marks[start:at]
        start = at + 1
    kept += marks[start:]
    return kept


def _merged(marks: list[int], fresh: list[int]) -> list[int]:
    """Two sorted lists as one. A few fresh numbers are put in where they belong."""
    if len(fresh) > len(marks) // _FEW:
        return sorted(marks + fresh)
    if not fresh:
        return marks
    merged: list[int] = []
    start = 0
    for mark in fresh:
        at = bisect_left(marks, mark)
        merged += marks[start:at]
        merged.append(mark)
        start = at
    merged += marks[start:]
    return merged


EMPTY = Ring({}, [], {})
