"""``bee serve`` reloads its file: on SIGHUP, with workers, when the file changes."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import termios

import pytest

import bee_core
from bee_core.errors import Unauthenticated
from support.patience import PATIENCE
from support.serve_process import ServeProcess, children

SECRET = "a-token-of-some-letters"
OTHER = "b-token-of-some-letters"


class Served:
    def __init__(self, folder, **server):
        self.file = folder / "serve.yml"
        self.server = {"name": "calc", "address": "127.0.0.1:0", **server}
        # A worker that has reloaded says so at debug: its parent has said it for all.
        self.process = ServeProcess(folder, {"server": self.server}, words=("--log-level", "debug"))

    def write(self, text=None, application=None, **server):
        bee = {"application": application or {}, "rpc": {"server": {**self.server, **server}}}
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps({"bee": bee}) if text is None else text)
        new.replace(self.file)

    def hang_up(self):
        self.process.signal(signal.SIGHUP)

    def add(self, token=None):
        service = (
            {"address": self.process.url(), "token": token}
            if token
            else {"address": self.process.url()}
        )
        with bee_core.build_client({"bee": {"rpc": {"client": {"calc": service}}}}) as client:
            return client.service("calc").add(1, 2)


@pytest.fixture
def serve(tmp_path):
    with contextlib.ExitStack() as stack:

        def start(**server):
            served = Served(tmp_path, **server)
            stack.callback(served.process.close)
            served.process.url()
            return served

        yield start


def refused(served, token=None):
    with pytest.raises(Unauthenticated):
        served.add(token)
    return True


def test_a_hangup_reloads_the_file_and_a_wrong_one_changes_nothing(serve):
    served = serve(tokens=[SECRET])
    assert served.add(SECRET) == 3
    served.write(tokens=[OTHER], zone="eu")
    served.hang_up()
    line = served.process.wait_for("reloaded")
    assert "bee.rpc.server.tokens" in line["message"]
    assert "letters" not in line["message"]
    assert served.process.wait_for("restart_needed")["paths"] == ["bee.rpc.server.zone"]
    assert served.add(OTHER) == 3
    assert refused(served, SECRET)
    served.write("bee: {rpc: {server: {name: calc, max_in_flight: soon}}}")
    served.hang_up()
    failed = served.process.wait_for("not_reloaded")
    assert failed["level"] == "error"
    assert "serve.yml:1: bee.rpc.server.max_in_flight" in failed["message"]
    assert served.add(OTHER) == 3
    served.process.signal(signal.SIGTERM)
    assert served.process.exit_code() == 0
    assert len(served.process.all("not_reloaded")) == 1


def test_with_workers_a_reload_is_one_line_of_the_log(serve):
    served = serve(workers=2)
    served.write(max_in_flight=7, zone="eu")
    served.hang_up()
    lines = served.process.wait_for("reloaded", 3)
    assert lines is not None
    told = [line["level"] for line in served.process.all("reloaded")]
    assert sorted(told) == ["debug", "debug", "info"]
    served.process.signal(signal.SIGTERM)
    assert served.process.exit_code() == 0
    assert len(served.process.all("restart_needed")) == 1


def test_workers_reload_and_so_do_those_that_replace_them(serve):
    served = serve(workers=2, tokens=[SECRET])
    served.write(tokens=[OTHER])
    served.hang_up()
    served.process.wait_for("reloaded", 3)  # the parent and two workers
    victim = children(served.process.process.pid)[0]
    os.kill(victim, signal.SIGKILL)
    served.process.wait_for("worker_replaced")
    for _ in range(6):
        assert served.add(OTHER) == 3
        assert refused(served, SECRET)
    served.write("bee: nonsense")
    served.hang_up()
    served.process.wait_for("not_reloaded")
    assert served.add(OTHER) == 3
    served.process.signal(signal.SIGTERM)
    assert served.process.exit_code() == 0
    assert len(served.process.all("not_reloaded")) == 1, "the workers are not asked"


def test_metrics_that_begin_with_a_reload_cannot_add_up_workers_and_the_log_says_so(serve):
    pytest.importorskip("prometheus_client")
    served = serve(workers=2)
    served.write(application={"observers": "prometheus"})
    served.hang_up()
    line = served.process.wait_for("restart_needed")
    assert (line["level"], line["paths"]) == ("warning", ["bee.application.observers"])


@pytest.mark.parametrize("workers", [1, 2])
def test_the_file_is_watched_where_it_says_so(serve, workers):
    served = serve(tokens=[SECRET], workers=workers)
    served.write(application={"watch": True}, tokens=[SECRET])
    served.hang_up()
    processes = workers + (workers > 1)
    served.process.wait_for("reloaded", processes)
    served.write(application={"watch": True}, tokens=[OTHER])
    served.process.wait_for("reloaded", 2 * processes)
    assert served.add(OTHER) == 3


@pytest.mark.parametrize("more", [(), ("--reload",)])
def test_a_terminal_that_goes_ends_the_server(tmp_path, more):
    if more:
        pytest.importorskip("watchfiles")
    (tmp_path / "app.py").write_text("def ping() -> int:\n    return 1\n")
    (tmp_path / "bee.yml").write_text("bee: {rpc: {server: {name: calc}}}")
    master, slave = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "bee_core", "serve", "app.py:ping", *more],
        cwd=tmp_path,
        stdin=slave,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
    ) as process:
        os.close(slave)
        assert process.stderr is not None
        assert any("listening on" in line for line in process.stderr)
        os.close(master)
        assert process.wait(PATIENCE) == 0
        assert "gone" in process.stderr.read()
