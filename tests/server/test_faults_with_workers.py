"""``faults`` of a server with several workers: each of them injects, and takes a reload over."""

from __future__ import annotations

import json
import os
import signal
from contextlib import ExitStack

import pytest

import bee_core
from bee_core.errors import CallError, DeadlineExceeded, Unavailable
from support.patience import PATIENCE
from support.serve_process import ServeProcess, children

CALLS = 40
"""With two workers of which one has no faults, all of them would go to the other one once in 10**12
runs."""


class Served:
    def __init__(self, stack, folder, **server):
        self._stack = stack
        self._file = folder / "serve.yml"
        self._server = {"name": "calc", "address": "127.0.0.1:0", "workers": 2, **server}
        self.process = ServeProcess(
            folder, {"server": self._server}, words=("--log-level", "debug")
        )
        stack.callback(self.process.close)
        self.url = self.process.url()

    def reload(self, **server):
        """Another configuration, once the parent and both workers have it."""
        taken = len(self.process.all("reloaded"))
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps({"bee": {"rpc": {"server": {**self._server, **server}}}}))
        new.replace(self._file)
        self.process.signal(signal.SIGHUP)
        self.process.wait_for("reloaded", taken + 3)

    def connect(self, **settings):
        section = {"address": self.url, "retries": 0, "timeout": PATIENCE, **settings}
        return bee_core.build_client({"bee": {"rpc": {"client": {"calc": section}}}})

    def outcomes(self, count=CALLS, **settings):
        """How calls end, each on a connection of its own."""
        found = []
        for _ in range(count):
            with self.connect(**settings) as client:
                found.append(outcome(client))
        return found

    def pids(self, count=CALLS):
        """Who answers, each time on a connection of its own."""
        found = set()
        for _ in range(count):
            with self.connect() as client:
                found.add(client.service("calc").pid())
        return found


def outcome(client):
    try:
        return client.service("calc").add(1, 2)
    except CallError as error:
        return error


@pytest.fixture
def serve(tmp_path):
    with ExitStack() as stack:
        yield lambda **server: Served(stack, tmp_path, **server)


def all_refused(outcomes):
    return all(isinstance(one, Unavailable) and one.executed == "no" for one in outcomes)


def test_each_worker_injects_and_the_log_says_it_once(serve):
    served = serve(faults=[{"kind": "error", "rate": 1, "method": "add"}])
    assert all_refused(served.outcomes())
    assert served.pids() == set(children(served.process.process.pid))
    (line,) = served.process.all("faults_injected")
    assert "FAULTS ARE INJECTED into the requests of calc: 100% of requests" in line["message"]
    assert line["level"] == "warning"


def test_each_worker_takes_other_faults_over_and_so_does_one_that_replaces_it(serve):
    served = serve()
    assert served.outcomes() == [3] * CALLS
    served.reload(faults=[{"kind": "error", "rate": 1}])
    assert all_refused(served.outcomes())
    assert len(served.process.all("faults_injected")) == 1
    os.kill(children(served.process.process.pid)[0], signal.SIGKILL)
    served.process.wait_for("worker_replaced")
    assert all_refused(served.outcomes())
    served.reload()
    assert served.outcomes() == [3] * CALLS


def test_workers_draw_numbers_of_their_own(serve):
    served = serve(faults=[{"kind": "error", "rate": 0.5, "method": "add"}])
    drawn = {}
    while len(drawn) < 2:
        with served.connect() as client:  # one caller has one connection, to one worker
            pid = client.service("calc").pid()
            drawn[pid] = [outcome(client) == 3 for _ in range(60)]
            assert client.service("calc").pid() == pid
    one, other = drawn.values()
    assert one != other
    assert {True, False} == set(one) == set(other)


def test_a_dropped_request_keeps_no_worker_from_draining(serve):
    served = serve(faults=[{"kind": "drop", "rate": 1, "method": "add"}], drain_timeout=0.2)
    dropped = served.outcomes(count=4, read_timeout=0.2)
    assert [(type(one), one.executed) for one in dropped] == [(DeadlineExceeded, "maybe")] * 4
    served.process.signal(signal.SIGTERM)
    assert served.process.exit_code() == 0
