"""Rounds: every contender once, then every contender again.

The machine may be shared, and its speed changes with the minute. Contenders that are measured in
turn see the same weather, and their ratio within a round says more than two figures of different
minutes. The order is shuffled for each round, so nobody always runs after the same neighbour.
"""

from __future__ import annotations

import random
from contextlib import ExitStack
from statistics import median
from typing import TYPE_CHECKING, Any

import attrs

from .contenders import CONTENDERS
from .loads import LOADS
from .processes import ContenderFailed, Pair
from .results import Results, this_machine
from .suites import SUITES, pairs

if TYPE_CHECKING:
    from collections.abc import Callable

CAPACITY_ROUNDS = 3


@attrs.frozen
class Plan:
    """What is to be measured.

    Attributes:
        suites: Names of suites.
        loads: Names of loads, all that may run.
        contenders: Names of contenders, all that may run.
        rounds: How many.
        seconds: Of a load in a round.
        open_seconds: Of an open loop in a round; its far percentiles need many calls.
    """

    suites: tuple[str, ...]
    loads: tuple[str, ...]
    contenders: tuple[str, ...]
    rounds: int
    seconds: float
    open_seconds: float

    def steps(self) -> list[tuple[str, str, list[str]]]:
        """Suite, load and contenders of each block of rounds."""
        return [
            (suite, load, able)
            for suite in self.suites
            for load, able in pairs(SUITES[suite], self.loads, self.contenders)
        ]

    def about_seconds(self) -> float:
        """A guess of how long it takes."""
        total = 0.0
        for _, load, able in self.steps():
            length = self.open_seconds if LOADS[load].shape == "open" else self.seconds
            total += len(able) * self.rounds * (length + 0.6)
        return total + 1.5 * len(self.contenders)


class Runner:
    """Carries a plan out.

    Args:
        plan: What to do.
        say: Gets lines for people.
    """

    def __init__(self, plan: Plan, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._say = say
        self._random = random.Random(0)  # noqa: S311  # an order is no secret
        self._running: dict[str, Pair] = {}
        self.results = Results(this_machine(), attrs.asdict(plan))

    def run(self) -> Results:
        """Measure everything. A contender that fails is left out from there on, loudly."""
        steps = self._plan.steps()
        for name in sorted({name for _, _, able in steps for name in able}):
            if (why := CONTENDERS[name].left_out()) is not None:
                self._leave_out(name, why)
        for number, (suite, load, able) in enumerate(steps, 1):
            self._say(f"[{number}/{len(steps)}] {suite}: {LOADS[load].title}")
            self._block(suite, load, [name for name in able if name not in self.results.left_out])
        return self.results

    def _block(self, suite: str, load: str, able: list[str]) -> None:
        """All rounds of one load. Only those who take part have processes meanwhile."""
        into = self.results.suites.setdefault(suite, {}).setdefault(load, {})
        with ExitStack() as stack:
            self._running = {}
            for name in able:
                try:
                    self._running[name] = stack.enter_context(Pair(name))
                except ContenderFailed as error:
                    self._leave_out(name, str(error))
            rates = self._rates(suite, load)
            for _ in range(self._plan.rounds):
                order = [name for name in self._running if name in rates]
                self._random.shuffle(order)
                for name in order:
                    into.setdefault(name, []).append(self._measure(name, load, rates[name]))
        for name in able:  # as the tables have them
            if name in into:
                into[name] = into.pop(name)

    def _measure(self, name: str, load: str, rate: float) -> dict[str, Any] | None:
        if name in self.results.left_out:
            return None
        open_loop = LOADS[load].shape == "open"
        seconds = self._plan.open_seconds if open_loop else self._plan.seconds
        try:
            return self._running[name].run(load, seconds, rate)
        except ContenderFailed as error:
            self._leave_out(name, f"failed under {load}: {error}")
            return None

    def _rates(self, suite: str, load: str) -> dict[str, float]:
        """The rate of each contender under an open loop; 0 under others."""
        share, capacity = LOADS[load].share, LOADS[load].capacity
        if share is None or capacity is None:
            return dict.fromkeys(self._running, 0.0)
        rates = {}
        for name in self._running:
            measured = [
                one for one in self.results.values(suite, capacity, name, "per_second") if one
            ]
            if not measured:
                rounds = [self._measure(name, capacity, 0.0) for _ in range(CAPACITY_ROUNDS)]
                measured = [one["per_second"] for one in rounds if one]
            if measured:
                rates[name] = share * median(measured)
        return rates

    def _leave_out(self, name: str, why: str) -> None:
        self.results.left_out[name] = why
        self._say(f"LEFT OUT: {name}: {why}")
