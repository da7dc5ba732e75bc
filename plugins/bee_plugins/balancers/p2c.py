"""Balancer ``p2c``: the better one of two nodes, by latency, by what runs there, by failures.

The power of two choices (Mitzenmacher, 2001): to compare two nodes drawn at random is nearly as
good as to compare all, and clients that know the same do not all run to the same node.

What a node costs is Finagle's: ``latency * (in flight + 1)``, with the latency of
:mod:`.peak_latency`. Failures and fast rejections make it dearer.

Servers report in their replies how many requests run there, as in Prequal (Wydrowski et al., NSDI
2024). A node where more requests of *other* clients run than usual costs as much more, for a short
time: see :meth:`.peak_latency.NodeLoad.cost`.

A client may call methods of very different times: :mod:`.usual_times` makes them comparable.

``docs/decisions/p2c.md`` has the reasons for the numbers.
"""

from __future__ import annotations

from bisect import bisect
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

import attrs

from bee_core.hookspecs import Registrar, hookimpl
from bee_core.interfaces import Failure, Success
from bee_core.options import Seconds, positive

from .peak_latency import NodeLoad
from .slow_start import MOST_DRAWS, FreshNodes
from .usual_times import UsualTimes
from .weights import fractions, with_weight

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from random import Random

    from bee_core.interfaces import Balancer, Node, Outcome

FORCE_AFTER = 1.0
"""Seconds without a pick after which a node that lost a comparison gets the call all the same, so
that it is seen when a node has recovered. As in go-zero; Kratos waits 3 s."""

FORCE_EVERY = 200
"""Picks between two that are forced: at most 0.5 % of the calls go to a node that is known to be
worse. Without this bound a client with few calls and many nodes would force nearly every pick."""

REMARKED = 1.0
"""Seconds that ``bee explain`` shows a server's report."""

UNEVEN = 1.5
"""With different weights a node that was drawn regardless of its weight must be cheaper by this
factor. Otherwise noise in the latencies would even the shares out."""

_LEAST_WEIGHT = 1e-9  # of the mean; what is far below would be 0, and divides what is in flight
_OTHERS_STEP = 0.02  # of the value: it follows a change within some hundred reports


@attrs.frozen
class P2cOptions:
    """Options of ``p2c``.

    Attributes:
        decay: Seconds in which a sample of the latency fades to a third. The default is 10, as in
            Finagle: longer than a pause of the garbage collector, shorter than a deployment.
    """

    decay: Seconds = attrs.field(default=10.0, validator=positive)


class _Table(NamedTuple):
    """What picks read. Replaced whole."""

    nodes: tuple[NodeLoad, ...] = ()
    totals: list[float] | None = None
    """The running totals of the weights; None for equal weights."""
    margin: float = 1.0


