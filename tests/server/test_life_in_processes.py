"""Objects, start and stop hooks where the server is a process, or several."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter

import pytest

from support import processes
from support.patience import PATIENCE

PROGRAM = """
import os, sys, threading
import bee_core

server = bee_core.build_server({config})

def say(what):
    os.write(1, (what + "\\n").encode())

class Repo:
    def __enter__(self): self.pid = os.getpid(); say("enter")
    def __exit__(self, *error): say("leave here" if os.getpid() == self.pid else "leave there")
    def get(self) -> int: return 1

server.add(Repo())
server.on_stop(lambda: say("stop"))

@server.on_start
def start():
    {body}

server.readiness.watch(lambda state: say("ready") if state == "ready" else None)
if __name__ == "__main__":
    server.run()
"""


@pytest.fixture
def start(tmp_path):
    started = []

    def program(body="say('start')", command=("hooked.py",), **settings):
        config = {"bee": {"rpc": {"server": {"name": "calc", "drain_timeout": 1, **settings}}}}
        text = PROGRAM.format(config=json.dumps(config), body=body)
        (tmp_path / "hooked.py").write_text(text)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(processes.start([sys.executable, *command], cwd=tmp_path, **pipes))
        return started[-1]

    yield program
    for process in started:
        processes.end(process)


def read_until(process, line):
    """What it says, up to a line."""
    said = []
    while not said or said[-1] != line:
        text = process.stdout.readline()
        assert text, f"it ended: {said} {process.stderr.read()}"
        said.append(text.rstrip("\n"))
    return said


def test_a_signal_ends_a_server_that_runs_in_reverse_order(start):
    process = start()
    assert read_until(process, "ready") == ["enter", "start", "ready"]
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out.split("\n")[:-1]) == (0, ["stop", "leave here"]), err


@pytest.mark.parametrize("workers", [1, 2])
def test_a_signal_ends_a_start_that_hangs_and_what_had_begun(start, workers):
    process = start("say('start'); threading.Event().wait()", workers=workers)
    for _ in range(workers):
        read_until(process, "start")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert Counter(out.split()) == Counter(("stop leave here " * workers).split()), err


def test_each_worker_enters_its_own_and_the_server_is_ready_after_all_of_them(start):
    process = start(workers=2)
    assert Counter(read_until(process, "ready")) == {"enter": 2, "start": 2, "ready": 1}
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=PATIENCE)
    assert Counter(out.split("\n")[:-1]) == {"stop": 2, "leave here": 2}, err


SERVE = ("-m", "bee_core", "serve", "hooked:server")


def test_bee_serve_says_in_one_line_which_start_hook_failed(start):
    process = start("raise OSError('no database')", command=SERVE)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out.split("\n")[:-1]) == (1, ["enter", "stop", "leave here"])
    assert err == "error: the start hook start failed: OSError: no database\n"


def test_a_worker_whose_start_hook_fails_ends_the_server(start):
    process = start("raise OSError('no database')", command=SERVE, workers=2)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "a worker could not serve: BeeError: the start hook start failed: OSError" in err
    assert "raise OSError('no database')" in err, "where it was raised"
    assert "serve_as_worker" not in err, "what bee did is nothing to act on"
    assert "before it served; the lines above say why" in err.splitlines()[-1]
