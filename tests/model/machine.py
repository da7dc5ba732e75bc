"""Random histories: hypothesis' stateful testing draws the steps of :mod:`.language`."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, ClassVar

import attrs
import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from . import language
from .language import History
from .world import World, replay

if TYPE_CHECKING:
    from .language import Step

USUAL = 60
"""Histories of the usual suite, which has one seed."""
CAMPAIGN, SEEDS = 500, 20
"""Histories for a seed of ``nox -s model``, and how many seeds it has."""
HEARTBEATS = (1.0, 3.0, 10.0)
SERVERS = st.integers(0, 3)
CLIENTS = st.integers(0, 1)


@attrs.define
class Figures:
    """What a run of histories came to.

    Attributes:
        histories: How many.
        steps: Of all of them.
        looks: How often the promises were looked at.
        seconds: Of virtual time.
        broken: Histories that broke a promise, and which one it was.
    """

    histories: int = 0
    steps: int = 0
    looks: int = 0
    seconds: float = 0.0
    broken: list[tuple[History, str]] = attrs.field(factory=list)

    def told(self) -> str:
        """For each kind of broken promise how often it was, and the shortest history found."""
        kinds: dict[str, list[tuple[History, str]]] = {}
        for history, promise in self.broken:
            kinds.setdefault(_kind(promise), []).append((history, promise))
        return "\n\n".join(
            f"{len(found)} of {self.histories} histories: {_shortest(*found[0])}"
            for found in kinds.values()
        )


def _kind(promise: str) -> str:
    """A message without its numbers."""
    return re.sub(r"[\d.]+", "", promise)


def _shortest(history: History, promise: str) -> str:
    short = history.shortest(lambda other: _kind(replay(other)) == _kind(promise))
    return f"{replay(short) or promise}\n{short}"


class Histories(RuleBasedStateMachine):
    """One example is one history. In its end everything is mended and has to come right."""

    figures: ClassVar[Figures] = Figures()
    """Of the present run: hypothesis makes the machines, so it is a field of the class."""

    world: World | None = None

    @initialize(
        heartbeat=st.sampled_from(HEARTBEATS),
        servers=st.integers(1, 4),
        clients=st.integers(1, 2),
        seed=st.integers(0, 1_000_000),
        pause=st.sampled_from((0.0, 2.0)),
    )
    def begin(self, heartbeat: float, servers: int, clients: int, seed: int, pause: float) -> None:
        self.history = History(heartbeat, servers, clients, seed)
        self.world = World(self.history)
        self._do(language.step("wait", pause))

    def _do(self, *steps: Step) -> None:
        """Do what comes next. After a broken promise nothing is done any more.

        hypothesis is not told of it: it would try to make the history shorter in its own way, which
        takes minutes, and the run would end.
        """
        assert self.world is not None
        for step in steps:
            if not self.world.wrong:
                self.history = attrs.evolve(self.history, steps=(*self.history.steps, step))
                self.figures.steps += 1
                with contextlib.suppress(AssertionError):
                    self.world.do(step)

    @rule(
        verb=st.sampled_from(language.SERVER_VERBS),
        server=SERVERS,
        pause=st.sampled_from(language.PAUSES),
    )
    def something_befalls_a_server(self, verb: str, server: int, pause: float) -> None:
        self._do(language.step(verb, server), language.step("wait", pause))

    @rule(
        verb=st.sampled_from(language.CLIENT_VERBS),
        client=CLIENTS,
        pause=st.sampled_from(language.PAUSES),
    )
    def something_befalls_a_client(self, verb: str, client: int, pause: float) -> None:
        self._do(language.step(verb, client), language.step("wait", pause))

    @rule(verb=st.sampled_from(language.PLAIN_VERBS), pause=st.sampled_from(language.PAUSES))
    def something_befalls_the_registry(self, verb: str, pause: float) -> None:
        self._do(language.step(verb), language.step("wait", pause))

    @rule(
        heartbeats=st.sampled_from(language.SLOW),
        client=st.none() | CLIENTS,
        pause=st.sampled_from(language.PAUSES),
    )
    def answers_are_slow(self, heartbeats: float, client: int | None, pause: float) -> None:
        if client is None:
            slow = language.step("slow", heartbeats)
        else:
            slow = language.step("slow_client", client, heartbeats)
        self._do(slow, language.step("wait", pause))

    @rule(client=CLIENTS, server=SERVERS, pause=st.sampled_from(language.PAUSES))
    def a_client_cannot_reach_a_server(self, client: int, server: int, pause: float) -> None:
        self._do(language.step("part", client, server), language.step("wait", pause))

    def teardown(self) -> None:
        world, self.world = self.world, None
        if world is None:
            return
        if not world.wrong:
            with contextlib.suppress(AssertionError):
                world.settle()
        figures = self.figures
        figures.histories += 1
        figures.looks += world.watchdog.looks
        figures.seconds += world.loop.time() - world.watchdog.began
        figures.broken += [(self.history, promise) for promise in world.wrong[:1]]
        world.close()


def run(histories: int, seed: int, steps: int = 16) -> Figures:
    """Run so many histories, the same for the same seed."""
    Histories.figures = Figures()
    settings = hypothesis.settings(
        max_examples=histories,
        stateful_step_count=steps,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    run_state_machine_as_test(hypothesis.seed(seed)(Histories), settings=settings)
    return Histories.figures
