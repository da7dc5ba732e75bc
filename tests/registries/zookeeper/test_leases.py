"""Registrations in ZooKeeper: what keeps them, what takes them away, and what is left of them."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import attrs

from bee_core.errors import LeaseLost
from support import processes
from support.registry_processes import ZooKeeper
from support.zookeeper_rig import (
    BOUND,
    NODE,
    Rig,
    error_of,
    expire,
    instance,
    registry,
    run,
    service_name,
)


def test_a_session_that_was_ended_from_outside_is_a_lost_lease_and_the_node_comes_back(zookeeper):
    async def scenario(rig):
        mine = rig.registry(zookeeper.address, heartbeat=10)
        watcher = rig.watch(rig.registry(zookeeper.address))
        lease = await mine.register(instance(rig.service))
        await watcher.until_ids(["calc-1"])
        await asyncio.to_thread(expire, zookeeper.address, mine.session)
        await watcher.until_ids([])
        while not isinstance(error := await error_of(lease.renew()), LeaseLost):
            assert isinstance(error, OSError)
            await mine.session.change(1)  # until kazoo has heard of it
        assert "session has expired" in str(error)
        await lease.revoke()
        again = await mine.register(instance(rig.service))
        await watcher.until_ids(["calc-1"])
        await again.renew()

    run(scenario)


class HeldLooks:
    """Looks at znodes from other threads than the loop's are answered, and used only later."""

    def __init__(self, client, monkeypatch):
        self.looked, self.go_on = threading.Event(), threading.Event()
        loop, exists = threading.get_ident(), client.exists_async

        def held(path, watch=None):
            answer = exists(path, watch)
            if threading.get_ident() != loop:
                answer.wait(BOUND)
                self.looked.set()
                assert self.go_on.wait(BOUND)
            return answer

        monkeypatch.setattr(client, "exists_async", held)


def test_a_removal_that_is_late_does_not_meet_the_znode_of_the_next_registration(
    zookeeper, monkeypatch
):
    async def scenario(rig):
        mine = rig.registry(zookeeper.address, heartbeat=10)
        old = await mine.register(instance(rig.service))
        looks = HeldLooks(mine.session.client, monkeypatch)
        removing = asyncio.ensure_future(asyncio.to_thread(old.remove))  # as the keeper does
        assert await asyncio.to_thread(looks.looked.wait, BOUND)
        await old.revoke()
        new = await mine.register(instance(rig.service))
        looks.go_on.set()
        assert await asyncio.wait_for(removing, BOUND)
        await new.renew()
        await rig.watch(rig.registry(zookeeper.address)).until_ids(["calc-1"])

    run(scenario)


def test_a_loop_that_hangs_loses_its_lease_though_the_session_lives(zookeeper):
    lost = threading.Event()
    hung = threading.Event()
    service = service_name()

    def hang():
        async def server():
            mine = registry(zookeeper.address)
            other = await mine.register(instance(service, attrs.evolve(NODE, id="again")))
            lease = await mine.register(instance(service))
            hung.set()
            assert lost.wait(BOUND)  # the loop stands still, on purpose
            session = mine.session.id
            errors = [await error_of(one.renew()) for one in (lease, other)]
            assert mine.session.id == session
            await mine.close()
            return errors

        outcome.extend(asyncio.run(server()))

    outcome = []
    thread = threading.Thread(target=hang)
    thread.start()

    async def scenario(rig):
        assert await asyncio.to_thread(hung.wait, BOUND)
        watcher = rig.watch(rig.registry(zookeeper.address), service)
        try:
            await watcher.until(lambda snapshot: bool(snapshot.nodes))
            await watcher.until_ids([], BOUND)
        finally:
            lost.set()
            await asyncio.to_thread(thread.join, BOUND)

    run(scenario)
    assert [type(error) for error in outcome] == [LeaseLost, LeaseLost]


def test_a_loop_that_was_stopped_loses_its_lease_and_kazoo_survives_the_closed_loop(zookeeper):
    service = service_name()
    failures = []
    before = threading.excepthook
    threading.excepthook = failures.append

    async def begin():
        mine = registry(zookeeper.address)
        await mine.register(instance(service))
        return mine

    loop = asyncio.new_event_loop()
    mine = loop.run_until_complete(begin())
    loop.close()
    try:

        async def scenario(rig):
            watcher = rig.watch(rig.registry(zookeeper.address), service)
            await watcher.until_ids(["calc-1"])
            await watcher.until_ids([])

        # What is left is ended by hand: nobody can close a registry whose loop is gone.
        async def looking(rig):
            await scenario(rig)

        asyncio.run(_with_rig(looking))
    finally:
        mine.keeper.stop()
        mine.session.client.stop()
        mine.session.client.close()
        mine.keeper.join(BOUND)
        threading.excepthook = before
    assert failures == []


