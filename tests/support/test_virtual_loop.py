"""The virtual loop: hours without waiting, programs that are frozen and killed."""

from __future__ import annotations

import asyncio

import pytest

from support.virtual_loop import Standstill, VirtualLoop


@pytest.fixture
def loop():
    loop = VirtualLoop()
    yield loop
    loop.close()


def test_hours_pass_at_once_and_timers_come_in_their_order_at_their_time(loop):
    came = []

    async def wait(seconds):
        await asyncio.sleep(seconds)
        came.append(loop.time() - began)

    async def all_of_them():
        await asyncio.gather(wait(7200), wait(0.5), wait(60))

    began = loop.time()
    loop.run_until_complete(all_of_them())
    assert came == pytest.approx([0.5, 60, 7200])


def test_what_waits_for_nothing_that_comes_is_said(loop):
    with pytest.raises(Standstill):
        loop.run_until_complete(loop.create_future())


def test_a_wait_that_is_too_long_ends_in_time(loop):
    async def wait():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 30)
        return loop.time()

    began = loop.time()
    assert loop.run_until_complete(wait()) - began == pytest.approx(30)


def test_functions_of_an_executor_run_at_once_and_their_errors_arrive(loop):
    def fails():
        raise OSError("no disk")

    async def both():
        with pytest.raises(OSError, match="no disk"):
            await loop.run_in_executor(None, fails)
        return await asyncio.to_thread(sum, (1, 2))

    assert loop.run_until_complete(both()) == 3


class Beats:
    """A program with a subtask that notes the time once a second."""

    def __init__(self, loop):
        self.loop = loop
        self.at = []
        self.ended = False
        self.began = loop.time()
        self.party = loop.party("beats")
        self.party.spawn(self._main())

    async def _main(self):
        await asyncio.ensure_future(self._sub())

    async def _sub(self):
        try:
            while True:
                await asyncio.sleep(1)
                self.at.append(round(self.loop.time() - self.began, 6))
        finally:
            self.ended = True

    def stop(self):
        self.loop.run_until_complete(self.party.clean_up())


def test_a_frozen_program_runs_what_was_due_when_it_is_thawed(loop):
    beats = Beats(loop)
    loop.run_for(2.5)
    beats.party.freeze()
    loop.run_for(10)
    assert beats.at == [1, 2]
    beats.party.thaw()
    loop.run_for(2)
    assert beats.at == [1, 2, 12.5, 13.5, 14.5][: len(beats.at)]
    assert len(beats.at) >= 4
    beats.stop()


def test_a_killed_program_runs_nothing_any_more_until_the_test_cleans_up(loop):
    beats = Beats(loop)
    loop.run_for(1.5)
    beats.party.kill()
    beats.party.thaw()
    loop.run_for(10)
    assert beats.at == [1]
    assert not beats.ended
    beats.stop()
    assert beats.ended


def test_what_the_network_carries_arrives_although_its_sender_is_frozen(loop):
    arrived = []

    async def travel():
        await asyncio.sleep(1)
        arrived.append(loop.time())

    async def send():
        await loop.carry(travel())
        arrived.append("answer")

    sender = loop.party("sender")
    sender.spawn(send())
    loop.run_for(0.5)
    sender.freeze()
    loop.run_for(5)
    assert len(arrived) == 1
    sender.thaw()
    loop.run_for(1)
    assert arrived[1:] == ["answer"]


def test_a_timer_that_was_cancelled_while_its_program_stood_still_does_not_fire(loop):
    fired = []

    async def program():
        timer = loop.call_later(2, fired.append, "timer")
        loop.call_later(1, timer.cancel)
        await asyncio.sleep(3)

    party = loop.party("program")
    party.spawn(program())
    loop.run_for(0.5)
    party.freeze()
    loop.run_for(10)
    party.thaw()
    loop.run_for(1)
    assert fired == []


def test_before_time_passes_the_moment_of_the_next_timer_is_told(loop):
    told = []
    loop.before_time_passes = lambda then: told.append(then - loop.time())
    loop.run_for(3)
    assert told == pytest.approx([3])
