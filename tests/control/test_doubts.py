"""How nodes in doubt are asked: the pace of a client, on a virtual loop."""

from __future__ import annotations

import asyncio

from bee_core.control.doubts import PINGS_A_SECOND, Doubts
from bee_core.testing import seeded_random
from support.virtual_loop import run_virtually


class Asked:
    """Doubts, and when each node was asked."""

    def __init__(self, seconds=0.0):
        self.loop = asyncio.get_running_loop()
        self.doubts = Doubts(self.loop.time, seeded_random())
        self.seconds = seconds  # that an answer takes
        self.times = []
        self.order = []
        self.under_way = self.most = 0

    def begin(self, key, again=1.0):
        async def question():
            self.times.append(self.loop.time())
            self.order.append(key)
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            await asyncio.sleep(self.seconds)
            self.under_way -= 1
            return again

        self.doubts.begin(key, question)


def most_in_a_second(times):
    return max(sum(1 for one in times if at <= one < at + 1.0 - 1e-6) for at in times)


def test_a_client_sends_at_most_twenty_pings_a_second_and_spreads_them():
    async def scenario():
        asked = Asked()
        for service in ("calc", "export", "mail"):
            for number in range(100):
                asked.begin((service, number))
        await asyncio.sleep(40)
        return asked

    asked = run_virtually(scenario())
    assert most_in_a_second(asked.times) == PINGS_A_SECOND == 20
    gaps = [then - at for at, then in zip(asked.times, asked.times[1:], strict=False)]
    assert min(gaps) >= 1 / 20 - 1e-6
    assert max(gaps) < 0.06, "and does not idle meanwhile"
    assert sorted(asked.order[:300]) == sorted(set(asked.order)), "each once before any twice"
    assert asked.order[:100] != sorted(asked.order[:100]), "other clients have another order"


def test_one_node_is_asked_at_once_and_again_when_it_asks_for_it():
    async def scenario():
        asked = Asked()
        began = asked.loop.time()
        asked.begin("a", again=1.25)
        await asyncio.sleep(3)
        return [round(at - began, 3) for at in asked.times]

    assert run_virtually(scenario()) == [0.0, 1.25, 2.5]


def test_what_is_settled_is_not_asked_again():
    async def scenario():
        asked = Asked()
        asked.begin("a", again=None)
        asked.begin("b")
        await asyncio.sleep(0.5)
        asked.doubts.end("b")
        asked.doubts.end("nobody")
        await asyncio.sleep(60)
        asked.begin("c", again=None)
        await asyncio.sleep(1)
        return asked.order

    assert sorted(run_virtually(scenario())) == ["a", "b", "c"]


def test_a_question_that_ends_while_it_is_asked_is_not_put_again():
    async def scenario():
        asked = Asked(seconds=0.5)
        asked.begin("a")
        await asyncio.sleep(0.2)
        asked.doubts.end("a")
        await asyncio.sleep(10)
        return asked.order

    assert run_virtually(scenario()) == ["a"]


def test_silent_nodes_do_not_pile_up():
    async def scenario():
        asked = Asked(seconds=30.0)
        for number in range(1000):
            asked.begin(number)
        await asyncio.sleep(120)
        return asked.most

    assert run_virtually(scenario()) == 2 * PINGS_A_SECOND


def test_records_that_come_and_go_all_the_time_hold_up_nobody():
    async def scenario():
        asked = Asked()
        for turn in range(200):
            for number in range(500):
                asked.begin((turn, number))
            for number in range(500):
                asked.doubts.end((turn, number))
            await asyncio.sleep(0)
        before = len(asked.order)
        asked.begin("late")
        await asyncio.sleep(2.5)
        return asked.order[before:].count("late")

    assert run_virtually(scenario()) == 3


def test_a_runner_that_is_cancelled_while_news_come_ends():
    async def scenario():
        asked = Asked()
        asked.begin("a", again=1000.0)
        await asyncio.sleep(1)
        for steps in range(6):
            others = asyncio.all_tasks() - {asyncio.current_task()}
            asked.begin(steps, again=1000.0)
            for _ in range(steps):
                await asyncio.sleep(0)
            for other in others:
                other.cancel()
            _, stubborn = await asyncio.wait(others, timeout=1)
            assert not stubborn, steps
            asked.doubts.after_fork()
            asked.begin(("again", steps), again=1000.0)
            await asyncio.sleep(1)

    run_virtually(scenario())
