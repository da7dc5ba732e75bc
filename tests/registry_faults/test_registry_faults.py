"""Registries that die, lose their data, stand still or are not there cost callers nothing.

With real processes, under steady load.
"""

from __future__ import annotations

import time

import pytest

from bee_core.errors import Unavailable
from cluster.load import Load
from cluster.servers import ClusterServer, listed, urls, when


def follows(client, world, record_as, load):
    """A server that comes now is seen by a client whose watch outlived the fault: seconds."""
    (new,) = world.serve()
    began = time.monotonic()
    seen = when(
        lambda: listed(client) == urls(world.servers),
        f"the client does not follow after {record_as}",
        patience=40,
    )
    load.await_call(lambda call: call.node == new.url, "at the new server")
    return seen - began


@pytest.mark.parametrize("wipe", [False, True], ids=["with-data", "without-data"])
def test_a_registry_that_is_killed_and_comes_back_costs_no_call(world, record, wipe):
    servers = world.serve(3)
    client = world.connect()
    with Load(client) as load:
        load.await_more(200)
        world.registry.kill()
        load.await_more(500)
        assert listed(client) == urls(servers)
        world.registry.restart(wipe=wipe)
        back = time.monotonic()
        right = world.right(*servers) - back
        assert when(lambda: listed(client) == urls(servers), "the client's list is wrong") > back
        followed = follows(client, world, "a restart", load)
    assert load.failed == []
    record(
        f"{world.name} killed and restarted {'without' if wipe else 'with'} its data",
        load,
        recover=right,
        note=f"a new server is seen after {followed:.2f} s",
    )


def test_a_registry_that_stands_still_for_longer_than_a_lease_costs_no_call(world, record):
    servers = world.serve(3)
    client = world.connect()
    with Load(client) as load:
        load.await_more(200)
        world.registry.freeze()
        frozen = time.monotonic()
        for server in servers:
            server.expect("lease lost", timeout=30)
        lost = time.monotonic() - frozen
        load.await_more(100)
        assert listed(client) == urls(servers)
        world.registry.thaw()
        back = time.monotonic()
        right = world.right(*servers) - back
        followed = follows(client, world, "a standstill", load)
    assert load.failed == []
    record(
        f"{world.name} frozen for longer than the lease",
        load,
        detect=lost,
        recover=right,
        note=f"a new server is seen after {followed:.2f} s",
    )


def test_a_server_and_a_client_start_without_their_registry(world, record):
    world.registry.stop()
    (server,) = world.serve(wait=False)
    with_address = world.connect(address=server.url)
    without = world.connect()
    with pytest.raises(Unavailable, match=r"out of reach|has not answered") as caught:
        without.service("calc").echo("x")
    assert world.registry.address in str(caught.value)
    with Load(with_address) as load:
        load.await_more(100)
        world.registry.start()
        back = time.monotonic()
        server.expect("registered ")
        right = world.right(server) - back
        when(
            lambda: without.nodes("calc").source == "registry" and listed(without) == {server.url},
            "the client without an address does not find the server",
            patience=30,
        )
        assert without.service("calc").echo("x") == "x"
        when(
            lambda: (
                with_address.nodes("calc").source == "registry"
                and listed(with_address) == {server.url}
            ),
            "the client with an address does not",
            patience=30,
        )
    assert load.failed == []
    record(
        f"{world.name} not there when server and client start",
        load,
        recover=right,
        note="the client calls the configured address meanwhile",
    )


def test_a_client_starts_from_the_list_on_disk_while_the_registry_is_down(world, record):
    servers = world.serve(2)
    with world.connect() as before:
        assert before.service("calc").echo("x") == "x"
        assert listed(before) == urls(servers)
    world.registry.kill()
    client = world.connect()
    began = time.monotonic()
    assert client.service("calc").echo("x") == "x"
    first = time.monotonic() - began
    assert client.nodes("calc").source == "cache"
    with Load(client) as load:
        load.await_more(100)
        world.registry.restart()
        back = time.monotonic()
        right = (
            when(
                lambda: (
                    client.nodes("calc").source == "registry" and listed(client) == urls(servers)
                ),
                "the list is not the registry's",
                patience=40,
            )
            - back
        )
    assert load.failed == []
    record(
        f"{world.name} down when a client starts that has a list on disk",
        load,
        detect=first,
        recover=right,
        note="detect: the first call",
    )


