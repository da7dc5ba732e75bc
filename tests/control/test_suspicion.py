"""A service's nodes in doubt, from the registry's lists to what calls may go to, on virtual time."""

from __future__ import annotations

import asyncio
import logging

import pytest

from bee_core.control.discovery import Discovery
from bee_core.control.doubts import Doubts
from bee_core.control.snapshot_cache import SnapshotCache
from bee_core.errors import RegistryError
from bee_core.interfaces import RegistrySettings
from bee_core.terms.causes import read_timed_out, refused
from bee_core.terms.node import Node
from bee_core.testing import MemoryRegistry, seeded_random
from support.virtual_loop import run_virtually

HEARTBEAT = 10.0
BOUND = 3 * HEARTBEAT
REFUSED = refused(ConnectionRefusedError(111, "Connection refused"))
SLOW = read_timed_out(1.0, full=True)


class Plane:
    """What a discovery needs of a control plane, on the loop of the test."""

    def spawn(self, make_coroutine):
        return asyncio.ensure_future(make_coroutine())


def at_once(executor, function, *args):
    """What a thread would do, done here."""
    done = asyncio.get_running_loop().create_future()
    done.set_result(function(*args))
    return done


class World:
    """A registry and a client of it. ``answers`` is what nodes say to pings; refused otherwise."""

    def __init__(self, folder, *, silent=False, addresses=(), confirms=True, nodes="abc"):
        loop = self.loop = asyncio.get_running_loop()
        loop.run_in_executor = at_once  # the disk takes no time either
        self.registry = MemoryRegistry(clock=loop.time)
        for name in nodes:
            self.publish(name)
        if silent:
            self.registry.go_silent()
        session = self.registry.session(RegistrySettings((), HEARTBEAT))
        if not confirms:
            session = Mute(session)
        self.answers = {}
        self.pings = []
        self.snapshots = []
        self.news = []
        self.events = []
        self.cache = SnapshotCache("memory", folder)
        self.discovery = Discovery(
            "calc",
            registry=lambda: session,
            registry_name="memory",
            addresses=addresses,
            deliver=self.snapshots.append,
            ask=self.ask,
            fits=lambda node: node.version == "1.0.0",
            objection=lambda node: "",
            cache=self.cache,
            doubts=Doubts(loop.time, seeded_random()),
            heartbeat_interval=HEARTBEAT,
            clock=loop.time,
            rng=seeded_random(),
            registry_changed=lambda *news: self.news.append(news[1]),
            event=lambda name, fields: self.events.append((name, fields["nodes"])),
        )

    def publish(self, name, url="", version="1.0.0"):
        return self.registry.publish("calc", url or f"tcp://{name}:1", id=name, version=version)

    async def ask(self, node):
        self.pings.append((self.loop.time(), node.id))
        await asyncio.sleep(0.01)
        answer = self.answers.get(node.id, REFUSED)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def serve(self, names):
        self.answers = dict.fromkeys(names, "serving")

    async def begun(self):
        self.discovery.start(Plane())
        await asyncio.sleep(0.1)
        return self

    async def first_call(self, seconds):
        """How long a first call of so many seconds waits for its nodes, and what there is then."""
        self.discovery.start(Plane())
        began = self.loop.time()
        if not await self.discovery.first.wait_async(began, began + seconds):
            self.discovery.fall_back()
        return round(self.loop.time() - began, 1), self.picked

    @property
    def picked(self):
        nodes = self.snapshots[-1].nodes if self.snapshots else ()
        return "".join(sorted(node.id for node in nodes))

    @property
    def doubted(self):
        return "".join(sorted(doubt.node_id for doubt in self.discovery.outlook().doubts))


class Mute:
    """A registry that does not say how often it confirms."""

    def __init__(self, session):
        self._session = session

    async def watch(self, service):
        last = None
        async for snapshot in self._session.watch(service):
            if snapshot is not last:
                last = snapshot
                yield snapshot


