"""``close()`` with calls in flight: they end at once, and nothing of the client is left."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

import bee_core
from bee_core import hookimpl
from bee_core.errors import CallCancelled
from faults.descriptors import open_sockets
from faults.services import serving
from faults.users import client_config
from support.patience import PATIENCE


@pytest.mark.parametrize("method", ["hold", "hold_async"])
def test_close_ends_calls_in_flight_quickly(server, users, calculator, method):
    user = users(server.address, idempotent=True)
    calls = [user.start(method, number) for number in range(5)]
    calculator.await_entered(5)
    user.close_client()
    for call in calls:
        with pytest.raises(CallCancelled, match="closed") as caught:
            call.result(PATIENCE)
        assert caught.value.executed == "maybe"
    assert calculator.let_go == 0, "it did not wait for the handlers"


def test_close_tells_the_handlers(server, users, calculator):
    user = users(server.address)
    call = user.start("hold_async", 1)
    calculator.await_entered()
    user.close_client()
    calculator.await_cancelled()
    assert isinstance(call.exception(PATIENCE), CallCancelled)


def test_close_ends_a_pause_before_a_retry(users):
    with socket.create_server(("127.0.0.1", 0)) as door:
        url = f"tcp://127.0.0.1:{door.getsockname()[1]}"
    pause = 1000 * PATIENCE  # no call waits so long for the retry, even with jitter
    slow = {"name": "failtry", "options": {"base": pause, "cap": pause}}
    user = users(url, fail=slow, retries=1, timeout=2 * pause)
    call = user.start("add", 1, 2)
    user.close_client()
    with pytest.raises(bee_core.errors.CallError):
        call.result(PATIENCE)


def test_a_closed_client_says_so_and_sends_nothing(server, users, calculator):
    user = users(server.address)
    user.close_client()
    user.close_client()
    with pytest.raises(CallCancelled, match="closed") as caught:
        user.call("add", 1, 2)
    assert caught.value.executed == "no"
    assert calculator.runs == 0


def test_a_blocking_client_leaves_no_thread_and_no_socket_behind(processes):
    server = processes()
    threads, sockets = set(threading.enumerate()), open_sockets()
    client = bee_core.build_client(client_config(server.url))
    calc = client.service("calc")
    assert calc.echo(1) == 1
    cancelled = []

    def hang():
        try:
            calc.hang()
        except CallCancelled as error:
            cancelled.append(error)

    callers = [threading.Thread(target=hang) for _ in range(3)]
    for caller in callers:
        caller.start()
    for _ in callers:
        server.expect("hanging")
    assert len(open_sockets() - sockets) >= 3
    client.close()
    for caller in callers:
        caller.join(PATIENCE)
    assert len(cancelled) == 3
    assert set(threading.enumerate()) == threads
    assert open_sockets() == sockets


def test_an_asyncio_client_leaves_no_task_no_thread_and_no_socket_behind(processes):
    server = processes()
    threads = set(threading.enumerate())

    async def main():
        sockets = open_sockets()
        client = bee_core.build_async_client(client_config(server.url))
        calc = client.service("calc")
        assert await calc.echo(1) == 1
        calls = [asyncio.create_task(calc.hang()) for _ in range(3)]
        for _ in calls:
            await asyncio.to_thread(server.expect, "hanging")
        await client.close()
        for error in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(error, CallCancelled)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert open_sockets() == sockets

    asyncio.run(main())
    assert set(threading.enumerate()) == threads


def test_a_server_in_a_thread_leaves_no_thread_and_no_socket_behind(calculator):
    threads, sockets = set(threading.enumerate()), open_sockets()
    with (
        serving(calculator) as server,
        bee_core.build_client(client_config(server.address)) as client,
    ):
        calc = client.service("calc")
        assert (calc.add(1, 2), calc.add_async(1, 2), calc.add_here(1, 2)) == (3, 3, 3)
    assert set(threading.enumerate()) == threads
    assert open_sockets() == sockets


def test_closing_from_another_thread_while_many_call_gives_each_an_answer_or_a_cancellation(server):
    client = bee_core.build_client(client_config(server.address, fail="failfast"))
    calc = client.service("calc")
    results, begun = [], threading.Semaphore(0)

    def work():
        while True:
            try:
                assert calc.add(1, 2) == 3
                begun.release()
            except Exception as error:  # noqa: PERF203  # the loop ends there
                results.append(error)
                return

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for _ in range(100):
        assert begun.acquire(timeout=PATIENCE)
    client.close()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert [error for error in results if not isinstance(error, CallCancelled)] == []
    assert len(results) == 10


class ClosingBalancer:
    """Closes the client while it picks: what comes to the call afterwards finds it closed."""

    settle = None

    def __init__(self):
        self.ready = ()
        self.close = lambda: None

    @hookimpl
    def bee_register_balancers(self, registry):
        registry.add("closing", lambda: self)

    def update(self, ready):
        self.ready = ready

    def pick(self, key, tried, now, rng):
        self.close()
        return next((node for node in self.ready if node.id not in tried), None)


def test_a_call_that_was_picking_its_node_when_the_client_was_closed_opens_no_connection(
    server, calculator
):
    balancer = ClosingBalancer()
    before = open_sockets()
    client = bee_core.build_client(
        client_config(server.address, balancer="closing"), plugins=[balancer]
    )
    calc = client.service("calc")
    balancer.close = client.close
    with pytest.raises(CallCancelled, match="closed") as caught:
        calc.add(1, 2)
    assert caught.value.executed == "no"
    assert calculator.runs == 0
    assert open_sockets() - before == set()


class HeldCompressor:
    """Compresses when the test lets it."""

    def __init__(self):
        self.entered = threading.Event()
        self.release = threading.Event()

    @hookimpl
    def bee_register_compressors(self, registry):
        registry.add("held", lambda: self)

    def compress(self, body):
        self.entered.set()
        self.release.wait(PATIENCE)
        return body[:100]

    def decompress(self, body, limit):
        raise AssertionError("nothing was sent")


def test_a_call_that_was_compressed_when_an_asyncio_client_was_closed_opens_no_connection(
    server, calculator
):
    compressor = HeldCompressor()
    before = open_sockets()

    async def main():
        client = bee_core.build_async_client(
            client_config(server.address, compress="held", compress_above="1 KiB"),
            plugins=[compressor],
        )
        call = asyncio.ensure_future(client.service("calc").size("a" * (1 << 20)))
        assert await asyncio.get_running_loop().run_in_executor(
            None, compressor.entered.wait, PATIENCE
        )
        await client.close()
        compressor.release.set()
        with pytest.raises(CallCancelled, match="closed") as caught:
            await asyncio.wait_for(call, PATIENCE)
        assert caught.value.executed == "no"
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())
    assert calculator.runs == 0
    assert open_sockets() - before == set()