def test_a_killed_server_leaves_within_its_lease_and_no_call_fails(world, record):
    servers = world.serve(3)
    client = world.connect()
    with Load(client) as load:
        load.await_more(200)
        died = time.monotonic()
        servers[0].kill()
        gone = (
            when(
                lambda: listed(client) == urls(servers[1:]),
                "the dead server is still listed",
                patience=40,
            )
            - died
        )
        elsewhere = load.went_elsewhere(died)
    assert load.failed == []
    # Consul looks at its checks now and then, ZooKeeper and etcd round up to their ticks.
    assert gone < world.lease + 3
    record(
        f"SIGKILL of a server, {world.name}",
        load,
        detect=None if elsewhere is None else elsewhere - died,
        recover=gone,
        note="recover: off the list",
    )


def test_a_rolling_restart_fails_no_write(world, record, tmp_path):
    servers = world.serve(3)
    client = world.connect(idempotent=False)
    slowest = 0.0
    with Load(client, "write") as load:
        load.await_more(100)
        for server in servers:
            old = server.url
            assert server.terminate() == 0
            assert old not in listed(client), "it left the registry before its door closed"
            server.restart()
            began = time.monotonic()
            slowest = max(
                slowest,
                when(
                    lambda: listed(client) == urls(servers),
                    "the new server is not listed",
                    patience=30,
                )
                - began,
            )
            load.await_more(100)
    assert load.failed == []
    keys = [
        line
        for number in range(3)
        for line in (tmp_path / f"{number}.log").read_text().splitlines()
    ]
    assert sorted(keys) == sorted(call.key for call in load.calls)
    record(
        f"rolling restart of three, writes, {world.name}",
        load,
        recover=slowest,
        note="each ran once",
    )


class Skewed(ClusterServer):
    """A server whose clock is wrong by an hour."""

    seconds = 3600.0

    def start(self):
        self._arguments[2:] = [f"--clock={self.seconds}"]
        super().start()


class Late(Skewed):
    seconds = -3600.0


def test_a_server_whose_clock_is_an_hour_off_is_listed_like_any_other(world, record):
    early, late, exact = *world.serve(kind=Skewed), *world.serve(kind=Late), *world.serve()
    client = world.connect()
    with Load(client) as load:
        until = time.monotonic() + 2 * world.lease
        while time.monotonic() < until:
            load.await_more(20)
            assert listed(client) == urls([early, late, exact])
        died = time.monotonic()
        early.kill()
        gone = (
            when(
                lambda: listed(client) == urls([late, exact]),
                "the dead server is still listed",
                patience=40,
            )
            - died
        )
    assert load.failed == []
    record(
        f"clocks of servers an hour off, {world.name}",
        load,
        recover=gone,
        note="recover: a killed one is off the list",
    )


class Named(ClusterServer):
    """A server with the id that another has, as a copied machine would have it."""

    def start(self):
        self._arguments[2:] = ["--id=calc-the-same"]
        super().start()


def test_of_two_servers_with_one_id_the_living_one_keeps_it_and_the_other_waits_for_it(
    world, record
):
    (first,) = world.serve(kind=Named)
    (second,) = world.serve(kind=Named, wait=False)
    assert "has registered the id 'calc-the-same' and lives" in second.expect("id taken in ")
    client = world.connect()
    with Load(client) as load:
        load.await_more(100)
        assert listed(client) == {first.url}
        assert world.listed() == {first.url}
    assert load.failed == []
    died = time.monotonic()
    first.kill()
    second.expect("registered ", timeout=30)
    world.right(second)
    when(
        lambda: listed(client) == {second.url},
        "the client does not learn of the second server",
        patience=30,
    )
    assert client.service("calc").echo("x") == "x"
    record(
        f"two servers with one id, {world.name}",
        load,
        recover=time.monotonic() - died,
        note="recover: the second is listed after the first was killed",
    )