async def _with_rig(scenario):
    rig = Rig()
    try:
        await scenario(rig)
    finally:
        await rig.close()


def test_while_the_registry_is_frozen_a_renewal_is_no_lost_lease_and_a_short_freeze_costs_nothing(
    start_registry,
):
    server = start_registry(ZooKeeper)

    async def scenario(rig):
        mine = rig.registry(server.address, heartbeat=1.5)
        lease = await mine.register(instance(rig.service))
        server.freeze()
        renewing = asyncio.ensure_future(lease.renew())
        done, _ = await asyncio.wait((renewing,), timeout=0.5)
        assert not done
        server.thaw()
        await asyncio.wait_for(renewing, BOUND)
        await lease.renew()

    run(scenario)


def test_a_registry_frozen_past_the_lease_is_out_of_reach_and_then_the_node_registers_again(
    start_registry,
):
    server = start_registry(ZooKeeper)

    async def scenario(rig):
        mine = rig.registry(server.address)
        lease = await mine.register(instance(rig.service))
        server.freeze()
        begun = time.monotonic()
        error = await error_of(lease.renew())
        assert isinstance(error, OSError)
        while time.monotonic() < begun + 1.5 * lease.ttl:
            assert isinstance(await error_of(lease.renew()), (OSError, LeaseLost))
            await asyncio.sleep(lease.ttl / 6)  # the beat
        server.thaw()
        until, lost = time.monotonic() + BOUND, False
        while True:
            try:
                if lost:
                    lease, lost = await mine.register(instance(rig.service)), False
                await lease.renew()
                break
            except LeaseLost:
                lost = True
            except OSError:
                assert time.monotonic() < until
                await asyncio.sleep(0.1)  # the back-off that a registration keeps
        await rig.watch(rig.registry(server.address)).until_ids(["calc-1"])

    run(scenario)


def test_a_revocation_that_finds_no_connection_is_made_up_for_when_there_is_one(start_registry):
    server = start_registry(ZooKeeper)

    async def scenario(rig):
        mine = rig.registry(server.address, heartbeat=1.6)
        lease = await mine.register(instance(rig.service))
        session = mine.session
        server.freeze()
        while session.connected:
            await session.change(BOUND)
        assert isinstance(await error_of(lease.revoke()), OSError)
        server.thaw()
        await lease.revoke()
        watcher = rig.watch(rig.registry(server.address))
        await watcher.until_ids([])

    run(scenario)


def test_the_session_of_a_client_that_came_to_an_end_goes_on_with_the_next_one(zookeeper):
    async def scenario(rig):
        mine = rig.registry(zookeeper.address, heartbeat=1.6)
        other = await mine.register(instance(rig.service, attrs.evolve(NODE, id="other")))
        await mine.register(instance(rig.service))
        old = mine.session
        old.handler.abort()  # the session breaks off without a farewell, and stands at the server
        old.client._stopped.set()  # noqa: SLF001  # no public name has it
        while not old.ended:
            await old.change(BOUND)
        old.client._stopped.clear()  # noqa: SLF001  # no public name has it
        lease = await mine.register(instance(rig.service, attrs.evolve(NODE, version="2.0.0")))
        assert mine.session is not old
        assert mine.session.id == old.id
        await lease.renew()
        await other.renew()
        await rig.watch(rig.registry(zookeeper.address)).until(
            lambda snapshot: sorted(node.version for node in snapshot.nodes) == ["1.2.0", "2.0.0"]
        )

    run(scenario)


SERVER = """
import asyncio, sys
sys.path.insert(0, sys.argv[3])
from support.zookeeper_rig import instance, registry
async def main():
    mine = registry(sys.argv[1])
    await mine.register(instance(sys.argv[2]))
    print("registered", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def test_a_process_that_dies_by_sigkill_leaves_the_list_within_its_lease(zookeeper):
    async def scenario(rig):
        here = str(Path(__file__).parents[2])
        process = await asyncio.to_thread(
            processes.start,
            [sys.executable, "-c", SERVER, zookeeper.address, rig.service, here],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert await asyncio.to_thread(process.stdout.readline) == "registered\n"
            watcher = rig.watch(rig.registry(zookeeper.address))
            await watcher.until_ids(["calc-1"])
            process.send_signal(signal.SIGKILL)
            await watcher.until_ids([], 2.0 + 1.5)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()

    run(scenario)
