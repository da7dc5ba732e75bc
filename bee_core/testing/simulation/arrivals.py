"""When calls come in, from whom, and of which kind: a Poisson process, drawn in batches."""

from __future__ import annotations

from bisect import bisect
from itertools import accumulate
from typing import TYPE_CHECKING

from .driver import SimulatedCall
from .world import START

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from .clients import SimulatedClient
    from .counts import KindCounts
    from .driver import Stage
    from .scenario import CallKind
    from .troubles import Troubles

_BATCH = 1024


class Arrivals:
    """Makes the calls of a run.

    Args:
        stage: The run.
        clients: Whose calls they are, evenly.
        kinds: What is called; each with its counts.
        rate: Calls a second.
        rng: Draws times, clients, kinds and keys.
    """

    def __init__(
        self,
        stage: Stage,
        clients: Sequence[SimulatedClient],
        kinds: Sequence[tuple[CallKind, KindCounts]],
        rate: float,
        rng: Random,
    ) -> None:
        self._stage = stage
        self._clients = clients
        self._kinds = kinds
        self._pause = 1 / rate
        self._rng = rng
        totals = list(accumulate(kind.share for kind, _ in kinds))
        self._until = [total / totals[-1] for total in totals]
        self._popular = [popularity(kind) for kind, _ in kinds]
        # Without keys a plan for each client and kind is all there is.
        self._plans = [
            [None if kind.keys else client.plan(number, kind, None) for client in clients]
            for number, (kind, _) in enumerate(kinds)
        ]

    def run(self, seconds: float, troubles: Troubles) -> None:
        """Let calls come in for so long, and let everything else happen meanwhile."""
        world, rng = self._stage.world, self._rng
        end = START + seconds
        due = START
        mean = self._pause
        draw = rng.expovariate
        while True:
            for gap in [draw(1.0) for _ in range(_BATCH)]:
                due += gap * mean / troubles.pace
                if due >= end:
                    world.run_until(end)
                    return
                world.run_until(due)
                self._call(due)

    def _call(self, due: float) -> None:
        rng = self._rng
        until = self._until
        number = 0
        if len(until) > 1:
            drawn = rng.random()
            while drawn >= until[number]:
                number += 1
        clients = self._clients
        who = int(rng.random() * len(clients)) if len(clients) > 1 else 0
        kind, counts = self._kinds[number]
        plan = self._plans[number][who]
        if plan is None:
            popular = self._popular[number]
            drawn = rng.random()
            key = int(drawn * kind.keys) if popular is None else bisect(popular, drawn)
            plan = clients[who].plan(number, kind, f"key-{key}")
        counts.calls += 1
        stage = self._stage
        stage.open += 1
        stage.counts.calls[stage.counts.window(due)] += 1
        SimulatedCall(stage, plan, counts)


def popularity(kind: CallKind) -> list[float] | None:
    """Up to which number each key but the last is drawn; None where all are drawn alike."""
    if not kind.keys or not kind.skew:
        return None
    totals = list(accumulate((rank + 1) ** -kind.skew for rank in range(kind.keys)))
    return [total / totals[-1] for total in totals[:-1]]
