"""Servers that leave in good order.

What is in flight ends, what comes later goes elsewhere, and nobody counts it as a failure.
"""

from __future__ import annotations

import asyncio
import signal
import threading

import pytest

import bee_core
from bee_core.errors import Unavailable
from bee_core.wire import frames
from bee_core.wire.messages import Goaway, parse_pong
from faults.rawpeer import RawClient, RawServer, hello, request
from faults.services import Calculator, server_config, serving
from faults.users import client_config
from support.patience import PATIENCE


class Stopping:
    """A server in a thread of its own that a test stops when it wants to."""

    def __init__(self, target, **settings):
        self.server = bee_core.build_server(server_config(**settings))
        self.server.add(target)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.run(self.server.start())
        self.url = self.server.address

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE)

    def begin_to_stop(self):
        """Returns once the server drains: its clients have been told."""
        stopping = asyncio.run_coroutine_threadsafe(self.server.stop(), self.loop)

        async def told():
            while not self.server.listeners[0].draining:  # noqa: ASYNC110  # nothing signals it
                await asyncio.sleep(0)

        self.run(told())
        return stopping

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.run(self.server.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(PATIENCE)
        self.loop.close()


@pytest.mark.parametrize("method", ["hold", "hold_async"])
def test_stop_lets_calls_in_flight_finish(calculator, users, method):
    with Stopping(calculator) as server:
        user = users(server.url)
        call = user.start(method, 7)
        calculator.await_entered()
        stopping = server.begin_to_stop()
        calculator.release.set()
        assert call.result(PATIENCE) == 7
        stopping.result(PATIENCE)


def test_a_request_that_crosses_the_goaway_goes_to_another_node_and_costs_no_attempt(
    calculator, users
):
    """failfast, not idempotent.

    It is no retry, since the leaving server says that it did not run.
    """

    def answer(send, frame):
        send(frames.encode(frames.GOAWAY, 0, Goaway(frame.id - 1).encode()))

    with RawServer(answer) as leaving, serving(calculator) as staying:
        stays = staying.address
        user = users(leaving.url, stays, balancer="round-robin", fail="failfast")
        replies = [user.detailed("add", 1, number) for number in range(6)]
        assert leaving.connections > 0
    assert [reply.value for reply in replies] == [1 + number for number in range(6)]
    assert {reply.attempts for reply in replies} == {1}
    assert {reply.node.url for reply in replies} == {stays}


def test_calls_beside_a_server_that_drains_are_served_by_the_others(calculator, users):
    other = Calculator()
    with Stopping(calculator) as leaving, serving(other) as staying:
        user = users(
            leaving.url, staying.address, balancer="round-robin", fail="failover", idempotent=False
        )
        holding = [user.start("hold", number) for number in range(2)]
        calculator.await_entered()
        other.await_entered()
        stopping = leaving.begin_to_stop()
        before = calculator.runs
        replies = [user.detailed("add", 1, number) for number in range(6)]
        assert [reply.value for reply in replies] == [1 + number for number in range(6)]
        assert {reply.node.url for reply in replies} == {staying.address}
        assert calculator.runs == before
        calculator.release.set()
        other.release.set()
        assert sorted(call.result(PATIENCE) for call in holding) == [0, 1]
        stopping.result(PATIENCE)


def test_a_request_behind_the_goaway_is_dropped_and_the_goaway_names_what_was_accepted(calculator):
    with Stopping(calculator) as server, RawClient(server.url) as peer:
        peer.send(hello(), request(1, "hold", b"[7]"))
        calculator.await_entered()
        stopping = server.begin_to_stop()
        goaway = peer.goaway()
        assert (goaway.last_id, goaway.kind) == (1, "unavailable")
        peer.send(request(2, "add_here", b"[1,2]"), frames.encode(frames.PING, 3))
        assert peer.expect(frames.PONG).id == 3
        calculator.release.set()
        answer = peer.expect(frames.RESPONSE)
        assert (answer.id, answer.body) == (1, b"7")
        assert peer.next() is None, "nothing else was answered"
        stopping.result(PATIENCE)
    assert calculator.runs == 1


def test_a_single_node_that_drains_is_unavailable_and_did_not_run(calculator, users):
    with Stopping(calculator) as server:
        user = users(server.url, retries=0)
        holding = user.start("hold", 7)
        calculator.await_entered()
        stopping = server.begin_to_stop()
        with pytest.raises(Unavailable) as caught:
            user.call("add", 1, 2)
        assert caught.value.executed == "no"
        calculator.release.set()
        assert holding.result(PATIENCE) == 7
        stopping.result(PATIENCE)
    assert calculator.runs == 1


def test_what_outlives_drain_timeout_is_cancelled(calculator, users):
    with Stopping(calculator, drain_timeout=0.2) as server:
        call = users(server.url).start("hold_async", 7)
        calculator.await_entered()
        server.run(server.server.stop())
        with pytest.raises(bee_core.errors.CallCancelled, match="shut down") as caught:
            call.result(PATIENCE)
        assert caught.value.executed == "maybe"
        calculator.await_cancelled()


def test_a_connection_that_waited_to_be_accepted_when_the_signal_came_is_told_that_nothing_ran(
    processes,
):
    """Closing the door would reset it, and its client could not know whether its request ran."""
    server = processes()
    server.signal(signal.SIGSTOP)
    with RawClient(server.url) as peer:
        peer.send(hello(), request(1, "write", b'["x"]'))
        server.signal(signal.SIGTERM)
        server.signal(signal.SIGCONT)
        answers = []
        while (frame := peer.next()) is not None:
            answers.append(frame.kind)
        assert frames.GOAWAY in answers or frames.RESPONSE in answers
    assert server.process.wait(PATIENCE) == 0


def test_a_connection_made_just_before_the_end_is_refused_and_not_reset(calculator):
    """The system has accepted it, the server's loop has not seen it yet."""
    with Stopping(calculator) as server:
        peers = []

        async def connect_and_stop():
            # On the loop's own thread, so that the loop cannot accept in between.
            peers.append(RawClient(server.url))
            peers[0].send(hello(), request(1, "add", b"[1,2]"))
            await server.server.stop()

        server.run(connect_and_stop())
        with peers[0] as peer:
            assert peer.goaway().last_id == 0
    assert calculator.runs == 0


def test_a_draining_server_says_so_to_a_ping(calculator):
    with Stopping(calculator) as server, RawClient(server.url) as peer:
        peer.send(hello(), request(1, "hold", b"[7]"))
        calculator.await_entered()
        stopping = server.begin_to_stop()
        peer.send(frames.encode(frames.PING, 5))
        assert parse_pong(peer.expect(frames.PONG).fields) == "draining"
        calculator.release.set()
        stopping.result(PATIENCE)


def test_a_server_can_be_started_again(calculator, users):
    server = bee_core.build_server(server_config())
    server.add(calculator)
    for _ in range(3):
        with server.in_thread():
            assert users(server.address).call("add", 1, 2) == 3
    with pytest.raises(RuntimeError, match="no address"):
        server.address  # noqa: B018  # reading it is the point


def test_a_server_runs_inside_an_event_loop(calculator):
    async def main():
        server = bee_core.build_server(server_config())
        server.add(calculator)
        async with server, bee_core.build_async_client(client_config(server.address)) as client:
            calc = client.service("calc")
            return [await calc.add(1, 2), await calc.add_async(1, 2), await calc.add_here(1, 2)]

    assert asyncio.run(main()) == [3, 3, 3]


def test_port_0_gives_each_server_a_port_of_its_own():
    with serving(Calculator()) as first, serving(Calculator()) as second:
        assert first.address != second.address
        assert not first.address.endswith(":0")
