"""A member of ZooKeeper that falls silent under load: no call fails, and the list goes on."""

from __future__ import annotations

import time

import pytest

import bee_core
from cluster.load import Load
from cluster.servers import ClusterServer, client_config, listed, urls, when
from registry_faults.conftest import SAFE
from support.zookeeper_ensemble import Ensemble

HEARTBEAT = 1.0


@pytest.fixture
def ensemble(tmp_path):
    ensemble = Ensemble(tmp_path / "zookeeper")
    try:
        ensemble.start()
        yield ensemble
    finally:
        for member in ensemble.members:
            if member.process is not None:
                member.thaw()
        ensemble.stop()


def test_a_member_that_falls_silent_costs_no_call_and_no_registration(
    ensemble, record, tmp_path, monkeypatch
):
    section = {
        "protocol": "zookeeper",
        "address": ensemble.addresses,
        "heartbeat_interval": HEARTBEAT,
    }
    servers = [ClusterServer(section) for _ in range(3)]
    try:
        with (
            bee_core.build_client(client_config(section, **SAFE)) as client,
            Load(client) as load,
        ):
            load.await_more(100)
            frozen = ensemble.member_of(client.discoveries.registry.session)
            if frozen is ensemble.leader():  # an election is another matter
                frozen = next(m for m in ensemble.members if m is not frozen)
            frozen.freeze()
            silent = time.monotonic()
            servers.append(ClusterServer(section))
            when(lambda: listed(client) == urls(servers), "the new server is not listed")
            right = time.monotonic() - silent
            while time.monotonic() < silent + 4 * HEARTBEAT:
                load.await_more(50)
                assert listed(client) == urls(servers)  # nobody's lease was lost
            monkeypatch.setenv("BEE_CACHE_DIR", str(tmp_path / "fresh"))
            begun = time.monotonic()
            with bee_core.build_client(client_config(section, **SAFE)) as fresh:
                assert fresh.service("calc").echo(1) == 1
            first = time.monotonic() - begun
        assert load.failed == []
        assert first < 2.0
        record(
            "zookeeper: one of three members falls silent",
            load,
            recover=right,
            note=f"recover: a server that was started then is listed; a fresh client's first "
            f"call took {first:.2f} s",
        )
    finally:
        for server in servers:
            server.kill()
