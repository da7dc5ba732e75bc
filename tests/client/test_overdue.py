"""The asyncio driver holds the deadline itself, whatever a channel does."""

from __future__ import annotations

import asyncio
import sys
import time

import pytest

from bee_core.client import asyncio_driver as aio_driver
from bee_core.client.overdue import GRACE, Overdue
from bee_core.errors import CallCancelled, DeadlineExceeded, PluginFault
from support.call_harness import SUCCESS, Harness, failure
from support.patience import PATIENCE, scaled

TIMEOUT = 0.05


class Pending:
    def __init__(self, reply):
        self.reply = reply
        self.cancelled = 0

    def cancel(self):
        self.cancelled += 1


class Channel:
    """A channel whose replies the test makes."""

    def __init__(self, make_reply):
        self.make_reply = make_reply
        self.pendings = []

    def start(self, request):
        pending = Pending(self.make_reply())
        self.pendings.append(pending)
        return pending


def never():
    return asyncio.get_running_loop().create_future()


def settled(answer):
    def make():
        reply = never()
        reply.set_result(answer)
        return reply

    return make


def drive(make_reply, *, timeout=TIMEOUT, calls=1):
    """The errors of calls at a time, the harness, and the channel."""
    channel = Channel(make_reply)
    harness = Harness(
        "a",
        gates={"a": {}},
        limiter="at once",
        clock=time.monotonic,
        make_channel=lambda node: channel,
        timeout=timeout,
    )

    async def main():
        overdue = Overdue(time.monotonic)
        errors = await asyncio.wait_for(
            asyncio.gather(
                *(aio_driver.drive(harness.begin(), asyncio.Event(), overdue) for _ in range(calls))
            ),
            PATIENCE,
        )
        assert overdue.waits == {}
        return errors

    return asyncio.run(main()), harness, channel


def test_a_channel_that_never_answers_ends_with_the_deadline():
    began = time.monotonic()
    (error,), harness, channel = drive(never)
    assert time.monotonic() - began < scaled(TIMEOUT + GRACE + 1.0)
    assert isinstance(error, DeadlineExceeded)
    assert error.executed == "maybe"
    assert [pending.cancelled for pending in channel.pendings] == [1]
    assert harness.gates["a"].held == 0
    assert len(harness.limiter.released) == harness.limiter.granted == 1


def test_many_calls_end_each_with_its_own_deadline():
    errors, _, channel = drive(never, calls=20)
    assert {type(error) for error in errors} == {DeadlineExceeded}
    assert all(pending.cancelled == 1 for pending in channel.pendings)


def test_a_call_with_an_earlier_deadline_does_not_wait_for_the_later_one():
    async def main():
        overdue = Overdue(time.monotonic)
        harness = Harness("a", clock=time.monotonic, make_channel=lambda node: Channel(never))
        long = asyncio.ensure_future(
            aio_driver.drive(harness.begin(timeout=PATIENCE), asyncio.Event(), overdue)
        )
        await asyncio.sleep(0)
        error = await aio_driver.drive(harness.begin(timeout=TIMEOUT), asyncio.Event(), overdue)
        assert isinstance(error, DeadlineExceeded)
        assert not long.done()
        long.cancel()
        with pytest.raises(asyncio.CancelledError):
            await long
        overdue.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    "answer",
    [None, "text", 3, failure(kind="no such kind"), failure(executed="perhaps")],
    ids=["None", "text", "int", "kind", "executed"],
)
def test_an_answer_that_is_no_outcome_is_the_transports_fault(answer):
    (error,), harness, channel = drive(settled(answer))
    assert isinstance(error, PluginFault)
    assert error.executed == "maybe"
    assert channel.pendings[0].cancelled == 1
    assert harness.gates["a"].held == 0
    assert len(harness.limiter.released) == 1


@pytest.mark.parametrize("reply", [None, "text", [], 3], ids=repr)
def test_a_reply_that_cannot_be_awaited_is_the_transports_fault(reply):
    (error,), harness, _ = drive(lambda: reply)
    assert isinstance(error, PluginFault)
    assert harness.gates["a"].held == 0


@pytest.mark.skipif(sys.version_info < (3, 11), reason="3.10 cannot tell who cancelled a task")
def test_a_channel_that_cancels_its_reply_cancels_the_call_and_not_the_task():
    def cancelled():
        reply = never()
        reply.cancel()
        return reply

    (error,), harness, _ = drive(cancelled)
    assert isinstance(error, CallCancelled)
    assert error.executed == "maybe"
    assert harness.gates["a"].held == 0


def test_a_cancel_that_raises_changes_nothing_and_is_said():
    class Stubborn(Pending):
        def cancel(self):
            raise KeyError("a bug in cancel")

    channel = Channel(never)
    channel.start = lambda request: Stubborn(never())
    harness = Harness("a", clock=time.monotonic, make_channel=lambda node: channel, timeout=TIMEOUT)

    async def main():
        return await aio_driver.drive(harness.begin(), asyncio.Event(), Overdue(time.monotonic))

    assert isinstance(asyncio.run(main()), DeadlineExceeded)
    (line,) = harness.complaints
    assert "cancel raised KeyError" in line


def test_calls_that_end_in_time_leave_nothing_to_look_at():
    async def main():
        overdue = Overdue(time.monotonic)
        harness = Harness(
            "a", clock=time.monotonic, make_channel=lambda node: Channel(settled(SUCCESS))
        )
        loop, timers = asyncio.get_running_loop(), []
        call_later = loop.call_later
        loop.call_later = lambda *given: timers.append(call_later(*given)) or timers[-1]
        for _ in range(100):
            assert await aio_driver.drive(harness.begin(), asyncio.Event(), overdue) is None
        assert overdue.waits == {}
        assert len(timers) == 1, "one timer for all"
        overdue.close()

    asyncio.run(main())