@pytest.fixture
def play(tmp_path):
    """Run a scenario on virtual time."""

    def run(scenario, **options):
        async def whole():
            return await scenario(World(tmp_path, **options))

        return run_virtually(whole())

    return run


def remember(folder, names, version="1.0.0"):
    nodes = tuple(Node(name, f"tcp://{name}:1", version) for name in names)
    SnapshotCache("memory", folder).save("calc", nodes)


# ── nodes that vanish ──


def test_what_serves_stays_what_is_gone_goes_at_once(play):
    async def scenario(world):
        world.serve("a")
        world.answers["b"] = "draining"
        await world.begun()
        world.registry.wipe()
        await asyncio.sleep(0.2)
        return world.picked, world.doubted, world.discovery.outlook().state

    assert play(scenario) == ("a", "a", "lying")


def test_what_calls_find_refused_goes_at_once_and_in_one_list(play):
    async def scenario(world):
        world.serve("abc")
        await world.begun()
        world.registry.wipe()
        await asyncio.sleep(0.5)
        assert world.doubted == "abc"
        lists, pings = len(world.snapshots), len(world.pings)
        refused_at = world.discovery.suspicion.refused
        refused_at(Node("a", "tcp://a:1"), REFUSED)
        refused_at(Node("b", "tcp://b:1"), REFUSED)
        refused_at(Node("c", "tcp://elsewhere:1"), REFUSED)
        refused_at(Node("stranger", "tcp://stranger:1"), REFUSED)
        await asyncio.sleep(0)
        return (
            world.picked,
            world.doubted,
            len(world.snapshots) - lists,
            len(world.pings) - pings,
        )

    assert play(scenario) == ("c", "c", 1, 0)


def test_what_calls_find_refused_changes_nothing_where_it_is_listed(play):
    async def scenario(world):
        await world.begun()
        world.discovery.suspicion.refused(Node("a", "tcp://a:1"), REFUSED)
        await asyncio.sleep(0.1)
        return world.picked, world.doubted

    assert play(scenario) == ("abc", "")


def test_a_node_that_deregisters_is_never_said_to_be_in_doubt(play, caplog):
    async def scenario(world):
        world.answers = {"b": "draining"}
        await world.begun()
        world.registry.withdraw("calc", "b")
        await asyncio.sleep(0.2)
        return world.picked, world.news

    assert play(scenario) == ("ac", [])
    assert caplog.text == ""


def test_what_serves_is_kept_for_three_heartbeats_in_which_the_registry_answered(play):
    async def scenario(world):
        world.serve("a")
        await world.begun()
        world.registry.withdraw("calc", "a")
        began = world.loop.time()
        await asyncio.sleep(BOUND - 1)
        before = world.picked
        while "a" in world.picked:  # noqa: ASYNC110  # virtual time
            await asyncio.sleep(0.1)
        return before, world.loop.time() - began

    before, seconds = play(scenario)
    assert before == "abc"
    assert BOUND <= seconds <= BOUND + HEARTBEAT + 0.2, "at its first answer after that"


@pytest.mark.parametrize(
    "outage",
    [
        lambda registry: registry.go_out_of_reach(),
        lambda registry: registry.go_silent(),
        lambda registry: registry.go_out_of_reach(RegistryError("no permission")),
    ],
)
def test_an_outage_stops_the_clock(play, outage):
    async def scenario(world):
        world.serve("abc")
        await world.begun()
        world.registry.wipe()
        await asyncio.sleep(1)
        outage(world.registry)
        await asyncio.sleep(20 * HEARTBEAT)
        during = world.picked
        world.registry.come_back()
        await asyncio.sleep(2 * HEARTBEAT)
        after = world.picked
        await asyncio.sleep(4 * HEARTBEAT)
        return during, after, world.picked

    assert play(scenario) == ("abc", "abc", "")


