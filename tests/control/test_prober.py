"""The prober, on a real control plane, with channels whose pings are scripted."""

from __future__ import annotations

import asyncio
import logging
import queue
import time

import pytest

from bee_core.control.plane import ControlPlane
from bee_core.control.prober import FIRST_PAUSE, Prober
from bee_core.interfaces import Success
from bee_core.nodes.contained_breakers import ContainedBreakers
from bee_core.terms.causes import lost, refused
from bee_core.testing import seeded_random
from bee_plugins.breakers.consecutive import Consecutive, ConsecutiveOptions
from support.call_harness import Harness
from support.patience import PATIENCE

REFUSED = refused(ConnectionRefusedError(111, "Connection refused"))
ILL = lost("end of file")
KEY = ("calc", "a")


class Pinged:
    """An asyncio channel that answers pings only."""

    def __init__(self, world):
        self.world = world
        assert asyncio.get_running_loop() is not None

    async def ping(self, timeout):
        self.world.pings.put(timeout)
        answer = self.world.answers.pop(0) if self.world.answers else REFUSED
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self):
        self.world.closed += 1


class Watcher:
    def __init__(self):
        self.changes = queue.Queue()
        self.broken = False

    def breaker_changed(self, service, node, before, after):
        if self.broken:
            raise RuntimeError("no")
        self.changes.put((service, node.id, before, after))


class World:
    """Two nodes whose breakers open at the first error, and a prober that hardly pauses."""

    def __init__(self, heartbeat_interval=0.004):
        self.watcher = Watcher()
        self.harness = Harness("ab", clock=lambda: 1.0, gates={}, watchers=[self.watcher])
        self.service = self.harness.service
        self.nodes = self.harness.nodes
        breakers = Consecutive(ConsecutiveOptions(max_error_count=1))
        for state in self.nodes.states.values():
            state.breaker = breakers.node(state.node)
        self.pings = queue.Queue()
        self.answers = []
        self.closed = 0
        self.plane = ControlPlane("test")
        self.prober = Prober(
            self.plane.spawn,
            lambda service, node: Pinged(self),
            heartbeat_interval=heartbeat_interval,
            rng=seeded_random(),
        )
        self.nodes.on_breaker_change = lambda *news: self.prober.breaker_changed(
            self.service, *news
        )

    def call(self, node_id, outcome):
        state = self.nodes.states[node_id]
        self.nodes.settle(state, state.breaker.admit(0.0), outcome, 0.1, 0.0)

    def ping(self):
        return self.pings.get(timeout=PATIENCE)

    def change(self):
        _, node_id, before, after = self.watcher.changes.get(timeout=PATIENCE)
        return f"{node_id} {before} -> {after}"

    def settled(self):
        """Wait until the plane has nothing left to probe."""
        done = self.plane.spawn(self._idle)
        assert done.wait(PATIENCE)

    async def _idle(self):
        while self.prober.tasks:  # noqa: ASYNC110  # what is awaited is that tasks end
            await asyncio.sleep(0.001)

    @property
    def ready(self):
        return [node.id for node in self.harness.balancer.ready]


@pytest.fixture
def world():
    made = World()
    yield made
    assert made.plane.stop()


def test_nothing_is_pinged_and_no_thread_runs_while_all_is_well(world):
    world.call("a", Success(b"1"))
    assert not world.plane.running
    assert world.pings.empty()


def test_a_node_that_is_cut_off_leaves_the_ready_set_and_is_pinged_until_it_answers(world):
    world.answers = [REFUSED, REFUSED, "serving"]
    world.call("a", ILL)
    assert world.change() == "a closed -> open"
    for _ in range(3):
        assert world.ping() == world.service.config.connect_timeout
    assert world.change() == "a open -> half-open"
    world.settled()
    assert world.ready == ["a", "b"]
    assert world.pings.empty(), "half-open, the node is tried by calls and pinged no more"
    assert world.closed == 3
    world.call("a", Success(b"1"))
    assert world.change() == "a half-open -> closed"


@pytest.mark.parametrize(
    "answer", ["draining", RuntimeError("a transport gone wrong")], ids=["draining", "raises"]
)
def test_only_serving_brings_a_node_back(world, answer):
    world.answers = [answer, answer]
    world.call("a", ILL)
    for _ in range(3):
        world.ping()
    assert world.nodes.states["a"].breaker.state == "open"
    assert world.ready == ["b"]


def test_pings_end_when_the_node_leaves_the_list(world):
    world.call("a", ILL)
    world.ping()
    world.harness.list_nodes("b")
    world.settled()
    assert KEY not in world.prober.pings


def test_pings_go_on_when_a_new_list_still_has_the_node(world):
    world.call("a", ILL)
    world.ping()
    world.harness.list_nodes("abc")
    world.answers = ["serving"]
    assert world.change() == "a closed -> open"
    assert world.change() == "a open -> half-open"


