"""Writes whose answers are lost, to a server that remembers what it answered."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import bee_core
from bee_core.errors import DeadlineExceeded, RemoteError, Unavailable
from faults.services import serving
from faults.users import AsyncUser, BlockingUser, FutureUser, client_config
from support.cutting_relay import CuttingRelay
from support.patience import PATIENCE
from support.plugin_objects import offering

USERS = {"blocking": BlockingUser, "asyncio": AsyncUser, "futures": FutureUser}
FAILTRY = {"name": "failtry", "options": {"base": 0.001, "cap": 0.002}}


class Ledger:
    """Writes, and how often each ran."""

    def __init__(self):
        self.ran = []
        self.entered = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.cancelled = threading.Event()

    def write(self, key: str) -> str:
        self.ran.append(key)
        bee_core.current_call().reply_metadata["written"] = key
        return f"{key} written"

    async def write_async(self, key: str) -> str:
        return self.write(key)

    @bee_core.nonblocking
    def write_here(self, key: str) -> str:
        return self.write(key)

    def write_and_fail(self, key: str) -> str:
        self.ran.append(key)
        raise bee_core.ServiceError("FULL", "no room", details={"key": key})

    def write_much(self, size: int) -> str:
        self.ran.append(str(size))
        return "a" * size

    def write_slowly(self, key: str) -> str:
        self.ran.append(key)
        self.entered.release()
        assert self.go_on.wait(PATIENCE)
        return f"{key} written"

    async def write_cancellable(self, key: str) -> str:
        self.ran.append(key)
        self.entered.release()
        try:
            await asyncio.sleep(PATIENCE)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return key

    async def write_at_the_second_time(self, key: str) -> str:
        self.ran.append(key)
        if len(self.ran) == 1:
            await asyncio.sleep(PATIENCE)
        return key

    @bee_core.idempotent
    def write_again(self, key: str) -> str:
        self.ran.append(key)
        return key

    def hello(self) -> str:
        return "hello"


class World:
    """A server that remembers, a relay before it, and a client that has met it."""

    def __init__(self, kind, relay, ledger, **settings):
        chosen = {"fail": FAILTRY, "retries": 2, "breaker": "none", "timeout": 20, **settings}
        self.user = USERS[kind](client_config(relay.url, **chosen))
        self.relay, self.ledger = relay, ledger
        self.call = self.user.call
        assert self.call("hello") == "hello"  # the first request goes out before the hello-ack


@pytest.fixture(params=USERS)
def kind(request):
    return request.param


@pytest.fixture
def worlds(kind):
    with contextlib.ExitStack() as stack:

        def make(*, plugins=(), client=None, **deduplicate):
            ledger = Ledger()
            server = stack.enter_context(serving(ledger, plugins, deduplicate=deduplicate))
            relay = stack.enter_context(CuttingRelay(server.address))
            world = World(kind, relay, ledger, **(client or {}))
            stack.callback(world.user.close)
            stack.callback(ledger.go_on.set)
            world.server = server
            return world

        yield make


@pytest.mark.parametrize("fate", ["lose request", "lose answer", "cut"])
@pytest.mark.parametrize("method", ["write", "write_async", "write_here"])
def test_a_write_whose_connection_is_reset_has_its_answer_and_ran_once(worlds, fate, method):
    world = worlds()
    world.relay.fates = [fate]
    assert world.call(method, "a") == "a written"
    assert world.call(method, "b") == "b written"
    assert world.ledger.ran == ["a", "b"]
    assert world.relay.met == [fate, "pass", "pass"]


def test_without_the_key_the_write_stays_in_doubt_and_carries_no_key(kind):
    ledger = Ledger()
    with serving(ledger) as server, CuttingRelay(server.address) as relay:
        world = World(kind, relay, ledger)
        relay.fates = ["lose answer"]
        with pytest.raises(Unavailable) as caught:
            world.call("write", "a")
        assert (caught.value.executed, caught.value.attempts) == ("maybe", 1)
        assert ledger.ran == ["a"]
        world.user.close()


def test_an_error_that_was_lost_is_told_again(worlds):
    world = worlds()
    world.relay.fates = ["lose answer"]
    with pytest.raises(RemoteError) as caught:
        world.call("write_and_fail", "a")
    assert (caught.value.code, caught.value.details) == ("FULL", {"key": "a"})
    assert (caught.value.executed, caught.value.attempts) == ("yes", 2)
    assert world.ledger.ran == ["a"]


@pytest.mark.parametrize("kind", ["blocking", "asyncio"], indirect=True)
def test_detailed_counts_the_repetition_and_has_the_metadata_of_the_first_run(worlds):
    world = worlds()
    world.relay.fates = ["lose answer"]
    reply = world.user.detailed("write", "a")
    assert (reply.value, reply.attempts) == ("a written", 2)
    assert dict(reply.metadata) == {"written": "a"}


def test_a_repetition_waits_for_the_first_which_goes_on_without_its_connection(worlds):
    world = worlds()
    world.relay.fates = ["cut"]
    future = world.user.start("write_slowly", "a")
    assert world.ledger.entered.acquire(timeout=PATIENCE)
    world.ledger.go_on.set()
    assert future.result(PATIENCE) == "a written"
    assert world.ledger.ran == ["a"]


def test_an_answer_that_is_too_large_to_keep_is_known_to_have_run(worlds):
    world = worlds(bytes=8192)
    world.relay.fates = ["lose answer"]
    with pytest.raises(Unavailable, match="ran before, and its answer is not kept") as caught:
        world.call("write_much", 2000)
    assert caught.value.executed == "yes"
    assert world.ledger.ran == ["2000"]


def test_a_first_run_that_the_caller_cancelled_is_repeated_as_cancelled(worlds):
    world = worlds(client={"read_timeout": 0.2})
    with pytest.raises(
        DeadlineExceeded, match=r"read_timeout.*repeated in vain: .*cancelled"
    ) as caught:
        world.call("write_cancellable", "a")
    assert world.ledger.cancelled.wait(PATIENCE)
    assert caught.value.executed == "maybe"
    assert world.ledger.ran == ["a"]


def test_another_process_at_the_address_leaves_the_write_in_doubt(worlds):
    world = worlds()
    other = Ledger()
    with serving(other, deduplicate={}) as second:

        def moved():
            world.relay.port = int(second.address.rpartition(":")[2])
            return "lose answer"

        world.relay.decide = moved
        with pytest.raises(Unavailable, match="another process answers") as caught:
            world.call("write", "a")
    assert (caught.value.executed, caught.value.attempts) == ("maybe", 2)
    assert (world.ledger.ran, other.ran) == (["a"], [])


def test_a_repetition_that_is_lost_as_well_is_not_repeated(worlds):
    world = worlds(client={"retries": 5})
    world.relay.fates = ["lose answer", "lose answer"]
    with pytest.raises(Unavailable) as caught:
        world.call("write", "a")
    assert (caught.value.executed, caught.value.attempts) == ("maybe", 2)
    assert world.ledger.ran == ["a"]


def test_a_first_request_that_comes_late_does_not_run_even_if_its_key_is_forgotten(worlds):
    world = worlds(count=1)
    world.relay.fates = ["late"]
    assert world.call("write", "a") == "a written"  # by its repetition
    assert world.call("write", "b") == "b written"  # the server forgets the key of a
    world.relay.release()
    assert world.call("write", "c") == "c written"
    assert world.ledger.ran == ["a", "b", "c"]


def test_a_server_that_may_have_forgotten_the_key_refuses(worlds):
    world = worlds(count=1)
    relay = world.relay
    with CuttingRelay(world.server.address) as aside:
        config = client_config(aside.url, fail=FAILTRY, retries=2)
        with bee_core.build_client(config) as client:
            calc = client.service("calc")
            calc.hello()

            def between():
                # Other writes come before the repetition, on another thread than the relay's.
                with ThreadPoolExecutor(1) as others:
                    others.submit(calc.write, "b").result(PATIENCE)
                return "pass"

            def first():
                relay.decide = between
                return "lose answer"

            relay.decide = first
            with pytest.raises(Unavailable, match="may have forgotten") as caught:
                world.call("write", "a")
    assert caught.value.executed == "maybe"
    assert world.ledger.ran == ["a", "b"]


def test_failover_never_repeats_a_write(worlds):
    world = worlds(client={"fail": "failover"})
    world.relay.fates = ["lose answer"]
    with pytest.raises(Unavailable) as caught:
        world.call("write", "a")
    assert (caught.value.executed, caught.value.attempts) == ("maybe", 1)


def test_without_retries_nothing_is_repeated(worlds):
    world = worlds(client={"retries": 0})
    world.relay.fates = ["lose answer"]
    with pytest.raises(Unavailable) as caught:
        world.call("write", "a")
    assert (caught.value.executed, caught.value.attempts) == ("maybe", 1)


def test_a_oneway_call_is_sent_once(worlds):
    world = worlds()
    world.relay.fates = ["cut"]
    assert world.call("write", "a", options={"oneway": True}) is None
    assert world.call("write", "b") == "b written"
    assert world.ledger.ran.count("a") <= 1


def test_idempotent_methods_take_no_place_in_the_memory(worlds):
    world = worlds(count=1)
    options = {"idempotent": True}
    world.relay.fates = ["lose answer"]
    assert world.call("write_again", "a", options=options) == "a"
    assert world.ledger.ran == ["a", "a"]


def test_what_the_client_alone_calls_idempotent_is_retried_where_there_is_no_answer(worlds):
    world = worlds(client={"read_timeout": 0.5})
    options = {"idempotent": True}
    assert world.call("write_at_the_second_time", "a", options=options) == "a"
    assert world.ledger.ran == ["a", "a"]


class Told:
    """An observer that keeps what it hears of requests."""

    def __init__(self):
        self.started, self.ended = [], []

    def request_started(self, call):
        self.started.append((call.method, call.repeated))

    def request_ended(self, state, call, outcome, seconds):
        self.ended.append((call.method, call.deduplicated, getattr(outcome, "kind", "ok")))


def test_observers_of_the_server_hear_of_repetitions(kind):
    told, ledger = Told(), Ledger()
    plugins = [offering("observer", "told", lambda: told)]
    with (
        serving(ledger, plugins, deduplicate={}, observers=["told"]) as server,
        CuttingRelay(server.address) as relay,
    ):
        world = World(kind, relay, ledger)
        relay.fates = ["lose answer", "pass", "lose request"]
        world.call("write", "a")
        world.call("write", "b")
        world.user.close()
        kept = [one for one in server.recent.recorder.recent() if one.method == "write"]
        assert [one["deduplicated"] for one in server.recent.told(kept)] == [False, True, False]
    assert [one for one in told.started if one[0] == "write"] == [
        ("write", False),
        ("write", True),
        ("write", True),
    ]
    assert [one for one in told.ended if one[0] == "write"] == [
        ("write", False, "ok"),
        ("write", True, "ok"),
        ("write", False, "ok"),  # the first request was lost: nothing had come
    ]
