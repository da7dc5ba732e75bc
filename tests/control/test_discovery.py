"""One service's nodes: their sources in order, an outage, an empty answer."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from random import Random

import pytest

from bee_core.control import discovery as discovery_module
from bee_core.control import snapshot_cache
from bee_core.control import watch as watch_module
from bee_core.control.discovery import Discovery
from bee_core.control.plane import ControlPlane
from bee_core.control.snapshot_cache import SnapshotCache
from bee_core.interfaces import RegistrySettings
from bee_core.terms.node import Changes, Node, Snapshot
from bee_core.testing import MemoryRegistry

BOUND = 10.0
"""Seconds for what takes milliseconds."""

ONE, TWO = "tcp://10.0.0.1:9000", "tcp://10.0.0.2:9000"


class Watched:
    """A discovery of the service calc on a plane of its own, and what it handed on."""

    def __init__(
        self, registry, cache, *, addresses=(), heartbeat=0.2, wraps=lambda session: session
    ):
        self.plane = ControlPlane("test")
        self.came = threading.Condition()
        self.snapshots = []
        self.serving = set()
        self.pinged = []
        self.discovery = Discovery(
            "calc",
            registry=lambda: wraps(registry.session(RegistrySettings((), heartbeat))),
            registry_name="memory",
            addresses=tuple(Node(url, url) for url in addresses),
            deliver=self.deliver,
            answers=self.answers,
            objection=lambda node: "" if "://" in node.url else "not a url",
            cache=cache,
            heartbeat_interval=heartbeat,
            clock=time.monotonic,
            rng=Random(1),
        )

    def deliver(self, snapshot):
        with self.came:
            self.snapshots.append(snapshot)
            self.came.notify_all()

    async def answers(self, node):
        self.pinged.append(node.id)
        if node.id == "raises":
            raise OSError
        return node.id in self.serving

    def start(self):
        self.discovery.start(self.plane)
        return self

    def wait_for(self, *urls, source="registry"):
        """The newest snapshot, once it is this."""

        def there():
            newest = self.snapshots[-1] if self.snapshots else None
            return (
                newest is not None
                and {node.url for node in newest.nodes} == set(urls)
                and newest.source == source
            )

        with self.came:
            assert self.came.wait_for(there, BOUND), self.snapshots
            return self.snapshots[-1]


@pytest.fixture
def registry():
    return MemoryRegistry()


@pytest.fixture
def cache(tmp_path):
    return SnapshotCache("memory", tmp_path)


@pytest.fixture
def watched(registry, cache):
    made = []

    def make(**options):
        made.append(Watched(registry, options.pop("cache", cache), **options))
        return made[-1]

    yield make
    for one in made:
        assert one.plane.stop()


def eventually(holds):
    deadline = time.monotonic() + BOUND
    while not holds():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


# ── following the registry ──


def test_every_change_arrives_with_a_growing_revision(registry, watched):
    registry.publish("calc", ONE, version="1.0.0")
    tested = watched().start()
    tested.wait_for(ONE)
    registry.publish("calc", TWO)
    tested.wait_for(ONE, TWO)
    registry.withdraw("calc", ONE)
    tested.wait_for(TWO)
    revisions = [snapshot.revision for snapshot in tested.snapshots]
    assert revisions == sorted(set(revisions))


def test_revisions_grow_although_those_of_the_registry_begin_anew(watched):
    class Forgetful:
        async def watch(self, service):
            yield Snapshot(900, "registry", (Node(ONE, ONE),))
            yield Snapshot(1, "registry", (Node(TWO, TWO),))
            await asyncio.Event().wait()

    tested = watched(wraps=lambda session: Forgetful()).start()
    assert tested.wait_for(TWO).revision == 2


def test_it_starts_once_and_not_before_it_is_asked_to(registry, watched):
    tested = watched()
    assert not tested.plane.running
    for _ in range(3):
        tested.start()
    registry.wait_for_watches(1)
    registry.publish("calc", ONE)
    tested.wait_for(ONE)
    assert registry.watches_begun == 1


def test_a_node_that_cannot_be_called_is_left_out_with_one_warning_and_the_others_stay(
    registry, watched, caplog
):
    registry.publish("calc", "garbage")
    registry.publish("calc", "rubbish")
    registry.publish("calc", ONE)
    with caplog.at_level(logging.WARNING, "bee.client"):
        watched().start().wait_for(ONE)
    assert [
        record.getMessage() for record in caplog.records if "left out" in record.getMessage()
    ] == ["a node of calc is left out: not a url (said once; bee nodes lists the others)"]


# ── outages ──


def test_an_outage_changes_nothing_and_says_one_line_and_so_does_its_end(registry, watched, caplog):
    registry.publish("calc", ONE)
    caplog.set_level(logging.INFO, "bee.client")
    tested = watched().start()
    tested.wait_for(ONE)
    registry.go_out_of_reach()
    registry.wait_for_watches(4)
    assert len(tested.snapshots) == 1
    assert "ConnectionRefusedError" in tested.discovery.trouble
    registry.publish("calc", TWO)
    registry.come_back()
    tested.wait_for(ONE, TWO)
    assert tested.discovery.trouble == ""
    assert [record.getMessage() for record in caplog.records] == [
        (
            "the registry memory is out of reach for calc: ConnectionRefusedError: "
            "the registry of the test is down; calls go on with 1 node known from the registry"
        ),
        "the registry memory is back: it lists 2 nodes of calc",
    ]


class EndsBadly:
    """A registry whose first watch ends in some way, and whose later ones go well."""

    def __init__(self, ending):
        self.ending = ending
        self.watches = 0

    def watch(self, service):
        self.watches += 1
        if self.watches == 1:
            return self.ending()
        return self.good()

    async def good(self):
        yield Snapshot(1, "registry", (Node(ONE, ONE),))
        await asyncio.Event().wait()


async def ends():
    if False:
        yield


async def raises():
    raise ZeroDivisionError
    yield


async def cancels_itself():
    raise asyncio.CancelledError
    yield


async def says_nothing():
    await asyncio.Event().wait()
    yield


def refuses():
    raise OSError("no route")


@pytest.mark.parametrize("ending", [ends, raises, cancels_itself, says_nothing, refuses])
def test_however_a_watch_ends_it_begins_again(watched, monkeypatch, ending):
    monkeypatch.setattr(watch_module, "FIRST_ANSWER", 0.3)
    session = EndsBadly(ending)
    watched(wraps=lambda _: session).start().wait_for(ONE)
    assert session.watches == 2


def test_the_same_list_after_an_outage_is_not_handed_on_again(registry, watched):
    registry.publish("calc", ONE)
    tested = watched().start()
    tested.wait_for(ONE)
    registry.go_out_of_reach()
    registry.wait_for_watches(2)
    registry.come_back()
    eventually(lambda: tested.discovery.trouble == "")
    assert len(tested.snapshots) == 1


def test_pauses_grow_up_to_the_heartbeat(registry, watched, monkeypatch):
    pauses = []
    ceiling = discovery_module.Backoff.ceiling
    monkeypatch.setattr(
        discovery_module.Backoff,
        "ceiling",
        lambda self, index: pauses.append(ceiling(self, index)) or 0.001,
    )
    registry.go_out_of_reach()
    watched(heartbeat=1.0).start()
    registry.wait_for_watches(6)
    assert pauses[:5] == [0.2, 0.4, 0.8, 1.0, 1.0]


# ── first calls ──


def test_first_calls_of_many_threads_wait_for_one_answer(registry, watched):
    registry.go_silent()
    tested = watched()
    answers = []

    def call():
        tested.start()
        answers.append(tested.discovery.wait(BOUND))

    callers = [threading.Thread(target=call) for _ in range(20)]
    for caller in callers:
        caller.start()
    registry.wait_for_watches(1)
    registry.publish("calc", ONE)
    registry.come_back()
    for caller in callers:
        caller.join(BOUND)
    assert answers == [True] * 20
    assert registry.watches_begun == 1


def test_an_answer_that_there_is_none_is_an_answer(watched):
    tested = watched().start()
    assert tested.discovery.wait(BOUND)
    assert tested.snapshots[-1].nodes == ()
    assert tested.snapshots[-1].source == "registry"


def test_the_list_on_disk_stands_in_for_a_registry_out_of_reach_until_it_speaks(
    registry, watched, cache
):
    cache.save("calc", (Node(ONE, ONE, "1.0.0"),))
    registry.go_out_of_reach()
    tested = watched(addresses=[TWO]).start()
    assert tested.discovery.wait(BOUND)
    tested.wait_for(ONE, source="cache")
    registry.publish("calc", TWO)
    registry.come_back()
    tested.wait_for(TWO, source="registry")


def test_without_a_list_on_disk_the_addresses_are_the_last_resort(registry, watched):
    registry.go_out_of_reach()
    tested = watched(addresses=[TWO]).start()
    assert tested.discovery.wait(BOUND)
    tested.wait_for(TWO, source="address")


def test_a_silent_registry_is_not_waited_for_beyond_the_callers_patience(registry, watched):
    registry.go_silent()
    tested = watched(addresses=[TWO]).start()
    assert not tested.discovery.wait(0.01)
    tested.discovery.fall_back()
    assert tested.discovery.wait(0)
    tested.wait_for(TWO, source="address")


def test_the_addresses_taken_in_haste_give_way_to_the_list_on_disk(
    registry, watched, cache, monkeypatch
):
    cache.save("calc", (Node(ONE, ONE),))
    read, load = threading.Event(), cache.load
    monkeypatch.setattr(cache, "load", lambda service: read.wait(BOUND) and load(service))
    registry.go_silent()
    tested = watched(addresses=[TWO]).start()
    tested.discovery.fall_back()
    tested.wait_for(TWO, source="address")
    read.set()
    tested.wait_for(ONE, source="cache")


def test_where_nothing_is_known_the_text_names_registry_cache_and_address(
    registry, watched, tmp_path
):
    registry.go_out_of_reach()
    tested = watched().start()
    registry.wait_for_watches(2)
    text = tested.discovery.explain()
    for part in (
        "registry memory is out of reach",
        "ConnectionRefusedError",
        str(tmp_path),
        "bee.rpc.client.calc.address",
    ):
        assert part in text
    assert not tested.discovery.wait(0)


def test_patience_is_for_the_beginning_only(registry, watched, monkeypatch):
    monkeypatch.setattr(discovery_module, "PATIENCE", 0.05)
    registry.go_silent()
    tested = watched().start()
    eventually(lambda: tested.discovery.patience() == 0)


def test_a_callback_comes_once_when_nodes_are_known_and_at_once_afterwards(registry, watched):
    tested, came = watched(), threading.Event()
    tested.discovery.when_known(came.set)
    assert not came.is_set()
    registry.publish("calc", ONE)
    tested.start()
    assert came.wait(BOUND)
    again = []
    tested.discovery.when_known(lambda: again.append(True))
    assert again == [True]


# ── the list on disk ──


def test_each_list_is_kept_for_the_next_client(registry, watched, cache):
    registry.publish("calc", ONE, version="1.0.0")
    tested = watched().start()
    eventually(lambda: [node.url for node in cache.load("calc")] == [ONE])
    registry.publish("calc", TWO)
    eventually(lambda: [node.url for node in cache.load("calc")] == [ONE, TWO])
    registry.withdraw("calc")
    tested.wait_for()
    assert len(cache.load("calc")) == 2, "an empty list is of no use to the next client"


def test_a_client_that_closes_at_once_has_kept_its_list(registry, watched, cache):
    registry.publish("calc", ONE)
    tested = watched().start()
    tested.wait_for(ONE)
    assert tested.plane.stop()
    assert [node.url for node in cache.load("calc")] == [ONE]


def test_a_cache_that_cannot_be_written_does_not_disturb_the_watch(registry, watched, tmp_path):
    (tmp_path / "file").write_text("")
    tested = watched(cache=SnapshotCache("memory", tmp_path / "file" / "below")).start()
    for url in (ONE, TWO):
        registry.publish("calc", url)
    tested.wait_for(ONE, TWO)


# ── an empty list ──


def test_an_empty_list_keeps_what_still_answers_and_drops_the_rest(registry, watched):
    for url in (ONE, TWO):
        registry.publish("calc", url)
    registry.publish("calc", "tcp://10.0.0.3:1", id="raises")
    tested = watched(heartbeat=30).start()
    tested.serving = {ONE}
    tested.wait_for(ONE, TWO, "tcp://10.0.0.3:1")
    registry.withdraw("calc")
    tested.wait_for(ONE)
    assert {ONE, TWO, "raises"} <= set(tested.pinged)


def test_what_nobody_lists_is_let_go_after_three_heartbeats_although_it_answers(
    registry, watched, caplog
):
    registry.publish("calc", ONE)
    tested = watched(heartbeat=0.05).start()
    tested.serving = {ONE}
    tested.wait_for(ONE)
    with caplog.at_level(logging.WARNING, "bee.client"):
        registry.withdraw("calc")
        tested.wait_for()
    assert tested.pinged.count(ONE) > 1
    assert "what still answers (1) is kept for 0.15 s" in caplog.text
    assert "let go" in caplog.text


def test_nodes_that_come_back_end_the_doubt(registry, watched):
    registry.publish("calc", ONE)
    tested = watched(heartbeat=30).start()
    tested.serving = {ONE}
    tested.wait_for(ONE)
    registry.withdraw("calc")
    eventually(lambda: tested.pinged)
    registry.publish("calc", TWO)
    tested.wait_for(TWO)
    registry.withdraw("calc", TWO)
    eventually(lambda: TWO in tested.pinged)  # the next doubt is about the new node


def test_a_held_node_that_stops_to_answer_goes(registry, watched):
    registry.publish("calc", ONE)
    tested = watched(heartbeat=0.5).start()
    tested.serving = {ONE}
    tested.wait_for(ONE)
    registry.withdraw("calc")
    eventually(lambda: tested.pinged)
    tested.serving = set()
    tested.wait_for()


# ── a plane that begins anew ──


def test_after_a_fork_the_list_stays_and_the_watch_begins_again(registry, watched):
    registry.publish("calc", ONE)
    tested = watched().start()
    revision = tested.wait_for(ONE).revision
    tested.plane.stop()
    tested.plane = ControlPlane("test-child")  # what the child's plane is like
    tested.discovery.after_fork()
    assert tested.discovery.wait(0)
    registry.publish("calc", TWO)
    tested.start()
    assert tested.wait_for(ONE, TWO).revision > revision
    assert registry.watches_begun == 2


# ── changes instead of lists ──


class Told:
    """A registry whose watch says what the test tells it to."""

    def __init__(self):
        self.loop = None
        self.queue = asyncio.Queue()
        self.began = threading.Event()

    async def watch(self, service):
        self.loop = asyncio.get_running_loop()
        self.began.set()
        while True:
            yield await self.queue.get()

    def tell(self, snapshot):
        assert self.began.wait(BOUND)
        self.loop.call_soon_threadsafe(self.queue.put_nowait, snapshot)


def at(*urls):
    return tuple(Node(url, url, "1.0.0") for url in urls)


def told(watched):
    registry = Told()
    one = watched(wraps=lambda session: registry).start()
    registry.tell(Snapshot(40, "registry", at(ONE)))
    return registry, one, one.wait_for(ONE)


def test_what_a_registry_says_of_changes_is_handed_on_by_revisions_of_its_own(watched):
    registry, one, first = told(watched)
    registry.tell(Snapshot(57, "registry", at(ONE, TWO), Changes(40, at(TWO))))
    second = one.wait_for(ONE, TWO)
    assert second.changes == Changes(first.revision, at(TWO))
    registry.tell(Snapshot(58, "registry", at(TWO), Changes(57, gone=frozenset({ONE}))))
    assert one.wait_for(TWO).changes == Changes(second.revision, gone=frozenset({ONE}))


def test_changes_since_another_list_than_the_last_are_not_handed_on(watched):
    registry, one, _ = told(watched)
    registry.tell(Snapshot(59, "registry", at(ONE, TWO), Changes(58, at(TWO))))
    assert one.wait_for(ONE, TWO).changes is None


def test_after_a_node_that_cannot_be_called_the_whole_list_is_looked_at(watched):
    registry, one, _ = told(watched)
    bad = (Node("bad", "no url"),)
    registry.tell(Snapshot(41, "registry", at(ONE, TWO) + bad, Changes(40, at(TWO) + bad)))
    assert one.wait_for(ONE, TWO).changes is None
    registry.tell(Snapshot(42, "registry", at(TWO) + bad, Changes(41, gone=frozenset({ONE}))))
    assert one.wait_for(TWO).changes is None


def test_nodes_that_are_kept_through_an_empty_list_are_not_changed_by_what_the_registry_lacks(
    watched,
):
    registry, one, _ = told(watched)
    one.serving = {ONE}
    registry.tell(Snapshot(41, "registry", (), Changes(40, gone=frozenset({ONE}))))
    eventually(lambda: one.pinged == [ONE])
    registry.tell(Snapshot(42, "registry", at(TWO), Changes(41, at(TWO))))
    assert one.wait_for(TWO).changes is None


# ── how often the list is kept ──


class CountingCache(SnapshotCache):
    def __init__(self, folder):
        super().__init__("memory", folder)
        self.saves = []

    def save(self, service, nodes):
        self.saves.append(len(nodes))
        return super().save(service, nodes)


def test_a_list_that_keeps_changing_is_written_now_and_then_and_once_more_at_the_end(
    watched, tmp_path, monkeypatch
):
    monkeypatch.setattr(snapshot_cache, "SAVE_EVERY", 1000.0)
    cache = CountingCache(tmp_path / "cache")
    registry = Told()
    one = watched(cache=cache, wraps=lambda session: registry).start()
    many = [f"tcp://10.0.1.{number}:9000" for number in range(20)]
    for count in range(1, 21):
        registry.tell(Snapshot(count, "registry", at(*many[:count])))
    one.wait_for(*many)
    assert one.plane.stop()
    assert cache.saves == [1, 20]
    assert len(cache.load("calc")) == 20


def test_a_list_that_changed_a_moment_after_a_write_is_written_a_moment_later(
    watched, tmp_path, monkeypatch
):
    monkeypatch.setattr(snapshot_cache, "SAVE_EVERY", 0.05)
    cache = CountingCache(tmp_path / "cache")
    registry = Told()
    watched(cache=cache, wraps=lambda session: registry).start()
    registry.tell(Snapshot(1, "registry", at(ONE)))
    registry.tell(Snapshot(2, "registry", at(ONE, TWO)))
    eventually(lambda: cache.saves == [1, 2])