def test_a_node_that_answers_pings_and_fails_calls_is_pinged_ever_more_rarely_and_anew_once_it_worked(
    world,
):
    world.call("a", ILL)
    assert world.change() == "a closed -> open"
    for round_ in range(1, 4):
        world.answers = ["serving"]
        assert world.change() == "a open -> half-open"
        assert world.prober.pings[KEY] >= round_
        before = world.prober.pings[KEY]
        world.call("a", ILL)
        assert world.change() == "a half-open -> open"
        assert world.prober.pings[KEY] >= before, "the back-off of a node that fell back goes on"
    world.answers = ["serving"]
    assert world.change() == "a open -> half-open"
    world.call("a", Success(b"1"))
    assert world.change() == "a half-open -> closed"
    assert KEY not in world.prober.pings


def test_pauses_double_from_a_second_to_the_heartbeat_interval_with_jitter():
    prober = Prober(lambda _: None, lambda *_: None, heartbeat_interval=10.0, rng=seeded_random())
    for index, ceiling in enumerate([FIRST_PAUSE, 2.0, 4.0, 8.0, 10.0, 10.0]):
        pauses = {prober.pause(index) for _ in range(100)}
        assert len(pauses) > 50, "clients must not ping in step"
        assert ceiling / 2 <= min(pauses) <= max(pauses) <= ceiling


def test_a_heartbeat_below_a_second_is_the_first_pause_too():
    prober = Prober(lambda _: None, lambda *_: None, heartbeat_interval=0.2, rng=seeded_random())
    assert max(prober.pause(0) for _ in range(100)) <= 0.2


def test_stopping_the_plane_ends_the_pings():
    world = World(heartbeat_interval=60.0)
    world.call("a", ILL)
    assert world.change() == "a closed -> open"
    assert world.plane.stop()
    assert not world.plane.running
    assert world.prober.tasks == {}


def test_each_change_is_one_line_of_the_log(world, caplog):
    world.answers = ["serving"]
    with caplog.at_level(logging.INFO, "bee.client"):
        world.call("a", ILL)
        assert [world.change(), world.change()] == ["a closed -> open", "a open -> half-open"]
        world.call("a", Success(b"1"))
    lines = [record.message for record in caplog.records if record.name == "bee.client"]
    assert [line.split("went ")[1].split(":")[0] for line in lines] == [
        "from closed to open",
        "from open to half-open",
        "from half-open to closed",
    ]
    assert all("calc" in line and "tcp://a:9000" in line for line in lines)
    assert lines[0].endswith(f"; why: 1 failure in a row, the last: {ILL.kind}: {ILL.message}")
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "INFO"]


def test_an_observer_that_raises_is_reported_once_and_stops_nothing(world):
    world.watcher.broken = True
    world.answers = ["serving"]
    world.call("a", ILL)
    world.ping()
    world.settled()
    assert world.nodes.states["a"].breaker.state == "half-open"
    assert len(world.harness.complaints) == 1


def test_nodes_that_were_cut_off_before_a_fork_are_probed_in_the_child(world):
    world.nodes.on_breaker_change = None  # nobody in the child was told
    world.call("b", ILL)
    world.answers = ["serving"]
    world.prober.resume([world.service])
    world.ping()
    world.settled()
    assert world.nodes.states["b"].breaker.state == "half-open"


class Sweeping(Consecutive):
    """Breakers that ask for sweeps, and count them."""

    def __init__(self):
        super().__init__(ConsecutiveOptions())
        self.sweeps = queue.Queue()
        self.pause = 0.01

    def sweep(self, now):
        self.sweeps.put(now)
        return (), None if self.pause is None else now + self.pause


@pytest.fixture
def swept(world):
    breakers = Sweeping()
    world.nodes.breakers = ContainedBreakers(breakers, world.harness.faults)
    world.prober.watch(world.service)
    return breakers


def test_breakers_are_swept_from_the_first_call_on_at_the_times_that_they_ask_for(world, swept):
    assert swept.sweeps.qsize() == 1, "once at build, to see whether they want it"
    assert not world.plane.running
    world.harness.list_nodes("cd")
    world.nodes.connect(world.nodes.states["c"])
    for _ in range(4):
        swept.sweeps.get(timeout=PATIENCE)
    world.nodes.connect(world.nodes.states["d"])
    assert {one.name for one in world.prober.swept} == {"calc"}, "one task for all nodes"


def test_sweeps_end_when_nothing_is_due_any_more(world, swept):
    world.harness.list_nodes("c")
    world.nodes.connect(world.nodes.states["c"])
    swept.sweeps.get(timeout=PATIENCE)
    swept.pause = None
    until = time.monotonic() + PATIENCE
    while world.prober.swept and time.monotonic() < until:
        time.sleep(0.001)
    assert world.prober.swept == set()


def test_a_forked_child_sweeps_by_itself(world, swept):
    world.harness.list_nodes("c")
    world.nodes.connect(world.nodes.states["c"])
    world.prober.resume([world.service])
    for _ in range(4):
        swept.sweeps.get(timeout=PATIENCE)


def test_breakers_that_want_no_sweep_cost_no_task(world):
    breakers = Consecutive(ConsecutiveOptions())
    world.nodes.breakers = ContainedBreakers(breakers, world.harness.faults)
    world.prober.watch(world.service)
    world.harness.list_nodes("c")
    world.nodes.connect(world.nodes.states["c"])
    assert not world.plane.running
