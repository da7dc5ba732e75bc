"""The two drivers hold no policy: the same scenario through both gives the same."""

from __future__ import annotations

import asyncio
import threading
import time

import attrs
import pytest

from bee_core.client import asyncio_driver as aio_driver
from bee_core.client import blocking_driver as sync_driver
from bee_core.client.overdue import Overdue
from bee_core.errors import CallCancelled, Overloaded, PluginFault
from bee_core.interfaces import Again, Success
from bee_core.terms.causes import lost, not_sent, passed_over, read_timed_out, refused, reported
from bee_core.testing import AsyncScriptedChannel, ScriptedChannel, Silence
from bee_plugins.fault_tolerance.failover import FailOver
from bee_plugins.fault_tolerance.failtry import BackoffOptions, FailTry
from support.call_harness import SUCCESS, Harness, failure

REFUSED = refused(ConnectionRefusedError(111, "Connection refused"))
LOST = lost("end of file")
CUT = not_sent(ConnectionResetError(104, "Connection reset by peer"), reused=False)
STALE = not_sent(BrokenPipeError(32, "Broken pipe"), reused=True)
RAISED = reported("remote_error", "boom", error_type="ValueError", traceback="…")
FAILOVER = FailOver(BackoffOptions(base=0.001, cap=0.001))
FAILTRY = FailTry(BackoffOptions(base=0.001, cap=0.001))


class Later:
    """A fault tolerance that wants a long pause."""

    def next(self, history, rng):
        return Again("other", 30.0)


@attrs.frozen
class Scenario:
    name: str
    script: dict
    options: dict = attrs.field(factory=dict)
    call: dict = attrs.field(factory=dict)


SCENARIOS = [
    Scenario("success", {"a": [SUCCESS]}),
    Scenario("refused under failfast", {"a": [REFUSED]}),
    Scenario("failover", {"a": [REFUSED], "b": [SUCCESS]}, {"fail": FAILOVER}),
    Scenario(
        "failover until retries are spent",
        {"a": [REFUSED], "b": [REFUSED], "c": [REFUSED]},
        {"fail": FAILOVER},
    ),
    Scenario(
        "failtry", {"a": [REFUSED, LOST, SUCCESS], "b": []}, {"fail": FAILTRY, "idempotent": True}
    ),
    Scenario("a write that may have run", {"a": [LOST], "b": []}, {"fail": FAILOVER}),
    Scenario(
        "a read that may have run",
        {"a": [read_timed_out(1, full=True)], "b": [SUCCESS]},
        {"fail": FAILOVER, "idempotent": True},
    ),
    Scenario("the handler raised", {"a": [RAISED], "b": []}, {"fail": FAILOVER}),
    Scenario(
        "a bad argument",
        {"a": [reported("invalid_argument", "bad", path="$.a")]},
        {"fail": FAILOVER},
    ),
    Scenario("a stale connection", {"a": [STALE], "b": [SUCCESS]}),
    Scenario("a draining node alone", {"a": [passed_over("draining")] * 2}),
    Scenario("a reply that cannot be decoded", {"a": [Success(b"{")]}),
    Scenario(
        "no budget", {"a": [CUT], "b": []}, {"fail": FAILOVER, "budget": {"floor_per_second": 0.0}}
    ),
    Scenario(
        "a node that was not reached costs no budget",
        {"a": [REFUSED], "b": [SUCCESS]},
        {"fail": FAILOVER, "budget": {"floor_per_second": 0.0}},
    ),
    Scenario("no time for a pause", {"a": [REFUSED], "b": []}, {"fail": Later()}),
    Scenario("no node", {}),
    Scenario("cut off", {"a": []}, {"gates": {"a": {"permits": 0}}}),
    Scenario("overloaded here", {"a": []}, {"limiter": "full"}),
    Scenario("a fallback answers", {"a": [REFUSED]}, {"fallback": 7}),
    Scenario("a fallback declines", {"a": [REFUSED]}, {"fallback": "declines"}),
    Scenario(
        "a fallback raises its own", {"a": [REFUSED]}, {"fallback": LookupError("nothing cached")}
    ),
    Scenario(
        "a oneway", {"a": [SUCCESS]}, {"gates": {"a": {}}, "limiter": "at once"}, {"oneway": True}
    ),
    Scenario(
        "a oneway that cannot be sent",
        {"a": [REFUSED], "b": [REFUSED]},
        {"fail": FAILOVER},
        {"oneway": True},
    ),
    Scenario("options of the call", {"a": [REFUSED], "b": []}, {"fail": FAILOVER}, {"retries": 0}),
    Scenario(
        "breakers and limiter are settled",
        {"a": [REFUSED], "b": [SUCCESS]},
        {"fail": FAILOVER, "gates": {"a": {"opens": True}, "b": {}}, "limiter": "at once"},
    ),
    Scenario(
        "executed is the most of all attempts",
        {"a": [LOST], "b": [failure(executed="no")]},
        {"fail": FAILOVER, "idempotent": True, "retries": 1},
    ),
]


