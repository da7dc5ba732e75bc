"""Clients that are not closed as they should be: nothing of them stays, and a warning says so."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest

import bee_core
from bee_core import errors
from bee_core.testing import MemoryRegistry
from support.patience import PATIENCE


class Calculator:
    def add(self, a: int, b: int) -> int:
        return a + b

    def slow(self, seconds: float) -> int:
        time.sleep(seconds)
        return 1


@pytest.fixture
def server():
    section = {"name": "calc", "address": "127.0.0.1:0", "drain_timeout": 1}
    server = bee_core.build_server({"bee": {"rpc": {"server": section}}})
    server.add(Calculator())
    with server.in_thread():
        yield server


def config(server, **keys):
    return {"bee": {"rpc": {"client": {"calc": {"address": server.address} | keys}}}}


def with_registry(server):
    registry = MemoryRegistry()
    registry.publish("calc", server.address)
    rpc = {"registry": {"protocol": "memory"}, "client": {"calc": {}}}
    return {"bee": {"rpc": rpc}}, [registry]


def threads_of_clients():
    return [thread for thread in threading.enumerate() if thread.name.startswith("bee-control-")]


def drop(holder, what):
    """Drop the only reference to a client; a warning says so."""
    with pytest.warns(ResourceWarning, match=rf"a bee {what} was dropped without close\(\)"):
        collect(holder)


def collect(holder):
    holder.clear()
    gc.collect()


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def wait_until(condition):
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        gc.collect()
        time.sleep(0.01)


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/fd").exists(), reason="descriptors are counted through /proc"
)


@needs_proc
@pytest.mark.parametrize("how", ["address", "registry"])
def test_a_blocking_client_that_is_dropped_leaves_no_thread_and_no_descriptor(server, how):
    given, plugins = with_registry(server) if how == "registry" else (config(server), [])
    wait_until(lambda: not server.listeners[0].connections)
    before = descriptors()
    holder = [bee_core.build_client(given, plugins=plugins)]
    assert holder[0].service("calc").add(1, 2) == 3
    assert bee_core.future(holder[0].service("calc").add, 1, 2).result() == 3
    assert threads_of_clients()
    drop(holder, "Client")
    wait_until(lambda: not threads_of_clients())
    wait_until(lambda: descriptors() <= before)
    assert not server.listeners[0].connections


@needs_proc
@pytest.mark.parametrize("loop_is", ["running", "closed"])
@pytest.mark.parametrize("how", ["address", "registry"])
def test_an_asyncio_client_that_is_dropped_leaves_no_thread_and_no_descriptor(server, loop_is, how):
    given, plugins = with_registry(server) if how == "registry" else (config(server), [])
    wait_until(lambda: not server.listeners[0].connections)
    before = descriptors()

    async def main():
        client = bee_core.build_async_client(given, plugins=plugins)
        assert await client.service("calc").add(1, 2) == 3
        return client

    async def drop_it():
        drop([await main()], "AsyncClient")
        until = time.monotonic() + PATIENCE
        while server.listeners[0].connections:
            assert time.monotonic() < until
            await asyncio.sleep(0.01)

    if loop_is == "running":
        asyncio.run(drop_it())
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # asyncio's, about its transports
            holder = [asyncio.run(main())]
        drop(holder, "AsyncClient")
    wait_until(lambda: not threads_of_clients())
    wait_until(lambda: descriptors() <= before)


@pytest.mark.parametrize("how", ["address", "registry"])
def test_an_asyncio_client_that_is_closed_on_another_loop_cleans_up(server, how):
    given, plugins = with_registry(server) if how == "registry" else (config(server), [])
    client = bee_core.build_async_client(given, plugins=plugins)

    async def call():
        assert await client.service("calc").add(1, 2) == 3

    asyncio.run(call())
    with pytest.warns(ResourceWarning, match="closed on another event loop"):
        asyncio.run(client.close())
    asyncio.run(client.close())  # idempotent, and silent
    assert not threads_of_clients()
    wait_until(lambda: not server.listeners[0].connections)


def test_an_asyncio_client_may_be_closed_while_its_loop_runs_on_another_thread(server):
    client = bee_core.build_async_client(config(server))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:

        async def call():
            return await client.service("calc").add(1, 2)

        assert asyncio.run_coroutine_threadsafe(call(), loop).result(PATIENCE) == 3
        with pytest.warns(ResourceWarning, match="closed on another event loop"):
            asyncio.run(client.close())
        with pytest.raises(errors.CallCancelled):
            asyncio.run_coroutine_threadsafe(call(), loop).result(PATIENCE)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


# Threads that cannot be started.


@pytest.fixture
def no_threads(monkeypatch):
    """Call it with True and bee gets no thread, with False and it gets them again."""
    real, broken = threading.Thread.start, []

    def start(self):
        if broken and self.name.startswith("bee-"):
            raise RuntimeError("can't start new thread")
        real(self)

    monkeypatch.setattr(threading.Thread, "start", start)
    return lambda yes: broken.append(1) if yes else broken.clear()


def test_a_server_without_a_further_thread_uses_those_that_it_has(server, no_threads):
    with bee_core.build_client(config(server)) as client:
        calc = client.service("calc")
        assert calc.add(1, 2) == 3
        no_threads(True)
        busy = threading.Thread(target=calc.slow, args=(0.3,))
        busy.start()
        wait_until(lambda: server.in_flight == 1)
        assert calc.add(1, 2) == 3
        busy.join()
        assert server.in_flight == 0
        no_threads(False)
        assert calc.add(1, 2) == 3


def test_a_future_without_a_thread_did_not_run_and_the_next_one_does(server, no_threads):
    with bee_core.build_client(config(server)) as client:
        add = client.service("calc").add
        no_threads(True)
        for _ in range(2):
            with pytest.raises(errors.Unavailable, match="can't start new thread") as caught:
                bee_core.future(add, 1, 2).result(PATIENCE)
            assert caught.value.executed == "no"
        no_threads(False)
        assert bee_core.future(add, 1, 2).result(PATIENCE) == 3


def test_a_client_whose_control_plane_did_not_start_finds_its_nodes_later(server, no_threads):
    given, plugins = with_registry(server)
    with bee_core.build_client(given, plugins=plugins) as client:
        calc = client.service("calc")
        no_threads(True)
        with pytest.raises(errors.Unavailable):
            calc.add(1, 2)
        no_threads(False)
        assert calc.add(1, 2) == 3


# Green threads.


@pytest.mark.parametrize("made", ["build_client", "build_async_client", "build_server"])
def test_a_process_that_gevent_has_patched_is_refused_by_one_sentence(made):
    pytest.importorskip("gevent")
    program = f"""
from gevent import monkey
monkey.patch_all()
import bee_core
rpc = {{"server": {{"name": "s"}}, "client": {{"s": {{"address": "127.0.0.1:1"}}}}}}
bee_core.{made}({{"bee": {{"rpc": rpc}}}})
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    last = ended.stderr.strip().splitlines()[-1]
    assert "BeeError: bee does not work in a process that gevent has monkey-patched" in last
