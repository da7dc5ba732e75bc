"""How first calls wait: by the share of their time, and without losing a cancellation."""

from __future__ import annotations

import asyncio
from threading import Thread

import pytest

from bee_core.control.first_nodes import FirstNodes
from support.virtual_loop import run_virtually


@pytest.mark.parametrize(
    ("seconds", "stand_in", "left"),
    [(10.0, False, 9.9), (0.2, False, 0.18), (10.0, True, 5.0)],
)
def test_how_long_a_call_may_wait(seconds, stand_in, left):
    first = FirstNodes(lambda: 100.0, stand_in=stand_in)
    assert first.left(100.0, 100.0 + seconds) == pytest.approx(left)


def test_a_registry_that_refuses_is_waited_for_a_second_more_from_then_on():
    first = FirstNodes(lambda: 103.5, stand_in=False)
    first.refused_at = 103.0
    assert first.left(100.0, 130.0) == pytest.approx(0.5)
    first.refused_at = 90.0
    assert first.left(103.2, 130.0) == pytest.approx(0.7)


def test_a_thread_goes_on_when_it_is_over():
    first = FirstNodes(lambda: 0.0, stand_in=False)
    ended = []
    thread = Thread(target=lambda: ended.append(first.wait(0.0, 60.0)), daemon=True)
    thread.start()
    first.tell()
    first.end()
    thread.join(10.0)
    assert ended == [True]


@pytest.mark.parametrize("steps", range(8))
def test_a_call_that_is_cancelled_while_news_come_is_cancelled(steps):
    async def scenario():
        loop = asyncio.get_running_loop()
        first = FirstNodes(loop.time, stand_in=False)
        call = asyncio.ensure_future(first.wait_async(loop.time(), loop.time() + 10.0))
        await asyncio.sleep(1.0)
        first.tell()
        for _ in range(steps):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait((call,))
        return call.cancelled()

    assert run_virtually(scenario())