def seen(harness, channels, call, error):
    """All that a caller, a policy or a node can see of a call, but for the time."""
    fields = (
        {}
        if error is None
        else {key: value for key, value in vars(error).items() if not key.startswith("_")}
    )
    return {
        "trace": harness.trace,
        "sent": {name: len(channel.requests) for name, channel in channels.items()},
        "unused": {name: channel.unused for name, channel in channels.items()},
        "cancelled": {name: channel.cancelled for name, channel in channels.items()},
        "value": call.value,
        "degraded": call.degraded,
        "attempts": call.attempts,
        "executed": call.executed,
        "error": type(error),
        "text": str(error),
        "fields": fields,
    }


def harness_for(scenario, channel_class):
    channels = {name: channel_class(*script) for name, script in scenario.script.items()}
    options = {
        "clock": time.monotonic,
        "make_channel": lambda node: channels[node.id],
        **scenario.options,
    }
    return Harness(tuple(scenario.script), **options), channels


def run_blocking(scenario):
    harness, channels = harness_for(scenario, ScriptedChannel)
    call = harness.begin(**scenario.call)
    error = sync_driver.drive(call, threading.Event(), harness.clock)
    return seen(harness, channels, call, error)


async def run_async(scenario):
    harness, channels = harness_for(scenario, AsyncScriptedChannel)
    call = harness.begin(**scenario.call)
    error = await aio_driver.drive(call, asyncio.Event(), Overdue(harness.clock))
    return seen(harness, channels, call, error)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_both_drivers_give_the_same(scenario):
    blocking = run_blocking(scenario)
    assert blocking == asyncio.run(run_async(scenario))
    assert not any(blocking["unused"].values())


# ── waits that end otherwise ──

PAUSING = Scenario(
    "pause", {"a": [REFUSED], "b": []}, {"fail": Later(), "timeout": 60.0, "limiter": "at once"}
)
QUEUEING = Scenario("queue", {"a": [SUCCESS]}, {"limiter": "queue", "timeout": 60.0})
WAITING = Scenario("attempt", {"a": [Silence()]}, {"limiter": "at once", "gates": {"a": {}}})


class Noticed:
    """An event of threads or of asyncio that says when a driver has begun to wait for it."""

    def __init__(self, event, waiting):
        self._event = event
        self._waiting = waiting

    def wait(self, *timeout):
        self._waiting.set()
        return self._event.wait(*timeout)

    def is_set(self):
        return self._event.is_set()

    def set(self):
        self._event.set()


def close_blocking_while_waiting(scenario, waiting_for):
    """Drive on a thread; when ``waiting_for`` (closing or admitted) is waited for, close."""
    harness, channels = harness_for(scenario, ScriptedChannel)
    waiting = threading.Event()
    closing = Noticed(threading.Event(), waiting) if waiting_for == "closing" else threading.Event()
    if waiting_for == "admitted":
        place = harness.limiter.ticket
        place.on_admitted = lambda callback: waiting.set()
    call = harness.begin()
    result = []
    thread = threading.Thread(
        target=lambda: result.append(sync_driver.drive(call, closing, harness.clock))
    )
    thread.start()
    assert waiting.wait(10)
    closing.set()
    thread.join(10)
    assert not thread.is_alive()
    return seen(harness, channels, call, result[0])


async def close_async_while_waiting(scenario, waiting_for):
    harness, channels = harness_for(scenario, AsyncScriptedChannel)
    waiting = asyncio.Event()
    closing = Noticed(asyncio.Event(), waiting) if waiting_for == "closing" else asyncio.Event()
    if waiting_for == "admitted":
        harness.limiter.ticket.on_admitted = lambda callback: waiting.set()
    call = harness.begin()
    task = asyncio.ensure_future(aio_driver.drive(call, closing, Overdue(harness.clock)))
    await asyncio.wait_for(waiting.wait(), 10)
    closing.set()
    return seen(harness, channels, call, await asyncio.wait_for(task, 10))


@pytest.mark.parametrize(
    ("scenario", "waiting_for"),
    [(PAUSING, "closing"), (QUEUEING, "admitted")],
    ids=["pause", "queue"],
)
def test_closing_the_client_ends_a_wait_at_once(scenario, waiting_for):
    blocking = close_blocking_while_waiting(scenario, waiting_for)
    assert blocking == asyncio.run(close_async_while_waiting(scenario, waiting_for))
    assert blocking["error"] is CallCancelled
    assert blocking["executed"] == "no"


def test_a_closed_client_ends_a_queueing_call_even_when_its_time_is_up():
    def closed(harness):
        harness.service.clock = lambda: 0.0
        return harness.begin(timeout=0.001)

    harness, _ = harness_for(QUEUEING, ScriptedChannel)
    closing = threading.Event()
    closing.set()
    blocking = sync_driver.drive(closed(harness), closing, lambda: 1.0)

    async def main():
        harness, _ = harness_for(QUEUEING, AsyncScriptedChannel)
        closing = asyncio.Event()
        closing.set()
        return await aio_driver.drive(closed(harness), closing, Overdue(lambda: 0.0))

    assert (type(blocking), str(blocking)) == (CallCancelled, str(asyncio.run(main())))


