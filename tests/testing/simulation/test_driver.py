"""The driver carries out a race: attempts beside each other, of which the flow takes the first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bee_core.contracts import effects
from bee_core.testing.simulation import CallKind, Latency, Scenario, driver, simulate
from support.simulations import settings

if TYPE_CHECKING:
    from collections.abc import Generator

    from bee_core.calls.call import Call


class Entrant:
    """What a race is made of: a request of its own, and the way that it goes."""

    def __init__(self, call: Call, channel: Any) -> None:
        for name in ("deadline", "read_timeout", "connect_timeout"):
            setattr(self, name, getattr(call, name))
        self.may_connect = call.may_connect
        self.channel = channel
        self.begun = False
        self.pending: Any = None
        self.outcome: Any = None


class HedgingFlow:
    """A flow that starts a second attempt after a while, and gives the loser up."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.seconds = 0
        self.winners: list[int] = []

    def __call__(self, call: Call) -> Generator[Any, Any, None]:
        nodes = call.plan.service.nodes
        first, second = (nodes.connect(nodes.states[name]).channel for name in ("node-0", "node-1"))
        racing = [Entrant(call, first)]
        ended = yield effects.Race(tuple(racing), self.delay)
        if ended is None:
            self.seconds += 1
            racing.append(Entrant(call, second))
            ended = yield effects.Race(tuple(racing), None)
        self.winners.append(racing.index(ended))
        for other in racing:
            if other.pending is not None:
                other.pending.cancel()
        assert ended.outcome.ok
        call.attempts = len(racing)


@pytest.fixture
def hedged(monkeypatch):
    def run(delay: float, median: float) -> tuple[HedgingFlow, dict[str, Any]]:
        made = HedgingFlow(delay)
        monkeypatch.setattr(driver, "flow", made)
        scenario = Scenario(
            seconds=10,
            nodes=2,
            rate=5,
            network=0,
            latency=Latency(kind="bimodal", median=median, slow=1.0, slow_share=0.3),
            calls=(CallKind(method="read", idempotent=True),),
        )
        return made, simulate(settings(), scenario)

    return run


def test_an_attempt_that_ends_in_time_is_alone(hedged):
    flow, found = hedged(delay=2.0, median=0.1)
    assert flow.seconds == 0
    assert set(flow.winners) == {0}
    assert found["attempts"] == found["calls"]


def test_a_second_attempt_begins_after_the_delay_and_the_first_answer_wins(hedged):
    flow, found = hedged(delay=0.2, median=0.1)
    assert flow.seconds == found["attempts"] - found["calls"] > 0
    assert set(flow.winners) == {0, 1}
    # A call is slow only where both attempts are: 0.3 * 0.3 of them, and those end with the first.
    assert found["latency"]["p90"] == pytest.approx(0.3)
    assert found["success"] == 1.0
