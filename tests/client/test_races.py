"""Several attempts at a time through both drivers and by futures, on scripts and on real sockets."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager

import pytest

import bee_core
from bee_core.client import asyncio_driver, blocking_driver
from bee_core.client.overdue import Overdue
from bee_core.errors import CallCancelled, DeadlineExceeded, RemoteError
from bee_core.hookspecs import hookimpl
from bee_core.interfaces import Again
from bee_core.streams.client import busy_poll
from bee_core.terms.causes import lost, refused, reported
from bee_core.testing import AsyncScriptedChannel, ScriptedChannel, Silence
from bee_plugins.transports.tcp import TcpTransport
from faults.descriptors import open_sockets
from faults.services import Calculator, serving
from faults.users import AsyncUser, BlockingUser, FutureUser, client_config
from support.call_harness import SUCCESS, Harness
from support.every_line import EveryLine, Injected, SoftTimeLimitError, handled_signal
from support.patience import PATIENCE

LOST = lost("end of file")
REFUSED = refused(ConnectionRefusedError(111, "Connection refused"))
RAISED = reported("remote_error", "boom", error_type="ValueError")
USERS = {"blocking": BlockingUser, "futures": FutureUser, "asyncio": AsyncUser}


class Hedged:
    """A second attempt after ``delay`` seconds, then failover."""

    def __init__(self, delay=0.0):
        self.delay = delay
        self.told = []

    def next(self, history, rng):
        return Again("other")

    def hedge(self, history, now):
        return self.delay

    def settle(self, outcome, seconds, now):
        self.told.append(None if outcome is None else outcome.ok)


# ── both drivers, on scripts: their requests have no descriptor ──

SCENARIOS = {
    "the second wins": {"a": [Silence()], "b": [SUCCESS]},
    "the first wins": {"a": [SUCCESS], "b": []},
    "the second fails and the first is late": {"a": [Silence()], "b": [LOST]},
    "the second cannot be reached": {"a": [Silence()], "b": [REFUSED]},
    "the second is an error of the handler": {"a": [Silence()], "b": [RAISED]},
    "there is no second": {"a": [Silence()]},
    "both are lost": {"a": [Silence()], "b": [Silence()]},
    "the first is refused and the second is slow": {
        "a": [REFUSED],
        "b": [Silence()],
        "c": [SUCCESS],
    },
}


def seen(harness, channels, call, error):
    return {
        "trace": harness.trace,
        "sent": {name: len(channel.requests) for name, channel in channels.items()},
        "cancelled": {name: channel.cancelled for name, channel in channels.items()},
        "value": call.value,
        "attempts": call.attempts,
        "executed": call.executed,
        "node": call.node and call.node.id,
        "error": (type(error), str(error), getattr(error, "executed", None)),
        "told": harness.service.fault_tolerances[""].told,
    }


def harness_for(script, channel_class, timeout):
    channels = {name: channel_class(*answers) for name, answers in script.items()}
    harness = Harness(
        tuple(script),
        clock=time.monotonic,
        make_channel=lambda node: channels[node.id],
        fail=Hedged(0.0),
        idempotent=True,
        gates={name: {} for name in script},
        limiter="at once",
        timeout=timeout,
    )
    return harness, channels


def on_a_thread(script, timeout):
    harness, channels = harness_for(script, ScriptedChannel, timeout)
    call = harness.begin()
    error = blocking_driver.drive(call, threading.Event(), harness.clock)
    return seen(harness, channels, call, error)


def on_a_loop(script, timeout):
    async def main():
        harness, channels = harness_for(script, AsyncScriptedChannel, timeout)
        call = harness.begin()
        error = await asyncio_driver.drive(call, asyncio.Event(), Overdue(harness.clock))
        return seen(harness, channels, call, error)

    return asyncio.run(main())


@pytest.mark.parametrize("name", SCENARIOS)
def test_both_drivers_run_a_race_alike(name):
    timeout = 10.0 if any(SUCCESS in answers for answers in SCENARIOS[name].values()) else 0.05
    timeout = 10.0 if "handler" in name else timeout
    blocking = on_a_thread(SCENARIOS[name], timeout)
    assert blocking == on_a_loop(SCENARIOS[name], timeout)
    if timeout == 10.0 and "handler" not in name:
        assert blocking["value"] == 3


# ── real sockets ──


class InOrder:
    """Picks the first node that was not tried."""

    settle = None

    def update(self, ready):
        self.ready = sorted(ready, key=lambda node: node.weight)

    def pick(self, key, tried, now, rng):
        return next((node for node in self.ready if node.id not in tried), None)


class Plugins:
    """A balancer with an order, and a fault tolerance that hedges."""

    def __init__(self, fail=None):
        self.fail = fail or Hedged(0.02)

    @hookimpl
    def bee_register_balancers(self, registry):
        registry.add("in-order", InOrder)

    @hookimpl
    def bee_register_fault_tolerances(self, registry):
        registry.add("hedged", lambda: self.fail)


@pytest.fixture
def two():
    first, second = Calculator(), Calculator()
    with serving(first) as one, serving(second) as other:
        yield (
            first,
            second,
            [
                {"url": one.address, "weight": 1},
                {"url": other.address, "weight": 2},
            ],
        )


@contextmanager
def user_of(kind, urls, policy=None, **settings):
    options = {
        "timeout": 10,
        "read_timeout": 9,
        "balancer": "in-order",
        "fail": "hedged",
        "idempotent": True,
        **settings,
    }
    user = USERS[kind](client_config(*urls, **options), [Plugins(policy)])
    try:
        yield user
    finally:
        user.close()


@pytest.mark.parametrize("method", ["hold", "hold_async"])
@pytest.mark.parametrize("kind", USERS)
def test_the_second_attempt_answers_and_the_first_is_cancelled_on_the_wire(two, kind, method):
    slow, quick, urls = two
    quick.release.set()
    with user_of(kind, urls) as user:
        assert user.call(method, 7) == 7
        if method == "hold_async":
            slow.await_cancelled()
        assert (slow.runs, quick.runs) == (1, 1)


def test_the_loser_of_a_blocking_race_keeps_its_connection(two, monkeypatch):
    _, quick, urls = two
    dialed, dial = [], TcpTransport.dial

    def counted(transport, url, timeout):
        dialed.append(url)
        return dial(transport, url, timeout)

    monkeypatch.setattr(TcpTransport, "dial", counted)
    quick.release.set()
    with user_of("blocking", urls) as user:
        for number in range(5):
            assert user.call("hold_async", number) == number
            channels = [
                state.attempt.channel
                for state in user.client.assembly.services["calc"].nodes.states.values()
            ]
            for channel in channels:
                until_it_answers(channel)
    assert len(dialed) == 2, "each call made a new connection to the slow node"


def until_it_answers(channel):
    """Wait for the pong that shows that the server has read the cancel."""
    for connection in channel.given_up:
        while not connection.is_answering():
            assert connection.pollin.poll(1000 * PATIENCE), "the server said nothing"


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_detailed_shows_both_attempts_and_the_node_that_answered(two, kind):
    _, quick, urls = two
    quick.release.set()
    with user_of(kind, urls) as user:
        reply = user.detailed("hold", 7)
        assert (reply.value, reply.attempts, reply.node.url) == (7, 2, urls[1]["url"])


@pytest.mark.parametrize("kind", USERS)
def test_a_call_that_is_answered_in_time_asks_no_other_node(two, kind):
    first, second, urls = two
    with user_of(kind, urls, Hedged(5.0)) as user:
        for number in range(20):
            assert user.call("add", number, 1) == number + 1
        assert (first.runs, second.runs) == (20, 0)


@pytest.mark.parametrize("kind", USERS)
def test_the_first_may_answer_while_the_second_waits(two, kind):
    first, second, urls = two
    with user_of(kind, urls) as user:
        call = user.start("hold", 7)
        first.await_entered()
        second.await_entered()
        first.release.set()
        assert call.result(PATIENCE) == 7


@pytest.mark.parametrize("kind", USERS)
def test_closing_the_client_ends_a_race(two, kind):
    first, second, urls = two
    with user_of(kind, urls) as user:
        call = user.start("hold", 7)
        first.await_entered()
        second.await_entered()
        user.close_client()
        with pytest.raises(CallCancelled) as caught:
            call.result(PATIENCE)
        assert caught.value.executed == "maybe"


@pytest.mark.parametrize("kind", USERS)
def test_the_deadline_ends_a_race(two, kind):
    first, second, urls = two
    with user_of(kind, urls, timeout=0.3) as user:
        with pytest.raises(DeadlineExceeded) as caught:
            user.call("hold", 7)
        assert caught.value.executed == "maybe"
        assert (first.runs, second.runs) == (1, 1)


@pytest.mark.parametrize("kind", USERS)
def test_a_read_timeout_of_one_attempt_does_not_end_the_other(two, kind):
    slow, quick, urls = two
    with user_of(kind, urls, Hedged(0.15), read_timeout=0.3, retries=1) as user:
        call = user.start("hold", 7)
        slow.await_entered()
        quick.await_entered()
        time.sleep(0.2)  # the first attempt's read_timeout passes; the second's does not
        quick.release.set()
        assert call.result(PATIENCE) == 7


@pytest.mark.parametrize("kind", USERS)
def test_an_error_of_the_handler_is_not_waited_for(two, kind):
    class Slow(Calculator):
        def fail(self, message):
            self.release.wait(PATIENCE)

    slow = Slow()
    with serving(slow) as first:
        urls = [{"url": first.address, "weight": 0.5}, two[2][1]]
        with user_of(kind, urls) as user, pytest.raises(RemoteError):
            user.call("fail", "no")


def test_a_trace_tells_both_attempts(two):
    _, quick, urls = two
    quick.release.set()
    with user_of("blocking", urls) as user:
        trace = user.client.trace("calc", "hold", 7)
        assert [(step.kind, step.node.url) for step in trace.steps] == [
            ("hedge", urls[0]["url"]),
            ("attempt", urls[1]["url"]),
            ("loser", urls[0]["url"]),
        ]
        assert "another node" in trace.steps[0].decision
        assert trace.steps[1].decision == "return the result"
        assert "give this attempt up" in trace.steps[2].decision


def test_the_flight_recorder_remembers_both_attempts(two):
    _, quick, urls = two
    quick.release.set()
    with user_of("blocking", urls) as user:
        user.call("hold", 7)
        recorder = user.client.assembly.recorder
        (kept,) = recorder.recent()
        assert [step["kind"] for step in kept.steps] == ["hedge", "loser", "attempt"]
        assert kept.attempts == 2


# ── what a call costs that is answered in time ──


COUNTED = ("poll", "fileno", "start")


def test_a_call_that_is_answered_in_time_makes_no_system_call_more(two, monkeypatch):
    """One poll, one send, one receive at most, as without a hedge; no descriptor is asked for."""
    counts = []
    for fail in ("failover", "hedged"):
        with user_of("blocking", two[2], Hedged(5.0), fail=fail) as user:
            # The least of many: one may connect, or poll once more where its answer is not there yet.
            calls = [_calls_of(lambda user=user: user.call("add", 1, 2)) for _ in range(30)]
            counts.append({name: min(one[name] for one in calls) for name in COUNTED})
    assert counts[1]["poll"] == counts[0]["poll"]
    assert counts[1]["fileno"] == counts[0]["fileno"]
    assert counts[1]["start"] == counts[0]["start"] == 1


def _calls_of(action):
    """How often some functions are called by an action, by name."""
    found = Counter()

    def note(frame, event, arg):
        if event == "c_call":
            found[arg.__name__] += 1
        elif event == "call":
            found[frame.f_code.co_name] += 1

    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(None)
    return found


# ── nothing is left behind, whatever comes in between ──

STRETCH = (
    "calls/broadcast.py",
    "calls/race.py",
    "calls/entrants.py",
    "calls/settling.py",
    "calls/picking.py",
    "calls/flow.py",
    "client/blocking_driver.py",
    "client/blocking_race.py",
    "streams/client/leaving.py",
)


class Counting(InOrder):
    """Counts the picks that have not ended."""

    def __init__(self):
        self.under_way = 0
        self.settle = self._settle

    def pick(self, key, tried, now, rng):
        node = super().pick(key, tried, now, rng)
        self.under_way += node is not None
        return node

    def _settle(self, node, outcome, seconds, now):
        self.under_way -= 1


class CountingPlugins(Plugins):
    @hookimpl
    def bee_register_balancers(self, registry):
        registry.add("in-order", Counting)


@pytest.fixture
def rig(two, monkeypatch):
    busy_poll.waiting.clear()
    _, quick, urls = two
    quick.release.set()
    sockets = []
    dial = TcpTransport.dial

    def remembered(transport, url, timeout):
        sock = dial(transport, url, timeout)
        sockets.append(sock)
        return sock

    monkeypatch.setattr(TcpTransport, "dial", remembered)
    config = client_config(
        *urls,
        timeout=10,
        read_timeout=9,
        balancer="in-order",
        fail="hedged",
        idempotent=True,
        breaker={"name": "consecutive", "options": {"max_error_count": 1000}},
        limiter={"name": "fixed", "options": {"max_in_flight": 1, "max_queue": 0}},
        methods={"size": {"fail": "broadcast"}},
    )
    with bee_core.build_client(config, plugins=[CountingPlugins(Hedged(0.002))]) as client:
        yield client, sockets


def check(client, sockets):
    service = client.assembly.services["calc"]
    assert service.balancer.under_way == 0, "a pick was not settled"
    idle = set()
    for state in service.nodes.states.values():
        if state.attempt is None:
            continue
        channel = state.attempt.channel
        assert not channel.active
        assert all(connection.request is None for connection in channel.idle.connections)
        idle |= {connection.fileno() for connection in channel.idle.connections}
        assert all(connection.request is None for connection in channel.given_up)
        idle |= {connection.fileno() for connection in channel.given_up}
    assert not busy_poll.waiting
    assert {sock.fileno() for sock in sockets if sock.fileno() >= 0} == idle
    admitted = service.limiter.admit(None, 0.0)
    assert admitted is True, "the limiter's permit is lost"
    service.limiter.release(None, 0.0)


PARTS = {
    "race": (
        lambda proxy: proxy.hold(7),
        {"race.py", "entrants.py", "blocking_race.py", "leaving.py"},
    ),
    "broadcast": (lambda proxy: proxy.size("a"), {"broadcast.py", "entrants.py"}),
}


@pytest.mark.parametrize("kind", [Injected, SoftTimeLimitError])
@pytest.mark.parametrize("name", PARTS)
def test_an_exception_at_any_line_leaves_nothing_behind(rig, name, kind):
    client, sockets = rig
    call, files = PARTS[name]
    proxy = client.service("calc")
    lines, at, seen = EveryLine(*STRETCH, kind=kind, most=2), 0, set()
    with handled_signal():
        while True:
            proxy.add(1, 2)
            reached = lines.run(lambda: call(proxy), at)
            try:
                check(client, sockets)
                assert proxy.add(1, 2) == 3
            except Exception as error:
                raise AssertionError(f"after an exception at {lines.passed[at:][:1]}") from error
            if not reached:
                break
            seen.add(lines.passed[at].partition(":")[0])
            at += 1
    assert files <= seen
    assert at > 100


def test_a_task_cancelled_at_any_turn_of_a_race_leaves_nothing_behind(two):
    _, quick, urls = two
    quick.release.set()
    config = client_config(*urls, balancer="in-order", fail="hedged", idempotent=True)

    async def main():
        plugins = [CountingPlugins(Hedged(0.0))]
        async with bee_core.build_async_client(config, plugins=plugins) as client:
            proxy = client.service("calc")
            service = client.assembly.services["calc"]
            turns = 0
            while True:
                task = asyncio.ensure_future(proxy.hold_async(7))
                for _ in range(turns):
                    await asyncio.sleep(0)
                ended = task.done()
                task.cancel()
                await asyncio.wait([task])
                lanes = [
                    lane
                    for state in service.nodes.states.values()
                    if state.attempt
                    for lane in state.attempt.channel.lanes
                ]
                assert all(lane.waiting == 0 for lane in lanes), turns
                assert service.balancer.under_way == 0
                if ended:
                    return turns
                turns += 1

    assert asyncio.run(main()) >= 3


def test_a_second_node_that_cannot_be_connected_to_holds_the_first_up_for_a_moment_only(
    two, monkeypatch
):
    """And it is not blamed: a caller that waits for something else is impatient."""
    first, _, urls = two
    dial, given = TcpTransport.dial, []

    def unreachable(transport, url, timeout):
        if url != urls[1]["url"]:
            return dial(transport, url, timeout)
        given.append(timeout)
        first.release.set()
        raise TimeoutError

    monkeypatch.setattr(TcpTransport, "dial", unreachable)
    breaker = {"name": "consecutive", "options": {"max_error_count": 1}}
    with user_of("blocking", urls, breaker=breaker) as user:
        assert user.call("hold", 7) == 7
        assert given == [0.1]
        states = user.client.assembly.services["calc"].nodes.states.values()
        assert {state.breaker.state for state in states} == {"closed"}


def test_no_socket_outlives_a_client_of_races(two):
    _, quick, urls = two
    quick.release.set()
    before = open_sockets()
    for kind in USERS:
        with user_of(kind, urls) as user:
            for _ in range(5):
                assert user.call("hold", 7) == 7
    until = time.monotonic() + PATIENCE
    while not open_sockets() <= before:
        assert time.monotonic() < until
        time.sleep(0.005)


def test_a_future_that_is_cancelled_in_a_race_gives_both_up(two):
    first, second, urls = two
    with user_of("futures", urls) as user:
        call = user.start("hold_async", 7)
        first.await_entered()
        second.await_entered()
        assert call.cancel()
        first.await_cancelled()
        second.await_cancelled()


@pytest.mark.parametrize("kind", USERS)
def test_a_node_that_refuses_in_a_race_is_no_failure_of_the_call(two, kind):
    first, _, urls = two
    first.release.set()
    with user_of(kind, [urls[0], {"url": "tcp://127.0.0.1:1", "weight": 2}]) as user:
        first.release.clear()
        call = user.start("hold", 7)
        first.await_entered()
        time.sleep(0.05)
        first.release.set()
        assert call.result(PATIENCE) == 7
