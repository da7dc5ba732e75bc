"""The network between servers and registry is cut; the one between clients and servers is not."""

from __future__ import annotations

import time

import pytest

from cluster.load import Load
from cluster.servers import listed, urls, when
from registry_faults.conftest import KINDS, World
from registry_faults.network import REGISTRY_SIDE, Host, server_on


@pytest.fixture
def host():
    host = Host()
    yield host
    host.close()


@pytest.fixture(params=KINDS)
def world(request, tmp_path, host):
    world = World(request.param, tmp_path, host=REGISTRY_SIDE)
    world.registry.start()
    yield world
    world.close()


def test_a_cut_between_all_servers_and_their_registry_costs_no_call(world, host, record):
    servers = world.serve(2, kind=server_on(host))
    client = world.connect()
    with Load(client) as load:
        load.await_more(100)
        host.cut_registry()
        cut = time.monotonic()
        for server in servers:
            server.expect("lease lost", timeout=30)
        # For the registry both are dead, and says so; they answer pings, so the client keeps them
        # for a while.
        when(
            lambda: world.listed() == set(),
            "the registry still lists servers that it cannot hear",
            patience=30,
        )
        gone = time.monotonic() - cut
        load.await_more(100)
        host.mend_registry()
        back = time.monotonic()
        right = world.right(*servers) - back
        when(lambda: listed(client) == urls(servers), "the client's list is wrong", patience=30)
        load.await_more(100)
    assert load.failed == []
    record(
        f"network cut between {world.name} and all servers",
        load,
        detect=gone,
        recover=right,
        note="detect: off the registry's list",
    )


def test_a_cut_between_one_server_and_the_registry_takes_that_one_off_the_list_and_back(
    world, host, record
):
    (there,) = world.serve(kind=server_on(host))
    (here,) = world.serve(address="127.0.0.1:0")
    client = world.connect()
    with Load(client) as load:
        load.await_more(100)
        host.cut_registry()
        cut = time.monotonic()
        gone = (
            when(
                lambda: listed(client) == {here.url},
                "the server that was cut off is still listed",
                patience=30,
            )
            - cut
        )
        load.await_more(100)
        host.mend_registry()
        back = time.monotonic()
        right = (
            when(
                lambda: listed(client) == urls([here, there]),
                "the server does not come back",
                patience=40,
            )
            - back
        )
        load.await_call(lambda call: call.node == there.url, "at the server that came back")
    assert load.failed == []
    # The server answers pings, so clients keep it in doubt for three heartbeats.
    assert gone < world.lease + 3 * world.heartbeat + 1.5
    record(
        f"network cut between {world.name} and one server",
        load,
        detect=gone,
        recover=right,
        note="detect: off the client's list",
    )
