"""Has the troubles of a scenario happen, and the registry's list follow."""

from __future__ import annotations

from functools import partial
from math import ceil
from typing import TYPE_CHECKING

from ...terms.node import Changes, Snapshot
from .latencies import mean_of
from .neighbours import Neighbours
from .nodes import DOWN, DRAINING, HANGING, UNREACHABLE, UP
from .world import START, TROUBLE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from ...terms.node import Node
    from .nodes import SimulatedNode
    from .scenario import Scenario, Trouble
    from .world import World

NOTICE = 0.5
"""Seconds between a server's leave-taking at the registry and its goaway."""
DRAIN = 10.0
"""Seconds that a server waits for its calls in flight: ``drain_timeout``'s default."""
LEASES = 3
"""Heartbeats that a lease lasts."""


class Registry:
    """Knows the nodes, and tells all clients of each change after a delay.

    Args:
        world: The clock.
        delay: Seconds until clients hear of a change.
        tell: Hands a list to every client.
        lease: Seconds until a server that is silent is not listed any more; None: the list is a
            fixed one, and what leaves stays on it.
    """

    def __init__(
        self,
        world: World,
        delay: float,
        tell: Callable[[Snapshot], None],
        lease: float | None,
    ) -> None:
        self.lease = lease
        self._world = world
        self._delay = delay
        self._tell = tell
        self._nodes: dict[str, Node] = {}
        self._revision = 0

    def begin(self, nodes: Sequence[Node]) -> None:
        """The list that the clients know at the start: they have been running for a while."""
        self._nodes = {node.id: node for node in nodes}
        self._revision = 1
        self._tell(Snapshot(1, "address", tuple(nodes)))

    def put(self, there: SimulatedNode) -> None:
        """A server registers."""
        there.listed = True
        if there.node.id not in self._nodes:
            self._nodes[there.node.id] = there.node
            self._announce(Changes(self._revision, (there.node,)))

    def remove(self, there: SimulatedNode) -> None:
        """A server leaves, or its lease is over."""
        there.listed = False
        if self._nodes.pop(there.node.id, None) is not None:
            self._announce(Changes(self._revision, (), frozenset({there.node.id})))

    def _announce(self, changes: Changes) -> None:
        self._revision += 1
        nodes = tuple(self._nodes.values())
        # As addresses: such nodes need not state versions and tags.
        snapshot = Snapshot(self._revision, "address", nodes, changes)
        self._world.at(self._world.now + self._delay, self._tell, snapshot)


