"""A session with ZooKeeper: it ends in bounded time, whatever the server does, with its threads."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time

import pytest

from bee_core.errors import RegistryError
from bee_plugins.registries.zookeeper.session import WINDOW
from support.registry_processes import ZooKeeper
from support.zookeeper_rig import error_of, instance, plain_client, run

CLOSE_BOUND = 2.5


async def closing_time(registry):
    begun = time.monotonic()
    await registry.close()
    return time.monotonic() - begun


def test_closing_removes_what_was_registered_at_once(zookeeper):
    async def scenario(rig):
        mine = rig.registry(zookeeper.address, heartbeat=10)
        await mine.register(instance(rig.service))
        await mine.close()
        await mine.close()
        with plain_client(zookeeper.address) as client:
            assert client.get_children(f"/bee/rpc/{rig.service}/providers") == []
        for late in (mine.register(instance(rig.service)), mine.watch(rig.service).__anext__()):
            assert isinstance(await error_of(late), RegistryError)

    run(scenario)


def test_a_registry_that_was_never_used_has_no_thread_and_closes(zookeeper):
    async def scenario(rig):
        before = threading.active_count()
        mine = rig.registry(zookeeper.address)
        assert threading.active_count() == before
        assert await closing_time(mine) < 1

    run(scenario)


def test_closing_does_not_wait_for_a_frozen_server(start_registry):
    server = start_registry(ZooKeeper)

    async def scenario(rig):
        mine = rig.registry(server.address, heartbeat=1.6)
        await mine.register(instance(rig.service))
        watcher = rig.watch(mine)
        await watcher.until_ids(["calc-1"])
        server.freeze()
        assert await closing_time(mine) < CLOSE_BOUND
        assert isinstance(await error_of(watcher.task), RegistryError)

    run(scenario)  # which looks at the threads


@pytest.mark.parametrize("backlog", ["that says nothing", "that does not even take the connection"])
def test_closing_does_not_wait_for_a_server(backlog):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        fillers = []
        if "take" in backlog:  # the queue of connections is full, so the system drops what comes
            for _ in range(4):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(silent.getsockname())
                fillers.append(filler)

        async def scenario(rig):
            mine = rig.registry(address)
            waiting = asyncio.ensure_future(error_of(mine.watch(rig.service).__anext__()))
            # kazoo's thread sets no event.
            while mine.session is None or not mine.session.handler.sockets:  # noqa: ASYNC110
                await asyncio.sleep(0)
            assert await closing_time(mine) < CLOSE_BOUND
            assert isinstance(await waiting, (RegistryError, OSError))

        run(scenario)
        for filler in fillers:
            filler.close()


def test_the_loop_goes_on_while_a_server_is_waited_for():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()

        async def scenario(rig):
            mine = rig.registry(f"127.0.0.1:{silent.getsockname()[1]}")
            waiting = asyncio.ensure_future(error_of(mine.watch(rig.service).__anext__(), 4.5))
            turns = 0
            while not waiting.done():
                await asyncio.sleep(0.01)  # a turn of the loop
                turns += 1
            assert turns > 50
            assert "time-out" in str(await waiting)

        run(scenario)


def test_thousands_of_requests_while_the_server_is_frozen_do_not_block_the_loop(start_registry):
    server = start_registry(ZooKeeper)

    async def scenario(rig):
        mine = rig.registry(server.address, heartbeat=1.6)
        lease = await mine.register(instance(rig.service))
        server.freeze()
        renewals = [asyncio.ensure_future(error_of(lease.renew())) for _ in range(20 * WINDOW)]
        done, late = await asyncio.wait(renewals, timeout=20)
        assert not late
        assert all(isinstance(task.result(), (OSError, TimeoutError)) for task in done)

    run(scenario)


def test_what_kazoo_says_is_for_debugging_only_and_holds_no_secret(start_registry, caplog):
    caplog.set_level(logging.DEBUG)
    server = start_registry(ZooKeeper)

    async def scenario(rig):
        mine = rig.registry(server.address, username="bee", password="honeycomb")
        await mine.register(instance(rig.service))
        server.kill()
        while mine.session.connected:
            await mine.session.change(5)
        assert isinstance(await error_of(mine.register(instance(rig.service))), OSError)

    run(scenario)
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []
    assert [record for record in caplog.records if record.name == "bee.registry.zookeeper"]
    assert "honeycomb" not in caplog.text