def test_a_registry_without_confirmations_counts_as_answering_while_its_watch_waits(play):
    async def scenario(world):
        world.serve("abc")
        await world.begun()
        world.registry.withdraw("calc", "a")
        await asyncio.sleep(BOUND - 2)
        before = world.picked
        await asyncio.sleep(4)
        return before, world.picked

    assert play(scenario, confirms=False) == ("abc", "bc")


def test_what_comes_back_first_ends_nobody_elses_doubt(play):
    async def scenario(world):
        world.serve("abc")
        await world.begun()
        world.registry.wipe()
        await asyncio.sleep(1)
        world.publish("b")
        world.publish("d", version="2.0.0")
        await asyncio.sleep(1)
        return world.picked, world.doubted

    assert play(scenario) == ("abcd", "ac")


def test_an_equal_node_that_is_listed_again_makes_no_new_list(play):
    async def scenario(world):
        world.serve("abc")
        await world.begun()
        world.registry.wipe()
        await asyncio.sleep(1)
        for name in "abc":
            world.publish(name)
        await asyncio.sleep(1)
        return len(world.snapshots), world.doubted, world.discovery.outlook().state

    assert play(scenario) == (1, "", "answering")


def test_a_node_goes_at_once_when_a_listed_one_has_its_address(play):
    async def scenario(world):
        world.serve("abc")
        await world.begun()
        world.registry.withdraw("calc", "a")
        await asyncio.sleep(1)
        world.publish("new", url="tcp://a:1")
        await asyncio.sleep(0.1)
        return world.picked

    assert play(scenario) == "bcnew"


@pytest.mark.parametrize("answer", [SLOW, OSError("no descriptor"), asyncio.CancelledError()])
def test_a_node_without_an_answer_is_asked_three_times_with_pauses_that_grow(play, answer):
    async def scenario(world):
        world.answers["a"] = answer
        await world.begun()
        world.registry.withdraw("calc", "a")
        began = world.loop.time()
        await asyncio.sleep(10)
        return [round(at - began, 1) for at, _ in world.pings], world.picked

    assert play(scenario) == ([0.0, 0.5, 1.5], "bc")


def test_a_node_in_doubt_that_stops_goes_within_two_seconds(play):
    async def scenario(world):
        world.serve("a")
        await world.begun()
        world.registry.withdraw("calc", "a")
        await asyncio.sleep(5)
        asked, world.answers = len(world.pings), {}
        await asyncio.sleep(1.5)
        return asked, world.picked

    asked, picked = play(scenario)
    assert 4 <= asked <= 7, "about once a second"
    assert picked == "bc"


# ── the first list against the disk ──


def test_nodes_of_the_disk_that_serve_are_picked_although_the_first_list_lacks_them(play, tmp_path):
    remember(tmp_path, "abc")

    async def scenario(world):
        world.serve("ab")
        waited = await world.first_call(10)
        await asyncio.sleep(1)
        return waited, world.picked, world.doubted

    (waited, first), picked, doubted = play(scenario, nodes="")
    assert waited <= 0.2
    assert first in {"a", "b"}, "it goes on with the first that answers"
    assert (picked, doubted) == ("ab", "ab")


def test_nodes_of_the_disk_are_not_picked_before_they_answer(play, tmp_path):
    remember(tmp_path, "xyz")

    async def scenario(world):
        world.serve("x")
        waited = await world.first_call(10)
        await asyncio.sleep(1)
        return waited, world.picked

    assert play(scenario, nodes="a") == ((0.0, "a"), "ax")


def test_the_first_call_waits_a_second_at_most_for_nodes_of_the_disk(play, tmp_path):
    remember(tmp_path, [f"n{number}" for number in range(50)])

    async def scenario(world):
        world.answers = {f"n{number}": SLOW for number in range(50)}
        return await world.first_call(10)

    assert play(scenario, nodes="") == (1.0, "")


def test_a_registry_that_fails_meanwhile_does_not_cut_short_the_asking(play, tmp_path):
    names = [f"n{number}" for number in range(20)]
    remember(tmp_path, names)

    async def scenario(world):
        world.answers = dict.fromkeys(names, SLOW)
        world.loop.call_later(0.3, world.registry.go_out_of_reach)
        world.loop.call_later(0.5, world.serve, names)
        waited, picked = await world.first_call(10)
        return waited, picked in names

    assert play(scenario, nodes="") == (0.5, True)