class Troubles:
    """Plans what goes wrong.

    Args:
        world: The clock.
        scenario: Says what.
        nodes: All nodes.
        registry: Hears of servers that come and go.
        rng: Draws when neighbours call.

    Attributes:
        pace: How many times as many calls come in just now.
    """

    def __init__(
        self,
        world: World,
        scenario: Scenario,
        nodes: Sequence[SimulatedNode],
        registry: Registry,
        rng: Random,
    ) -> None:
        self.pace = 1.0
        self._world = world
        self._nodes = nodes
        self._registry = registry
        self._seconds = scenario.seconds
        self._capacity = scenario.workers / mean_of(scenario.latency)
        self._rng = rng
        self._silent_since: dict[int, float] = {}
        for trouble in scenario.that_begin:
            self._plan(trouble)

    def chosen(self, trouble: Trouble) -> list[SimulatedNode]:
        """The nodes that a trouble is about."""
        nodes = self._nodes
        if trouble.zone is not None:
            return [there for there in nodes if there.node.zone == trouble.zone]
        count = len(nodes)
        if trouble.count is not None:
            count = min(trouble.count, count)
        elif trouble.share is not None:
            count = min(count, max(1, ceil(trouble.share * count - 1e-9)))
        return list(nodes[len(nodes) - count :])

    def _plan(self, trouble: Trouble) -> None:
        nodes = self.chosen(trouble)
        if trouble.kind == "join":
            for there in nodes:
                there.mode = DOWN
                there.listed = False
        begin: Callable[[list[SimulatedNode]], None] = partial(self._begin, trouble)
        self._at(trouble.at, begin, nodes)
        if trouble.until is not None:
            self._at(trouble.until, partial(self._end, trouble), nodes)

    def _at(self, when: float, act: Callable[[list[SimulatedNode]], None], nodes: object) -> None:
        self._world.at(START + when, act, nodes)

    def _begin(self, trouble: Trouble, nodes: list[SimulatedNode]) -> None:
        self._world.note(TROUBLE, len(nodes))
        if trouble.kind == "surge":
            self.pace = trouble.times
        elif trouble.kind == "deploy":
            for turn, there in enumerate(nodes):
                when = self._world.now + turn * trouble.every
                self._world.at(when, partial(self._leave, trouble), there)
        elif trouble.kind == "join":
            for there in nodes:
                self._start(trouble, there)
        else:
            for there in nodes:
                there.bad = len(nodes) < len(self._nodes)
                self._break(trouble, there)

    def _break(self, trouble: Trouble, there: SimulatedNode) -> None:
        kind = trouble.kind
        if kind == "slow":
            there.factor = trouble.times
        elif kind == "fail":
            there.failure, there.failure_rate = trouble.failure, trouble.rate
        elif kind == "dead":
            there.die()
            self._silent(there)
        elif kind == "flap":
            self._flap(trouble, there)
        elif kind == "busy":
            end = START + (self._seconds if trouble.until is None else trouble.until)
            rate = trouble.times * self._capacity
            Neighbours(self._world, there, rate, end, self._rng).begin()
        else:
            there.fall_silent(UNREACHABLE if kind == "unreachable" else HANGING)
            self._silent(there)

    def _end(self, trouble: Trouble, nodes: list[SimulatedNode]) -> None:
        self._world.note(TROUBLE, -len(nodes))
        if trouble.kind == "surge":
            self.pace = 1.0
            return
        for there in nodes:
            there.bad = False
            if trouble.kind == "slow":
                there.factor = 1.0
            elif trouble.kind == "fail":
                there.failure = ""
            elif trouble.kind in {"dead", "flap"}:
                self._start(trouble, there)
            elif trouble.kind in {"unreachable", "hang"}:
                there.mode = UP
                self._registry.put(there)

    # Servers that go silent, come and leave.

    def _silent(self, there: SimulatedNode) -> None:
        """Its lease ends, unless it is back before."""
        if self._registry.lease is not None:
            self._silent_since[there.number] = since = self._world.now
            self._world.at(since + self._registry.lease, partial(self._expire, since), there)

    def _expire(self, since: float, there: SimulatedNode) -> None:
        if there.mode != UP and self._silent_since.get(there.number) == since:
            self._registry.remove(there)

    def _start(self, trouble: Trouble, there: SimulatedNode) -> None:
        if there.mode != UP:
            there.warm_up, there.warm_times = trouble.warm_up, trouble.warm_times
            there.start()
        self._registry.put(there)

    def _flap(self, trouble: Trouble, there: SimulatedNode) -> None:
        """Down where it is up, up where it is down, and once more in a period."""
        world = self._world
        if trouble.until is not None and world.now >= START + trouble.until:
            return
        if there.mode == UP:
            there.bad = True
            there.die()
            self._silent(there)
        else:
            there.bad = False
            self._start(trouble, there)
        if world.now < START + self._seconds:
            world.at(world.now + trouble.period, partial(self._flap, trouble), there)

    def _leave(self, trouble: Trouble, there: SimulatedNode) -> None:
        """A server that is replaced: it leaves the registry, sends a goaway, drains, and ends."""
        world = self._world
        if trouble.until is not None and world.now >= START + trouble.until:
            return
        if self._registry.lease is not None:
            self._registry.remove(there)
        world.at(world.now + NOTICE, partial(self._drain, trouble), there)

    def _drain(self, trouble: Trouble, there: SimulatedNode) -> None:
        there.mode = DRAINING
        self._drained(trouble, self._world.now, there)

    def _drained(self, trouble: Trouble, since: float, there: SimulatedNode) -> None:
        """The process ends once its calls have, or when it has waited for them long enough."""
        world = self._world
        if there.in_flight and world.now < since + DRAIN:
            world.at(world.now + NOTICE, partial(self._drained, trouble, since), there)
            return
        there.die()
        world.at(world.now + trouble.down, partial(self._start, trouble), there)