def test_a_turn_granted_by_another_thread_wakes_both_drivers():
    harness, channels = harness_for(QUEUEING, ScriptedChannel)
    place = harness.limiter.ticket
    registered = place.on_admitted

    def on_admitted(callback):
        registered(callback)
        threading.Thread(target=place.grant).start()

    place.on_admitted = on_admitted
    call = harness.begin()
    error = sync_driver.drive(call, threading.Event(), harness.clock)
    blocking = seen(harness, channels, call, error)

    async def main():
        harness, channels = harness_for(QUEUEING, AsyncScriptedChannel)
        call = harness.begin()
        task = asyncio.ensure_future(
            aio_driver.drive(call, asyncio.Event(), Overdue(harness.clock))
        )
        for _ in range(3):
            await asyncio.sleep(0)  # turns of the loop, until the driver waits
        await asyncio.to_thread(harness.limiter.ticket.grant)
        return seen(harness, channels, call, await asyncio.wait_for(task, 10))

    # Debug mode: the loop refuses to be touched by another thread.
    assert blocking == asyncio.run(main(), debug=True)
    assert blocking["value"] == 3


def test_a_turn_that_never_comes_ends_with_the_deadline():
    short = attrs.evolve(QUEUEING, script={"a": []}, call={"timeout": 0.01})
    blocking = run_blocking(short)
    assert blocking == asyncio.run(run_async(short))
    assert blocking["error"] is Overloaded


def test_a_channel_that_is_closed_ends_an_attempt_under_way():
    harness, channels = harness_for(WAITING, ScriptedChannel)
    call = harness.begin()
    result = []
    thread = threading.Thread(
        target=lambda: result.append(sync_driver.drive(call, threading.Event(), harness.clock))
    )
    thread.start()
    assert channels["a"].started.wait(10)
    channels["a"].close()
    thread.join(10)
    blocking = seen(harness, channels, call, result[0])

    async def main():
        harness, channels = harness_for(WAITING, AsyncScriptedChannel)
        call = harness.begin()
        task = asyncio.ensure_future(
            aio_driver.drive(call, asyncio.Event(), Overdue(harness.clock))
        )
        await channels["a"].started.wait()
        await channels["a"].close()
        return seen(harness, channels, call, await task)

    assert blocking == asyncio.run(main())
    assert (blocking["error"], blocking["executed"]) == (CallCancelled, "maybe")


# ── calls that are given up ──


def test_a_cancelled_task_gives_the_request_up_and_settles_its_permits():
    async def main():
        harness, channels = harness_for(WAITING, AsyncScriptedChannel)
        task = asyncio.ensure_future(
            aio_driver.drive(harness.begin(), asyncio.Event(), Overdue(harness.clock))
        )
        await channels["a"].started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return harness, channels

    harness, channels = asyncio.run(main())
    assert channels["a"].cancelled == 1
    assert harness.gates["a"].verdicts == ["no verdict"]
    assert [verdict for verdict, _ in harness.limiter.released] == ["no verdict"]


def test_an_interrupt_in_a_blocking_attempt_settles_its_permits():
    class Interrupted(ScriptedChannel):
        def start(self, request):
            raise KeyboardInterrupt

    harness, _ = harness_for(WAITING, Interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        sync_driver.drive(harness.begin(), threading.Event(), harness.clock)
    assert (
        caught.tb is not None
    )  # it keeps the driver's frame alive: the garbage collection settles nothing
    assert harness.gates["a"].verdicts == ["no verdict"]
    assert [verdict for verdict, _ in harness.limiter.released] == ["no verdict"]


def test_a_transport_that_breaks_on_the_loop_settles_its_permits():
    class Broken(AsyncScriptedChannel):
        def start(self, request):
            raise RuntimeError("a fault in a transport")

    async def main():
        harness, _ = harness_for(WAITING, Broken)
        error = await aio_driver.drive(harness.begin(), asyncio.Event(), Overdue(harness.clock))
        assert isinstance(error, PluginFault)
        assert isinstance(error.__cause__, RuntimeError)
        assert harness.gates["a"].verdicts == ["plugin_fault"]
        assert [verdict for verdict, _ in harness.limiter.released] == ["plugin_fault"]

    asyncio.run(main())


def test_a_task_cancelled_in_the_queue_leaves_it():
    async def main():
        harness, _ = harness_for(QUEUEING, AsyncScriptedChannel)
        queued = asyncio.Event()
        harness.limiter.ticket.on_admitted = lambda callback: queued.set()
        task = asyncio.ensure_future(
            aio_driver.drive(harness.begin(), asyncio.Event(), Overdue(harness.clock))
        )
        await queued.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return harness

    assert asyncio.run(main()).limiter.ticket.left
