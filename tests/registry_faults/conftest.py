"""For each registry.

Its own server, which tests break, with servers and clients of bee around it.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

import bee_core
from cluster.servers import ClusterServer, client_config, urls, when
from support.registry_processes import Etcd, LastingConsul, ZooKeeper, made

HEARTBEATS = {"etcd3": 0.5, "consul": 0.5, "zookeeper": 1.0}
"""Seconds. Clients keep nodes in doubt for three of them.

A ZooKeeper that has just started may need a second for its first writes on a busy machine.
"""
LEASES = {"etcd3": 2.0, "consul": 2.0, "zookeeper": 3.0}
"""Seconds: three heartbeats. etcd makes two whole seconds of 1.5."""
KINDS = {"etcd3": Etcd, "consul": LastingConsul, "zookeeper": ZooKeeper}
SAFE = {
    "idempotent": True,
    "fail": "failover",
    "balancer": "round-robin",
    "timeout": 10,
    "connect_timeout": 1,
    "read_timeout": 2,
}


def pytest_collection_modifyitems(items):
    for item in items:
        if "registry_faults" in item.path.parts:
            item.add_marker(pytest.mark.registries)


class World:
    """A registry, and what hangs on it."""

    def __init__(self, name, folder, host="127.0.0.1"):
        self.name = name
        self.folder = folder
        self.registry = made(KINDS[name], folder / "registry", host=host)
        self.section = {
            "protocol": name,
            "address": self.registry.address,
            "heartbeat_interval": HEARTBEATS[name],
        }
        self.lease, self.heartbeat = LEASES[name], HEARTBEATS[name]
        self.servers = []
        self._clients = []
        self._lists = 0

    def serve(self, count=1, *, wait=True, kind=ClusterServer, **settings):
        """Starts servers of bee side by side, and waits until they are registered."""

        def one(number):
            server = kind(self.section, log=self.folder / f"{number}.log", wait=wait, **settings)
            self.servers.append(server)
            return server

        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(one, range(len(self.servers), len(self.servers) + count)))

    def connect(self, **settings):
        client = bee_core.build_client(client_config(self.section, **{**SAFE, **settings}))
        self._clients.append(client)
        return client

    def listed(self):
        """What the registry itself lists now, as a new client without an older list learns it."""
        self._lists += 1
        before = os.environ["BEE_CACHE_DIR"]
        os.environ["BEE_CACHE_DIR"] = str(self.folder / f"look-{self._lists}")
        try:
            with bee_core.build_client(client_config(self.section)) as client:
                report = client.nodes("calc")
        finally:
            os.environ["BEE_CACHE_DIR"] = before
        return {node.url for node in report.fitting} if report.source == "registry" else set()

    def right(self, *servers):
        """Wait until the registry lists exactly these servers: the moment."""
        wanted = urls(servers)
        return when(
            lambda: self.listed() == wanted,
            f"the registry does not list {sorted(wanted)}",
            patience=40,
        )

    def close(self):
        for client in self._clients:
            client.close()
        for server in self.servers:
            server.kill()
        if self.registry.process is not None:
            self.registry.thaw()
        self.registry.stop()


@pytest.fixture(params=KINDS)
def world(request, tmp_path):
    world = World(request.param, tmp_path)
    world.registry.start()
    yield world
    world.close()
