"""One service's nodes: their sources in order, an outage, an empty answer."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from random import Random

import pytest

from bee_core.control import cache_writer
from bee_core.control import watch as watch_module
from bee_core.control.discovery import Discovery
from bee_core.control.doubts import Doubts
from bee_core.control.plane import ControlPlane
from bee_core.control.snapshot_cache import SnapshotCache
from bee_core.errors import RegistryError
from bee_core.interfaces import RegistrySettings
from bee_core.terms.causes import refused
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
        self.serving, self.hanging = set(), set()
        self.pinged = []
        self.registry_news = []
        self.discovery = Discovery(
            "calc",
            registry=lambda: wraps(registry.session(RegistrySettings((), heartbeat))),
            registry_name="memory",
            addresses=tuple(Node(url, url) for url in addresses),
            deliver=self.deliver,
            ask=self.ask,
            fits=lambda node: node.version != "unfit",
            objection=lambda node: "" if "://" in node.url else "not a url",
            cache=cache,
            doubts=Doubts(time.monotonic, Random(1)),
            heartbeat_interval=heartbeat,
            clock=time.monotonic,
            rng=Random(1),
            registry_changed=lambda *news: self.registry_news.append(news),
        )

    def deliver(self, snapshot):
        with self.came:
            self.snapshots.append(snapshot)
            self.came.notify_all()

    async def ask(self, node):
        self.pinged.append(node.id)
        if node.id in self.hanging:
            await asyncio.Event().wait()
        if node.id in self.serving:
            return "serving"
        return refused(ConnectionRefusedError(111, "Connection refused"))

    def known(self, seconds):
        """Whether first calls go on within so many seconds."""
        now = time.monotonic()
        return self.discovery.first.wait(now, now + seconds)

    def start(self):
        self.discovery.start(self.plane)
        return self

    def wait_for_answers(self, count):
        """So many answers of the registry from now on."""
        for _ in range(count):
            at = time.monotonic()
            eventually(lambda at=at: self.discovery.outlook().heard < time.monotonic() - at)

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
    assert tested.wait_for(TWO).revision > 1


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


def test_two_servers_that_stay_at_one_url_are_one_node_and_one_warning(registry, watched, caplog):
    registry.publish("calc", ONE, id="old")
    tested = watched(heartbeat=0.05).start()
    tested.wait_for(ONE)
    registry.publish("calc", ONE, id="new")
    eventually(lambda: [node.id for node in tested.snapshots[-1].nodes] == ["new"])
    eventually(lambda: caplog.records)
    tested.wait_for_answers(4)
    (said,) = [record.getMessage() for record in caplog.records]
    assert said == (
        f"two servers of calc are registered with the url {ONE}; calls go to the later one only: "
        "give each an advertise address that clients reach it by (said once)"
    )
    assert tested.pinged == []


# ── outages ──


def test_an_outage_changes_nothing_and_says_one_line_and_so_does_its_end(registry, watched, caplog):
    registry.publish("calc", ONE)
    caplog.set_level(logging.INFO, "bee.client")
    tested = watched().start()
    tested.wait_for(ONE)
    registry.go_out_of_reach()
    registry.wait_for_watches(4)
    assert len(tested.snapshots) == 1
    assert "ConnectionRefusedError" in tested.discovery.outlook().trouble
    registry.publish("calc", TWO)
    registry.come_back()
    tested.wait_for(ONE, TWO)
    assert tested.discovery.outlook().trouble == ""
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
    eventually(lambda: tested.discovery.outlook().trouble == "")
    assert len(tested.snapshots) == 1


def test_pauses_grow_up_to_the_heartbeat(registry, watched, monkeypatch):
    pauses = []
    ceiling = watch_module.Backoff.ceiling
    monkeypatch.setattr(
        watch_module.Backoff,
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
        answers.append(tested.known(BOUND))

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
    assert tested.known(BOUND)
    assert tested.snapshots[-1].nodes == ()
    assert tested.snapshots[-1].source == "registry"


def test_the_list_on_disk_stands_in_for_a_registry_out_of_reach_until_it_speaks(
    registry, watched, cache
):
    cache.save("calc", (Node(ONE, ONE, "1.0.0"),))
    registry.go_out_of_reach()
    tested = watched(addresses=[TWO]).start()
    assert tested.known(BOUND)
    tested.wait_for(ONE, source="cache")
    registry.publish("calc", TWO)
    registry.come_back()
    tested.wait_for(TWO, source="registry")


def test_without_a_list_on_disk_the_addresses_are_the_last_resort(registry, watched):
    registry.go_out_of_reach()
    tested = watched(addresses=[TWO]).start()
    assert tested.known(BOUND)
    tested.wait_for(TWO, source="address")


def test_a_silent_registry_is_not_waited_for_beyond_the_callers_patience(registry, watched):
    registry.go_silent()
    tested = watched(addresses=[TWO]).start()
    assert not tested.known(0.01)
    tested.discovery.fall_back()
    assert tested.known(0)
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
    assert not tested.known(0)


def test_a_registry_that_refuses_is_waited_for_a_second_more_and_is_said_to_refuse(
    registry, watched, caplog
):
    registry.go_out_of_reach(RegistryError("permission denied"))
    tested = watched().start()
    registry.wait_for_watches(2)
    began = time.monotonic()
    assert not tested.known(60)
    assert time.monotonic() - began < 30, "and not for as long as the call allows"
    assert "registry memory refuses to answer (permission denied)" in tested.discovery.explain()
    assert tested.discovery.outlook().state == "refusing"
    assert "the registry memory refuses to answer for calc: permission denied" in caplog.text


def test_observers_hear_that_the_registry_went_out_of_reach_and_came_back(registry, watched):
    registry.go_out_of_reach()
    tested = watched().start()
    registry.wait_for_watches(2)
    registry.come_back()
    eventually(lambda: len(tested.registry_news) >= 2)
    (lost, back) = tested.registry_news
    assert lost[:2] == ("calc", "registry_out_of_reach")
    assert "ConnectionRefusedError" in lost[2]
    assert back == ("calc", "registry_in_reach", "")


# ── the list on disk ──


def test_each_list_is_kept_for_the_next_client(registry, watched, cache):
    registry.publish("calc", ONE, version="1.0.0")
    tested = watched().start()
    eventually(lambda: [node.url for node in cache.load("calc").nodes] == [ONE])
    registry.publish("calc", TWO)
    eventually(lambda: [node.url for node in cache.load("calc").nodes] == [ONE, TWO])
    registry.withdraw("calc")
    tested.wait_for()
    assert len(cache.load("calc").nodes) == 2, "an empty list is of no use to the next client"


def test_a_client_that_closes_at_once_has_kept_its_list(registry, watched, cache):
    registry.publish("calc", ONE)
    tested = watched().start()
    tested.wait_for(ONE)
    assert tested.plane.stop()
    assert [node.url for node in cache.load("calc").nodes] == [ONE]


def test_nodes_of_the_disk_that_have_not_been_asked_yet_stay_on_disk(registry, watched, cache):
    cache.save("calc", at(ONE, TWO))
    registry.publish("calc", ONE)
    tested = watched()
    tested.hanging = {TWO}
    tested.start().wait_for(ONE)
    eventually(lambda: tested.pinged == [TWO])
    assert tested.plane.stop()
    kept = cache.load("calc")
    assert ({node.id for node in kept.nodes}, set(kept.unlisted)) == ({ONE, TWO}, {TWO})


def test_nodes_of_the_disk_leave_it_when_they_are_let_go(registry, watched, cache, monkeypatch):
    monkeypatch.setattr(cache_writer, "SAVE_EVERY", 0.05)
    cache.save("calc", at(ONE, TWO))
    registry.publish("calc", ONE)
    watched().start().wait_for(ONE)  # the other one refuses
    eventually(lambda: [node.id for node in cache.load("calc").nodes] == [ONE])


def test_nodes_in_doubt_are_kept_for_the_next_client_although_the_registry_lists_none(
    watched, cache, monkeypatch
):
    monkeypatch.setattr(cache_writer, "SAVE_EVERY", 0.05)
    cache.save("calc", at(ONE, TWO))
    tested = watched(heartbeat=30.0)
    tested.serving = {TWO}
    tested.start().wait_for(TWO)
    eventually(lambda: [node.id for node in cache.load("calc").nodes] == [TWO])
    assert set(cache.load("calc").unlisted) == {TWO}


def test_a_cache_that_cannot_be_written_does_not_disturb_the_watch(registry, watched, tmp_path):
    (tmp_path / "file").write_text("")
    tested = watched(cache=SnapshotCache("memory", tmp_path / "file" / "below")).start()
    for url in (ONE, TWO):
        registry.publish("calc", url)
    tested.wait_for(ONE, TWO)


# ── a plane that begins anew ──


def test_after_a_fork_the_list_stays_and_the_watch_begins_again(registry, watched):
    registry.publish("calc", ONE)
    tested = watched().start()
    revision = tested.wait_for(ONE).revision
    tested.plane.stop()
    tested.plane = ControlPlane("test-child")  # what the child's plane is like
    tested.discovery.after_fork()
    assert tested.known(0)
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
    three = "tcp://10.0.0.3:9000"
    registry.tell(Snapshot(42, "registry", at(ONE, TWO, three) + bad, Changes(41, at(three))))
    assert one.wait_for(ONE, TWO, three).changes is None


def test_a_node_that_is_kept_and_let_go_later_is_a_change_too(watched):
    registry, one, first = told(watched)
    one.serving = {ONE}
    registry.tell(Snapshot(41, "registry", at(TWO), Changes(40, at(TWO), frozenset({ONE}))))
    both = one.wait_for(ONE, TWO)
    assert both.changes == Changes(first.revision, at(TWO))
    one.serving = set()
    assert one.wait_for(TWO).changes == Changes(both.revision, gone=frozenset({ONE}))


def test_a_node_that_is_kept_and_listed_again_is_no_change_for_calls(watched):
    registry, one, first = told(watched)
    one.serving = {ONE}
    registry.tell(Snapshot(41, "registry", (), Changes(40, gone=frozenset({ONE}))))
    eventually(lambda: one.discovery.outlook().doubts)
    registry.tell(Snapshot(42, "registry", at(ONE), Changes(41, at(ONE))))
    registry.tell(Snapshot(43, "registry", at(ONE, TWO), Changes(42, at(TWO))))
    assert one.wait_for(ONE, TWO).changes == Changes(first.revision, at(TWO))
    assert not one.discovery.outlook().doubts


# ── how often the list is kept ──


class CountingCache(SnapshotCache):
    def __init__(self, folder):
        super().__init__("memory", folder)
        self.saves = []

    def save(self, service, nodes, unlisted=None):
        self.saves.append(len(nodes))
        return super().save(service, nodes, unlisted)


def test_a_list_that_keeps_changing_is_written_now_and_then_and_once_more_at_the_end(
    watched, tmp_path, monkeypatch
):
    monkeypatch.setattr(cache_writer, "SAVE_EVERY", 1000.0)
    cache = CountingCache(tmp_path / "cache")
    registry = Told()
    one = watched(cache=cache, wraps=lambda session: registry).start()
    many = [f"tcp://10.0.1.{number}:9000" for number in range(20)]
    for count in range(1, 21):
        registry.tell(Snapshot(count, "registry", at(*many[:count])))
    one.wait_for(*many)
    assert one.plane.stop()
    assert cache.saves == [1, 20]
    assert len(cache.load("calc").nodes) == 20


def test_a_list_that_changed_a_moment_after_a_write_is_written_a_moment_later(
    watched, tmp_path, monkeypatch
):
    monkeypatch.setattr(cache_writer, "SAVE_EVERY", 0.05)
    cache = CountingCache(tmp_path / "cache")
    registry = Told()
    watched(cache=cache, wraps=lambda session: registry).start()
    registry.tell(Snapshot(1, "registry", at(ONE)))
    registry.tell(Snapshot(2, "registry", at(ONE, TWO)))
    eventually(lambda: cache.saves == [1, 2])
