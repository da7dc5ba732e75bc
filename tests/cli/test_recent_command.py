"""``bee recent`` beside servers and clients that run, and after one that crashed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time

import pytest

import bee_core
from bee_core.control.recent_folder import dumps
from bee_core.errors import CallError
from faults.services import Calculator, serving
from support.patience import PATIENCE
from support.plugin_objects import offering
from support.serve_process import ServeProcess


@pytest.fixture
def own(recent_folder, tmp_path_factory, monkeypatch):
    """A folder of this test's, with a short path."""
    folder = recent_folder / tmp_path_factory.mktemp("c").name
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("BEE_RECENT_DIR", str(folder))
    return folder


def until(condition):
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.01)
    return found


class FirstNode:
    """A balancer that always begins with the first node."""

    settle = None

    def update(self, ready):
        self.ready = ready

    def pick(self, key, tried, now, rng):
        return next((node for node in self.ready if node.id not in tried), None)


@pytest.fixture
def world(own):
    """A server, and a client whose first of two nodes is not there."""
    with serving(Calculator()) as server:
        settings = {"address": ["127.0.0.1:1", server.address], "balancer": "first"}
        config = {"bee": {"application": {"name": "shop"}, "rpc": {"client": {"calc": settings}}}}
        first = offering("balancer", "first", FirstNode)
        with bee_core.build_client(config, plugins=[first]) as client:
            client.assembly.recorder.listen_at = 0.0
            calc = client.service("calc")
            calc.add(1, 2)
            with pytest.raises(CallError):
                calc.fail("no such order")
            until(lambda: len(list(own.glob("*.sock"))) == 2)
            until(lambda: len(server.recent.recorder.recent()) == 2)
            yield client


def test_calls_and_requests_are_listed_the_newest_last(run, world):
    result = run("recent")
    assert result.code == 0
    titles, *rows = result.out.splitlines()
    assert titles.split()[:4] == ["id", "began", "what", "method"]
    assert [row.split()[2:4] for row in rows if "calc.add" in row] == [
        ["request", "calc.add"],
        ["call", "calc.add"],
    ]
    assert rows[-1].split()[3] == "calc.fail"
    assert "remote_error: KeyError" in rows[-1]
    assert f"4 calls of {os.getpid()} (server calc), {os.getpid()} (client shop)" in result.err


def test_the_failed_and_the_slow_ones_alone(run, world):
    failed = run("recent", "--failed", "calc").out.splitlines()[1:]
    assert [row.split()[3] for row in failed] == ["calc.fail", "calc.fail"]
    slow = json.loads(run("recent", "--slow", "--json").out)["calls"]
    assert [call["seconds"] for call in slow] == sorted(call["seconds"] for call in slow)
    assert len(slow) == 4


def test_one_call_is_told_attempt_by_attempt_as_explain_does(run, world):
    calls = json.loads(run("recent", "--json").out)["calls"]
    (add,) = (one for one in calls if one["method"] == "add" and one["side"] == "call")
    out = run("recent", add["id"]).out
    assert out.startswith(f"{add['id']}: call calc.add at ")
    assert "attempt" in out.splitlines()[2]
    assert "retry on another node" in out
    assert out.splitlines()[-1].endswith("2 attempts; ok")
    assert json.loads(run("recent", add["id"], "--json").out)["attempts"] == 2


def test_a_request_is_told_with_its_peer(run, world):
    calls = json.loads(run("recent", "--failed", "--json").out)["calls"]
    (request,) = (one for one in calls if one["side"] == "request")
    out = run("recent", request["id"]).out
    assert f"from {request['peer']}" in out
    assert "the request took" in out.splitlines()[-1]
    assert "failed: remote_error: KeyError: 'no such order' (executed: yes)" in out


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        ((), 1, "no client or server of this user answers in"),
        (("999999999",), 1, "the process 999999999 does not answer"),
        (("999999999-1",), 1, "999999999-1 is not known"),
        (("nothing.json",), 2, "nothing.json: No such file"),
        (("--limit", "0"), 2, "--limit"),
    ],
)
def test_what_cannot_be_told_is_one_line_and_a_code(run, own, args, code, said):
    result = run("recent", *args)
    assert (result.code, result.out) == (code, "")
    assert said in result.err
    assert result.err.count("\n") == 1


def test_a_file_that_bee_did_not_write_is_refused(run, own, tmp_path):
    (tmp_path / "other.json").write_text('{"calls": []}')
    result = run("recent", str(tmp_path / "other.json"))
    assert (result.code, result.out) == (2, "")
    assert "is no file that a process of bee wrote" in result.err


def test_a_socket_of_a_dead_process_is_removed(run, own, monkeypatch):
    monkeypatch.chdir(own)
    import socket

    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind("4711-1.sock")
    assert run("recent").code == 1
    assert list(own.iterdir()) == []


def told_to_leave(pid):
    """Send a signal once more: the second one makes a server leave at once."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_every_worker_answers_and_one_that_leaves_at_once_writes_what_it_knows(run, own, tmp_path):
    settings = {"name": "calc", "version": "1.0.0", "address": "127.0.0.1:0", "workers": 2}
    server = ServeProcess(tmp_path, {"server": settings}, {"BEE_RECENT_DIR": str(own)})
    try:
        url = server.wait_for("listening")["url"]
        answers = json.loads(run("recent", "--json").out)["processes"]
        workers = {one["pid"] for one in answers}
        assert len(workers) == 2
        assert server.process.pid not in workers
        config = {"bee": {"rpc": {"client": {"calc": {"address": url, "retries": 0}}}}}
        with bee_core.build_client(config) as client:
            pid = client.service("calc").pid()
            bee_core.future(client.service("calc").with_options(timeout=60).hang)
            until(
                lambda: "running" in run("recent", str(pid)).out or "running" in run("recent").out
            )
            (busy,) = {
                one["id"].partition("-")[0]
                for one in json.loads(run("recent", "--json").out)["calls"]
                if one["state"] == "running"
            }
            (path,) = until(lambda: told_to_leave(int(busy)) or dumps(own))
        content = json.loads(path.read_text())
        assert content["pid"] == int(busy)
        assert "without waiting" in content["reason"]
        out = run("recent", str(path)).out
        assert "calc.hang" in out
        assert "running" in out
    finally:
        server.close()
