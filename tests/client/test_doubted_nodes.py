"""Nodes that the registry does not list any more, over real sockets and with both clients."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time

import pytest

import bee_core
from bee_core.errors import CallError, Unavailable
from bee_core.terms.causes import refused
from bee_core.testing import MemoryRegistry
from support.patience import PATIENCE, scaled


class Calculator:
    @bee_core.nonblocking
    def add(self, a: int, b: int) -> int:
        return a + b


def serve(**settings):
    server = bee_core.build_server(
        {"bee": {"rpc": {"server": {"name": "calc", "address": "127.0.0.1:0", **settings}}}}
    )
    server.add(Calculator())
    return server.in_thread()


def config(**settings):
    return {
        "bee": {
            "rpc": {
                "registry": {"protocol": "memory", "heartbeat_interval": 30},
                "client": {"calc": {"timeout": PATIENCE, **settings}},
            }
        }
    }


class Blocking:
    def __init__(self, registry, **settings):
        self.client = bee_core.build_client(config(**settings), plugins=[registry])

    def add(self):
        return self.client.service("calc").add(1, 2)

    def nodes(self):
        return self.client.nodes("calc")

    def close(self):
        self.client.close()


class Futures(Blocking):
    def add(self):
        return bee_core.future(self.client.service("calc").add, 1, 2).result(PATIENCE)


class Asyncio:
    """On a loop of its own that runs on a thread."""

    def __init__(self, registry, **settings):
        self.client = bee_core.build_async_client(config(**settings), plugins=[registry])
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE)

    def add(self):
        async def add():
            return await self.client.service("calc").add(1, 2)

        return self.run(add())

    def nodes(self):
        return self.run(self.client.nodes("calc"))

    def close(self):
        if self.loop.is_closed():
            return
        self.run(self.client.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(PATIENCE)
        self.loop.close()


@pytest.fixture(params=[Blocking, Futures, Asyncio])
def made(request):
    registry = MemoryRegistry()
    with contextlib.ExitStack() as stack:

        def make(**settings):
            tested = request.param(registry, **settings)
            stack.callback(tested.close)
            return registry, tested

        yield make


def outlook(tested):
    return tested.client.discoveries.outlook("calc")


def eventually(holds):
    until = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.005)


def in_doubt(tested):
    """The reason why the one node is in doubt, once it has answered."""

    def answered():
        doubts = outlook(tested).doubts
        return doubts and "not been asked" not in doubts[0].reason

    eventually(answered)
    return outlook(tested).doubts[0].reason


def test_a_server_that_is_full_is_asked_on_the_connection_that_is_open(made):
    registry, tested = made()
    with serve(max_conn_size=1) as server:
        registry.publish("calc", server.address)
        assert tested.add() == 3
        registry.wipe()
        assert in_doubt(tested) == "the registry does not list it, and it answers pings"
        assert tested.add() == 3
        assert outlook(tested).state == "lying"


def test_a_server_that_is_full_and_refuses_for_it_is_alive(made):
    registry, tested = made()
    with serve(max_conn_size=1) as server, Holding(server.address):
        registry.publish("calc", server.address)
        with contextlib.suppress(CallError):
            tested.add()
        registry.wipe()
        reason = in_doubt(tested)
        assert reason.startswith("the registry does not list it, and it answers pings: "), reason


class Holding:
    """Another client, which takes a server's one connection."""

    def __init__(self, address):
        self.client = bee_core.build_client(
            {"bee": {"rpc": {"client": {"calc": {"address": address}}}}}
        )

    def __enter__(self):
        assert self.client.service("calc").add(1, 2) == 3
        return self

    def __exit__(self, *error):
        self.client.close()


def test_a_server_that_has_ended_goes_at_once(made):
    registry, tested = made()
    with serve() as server:
        registry.publish("calc", server.address)
        assert tested.add() == 3
    registry.wipe()
    eventually(lambda: not tested.client.assembly.services["calc"].nodes.states)
    with pytest.raises(Unavailable, match="the registry lists none"):
        tested.add()


def test_a_node_in_doubt_goes_when_a_call_finds_nobody_there(made):
    """Whatever it said to a ping before."""
    registry, tested = made()
    service = tested.client.assembly.services["calc"]
    with serve() as server:
        node = registry.publish("calc", server.address)
        assert tested.add() == 3
        registry.wipe()
        in_doubt(tested)
        service.refused(node, refused(ConnectionRefusedError(111, "Connection refused")))
        eventually(lambda: not service.nodes.states)
        assert not outlook(tested).doubts


def test_a_report_waits_until_the_nodes_of_the_disk_were_asked(made):
    """Also where the registry lists a node that fits, and calls wait for nothing."""
    registry, before = made()
    with serve() as listed, serve() as doubted:
        registry.publish("calc", listed.address)
        node = registry.publish("calc", doubted.address)
        assert len(before.nodes().nodes) == 2
        before.close()
        registry.withdraw("calc", node.id)
        for called_first in (False, True):
            _, tested = made()
            if called_first:
                assert tested.add() == 3
            report = tested.nodes()
            assert [known.node.url for known in report.in_doubt] == [node.url]
            assert (len(report.nodes), report.doubtful) == (2, True)
            tested.close()


def test_a_report_waits_a_second_for_a_node_that_hangs(made):
    registry, before = made()
    with serve() as listed, socket.create_server(("127.0.0.1", 0)) as hangs:
        registry.publish("calc", listed.address)
        node = registry.publish("calc", f"tcp://127.0.0.1:{hangs.getsockname()[1]}")
        assert len(before.nodes().nodes) == 2
        before.close()
        registry.withdraw("calc", node.id)
        _, tested = made()
        began = time.monotonic()
        assert [known.node.url for known in tested.nodes().nodes] == [listed.address]
        assert 0.9 < time.monotonic() - began < scaled(5)


def test_the_error_says_that_nodes_are_in_doubt(made):
    registry, tested = made(breaker="consecutive")
    with serve() as server:
        registry.publish("calc", server.address)
        assert tested.add() == 3
        registry.wipe()
        in_doubt(tested)
        kind, message = tested.client.assembly.services["calc"].nodes.explain_none()
    assert kind == "circuit_open"
    assert message.endswith("; it is in doubt: the registry does not list it, and it answers pings")
