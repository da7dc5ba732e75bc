from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

import bee_core
from cluster.servers import HEARTBEAT, ClusterServer, client_config, local
from faults.users import AsyncUser


@pytest.fixture
def folder(tmp_path):
    """Of the registry."""
    return tmp_path / "registry"


@pytest.fixture
def start(folder, tmp_path):
    """Starts servers, side by side: ``start(count, **server settings)``.

    Server n logs its writes to ``n.log``.
    """
    made = []

    def start(count, heartbeat=HEARTBEAT, **settings):
        def one(number):
            server = ClusterServer(
                local(folder, heartbeat), log=tmp_path / f"{number}.log", **settings
            )
            made.append(server)
            return server

        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(one, range(len(made), len(made) + count)))

    yield start
    for server in made:
        server.kill()


@pytest.fixture
def connect(folder):
    """Makes clients.

    ``connect(**service settings)``; with ``kind="asyncio"`` one on a loop of its own.
    """
    made = []

    def connect(kind="blocking", **settings):
        config = client_config(local(folder), **settings)
        made.append(AsyncUser(config) if kind == "asyncio" else bee_core.build_client(config))
        return made[-1]

    yield connect
    for client in made:
        client.close()
