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

FAILS = 0.3
"""A node of which a larger share of calls fails loses against one with a smaller share."""

SOON = 0.01
"""Of the decay: what is younger has hardly faded. So a busy client seldom needs an exponential."""

REPORT_LASTS = 2.0
"""A report fades over so many times of the requests that it is about. They have ended by then. If
others have come instead, the latency shows it."""

LEAST_CROWD = 0.1
"""An empty node costs a tenth at least: otherwise all clients that have just heard of it would go
there."""

_NEVER = float("-inf")
_HOPELESS = 1e9  # no latency and no crowd outweighs it
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
        others: How many of them were not this client's, relative to the weight.
    """

    __slots__ = (
        "failing",
        "latency",
        "node",
        "others",
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
        self.others = 0.0

    def expected(self, now: float, usual: float, decay: float) -> tuple[float, float]:
        """The latency to expect in seconds, and the share of failures."""
        fade = exp(-max(0.0, now - self.stamp) / decay)
        latency = self.latency or usual
        return max(_LEAST, usual + (latency - usual) * fade), self.failing * fade

    @property
    def known(self) -> bool:
        """Whether a call has been there."""
        return bool(self.running) or self.stamp > _NEVER

    def cost(self, now: float, usual: float, decay: float, crowd: float, lasting: float) -> float:
        """What one more call costs: ``latency * (in flight + 1)``.

        Failures make it dearer, and so does a crowd: more requests of other clients than usual, by
        the server's last report.

        Args:
            now: The time.
            usual: What is usual in this fleet, in seconds.
            decay: Seconds in which a sample fades to a third.
            crowd: Requests of other clients that usually run at a node, and one.
            lasting: See :class:`.usual_times.UsualTimes`.
        """
        latency, failing = self.latency or usual, self.failing
        age = (now - self.stamp) / decay
        if age > SOON:
            fade = exp(-age)
            latency = usual + (latency - usual) * fade
            failing *= fade
        if latency < _LEAST:  # noqa: PLR1730  # quicker than max()
            latency = _LEAST
        cost = latency * (len(self.running) / self.weight + 1.0)
        age = (now - self.reported_at) / (REPORT_LASTS * latency * lasting)
        if age < 1.0:
            more = 1.0 + (self.others + 1.0 - crowd) * (1.0 - age) / crowd
            cost *= more if more > LEAST_CROWD else LEAST_CROWD  # noqa: FURB136  # as above
        if failing:
            cost *= 1.0 + FAILURES_COUNT * failing * failing
            if failing > FAILS:
                cost *= _HOPELESS
        return cost

    def take_report(self, load: Load, now: float) -> float:
        """The server's word, from an answer whose attempt has ended here. Returns ``others``."""
        self.reported = reported = load.in_flight - 1
        self.reported_at = now
        others = reported - len(self.running)
        self.others = in_the_way = others / self.weight if others > 0 else 0.0
        return in_the_way

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
        age = (now - self.stamp) / decay
        fade = exp(-age) if age > SOON else 1.0 - age if age > 0.0 else 1.0
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
