"""A name with several addresses: families in turns, 250 ms for each, the first connection wins."""

from __future__ import annotations

import asyncio
import socket
import threading
import time

import pytest
import uvloop

import bee_core
from bee_core import errors
from bee_plugins.transports.address_race import DELAY, AddressRace, connect, connect_async
from support.black_holes import black_hole
from support.patience import PATIENCE, scaled

V4, V6 = socket.AF_INET, socket.AF_INET6


def entry(place, family=V4):
    return (family, socket.SOCK_STREAM, 6, "", place)


def blocking(found, timeout=PATIENCE):
    return connect(found, lambda _: None, time.monotonic() + timeout)


def with_loop(new_loop):
    def dial(found, timeout=PATIENCE):
        async def main():
            return await asyncio.wait_for(connect_async(found, lambda _: None), timeout)

        loop = new_loop()
        try:
            return loop.run_until_complete(main())
        finally:
            loop.close()

    return dial


DRIVERS = {
    "blocking": blocking,
    "asyncio": with_loop(asyncio.new_event_loop),
    "uvloop": with_loop(uvloop.new_event_loop),
}


@pytest.fixture(params=DRIVERS)
def dial(request):
    return DRIVERS[request.param]


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


@pytest.fixture
def refused():
    """A place where nobody listens and nobody can."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()


@pytest.fixture
def hole():
    """A place that swallows packets: a listener whose queue is full."""
    with black_hole() as place:
        yield place


def test_the_families_take_turns_and_the_first_one_begins(monkeypatch):
    found = [entry((f"v6-{number}",), V6) for number in range(3)] + [
        entry(("v4-0",)),
        entry(("v4-1",)),
    ]
    tried = []
    race = AddressRace(found, lambda _: None)
    monkeypatch.setattr(socket.socket, "connect_ex", lambda _, place: tried.append(place[0]) or 111)
    race.begin(0.0)
    assert tried == ["v6-0", "v4-0", "v6-1", "v4-1", "v6-2"]


def test_the_next_address_starts_after_250_ms_and_the_first_connection_wins(dial, hole, listener):
    began = time.monotonic()
    with dial([entry(hole), entry(listener.getsockname())]) as sock:
        assert sock.getpeername() == listener.getsockname()
    assert DELAY <= time.monotonic() - began < DELAY + scaled(1.0)


def test_an_address_that_refuses_costs_no_time(dial, refused, listener):
    began = time.monotonic()
    with dial([entry(refused), entry(listener.getsockname())]) as sock:
        assert sock.getpeername() == listener.getsockname()
    assert time.monotonic() - began < DELAY


def test_the_error_is_that_of_the_preferred_address(dial, refused):
    unreachable = entry(("255.255.255.255", 1))  # a broadcast address: another error
    with pytest.raises(ConnectionRefusedError):
        dial([entry(refused), unreachable])
    with pytest.raises(OSError) as caught:
        dial([unreachable, entry(refused)])
    assert not isinstance(caught.value, ConnectionRefusedError)


def test_a_name_without_an_address_is_said(dial):
    with pytest.raises(ConnectionRefusedError, match="the name has no address"):
        dial([])


def test_all_addresses_together_have_the_time_of_one(dial, hole):
    began = time.monotonic()
    with pytest.raises((TimeoutError, asyncio.TimeoutError)):
        dial([entry(hole)] * 2, 0.4)
    assert time.monotonic() - began < 0.4 + scaled(1.0)


def test_what_does_not_win_is_closed(dial, hole, listener, monkeypatch):
    made = []

    class Watched(socket.socket):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            made.append(self)

    with monkeypatch.context() as patched:
        patched.setattr("bee_plugins.transports.address_race.socket.socket", Watched)
        with dial([entry(hole), entry(listener.getsockname())]) as sock:
            attempts = [one for one in made if one.family == V4]
            assert [one.fileno() >= 0 for one in attempts if one is not sock] == [False]
        with pytest.raises((TimeoutError, asyncio.TimeoutError)):
            dial([entry(hole)], 0.05)
        assert all(one.fileno() < 0 for one in made if one.family == V4)


def test_a_connection_that_is_not_wanted_is_a_failed_attempt(listener):
    def refuse(_):
        raise ConnectionRefusedError(111, "not this one")

    with pytest.raises(ConnectionRefusedError, match="not this one"):
        connect([entry(listener.getsockname())], refuse, time.monotonic() + PATIENCE)


class Calculator:
    def add(self, a: int, b: int) -> int:
        return a + b


@pytest.fixture
def name(monkeypatch):
    """Gives ``calc.test`` addresses; counts how often they are asked for."""
    real = socket.getaddrinfo
    known = {"places": [], "asked": 0}

    def getaddrinfo(host, port, *args, flags=0, **more):
        if host != "calc.test":
            return real(host, port, *args, flags=flags, **more)
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "a name")
        known["asked"] += 1
        return [entry((host, port)) for host in known["places"]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


@pytest.mark.parametrize("kind", ["blocking", "asyncio", "future"])
def test_a_client_calls_a_name_whose_first_address_is_a_black_hole(name, hole, kind):
    name["places"] = ["127.0.0.2", "127.0.0.3"]
    address = f"127.0.0.3:{hole[1]}"
    server = bee_core.build_server(
        {"bee": {"rpc": {"server": {"name": "calc", "address": address}}}}
    )
    server.add(Calculator())
    keys = {"address": f"calc.test:{hole[1]}", "timeout": 20, "connect_timeout": 15}
    config = {"bee": {"rpc": {"client": {"calc": keys}}}}

    async def call():
        async with bee_core.build_async_client(config) as client:
            return await client.service("calc").add(1, 2)

    with server.in_thread():
        began = time.monotonic()
        if kind == "asyncio":
            assert asyncio.run(call()) == 3
        else:
            with bee_core.build_client(config) as client:
                add = client.service("calc").add
                assert (bee_core.future(add, 1, 2).result() if kind == "future" else add(1, 2)) == 3
        assert time.monotonic() - began < scaled(3.0)


def test_a_name_is_looked_up_again_on_each_new_connection(name, monkeypatch):
    name["places"] = ["127.0.0.2"]
    servers = []
    for host in ("127.0.0.2", "127.0.0.3"):
        port = servers[0].address.rpartition(":")[2] if servers else 0
        server = bee_core.build_server(
            {"bee": {"rpc": {"server": {"name": "calc", "address": f"{host}:{port}"}}}}
        )
        server.add(lambda host=host: host, name="where")
        if not servers:
            running = server.in_thread()
            running.__enter__()
        servers.append(server)
    port = servers[0].address.rpartition(":")[2]
    keys = {"address": f"calc.test:{port}", "timeout": 20}
    with bee_core.build_client({"bee": {"rpc": {"client": {"calc": keys}}}}) as client:
        calc = client.service("calc")
        assert [calc.where(), calc.where()] == ["127.0.0.2"] * 2
        assert name["asked"] == 1
        running.__exit__(None, None, None)
        name["places"] = ["127.0.0.3"]
        with servers[1].in_thread():
            assert calc.where() == "127.0.0.3"
        assert name["asked"] == 2


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_a_lookup_that_hangs_ends_with_the_connect_timeout(monkeypatch, kind):
    release, threads = threading.Event(), []
    real = socket.getaddrinfo

    def hang(host, *args, flags=0, **more):
        if host != "calc.test":
            return real(host, *args, flags=flags, **more)
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "a name")
        threads.append(threading.current_thread())
        release.wait(PATIENCE)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    keys = {"address": "calc.test:1", "timeout": 20, "connect_timeout": 0.1, "fail": "failfast"}
    config = {"bee": {"rpc": {"client": {"calc": keys}}}}

    async def call():
        async with bee_core.build_async_client(config) as client:
            for _ in range(3):
                with pytest.raises(errors.Unavailable, match="connect_timeout") as caught:
                    await client.service("calc").add(1, 2)
                assert caught.value.executed == "no"

    if kind == "asyncio":
        asyncio.run(call())
    else:
        with bee_core.build_client(config) as client:
            for _ in range(3):
                with pytest.raises(errors.Unavailable, match="connect_timeout") as caught:
                    client.service("calc").add(1, 2)
                assert caught.value.executed == "no"
    assert len(threads) == 1  # all calls wait for the same lookup
    release.set()
    threads[0].join(PATIENCE)
    assert not threads[0].is_alive()