def test_a_list_that_does_not_fit_is_no_reason_to_forget_the_disk(play, tmp_path):
    remember(tmp_path, "a")

    async def scenario(world):
        world.serve("a")
        world.publish("v2", version="2.0.0")
        return await world.first_call(10)

    assert play(scenario, nodes="") == (0.0, "av2")


def test_what_stood_in_during_an_outage_is_held_against_the_first_list(play, tmp_path):
    remember(tmp_path, "ab")

    async def scenario(world):
        world.serve("a")
        first = await world.first_call(10)
        world.registry.come_back()
        await asyncio.sleep(1)
        return first, world.picked, world.doubted, world.snapshots[-1].source

    assert play(scenario, nodes="c", silent=True) == ((5.0, "ab"), "ac", "a", "registry")


def test_a_system_that_gives_no_thread_costs_the_list_on_disk_only(play, tmp_path):
    remember(tmp_path, "x")

    def no_thread(*_):
        raise RuntimeError("can't start new thread")

    async def scenario(world):
        world.loop.run_in_executor = no_thread
        return await world.first_call(10)

    assert play(scenario) == (0.0, "abc")


# ── first calls ──


def test_a_client_that_knows_nothing_waits_as_long_as_the_call_allows(play):
    async def scenario(world):
        return await world.first_call(30), world.discovery.explain()

    (waited, picked), said = play(scenario, silent=True)
    assert (waited, picked) == (29.9, "")
    assert "the registry memory is out of reach (TimeoutError: it said nothing within" in said


def test_a_registry_that_comes_back_in_time_is_in_time_for_the_first_call(play):
    async def scenario(world):
        world.loop.call_later(12.0, world.registry.come_back)
        world.registry.go_out_of_reach()
        return await world.first_call(30)

    waited, picked = play(scenario)
    assert picked == "abc"
    assert 12.0 <= waited <= 12.0 + HEARTBEAT


def test_a_registry_that_refuses_gets_a_second_more(play):
    async def scenario(world):
        world.registry.go_out_of_reach(RegistryError("permission denied"))
        return await world.first_call(30)

    assert play(scenario) == (1.0, "")


def test_a_registry_that_refuses_and_then_is_out_of_reach_is_waited_for(play):
    async def scenario(world):
        world.registry.go_out_of_reach(RegistryError("permission denied"))
        world.loop.call_later(0.5, world.registry.go_out_of_reach)
        world.loop.call_later(5.0, world.registry.come_back)
        return await world.first_call(30)

    waited, picked = play(scenario)
    assert picked == "abc"
    assert waited >= 5.0


@pytest.mark.parametrize("known", ["disk", "address"])
def test_where_something_stands_in_the_first_call_waits_half_of_its_time(play, tmp_path, known):
    if known == "disk":
        remember(tmp_path, "a")
    addresses = (Node("a", "tcp://a:1"),) if known == "address" else ()

    async def scenario(world):
        return await world.first_call(4)

    assert play(scenario, silent=True, addresses=addresses) == (2.0, "a")


# ── what is said ──


def test_silence_is_trouble_and_its_end_is_told(play, caplog):
    caplog.set_level(logging.INFO, "bee.client")

    async def scenario(world):
        await world.begun()
        quiet = world.discovery.outlook()
        world.registry.go_silent()
        await asyncio.sleep(2 * HEARTBEAT)
        silent = world.discovery.outlook()
        world.registry.come_back()
        await asyncio.sleep(1)
        return quiet, silent, world.discovery.outlook(), world.news

    quiet, silent, back, news = play(scenario)
    assert (quiet.state, quiet.trouble, quiet.silent) == ("answering", "", None)
    assert silent.state == "silent"
    assert silent.trouble == "it has said nothing for 20 s"
    assert silent.heard == silent.silent == pytest.approx(20, abs=0.2)
    assert (back.state, back.trouble) == ("answering", "")
    assert news == ["registry_out_of_reach", "registry_in_reach"]
    assert [record.getMessage() for record in caplog.records] == [
        (
            "the registry memory is out of reach for calc: it has said nothing for 15 s; "
            "calls go on with 3 nodes known from the registry"
        ),
        "the registry memory is back: it lists 3 nodes of calc",
    ]


