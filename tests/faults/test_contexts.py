"""What travels with a call: deadlines, metadata, baggage; and where a call may be made from.

Loops, handlers, forked children.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import warnings

import pytest

import bee_core
from bee_core.errors import DeadlineExceeded, RemoteError, Unavailable
from faults.descriptors import open_sockets
from faults.services import serving
from faults.users import client_config
from support.patience import PATIENCE


class Front:
    """Calls another service, in each kind of handler."""

    def __init__(self, url):
        self.client = bee_core.build_client(
            client_config(url, service="calc", timeout=2000, metadata={"from": "front"})
        )
        self.async_client = bee_core.build_async_client(
            client_config(url, service="calc", timeout=2000, metadata={"from": "front"})
        )

    def time_left(self) -> float:
        return self.client.service("calc").time_left()

    async def time_left_async(self) -> float:
        return await self.async_client.service("calc").time_left()

    def said(self) -> dict[str, str]:
        return self.client.service("calc").said()

    async def said_async(self) -> dict[str, str]:
        return await self.async_client.service("calc").said()

    def hold(self) -> int:
        return self.client.service("calc").hold_async(1)

    async def block_the_loop(self) -> float:
        return self.client.service("calc").time_left()

    @bee_core.nonblocking
    def block_the_loop_here(self) -> float:
        return self.client.service("calc").time_left()


@pytest.fixture
def front(server):
    target = Front(server.address)
    with serving(target, name="front") as serving_front:
        yield serving_front
    target.client.close()


def test_the_time_left_is_sent(server, users):
    left = users(server.address).call("time_left", options={"timeout": 500})
    assert 400 < left <= 500


@pytest.mark.parametrize("method", ["time_left", "time_left_async"])
def test_a_call_made_in_a_handler_gets_no_more_time_than_the_handler_has(front, users, method):
    left = users(front.address, service="front").call(method, options={"timeout": 300})
    assert 200 < left <= 300


def test_a_deadline_two_hops_away_ends_the_whole_chain(front, users, calculator):
    with pytest.raises(DeadlineExceeded):
        users(front.address, service="front").call("hold", options={"timeout": 0.4})
    calculator.await_cancelled()


@pytest.mark.parametrize("method", ["said", "said_async"])
def test_baggage_travels_two_hops_and_metadata_one(front, users, method):
    user = users(front.address, service="front", metadata={"tenant": "a"}, baggage={"trace": "t1"})
    assert user.call(method) == {"trace": "t1", "from": "front"}


def test_metadata_and_baggage_reach_the_first_handler(server, users):
    user = users(server.address, metadata={"tenant": "a"}, baggage={"trace": "t1"})
    assert user.call("said", options={"metadata": {"more": "b"}}) == {
        "tenant": "a",
        "trace": "t1",
        "more": "b",
    }


@pytest.mark.parametrize("method", ["block_the_loop", "block_the_loop_here"])
def test_a_blocking_call_on_a_servers_loop_is_an_error_that_says_what_to_do(front, users, method):
    with pytest.raises(RemoteError, match="build_async_client") as caught:
        users(front.address, service="front").call(method)
    assert caught.value.type == "BeeError"


def test_a_blocking_call_on_another_loop_is_one_warning(server):
    async def main(client):
        return client.service("calc").add(1, 2) + client.service("calc").add(3, 4)

    with (
        bee_core.build_client(client_config(server.address)) as client,
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        assert asyncio.run(main(client)) == 10
    assert [str(entry.message) for entry in caught if "event loop" in str(entry.message)] == [
        str(caught[0].message)
    ]


def test_an_asyncio_client_belongs_to_one_loop(server):
    client = bee_core.build_async_client(client_config(server.address))

    async def call():
        return await client.service("calc").add(1, 2)

    async def call_and_close():
        assert await call() == 3
        await client.close()

    asyncio.run(call_and_close())
    with pytest.raises(bee_core.errors.BeeError, match="another event loop"):
        asyncio.run(call())


def in_child(work):
    """Run ``work`` in a forked child; what it returns, as text."""
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # 3.12 warns of forks beside threads, and this is a test of just that
        pid = os.fork()
    if pid == 0:
        try:
            os.write(write, str(work()).encode())
        except BaseException as error:
            os.write(write, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return said


def test_a_forked_child_calls_on_connections_of_its_own_and_the_parents_go_on(processes):
    server = processes()
    before = open_sockets()
    with bee_core.build_client(client_config(server.url, fail="failfast")) as client:
        calc = client.service("calc")
        assert calc.echo("parent") == "parent"
        ours = open_sockets() - before
        assert ours
        assert in_child(lambda: open_sockets() & ours) == "set()", "no descriptor is shared"
        assert in_child(lambda: [calc.echo(n) for n in range(3)]) == "[0, 1, 2]"
        assert bee_core.detailed(calc.echo, "again").attempts == 1
        assert open_sockets() - before == ours, "the parent's connection is the same as before"


def test_a_fork_in_the_middle_of_a_call_disturbs_neither_side(processes):
    server = processes()
    with bee_core.build_client(client_config(server.url, fail="failfast")) as client:
        calc = client.service("calc")
        results = []
        caller = threading.Thread(target=lambda: results.append(calc.hold(7)))
        caller.start()
        server.expect("holding 7")
        assert in_child(lambda: calc.echo("child")) == "child"
        assert in_child(client.close) == "None"
        server.release()
        caller.join(PATIENCE)
        assert results == [7]


def test_parent_and_child_send_different_deduplication_keys(processes):
    class Keys:
        def key(self) -> str:
            return bee_core.current_call().dedupe_key.hex()

    with (
        serving(Keys()) as server,
        bee_core.build_client(client_config(server.address, idempotent=True)) as client,
    ):
        keys = client.service("calc").key
        first = keys()
        child = in_child(keys)
        second = keys()
    assert len({first, child, second}) == 3
    assert first[:16] == second[:16] != child[:16]


@pytest.mark.parametrize("scheme", ["tcp", "unix", "memory"])
def test_every_transport_passes_the_same_calls(users, calculator, tmp_path, scheme):
    url = {
        "tcp": "tcp://127.0.0.1:0",
        "unix": f"unix://{tmp_path}/calc.sock",
        "memory": f"memory://calc-{tmp_path.name}",
    }[scheme]
    with serving(calculator, address=url) as server:
        user = users(server.address)
        assert server.address.startswith(f"{scheme}://")
        assert [user.call(method, 1, 2) for method in ("add", "add_async", "add_here")] == [3, 3, 3]
        assert user.call("size", "a" * 3_000_000) == 3_000_000
        with pytest.raises(RemoteError):
            user.call("fail", "x")
        with pytest.raises(DeadlineExceeded):
            user.call("hold_async", 1, options={"timeout": 0.1})
        calculator.await_cancelled()
        assert user.call("add", 1, 2) == 3
    with pytest.raises(Unavailable) as caught:
        user.call("add", 1, 2, options={"retries": 0})
    assert caught.value.executed == "no"


def test_a_connect_that_hangs_costs_the_next_call_nothing(users):
    """The door's queue is full, so connecting takes for ever.

    Then the door is gone, and the next call must hear that and not wait.
    """
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as door,
        socket.create_connection(door.getsockname()),
    ):
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(door.getsockname())
        url = f"tcp://127.0.0.1:{door.getsockname()[1]}"
        user = users(url, retries=0, connect_timeout=0.2)
        with pytest.raises(Unavailable, match="connect_timeout") as caught:
            user.call("add", 1, 2)
        assert caught.value.executed == "no"
        for filler in fillers:
            filler.close()
    with pytest.raises(Unavailable, match="refused"):
        user.call("add", 1, 2)


def test_run_serves_until_the_signal(processes, users):
    server = processes()
    assert users(server.url).call("echo", 1) == 1
    assert server.terminate() == 0
