"""More connections and more requests than the limits allow.

Rejected before any work, and never for long.
"""

from __future__ import annotations

import asyncio
import threading

import pytest

import bee_core
from bee_core.errors import Overloaded
from bee_core.wire import frames
from faults.rawpeer import RawClient, hello, request
from faults.services import Calculator, serving
from faults.users import client_config
from support.patience import PATIENCE


def test_more_requests_than_max_in_flight_are_rejected_before_any_work(calculator, users):
    with serving(calculator, max_in_flight=2) as server:
        user = users(server.address, fail="failfast")
        holding = [user.start("hold", number) for number in range(2)]
        calculator.await_entered(2)
        for method in ("add", "add_async", "add_here"):
            with pytest.raises(Overloaded, match="max_in_flight is 2") as caught:
                user.call(method, 1, 2)
            assert caught.value.executed == "no"
        assert calculator.runs == 2
        calculator.release.set()
        assert [call.result(PATIENCE) for call in holding] == [0, 1]
        assert user.call("add", 1, 2) == 3


def test_an_overloaded_node_sends_the_call_to_another_one_even_if_it_is_a_write(calculator, users):
    other = Calculator()
    with serving(calculator, max_in_flight=1) as full, serving(other) as free:
        blocker = users(full.address)
        holding = blocker.start("hold", 7)
        calculator.await_entered()
        user = users(full.address, free.address, fail="failover", idempotent=False)
        assert [user.call("add", 1, n) for n in range(10)] == [1 + n for n in range(10)]
        assert calculator.runs == 1
        assert other.runs == 10
        calculator.release.set()
        assert holding.result(PATIENCE) == 7


def test_a_handler_that_overstays_its_deadline_still_counts_as_in_flight(calculator, users):
    with serving(calculator, max_in_flight=1) as server:
        user = users(server.address, fail="failfast")
        with pytest.raises(bee_core.errors.DeadlineExceeded):
            user.call("hold", 1, options={"timeout": 0.1})
        with pytest.raises(Overloaded):
            user.call("add", 1, 2)
        assert server.in_flight == 1
        assert calculator.runs == 1


def test_more_connections_than_max_conn_size_are_refused_with_the_reason(calculator, users):
    with (
        serving(calculator, max_conn_size=2) as server,
        RawClient(server.address) as first,
        RawClient(server.address) as second,
    ):
        for peer in (first, second):
            peer.send(hello())
            peer.expect(frames.HELLO_ACK)
        user = users(server.address, fail="failfast")
        for _ in range(3):
            with pytest.raises(Overloaded, match="max_conn_size is 2") as caught:
                user.call("add", 1, 2)
            assert caught.value.executed == "no"
        assert calculator.runs == 0
        first.send(request(1, "add", b"[1,2]"))
        assert first.expect(frames.RESPONSE).body == b"3"


def test_a_connection_that_left_makes_room_for_another(calculator, users):
    with serving(calculator, max_conn_size=1) as server:
        with RawClient(server.address) as peer:
            peer.send(hello())
            peer.expect(frames.HELLO_ACK)
        user = users(server.address, fail="failtry", retries=20, timeout=PATIENCE)
        assert user.call("add", 1, 2) == 3


def test_many_threads_on_one_client_get_their_own_answers(server):
    with bee_core.build_client(client_config(server.address)) as client:
        calc = client.service("calc")
        wrong = []

        def work(number):
            for turn in range(20):
                value = f"{number}-{turn}"
                for method in (calc.echo, calc.add_async, calc.add_here):
                    args, expected = (
                        ((value,), value)
                        if method is calc.echo
                        else ((number, turn), number + turn)
                    )
                    answer = method(*args)
                    if answer != expected:
                        wrong.append((answer, expected))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()
        assert wrong == []


def test_many_tasks_on_one_client_get_their_own_answers(server):
    async def main():
        async with bee_core.build_async_client(client_config(server.address)) as client:
            calc = client.service("calc")
            calls = [calc.echo(n) if n % 2 else calc.add_async(n, 0) for n in range(1000)]
            return await asyncio.gather(*calls)

    assert asyncio.run(main()) == list(range(1000))
