"""One server of each registry, for all tests that leave it as it is.

A test that breaks a server starts its own with ``start_registry``.
"""

from __future__ import annotations

import pytest

from support.registry_processes import Consul, Etcd, ZooKeeper, made

LONG = ("agents", "faults", "watch", "session", "leases", "client", "gateway")
"""Ends of names of files that wait for leases to run out and servers to return, for minutes."""


def pytest_collection_modifyitems(items):
    for item in items:
        if "registries" in item.path.parts and item.path.stem.endswith(LONG):
            item.add_marker(pytest.mark.registries)


def _running(kind, tmp_path_factory):
    server = made(kind, tmp_path_factory.mktemp(kind.protocol))
    server.start()
    return server


@pytest.fixture(scope="session")
def etcd(tmp_path_factory):
    server = _running(Etcd, tmp_path_factory)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def consul(tmp_path_factory):
    server = _running(Consul, tmp_path_factory)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def zookeeper(tmp_path_factory):
    server = _running(ZooKeeper, tmp_path_factory)
    yield server
    server.stop()


@pytest.fixture
def start_registry(tmp_path):
    """Starts servers of the test's own: ``start_registry(Etcd, *arguments)``."""
    servers = []

    def start(kind, *arguments):
        server = made(kind, tmp_path / f"{kind.protocol}-{len(servers)}", *arguments)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.stop()
