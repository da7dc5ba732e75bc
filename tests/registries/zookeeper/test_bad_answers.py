"""Answers of ZooKeeper that are late or garbled cost a connection at most, and never the session."""

from __future__ import annotations

import struct
import time

import pytest

from bee_core.errors import RegistryError
from support.zookeeper_relay import AnswersRelay
from support.zookeeper_rig import BOUND, error_of, folder, instance, plain_client, run

pytestmark = pytest.mark.registries


def http(_):
    return b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot found"


def expired_hello(_):
    """A hello of which only the time-out of 0 looks like the end of the session."""
    return struct.pack(">iiiqi16s?", 37, 7, 0, 99, 16, b"\xff" * 16, False)


def random_bytes(data):
    return bytes((byte * 167 + 13) % 256 for byte in data)


def unknown_error(data):
    """The answer with an error code that ZooKeeper does not have."""
    return data[:4] + data[4:16] + struct.pack(">i", -9999) + data[20:]


def cut_off(data):
    return data[: len(data) // 2]


@pytest.mark.parametrize("noise", [http, expired_hello, random_bytes, unknown_error])
def test_garbled_answers_are_no_lost_lease_and_the_session_goes_on(zookeeper, noise):
    async def scenario(rig):
        async with AnswersRelay(zookeeper.port) as relay:
            mine = rig.registry(relay.address, heartbeat=1.6)
            lease = await mine.register(instance(rig.service))
            session = mine.session.id
            relay.noise = noise
            until = time.monotonic() + 1.6
            while time.monotonic() < until or relay.spoilt < 2:
                assert isinstance(await error_of(lease.renew()), OSError)
            relay.noise = None
            while True:
                try:
                    await lease.renew()
                    break
                except OSError:
                    assert time.monotonic() < until + BOUND
            with plain_client(zookeeper.address) as client:
                _, stat = client.get(f"{folder(rig.service)}/calc-1")
            assert (mine.session.id, stat.ephemeralOwner) == (session, session)
            await mine.close()

    run(scenario)


@pytest.mark.parametrize("noise", [http, expired_hello, random_bytes])
def test_what_is_no_answer_of_zookeepers_is_a_registry_out_of_reach(zookeeper, noise):
    async def scenario(rig):
        async with AnswersRelay(zookeeper.port) as relay:
            relay.noise = noise
            mine = rig.registry(relay.address)
            for attempt in (
                mine.register(instance(rig.service)),
                mine.watch(rig.service).__anext__(),
            ):
                error = await error_of(attempt)
                assert isinstance(error, OSError)
                assert not isinstance(error, RegistryError)
            await mine.close()

    run(scenario)


def test_a_connection_whose_answers_are_late_is_kept(zookeeper):
    async def scenario(rig):
        async with AnswersRelay(zookeeper.port) as relay:
            session = await rig.registry(relay.address, heartbeat=1.6).connected()
            relay.late = 2.0  # of a session of 4.8 s; kazoo would wait 1.6 s for a ping
            assert not await session.change(1.5 * session.timeout)
            assert session.connected
            relay.late = 0.0

    run(scenario)


def test_a_renewal_over_a_new_connection_whose_answers_are_late_keeps_the_lease(zookeeper):
    async def scenario(rig):
        async with AnswersRelay(zookeeper.port) as relay:
            mine = rig.registry(relay.address, heartbeat=1.6)
            lease = await mine.register(instance(rig.service))
            session = mine.session.id
            relay.late = 1.0
            for _ in range(3):
                await lease.renew()
                relay.cut()
                while mine.session.connected:
                    await mine.session.change(BOUND)
            await lease.renew()
            assert mine.session.id == session
            relay.late = 0.0

    run(scenario)
