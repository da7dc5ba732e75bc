"""One simulated server: its workers, its queue, its bound, and how it is broken."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest

from bee_core.terms.node import Node
from bee_core.testing.simulation.channels import SimulatedChannel
from bee_core.testing.simulation.counts import Counts
from bee_core.testing.simulation.exchange import Ledger
from bee_core.testing.simulation.latencies import Durations, mean_of
from bee_core.testing.simulation.nodes import DOWN, DRAINING, HANGING, UNREACHABLE
from bee_core.testing.simulation.nodes import SimulatedNode as Server
from bee_core.testing.simulation.scenario import Latency
from bee_core.testing.simulation.site import Site
from bee_core.testing.simulation.world import START, World


class Rig:
    """A server of two workers whose handlers take a second, and a client of it."""

    def __init__(self, *, cancels: bool = True, max_in_flight: int = 1024) -> None:
        self.world = World()
        self.site = Site(
            self.world,
            Durations(Latency(kind="fixed", median=1.0), random.Random(1)),
            random.Random(2),
            workers=2,
            max_in_flight=max_in_flight,
            cancels=cancels,
            make_limiters=lambda: None,
            broken=lambda *_: None,
        )
        self.server = Server(self.site, Node("n", "tcp://10.0.0.1:1"), 0)
        self.channel = SimulatedChannel(
            self.world, self.server, Counts(START, 100), 0.0, wants_load=False
        )
        self.ended: list[tuple[float, str]] = []

    def call(self, *, timeout: float = 30.0, read: float = 30.0) -> Caller:
        return Caller(self, timeout, read)

    def run(self, seconds: float) -> None:
        self.world.run_until(START + seconds)


class Caller:
    def __init__(self, rig: Rig, timeout: float, read: float) -> None:
        self.rig = rig
        self.ledger = Ledger(idempotent=False)
        self.outcome = None
        now = rig.world.now
        request = SimpleNamespace(
            deadline=now + timeout,
            read_timeout=read,
            connect_timeout=3.0,
            may_connect=lambda now: 3.0,
            criticality="critical",
        )
        self.exchange = rig.channel.send(request, self)

    def answered(self, exchange, outcome) -> None:
        assert self.outcome is None, "a caller is answered once"
        self.outcome = outcome
        self.at = round(self.rig.world.now - START, 6)


def test_more_calls_than_workers_wait_in_their_order():
    rig = Rig()
    callers = [rig.call() for _ in range(5)]
    rig.run(10)
    assert [caller.at for caller in callers] == [1, 1, 2, 2, 3]
    assert all(caller.outcome.ok for caller in callers)
    assert rig.server.in_flight == 0


def test_one_more_than_max_in_flight_is_refused_and_has_not_run():
    rig = Rig(max_in_flight=3)
    callers = [rig.call() for _ in range(4)]
    rig.run(10)
    assert [caller.outcome.ok for caller in callers] == [True, True, True, False]
    refused = callers[3]
    assert (refused.outcome.kind, refused.outcome.executed) == ("overloaded", "no")
    assert refused.ledger.runs == 0


def test_a_caller_that_waits_too_long_leaves_the_queue_or_frees_its_worker():
    rig = Rig()
    quick = [rig.call(read=0.4), rig.call(read=0.4), rig.call(read=0.3)]
    slow = [rig.call() for _ in range(2)]
    rig.run(10)
    assert [caller.at for caller in quick] == [0.4, 0.4, 0.3]
    assert [caller.ledger.runs for caller in quick] == [1, 1, 0]
    assert [caller.outcome.blame for caller in quick] == ["node"] * 3
    assert [caller.at for caller in slow] == [1.4, 1.4]
    assert rig.server.in_flight == 0


def test_a_handler_that_cannot_be_cancelled_keeps_its_worker():
    rig = Rig(cancels=False)
    quick = [rig.call(read=0.4) for _ in range(2)]
    slow = rig.call()
    rig.run(10)
    assert [caller.at for caller in quick] == [0.4, 0.4]
    assert slow.at == 2.0
    assert rig.server.in_flight == 0


def test_the_callers_own_deadline_blames_nobody():
    rig = Rig()
    caller = rig.call(timeout=0.5)
    rig.run(2)
    assert (caller.at, caller.outcome.blame, caller.outcome.retry) == (0.5, "none", "never")


def test_a_process_that_dies_loses_its_connections_and_then_refuses_new_ones():
    rig = Rig()
    callers = [rig.call() for _ in range(3)]
    rig.run(0.5)
    rig.server.die()
    late = rig.call()
    rig.run(5)
    assert [caller.at for caller in callers] == [0.5] * 3
    assert {caller.outcome.executed for caller in callers} == {"maybe"}
    assert late.outcome.refused
    assert rig.server.mode == DOWN
    rig.server.start()
    again = rig.call()
    rig.run(10)
    assert again.outcome.ok


def test_a_network_that_is_cut_shows_as_silence_and_then_as_connections_that_time_out():
    rig = Rig()
    under_way = rig.call(read=2)
    rig.run(0.5)
    rig.server.fall_silent(UNREACHABLE)
    open_connection = rig.call(read=2)
    rig.run(3)
    assert (under_way.at, under_way.outcome.executed) == (2, "maybe")
    assert (open_connection.at, open_connection.ledger.runs) == (2.5, 0)
    new_connection = rig.call(read=2)
    rig.run(10)
    assert new_connection.at == 6
    assert (new_connection.outcome.executed, new_connection.outcome.reached) == ("no", False)
    assert rig.server.in_flight == 0


def test_a_queue_behind_a_cut_is_worked_off_for_nobody():
    rig = Rig()
    callers = [rig.call(read=1.5, timeout=20) for _ in range(6)]
    rig.run(0.5)
    rig.server.fall_silent(UNREACHABLE)
    rig.run(10)
    assert [caller.at for caller in callers] == [1.5] * 6
    assert sum(caller.ledger.runs for caller in callers) == 6
    assert rig.server.in_flight == 0


@pytest.mark.parametrize(
    ("mode", "kind"), [(DRAINING, "unavailable"), (HANGING, "deadline_exceeded")]
)
def test_a_server_that_leaves_says_so_and_one_that_is_stopped_says_nothing(mode, kind):
    rig = Rig()
    rig.server.mode = mode
    caller = rig.call(read=2)
    rig.run(10)
    assert caller.outcome.kind == kind
    assert caller.outcome.unsent is (mode == DRAINING)
    assert caller.ledger.runs == 0


def test_a_loser_is_cancelled_frees_its_worker_and_is_not_answered():
    rig = Rig()
    losers = [rig.call(), rig.call()]
    waiting = rig.call()
    rig.run(0.3)
    rig.channel.cancel(losers[0].exchange)
    rig.run(10)
    assert losers[0].outcome is None
    assert losers[1].at == 1
    assert waiting.at == 1.3


def test_a_fresh_process_is_slow_and_gets_better():
    rig = Rig()
    rig.server.warm_up, rig.server.warm_times = 10.0, 5.0
    rig.server.start()
    first = rig.call()
    rig.run(8)
    later = rig.call()
    rig.run(20)
    assert first.at == 5
    assert later.at == pytest.approx(8 + 1 + 4 * 0.2)


@pytest.mark.parametrize(
    "latency",
    [
        Latency(median=0.02),
        Latency(kind="fixed", median=0.02),
        Latency(kind="bimodal", median=0.02, slow=0.5, slow_share=0.2),
    ],
    ids=lambda latency: latency.kind,
)
def test_durations_have_the_mean_that_the_load_is_made_of(latency):
    durations = Durations(latency, random.Random(3))
    drawn = [durations.draw() for _ in range(20_000)]
    assert sum(drawn) / len(drawn) == pytest.approx(mean_of(latency), rel=0.03)
