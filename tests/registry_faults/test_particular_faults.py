"""Faults that only one registry has, under load.

What etcd forgot while a watch was behind, a ZooKeeper session that ends while everybody lives,
and records in Consul, where anybody may write over them.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
import urllib.request

import pytest

import bee_core
from cluster.load import Load
from cluster.servers import client_config, listed, urls, when
from registry_faults.conftest import SAFE
from support.etcd_servers import etcdctl
from support.tcp_relay import TcpRelay
from support.zookeeper_rig import expire


@pytest.fixture
def relay(world):
    """Between clients and the registry; its methods are called by ``relay(name)``."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def on_loop(coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(10)

    async def make():
        return await TcpRelay(world.registry.port).__aenter__()

    made = on_loop(make())

    async def call(name):
        getattr(made, name)()

    def do(name):
        on_loop(call(name))

    do.address = made.address
    yield do
    on_loop(made.__aexit__())
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.mark.parametrize("world", ["etcd3"], indirect=True)
def test_what_etcd_compacted_while_a_watch_was_behind_costs_no_call(world, record, relay):
    servers = world.serve(2)
    with (
        bee_core.build_client(
            client_config({**world.section, "address": relay.address}, **SAFE)
        ) as client,
        Load(client) as load,
    ):
        load.await_more(100)
        relay("hold")
        relay("cut")
        servers[0].terminate()
        (new,) = world.serve()
        revision = json.loads(etcdctl(world.registry, "get", "nothing", "--write-out=json"))[
            "header"
        ]["revision"]
        etcdctl(world.registry, "compaction", "--physical", str(revision))
        load.await_more(100)
        relay("release")
        back = time.monotonic()
        right = (
            when(
                lambda: listed(client) == urls([servers[1], new]),
                "the client's list is wrong",
                patience=30,
            )
            - back
        )
        load.await_call(lambda call: call.node == new.url, "at the server that came meanwhile")
    assert load.failed == []
    record("etcd3 compacted while a watch was behind", load, recover=right)


@pytest.mark.parametrize("world", ["zookeeper"], indirect=True)
def test_a_session_of_a_client_that_expires_costs_no_call(world, record):
    servers = world.serve(2)
    client = world.connect()
    with Load(client) as load:
        load.await_more(100)
        expire(world.registry.address, client.discoveries.registry.session)
        ended = time.monotonic()
        (new,) = world.serve()
        right = (
            when(
                lambda: listed(client) == urls([*servers, new]),
                "the client does not follow after its session",
                patience=30,
            )
            - ended
        )
        load.await_call(lambda call: call.node == new.url, "at the new server")
    assert load.failed == []
    record(
        "zookeeper: the session of a client expired",
        load,
        recover=right,
        note="recover: a server that was started then is listed",
    )


@pytest.mark.parametrize("world", ["consul"], indirect=True)
def test_records_in_consul_that_somebody_overwrites_are_right_again_and_cost_no_call(world, record):
    servers = world.serve(2)
    client = world.connect()
    with Load(client) as load:
        load.await_more(100)
        agent = f"http://{world.registry.address}/v1/agent"
        with urllib.request.urlopen(f"{agent}/services", timeout=10) as answer:
            ids = list(json.load(answer))
        for id_ in ids:
            garbage = {"Name": "calc", "ID": id_, "Port": 1, "Meta": {"workers": "x"}}
            request = urllib.request.Request(
                f"{agent}/service/register", json.dumps(garbage).encode(), method="PUT"
            )
            urllib.request.urlopen(request, timeout=10).close()
        written = time.monotonic()
        for server in servers:
            server.expect("wrote the record")
        right = world.right(*servers) - written
        when(lambda: listed(client) == urls(servers), "the client's list is wrong")
        load.await_more(100)
    assert len(ids) == 2
    assert load.failed == []
    record("consul: all records overwritten by somebody", load, recover=right)