def test_a_watch_that_stays_silent_is_begun_anew(play):
    async def scenario(world):
        await world.begun()
        world.registry.go_silent()
        await asyncio.sleep(6 * HEARTBEAT)
        return world.registry.watches_begun, world.discovery.outlook().trouble

    watches, trouble = play(scenario)
    assert watches > 1
    assert trouble.startswith("TimeoutError: it said nothing within")


def test_doubt_is_said_once_when_it_begins_and_once_when_it_ends(play, caplog):
    caplog.set_level(logging.INFO, "bee.client")

    async def scenario(world):
        world.serve("abc")
        await world.begun()
        world.registry.wipe()
        await asyncio.sleep(5)
        world.publish("b")
        await asyncio.sleep(1)
        world.answers["c"] = "draining"
        await asyncio.sleep(3)
        world.publish("a")
        await asyncio.sleep(1)
        return world.news, world.events

    news, events = play(scenario)
    assert news == ["nodes_doubted", "doubt_ended"]
    assert {name for name, _ in events} == {"nodes_in_doubt"}
    assert [nodes for _, nodes in events][-4:] == [3, 2, 1, 0]
    begin, end = (record.getMessage() for record in caplog.records)
    assert begin.startswith(
        "the registry memory lists no node of calc any more; 3 nodes in doubt: kept while pings "
        "are answered, for 30 s in which the registry answers (tcp://"
    )
    assert "the registry does not list it, and it answers pings" in begin
    assert end == "no node of calc is in doubt any more: 2 listed again, 1 let go"


def test_the_outlook_names_each_node_in_doubt_and_for_how_long(play):
    async def scenario(world):
        world.serve("a")
        await world.begun()
        world.registry.withdraw("calc", "a")
        await asyncio.sleep(7)
        (doubt,) = world.discovery.outlook().doubts
        return doubt

    doubt = play(scenario)
    assert (doubt.node_id, doubt.reason) == (
        "a",
        "the registry does not list it, and it answers pings",
    )
    assert doubt.seconds == pytest.approx(7, abs=0.1)


# ── the disk, and a fork ──


def test_nodes_in_doubt_are_kept_on_disk_and_an_empty_list_is_not(play):
    async def scenario(world):
        world.serve("ab")
        await world.begun()
        world.registry.wipe()
        await asyncio.sleep(5)
        doubted = [node.id for node in world.cache.load("calc").nodes]
        world.serve("")
        await asyncio.sleep(5)
        return doubted, world.picked, [node.id for node in world.cache.load("calc").nodes]

    doubted, picked, last = play(scenario)
    assert sorted(doubted) == ["a", "b"]
    assert picked == ""
    assert last, "it is of no use to the client that starts from it"


def test_a_forked_child_doubts_what_its_own_first_list_lacks(play):
    async def scenario(world):
        world.serve("ab")
        await world.begun()
        world.registry.withdraw("calc", "a")
        await asyncio.sleep(1)
        world.discovery.after_fork()
        world.registry.withdraw("calc", "b")
        await world.begun()
        await asyncio.sleep(1)
        return world.picked, world.doubted

    assert play(scenario) == ("abc", "ab")


def test_a_confirmation_is_no_change(play):
    async def scenario(world):
        await world.begun()
        await asyncio.sleep(10 * HEARTBEAT)
        return len(world.snapshots), world.discovery.outlook().heard

    snapshots, heard = play(scenario)
    assert snapshots == 1
    assert heard <= HEARTBEAT
