"""Connections that are idle for long: neither end trusts them, and no call is left in doubt."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

import bee_core
from bee_core import errors
from bee_core.streams.client import liveness
from support.patience import PATIENCE, scaled
from support.tcp_relay import TcpRelay


class Calculator:
    def add(self, a: int, b: int) -> int:
        return a + b

    async def slow(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@pytest.fixture
def serve():
    """Starts a server with some keys of its section; returns its address."""
    started = []

    def start(**keys):
        section = {"name": "calc", "address": "127.0.0.1:0"} | keys
        server = bee_core.build_server({"bee": {"rpc": {"server": section}}})
        server.add(Calculator())
        running = server.in_thread()
        started.append(running)
        running.__enter__()
        return server

    yield start
    for running in reversed(started):
        running.__exit__(None, None, None)


def config(address, **keys):
    return {"bee": {"rpc": {"client": {"calc": {"address": address} | keys}}}}


def connections(server):
    return sum(listener.connections for listener in server.listeners)


def wait_until(condition):
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.005)


class Later:
    """The clock of a client, which a test moves on."""

    def __init__(self, monkeypatch):
        self._offset = 0.0
        real = time.monotonic
        monkeypatch.setattr("bee_core.client.core.time.monotonic", lambda: real() + self._offset)

    def pass_seconds(self, seconds):
        self._offset += seconds


@pytest.mark.parametrize("kind", ["call", "future"])
def test_a_blocking_client_does_not_use_a_connection_that_was_idle_too_long(
    serve, monkeypatch, kind
):
    later = Later(monkeypatch)
    forgotten = LossyDoor(int(serve().address.rpartition(":")[2]))
    keys = {"timeout": 3.0, "read_timeout": 1.0, "fail": "failfast"}
    with forgotten, bee_core.build_client(config(forgotten.address, **keys)) as client:
        add = client.service("calc").add
        call = add if kind == "call" else lambda a, b: bee_core.future(add, a, b).result()
        assert call(1, 2) == 3
        forgotten.lose()
        later.pass_seconds(181)
        assert call(3, 4) == 7


def test_an_asyncio_client_does_not_use_a_connection_that_was_idle_too_long(serve, monkeypatch):
    later = Later(monkeypatch)
    port = int(serve().address.rpartition(":")[2])

    async def main():
        async with TcpRelay(port) as relay:
            keys = {"timeout": 3.0, "read_timeout": 1.0, "fail": "failfast"}
            async with bee_core.build_async_client(config(relay.address, **keys)) as client:
                calc = client.service("calc")
                assert await calc.add(1, 2) == 3
                relay.lose()
                later.pass_seconds(181)
                assert await calc.add(3, 4) == 7

    asyncio.run(main())


def test_a_connection_that_is_younger_is_used_again(serve, monkeypatch):
    later = Later(monkeypatch)
    server = serve()
    with bee_core.build_client(config(server.address, max_idle=20)) as client:
        calc = client.service("calc")
        for _ in range(3):
            assert calc.add(1, 2) == 3
            later.pass_seconds(19)
        assert connections(server) == 1
        later.pass_seconds(2)
        assert calc.add(1, 2) == 3
        wait_until(lambda: connections(server) == 1)  # the old one is closed


def test_after_a_ping_without_an_answer_an_asyncio_client_calls_on_a_new_connection(
    serve, monkeypatch
):
    monkeypatch.setattr(liveness, "PONG_SECONDS", scaled(0.05))
    port = int(serve().address.rpartition(":")[2])

    async def main():
        async with TcpRelay(port) as relay:
            keys = {"timeout": 30.0, "read_timeout": scaled(0.1), "fail": "failfast"}
            async with bee_core.build_async_client(config(relay.address, **keys)) as client:
                calc = client.service("calc")
                assert await calc.add(1, 2) == 3
                relay.lose()
                with pytest.raises(errors.DeadlineExceeded):
                    await calc.add(1, 2)
                (attempt,) = client.assembly.services["calc"].nodes.states.values()
                channel = attempt.attempt.channel
                until = time.monotonic() + PATIENCE
                while channel.connection is not None:
                    assert time.monotonic() < until
                    await asyncio.sleep(0.005)
                assert await calc.add(3, 4) == 7

    asyncio.run(main())


# The server's side.


def test_a_server_closes_an_idle_connection_with_a_goaway_and_the_next_call_has_a_new_one(serve):
    server = serve(max_idle=0.05)
    with bee_core.build_client(config(server.address, fail="failfast")) as client:
        calc = client.service("calc")
        for number in range(3):
            assert calc.add(number, 1) == number + 1
            wait_until(lambda: connections(server) == 0)


def test_an_asyncio_client_goes_to_a_new_connection_as_well(serve):
    server = serve(max_idle=0.05)

    async def main():
        async with bee_core.build_async_client(config(server.address, fail="failfast")) as client:
            calc = client.service("calc")
            for number in range(3):
                assert await calc.add(number, 1) == number + 1
                await asyncio.to_thread(wait_until, lambda: connections(server) == 0)

    asyncio.run(main())


def test_a_connection_with_a_call_on_it_is_not_idle(serve):
    server = serve(max_idle=0.05)
    with bee_core.build_client(config(server.address, fail="failfast")) as client:
        client.service("calc").slow(0.4)
        assert connections(server) == 1


def test_one_connection_more_than_a_peer_may_have_is_refused_with_the_reason(serve):
    server = serve(max_connections_per_peer=2)
    keys = {"fail": "failfast", "timeout": 5.0}
    with bee_core.build_client(config(server.address, **keys)) as client:
        calc = client.service("calc")
        futures = [bee_core.future(calc.slow, 0.0) for _ in range(3)]  # they share one connection
        assert [future.result() for future in futures] == [None] * 3
        assert calc.add(1, 2) == 3
        with bee_core.build_client(config(server.address, **keys)) as third:
            with pytest.raises(errors.Overloaded, match="max_connections_per_peer is 2") as caught:
                third.service("calc").add(1, 2)
            assert caught.value.executed == "no"
    with bee_core.build_client(config(server.address, **keys)) as client:
        wait_until(lambda: connections(server) == 0)
        assert client.service("calc").add(1, 2) == 3


class LossyDoor:
    """A relay on a thread of its own, for blocking clients; it loses what is connected."""

    def __init__(self, port):
        self._port = port

    def __enter__(self):
        self._loop = asyncio.new_event_loop()
        self._relay = TcpRelay(self._port)
        self._thread = threading.Thread(target=self._loop.run_forever, name="lossy-door")
        self._thread.start()
        self._run(self._relay.__aenter__())
        self.address = self._relay.address
        return self

    def __exit__(self, *_):
        self._run(self._relay.__aexit__())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE)

    def lose(self):
        async def lose():
            self._relay.lose()

        self._run(lose())
