"""What ``p2c`` knows of a node: its latency, its failures, and what runs there.

The latency is Finagle's peak-EWMA: an average whose samples fade with time, and which a worse
sample replaces at once. A node that becomes slow is seen after one answer, a node that becomes fast
again after some. Two things differ from Finagle's:

- While there is no sample, the estimate fades to what is usual in this fleet, not to 0. A slow node
  that gets no calls does not look like the best one after a while, and a new node looks like any
  other.
- A failure is never a sample that makes a node look faster.
"""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bee_core.interfaces import Load, Node

LEARN = 0.1
"""How much one result changes the share of failures: a node that always fails is known as such
after about four calls, and one failure among a hundred calls changes little."""

FAILURES_COUNT = 30.0
"""A node of which a share f of the calls fails costs ``1 + 30 f²`` as much: 1.3 times after one
failure, twice at one in five. Where all fail a little, the latency decides."""

_NEVER = float("-inf")
_LEAST = 1e-9  # a latency of 0 would hide what is in flight


class NodeLoad:
    """One node of the balancer. Threads share it without a lock.

    ``running`` is a list because ``append``, ``pop`` and ``len`` of a list are single steps: no
    count is lost between threads. A sample that two threads write at a time may be lost; it is one
    of many.

    Attributes:
        node: The node as it was listed last.
        weight: Its weight relative to the mean of all.
        running: One entry for each attempt of this client that runs there.
        latency: Seconds; the estimate as of ``stamp``; 0: no sample yet.
        failing: The share of failures among the last results, as of ``stamp``.
        stamp: When it was told of a result last.
        picked_at: When it was picked last.
        reported: Requests that ran at the server besides the one that it answered.
        reported_at: When it said so.
        own_then: How many of them were this client's.
    """

    __slots__ = (
        "failing",
        "latency",
        "node",
        "own_then",
        "picked_at",
        "reported",
        "reported_at",
        "running",
        "stamp",
        "weight",
    )

    def __init__(self, node: Node, weight: float) -> None:
        self.node = node
        self.weight = weight
        self.running: list[None] = []
        self.latency = 0.0
        self.failing = 0.0
        self.stamp = _NEVER
        self.picked_at = _NEVER
        self.reported = 0
        self.reported_at = _NEVER
        self.own_then = 0

    def expected(self, now: float, usual: float, decay: float) -> tuple[float, float]:
        """The latency to expect in seconds, and the share of failures."""
        fade = exp(-max(0.0, now - self.stamp) / decay)
        latency = self.latency or usual
        return max(_LEAST, usual + (latency - usual) * fade), self.failing * fade

    @property
    def known(self) -> bool:
        """Whether a call has been there."""
        return bool(self.running) or self.stamp > _NEVER

    def busy(self) -> float:
        """Requests that run at the server, by its last word and by what this client did since."""
        own = len(self.running)
        return max(own, self.reported + own - self.own_then) / self.weight

    def take_report(self, load: Load, now: float) -> None:
        """The server's word, from an answer whose attempt has ended here."""
        self.own_then = len(self.running)
        self.reported = max(0, load.in_flight - 1)
        self.reported_at = now

    def observe(
        self, seconds: float, failed: float | None, now: float, usual: float, decay: float
    ) -> None:
        """Take the result of an attempt.

        Args:
            seconds: The sample; 0 for none.
            failed: 1 for a failure, 0 for a success, None for neither.
            now: The time.
            usual: What is usual in this fleet.
            decay: Seconds in which a sample fades to a third.
        """
        fade = exp(-max(0.0, now - self.stamp) / decay)
        failing = self.failing * fade
        if failed is not None:
            failing += (failed - failing) * LEARN
        if seconds:
            latency = self.latency
            before = usual + (latency - usual) * fade if latency else 0.0
            self.latency = seconds if seconds > before else latency * fade + seconds * (1.0 - fade)
        elif self.latency:  # the estimate is as old as it was; its stamp moves, so it fades here
            self.latency = usual + (self.latency - usual) * fade
        self.failing = failing
        self.stamp = now

    def copy(self) -> NodeLoad:
        """The same with an own list of what runs."""
        twin = NodeLoad(self.node, self.weight)
        given: Any = self
        for name in NodeLoad.__slots__:
            setattr(twin, name, getattr(given, name))
        twin.running = self.running.copy()
        return twin
