from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import bee_core
from cluster.fault_table import Row, lines, save
from cluster.servers import ClusterServer, client_config
from faults.users import AsyncUser

_ROWS = pytest.StashKey[list]()


@pytest.fixture
def folder(tmp_path):
    """Of the registry."""
    return tmp_path / "registry"


@pytest.fixture
def start(folder, tmp_path):
    """Starts servers, side by side: ``start(count, **server settings)``. Server n logs its writes to ``n.log``."""
    made = []

    def start(count, **settings):
        def one(number):
            server = ClusterServer(folder, log=tmp_path / f"{number}.log", **settings)
            made.append(server)
            return server

        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(one, range(len(made), len(made) + count)))

    yield start
    for server in made:
        server.kill()


@pytest.fixture
def connect(folder):
    """Makes clients: ``connect(**service settings)``; with ``kind="asyncio"`` one on a loop of its own."""
    made = []

    def connect(kind="blocking", **settings):
        config = client_config(folder, **settings)
        made.append(AsyncUser(config) if kind == "asyncio" else bee_core.build_client(config))
        return made[-1]

    yield connect
    for client in made:
        client.close()


@pytest.fixture
def record(request):
    """Enters a row into the table of faults."""
    rows = request.config.stash.setdefault(_ROWS, [])

    def record(fault, load=None, **figures):
        if load is not None:
            figures = {"calls": len(load.calls), "failed": len(load.failed), **figures}
        rows.append(Row(fault, **figures))

    return record


def pytest_terminal_summary(terminalreporter, config):
    rows = config.stash.get(_ROWS, [])
    if not rows:
        return
    stated, cache = os.environ.get("BEE_FAULT_TABLE"), getattr(config, "cache", None)
    path = Path(stated) if stated else cache.mkdir("bee") / "fault-table.json" if cache is not None else None
    if path is not None:
        save(rows, path)
    terminalreporter.section(f"faults (also in {path})" if path is not None else "faults")
    for line in lines(rows):
        terminalreporter.line(line)
