"""When a server is ready, and what it is before and after."""

from __future__ import annotations

import asyncio
import threading

import pytest

import bee_core
from bee_core.server.readiness import Readiness
from bee_core.testing import MemoryRegistry
from support.patience import PATIENCE


def states_of(readiness):
    """Each state from now on."""
    found = []
    readiness.watch(found.append)
    return found


def test_each_step_of_a_start_is_a_state_and_only_one_of_them_is_ready():
    readiness = Readiness()
    seen = []
    readiness.watch(lambda state: seen.append((state, readiness.ready, readiness.why_not != "")))
    readiness.starting()
    readiness.listening()
    readiness.registration("registered")
    readiness.draining()
    readiness.stopped()
    assert seen == [
        ("stopped", False, True),
        ("starting", False, True),
        ("registering", False, True),
        ("ready", True, False),
        ("draining", False, True),
        ("stopped", False, True),
    ]


def test_how_the_first_attempt_to_register_ends_does_not_matter():
    readiness = Readiness()
    readiness.starting()
    readiness.listening()
    readiness.registration("registry_out_of_reach", "no answer within 1 s")
    assert readiness.ready
    assert readiness.lease_trouble == "no answer within 1 s"


def test_a_lost_lease_is_said_and_leaves_the_server_ready():
    readiness = Readiness()
    readiness.starting()
    readiness.listening()
    readiness.registration("registered")
    readiness.registration("lease_lost", "the registry says so")
    assert (readiness.ready, readiness.lease) == (True, "lease_lost")


def test_news_of_the_registry_make_no_draining_server_ready():
    readiness = Readiness()
    readiness.starting()
    readiness.listening()
    readiness.draining()
    readiness.registration("registered")
    assert readiness.state == "draining"


def test_who_no_longer_watches_hears_nothing():
    readiness = Readiness()
    seen = states_of(readiness)
    readiness.unwatch(seen.append)
    readiness.starting()
    assert seen == ["stopped"]


def config(**settings):
    server = {"name": "calc", "address": "memory://ready", **settings}
    registry = {"protocol": "memory", "heartbeat_interval": 0.2}
    return {"bee": {"rpc": {"registry": registry, "server": server}}}


def build(registry, **settings):
    server = bee_core.build_server(config(**settings), plugins=[registry])
    server.add(lambda a, b: a + b, name="add")
    return server


def test_a_server_that_announces_nothing_is_ready_once_it_listens():
    server = build(MemoryRegistry())
    seen = states_of(server.readiness)
    with server.in_thread():
        assert server.readiness.ready
        assert server.readiness.lease == ""
    assert seen == ["stopped", "starting", "registering", "ready", "draining", "stopped"]


def test_a_server_waits_for_its_first_attempt_to_register_and_for_no_other():
    registry = MemoryRegistry()
    ready = threading.Event()
    server = build(registry, register=True)
    server.readiness.watch(lambda state: ready.set() if state == "ready" else None)
    registry.go_silent()
    with server.in_thread():
        assert server.readiness.state == "registering"
        registry.go_out_of_reach()
        assert ready.wait(PATIENCE)
        assert server.readiness.lease == "registry_out_of_reach"
        registry.come_back()
        registry.wait_for_nodes("calc", 1)


def test_a_server_that_fails_to_listen_is_stopped_and_can_start_again():
    async def main():
        registry = MemoryRegistry()
        other = build(registry)
        server = build(registry)
        async with other:
            with pytest.raises(OSError, match="another server"):
                await server.start()
            assert server.readiness.state == "stopped"
        async with server:
            assert server.readiness.ready

    asyncio.run(main())