class PowerOfTwoChoices:
    """Thread-safe without a lock. See the module for the policy.

    The first node is drawn by weight, the second one evenly from the others. If nodes are equally
    good, the first one gets the call. This gives shares by weight exactly. A pick compares two
    nodes, however many there are.
    """

    wants_load = wants_method = True
    settle: Callable[..., None] | None

    def __init__(self, options: P2cOptions | None = None) -> None:
        self.settle = self._settle
        self._decay = (options or P2cOptions()).decay
        self._table = _Table()
        self.loads: dict[str, NodeLoad] = {}
        self._fresh = FreshNodes()
        self.times = UsualTimes()
        self.others = 0.0  # requests of other clients that usually run at a node
        self._step = 1.0  # how much the next report changes that
        self._unforced = 0  # picks since the last forced one

    def start_slowly(self, window: float) -> None:
        """See :class:`bee_core.interfaces.Balancer`."""
        self._fresh = FreshNodes(window)

    def update(self, ready: Sequence[Node]) -> None:
        """See :meth:`bee_core.interfaces.Balancer.update`.

        A node that leaves while calls run there is remembered until they end. If it comes back
        before, it still has them.
        """
        nodes = with_weight(ready)
        before, loads = self.loads, dict[str, NodeLoad]()
        shares = fractions(nodes)
        mean = sum(shares) / max(1, len(shares))
        for node, share in zip(nodes, shares, strict=True):
            load, weight = before.get(node.id), max(share / mean, _LEAST_WEIGHT)
            if load is None:
                load = NodeLoad(node, weight)
            else:
                load.node, load.weight = node, weight
            loads[node.id] = load
        table = tuple(loads.values())
        for id_, load in before.items():
            if id_ not in loads and load.running:
                loads[id_] = load
        self._fresh.update(nodes)
        self.loads = loads
        if len(set(shares)) <= 1:
            self._table = _Table(table)
        else:
            self._table = _Table(table, list(accumulate(shares)), UNEVEN)

    def pick(self, key: str | None, tried: Collection[str], now: float, rng: Random) -> Node | None:
        """See :meth:`bee_core.interfaces.Balancer.pick`."""
        table = self._table
        nodes, totals = table.nodes, table.totals
        many = len(nodes)
        chosen: NodeLoad | None
        other: NodeLoad | None
        if many == 1 and not tried:
            chosen, other = nodes[0], None
        elif tried or self._fresh.began or many < 2:
            table, chosen, other = self._among_some(table, tried, now, rng)
            if chosen is None:
                return None
        else:
            fewer = many - 1
            if totals is None:  # one number is enough for both
                first = int(rng.random() * (many * fewer))
                first, second = first // fewer, first % fewer
            else:
                first = bisect(totals, rng.random() * totals[-1], 0, fewer)
                second = int(rng.random() * fewer)
            chosen, other = nodes[first], nodes[second + (second >= first)]
        if other is not None:
            times, crowd, decay = self.times, self.others + 1.0, self._decay
            usual, lasting = times.typical, times.lasting
            cost = other.cost(now, usual, decay, crowd, lasting)
            if cost * table.margin < chosen.cost(now, usual, decay, crowd, lasting):
                chosen, other = other, chosen
            # Two threads may both count to the same number: then one pick more or less is forced.
            self._unforced += 1
            if now - other.picked_at > FORCE_AFTER and self._unforced > FORCE_EVERY:
                self._unforced = 0
                chosen = other
        chosen.picked_at = now
        node, running = chosen.node, chosen.running
        try:
            running.append(None)
        except BaseException:
            # A handler of signals raised before anybody heard of the pick.
            _end(running)
            raise
        return node

    def _settle(
        self, node: Node, outcome: Outcome | None, seconds: float, now: float, method: str = ""
    ) -> None:
        state = self.loads.get(node.id)
        if state is None:
            return  # it left with no call there, so none of its calls is missed
        _end(state.running)
        times, decay = self.times, self._decay
        load = None if outcome is None else outcome.load
        if load is not None:
            others, step = state.take_report(load, now), self._step
            self.others += (others - self.others) * step
            if step > _OTHERS_STEP:
                self._step = step / (1.0 + step)  # the first ones are averaged
            if load.lag > seconds:  # noqa: PLR1730  # quicker than max()
                seconds = load.lag  # the next request will wait as long
        if type(outcome) is Success:
            state.observe(times.learn(method, seconds), 0.0, now, times.typical, decay)
            return
        usual, seconds = times.typical, times.as_typical(method, seconds)
        slower = seconds > state.expected(now, usual, decay)[0]
        if isinstance(outcome, Failure):
            state.observe(seconds if slower else 0.0, _verdict(outcome), now, usual, decay)
        elif slower:  # given up: it would have taken at least as long
            state.observe(seconds, None, now, usual, decay)

    def twin(self) -> PowerOfTwoChoices:
        """See :class:`bee_core.interfaces.Balancer`."""
        copy = PowerOfTwoChoices(P2cOptions(self._decay))
        loads = {id_: load.copy() for id_, load in self.loads.items()}
        table = self._table
        nodes = tuple(loads.get(load.node.id) or load.copy() for load in table.nodes)
        copy.loads = loads | {load.node.id: load for load in nodes}
        copy._table = table._replace(nodes=nodes)
        copy._fresh = self._fresh.twin()
        copy.times = self.times.copy()
        copy.others, copy._step = self.others, self._step
        copy._unforced = self._unforced
        return copy

    def after_fork(self) -> None:
        """See :mod:`bee_core.interfaces`. The calls in flight are the parent's."""
        for load in self.loads.values():
            load.running.clear()

    def remark(self, node: Node, now: float) -> str:
        """See :class:`bee_core.interfaces.Balancer`."""
        state = self.loads.get(node.id)
        if state is None or not state.known:
            return ""
        latency, failing = state.expected(now, self.times.typical, self._decay)
        parts = [f"{len(state.running)} in flight"]
        if state.latency:
            parts.append(f"{latency * 1000:.3g} ms")
        if failing >= 0.01:
            parts.append(f"{failing:.0%} of its calls failed")
        if state.reported_at > now - REMARKED:
            parts.append(f"its server said {state.reported} in flight")
        return ", ".join(parts)

    def _among_some(
        self, table: _Table, tried: Collection[str], now: float, rng: Random
    ) -> tuple[_Table, NodeLoad | None, NodeLoad | None]:
        """Draw two of the nodes that were not tried; a fresh node is drawn less often.

        With many nodes this is a few draws more; only where most were tried all are looked at.
        """
        if tried and 4 * len(tried) >= len(table.nodes):
            table = _without(table, tried)
        first = self._draw(table, tried, now, rng)
        if first is None and tried:
            table = _without(table, tried)  # those that were tried have nearly all the weight
            first = self._draw(table, (), now, rng)
        many = len(table.nodes)
        for _ in range(MOST_DRAWS if first is not None and many > 1 else 0):
            second = table.nodes[int(rng.random() * many)]
            if second is not first and not self._refused(second, tried, now, rng):
                return table, first, second
        return table, first, None

    def _draw(
        self, table: _Table, tried: Collection[str], now: float, rng: Random
    ) -> NodeLoad | None:
        """Draw one by weight; None if none was found that was not tried."""
        nodes, totals, _ = table
        many = len(nodes)
        found: NodeLoad | None = None
        for _ in range(MOST_DRAWS if many else 0):
            drawn = nodes[
                int(rng.random() * many)
                if totals is None
                else bisect(totals, rng.random() * totals[-1], 0, many - 1)
            ]
            if not self._refused(drawn, tried, now, rng):
                return drawn
            if drawn.node.id not in tried:
                found = drawn  # fresh; better than nothing
        return found

    def _refused(self, load: NodeLoad, tried: Collection[str], now: float, rng: Random) -> bool:
        fresh = self._fresh
        return load.node.id in tried or (
            bool(fresh.began) and fresh.refuses(load.node.id, now, rng.random())
        )


def _without(table: _Table, tried: Collection[str]) -> _Table:
    nodes = tuple(load for load in table.nodes if load.node.id not in tried)
    totals = table.totals and list(accumulate(load.weight for load in nodes))
    return _Table(nodes, totals, table.margin)


def _end(running: list[None]) -> None:
    """One attempt has ended. A forked child may be told of its parent's."""
    try:  # noqa: SIM105  a context manager costs more than the pop
        running.pop()
    except IndexError:
        pass


def _verdict(failure: Failure) -> float | None:
    """Whether a failure counts: that of the node, and a rejection; what the caller did, no."""
    if failure.blame == "node" or failure.kind == "overloaded":
        return 1.0
    return 0.0 if failure.executed == "yes" else None


@hookimpl
def bee_register_balancers(registry: Registrar[Balancer]) -> None:
    """Offer ``p2c``."""
    registry.add("p2c", PowerOfTwoChoices, options=P2cOptions)
