"""Three servers restarted one by one under load: no call fails, also where none may run twice."""

from __future__ import annotations

import signal
import time
from collections import Counter

import pytest

from cluster.load import Load
from cluster.servers import listed, urls, when
from support.patience import PATIENCE
from support.ports import fixed_port


def roll(servers, client, load, rounds=1):
    """Restart each; the next one when the list is right.

    Returns the seconds that the list took to show each departure and each arrival.
    """
    departures, arrivals = [], []
    for server in servers * rounds:
        load.await_more(100)
        began, url = time.monotonic(), server.url
        server.signal(signal.SIGTERM)
        departures.append(
            when(
                lambda: url not in listed(client),  # noqa: B023  # used at once
                "a server that leaves is still listed",
            )
            - began
        )
        assert server.process.wait(PATIENCE) == 0
        server.restart()
        started = time.monotonic()
        arrivals.append(
            when(
                lambda: listed(client) == urls(servers),
                "a server that was started again is not listed",
            )
            - started
        )
        load.await_call(lambda call: call.node == server.url, "at the new server")  # noqa: B023
    return departures, arrivals


@pytest.mark.parametrize(
    ("kind", "ports"),
    [("blocking", "same ports"), ("blocking", "other ports"), ("asyncio", "same ports")],
)
def test_no_write_fails_or_runs_twice_while_servers_are_restarted_one_by_one(
    start, connect, record, tmp_path, kind, ports
):
    addresses = [
        "127.0.0.1:0" if ports == "other ports" else f"127.0.0.1:{fixed_port()}" for _ in range(3)
    ]
    servers = [server for address in addresses for server in start(1, address=address)]
    client = connect(kind, idempotent=False, fail="failover")
    with Load(client, "write") as load:
        departures, arrivals = roll(servers, client, load)
    assert load.failed == []
    ran = Counter(line for path in tmp_path.glob("*.log") for line in path.read_text().splitlines())
    assert set(ran) == {call.key for call in load.calls}
    assert set(ran.values()) == {1}
    record(
        f"rolling restart of three, writes ({kind}, {ports})",
        load,
        detect=max(departures),
        recover=max(arrivals),
        note="each ran once",
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_write_fails_over_many_rolling_restarts(start, connect, record, tmp_path):
    servers = start(3)
    client = connect(idempotent=False, fail="failover")
    with Load(client, "write", threads=8, pace=0.0005) as load:
        departures, arrivals = roll(servers, client, load, rounds=10)
    assert load.failed == []
    ran = Counter(line for path in tmp_path.glob("*.log") for line in path.read_text().splitlines())
    assert ran == Counter(call.key for call in load.calls)
    record(
        "30 rolling restarts, writes",
        load,
        detect=max(departures),
        recover=max(arrivals),
        note="each ran once",
    )
