"""No process that a test has started outlives the run, however the run ends."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from cluster.servers import when
from support.patience import PATIENCE
from support.processes import end, left_of, run, start
from support.test_stuck import environment, pytest_command

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc"),
    pytest.mark.timeout(120),
]
HEAD = """
import os, signal, subprocess, time
import pytest
from support.processes import RUN, left_of, start

def servers():
    start(["sleep", "1000"], start_new_session=True)
    start(["sleep", "1001"], env={"PATH": os.environ["PATH"]})
    subprocess.Popen(["sh", "-c", "sleep 1002 & sleep 1003"])
    if os.fork() == 0:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        time.sleep(1004)
        os._exit(0)
"""
FORGETS = HEAD + "def test_forgets(): servers()\n"
KILLED = (
    HEAD
    + """
def test_killed():
    servers()
    os.kill(os.getpid(), signal.SIGKILL)

def test_next():
    run = os.environ[RUN].partition("/")[0]
    assert not [said for said in left_of(run + "/gw0/").values() if "sleep" in said]
"""
)
HANGS = (
    HEAD
    + """
def test_hangs():
    servers()
    print("hanging " + os.environ[RUN], file=open("hanging", "w"), flush=True)
    signal.pause()
"""
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]")
    return tmp_path


def write(folder, text):
    (folder / "test_it.py").write_text(text)


@pytest.mark.parametrize("workers", ["0", "1"])
def test_what_tests_forget_is_ended_and_named(folder, workers):
    write(folder, FORGETS)
    done = run(pytest_command("-n", workers), cwd=folder, env=environment())
    assert done.returncode == 0, done.stdout
    _, _, named = done.stdout.partition("left behind")
    for seconds in range(1000, 1004):
        assert f"sleep {seconds}" in named


def test_the_servers_of_a_killed_worker_end_before_the_next_test(folder):
    write(folder, KILLED)
    command = pytest_command("-n", "1", "--dist", "loadfile")
    done = run(command, cwd=folder, env=environment())
    assert "FAILED test_it.py::test_killed" in done.stdout
    assert "1 failed, 1 passed" in done.stdout
    assert "sleep 1000" in done.stdout


@pytest.mark.parametrize("workers", ["0", "1"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_they_end_with_a_run_that_is_broken_off(folder, number, workers):
    write(folder, HANGS)
    process = start(
        pytest_command("-n", workers, "-s"), cwd=folder, env=environment(), start_new_session=True
    )
    try:
        name = wait_for(lambda: hanging(folder))
        run_name = name.removesuffix("gw0/")
        wait_for(lambda: len(left_of(run_name)) >= 5)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does
        else:
            process.send_signal(number)
        assert process.wait(PATIENCE) != 0
        wait_for(lambda: not left_of(run_name))
    finally:
        end(process)


def hanging(folder):
    path = folder / "hanging"
    words = path.read_text().split() if path.exists() else []
    return words[1] if len(words) == 2 else None


def wait_for(condition):
    found = []
    when(lambda: found.append(condition()) or found[-1], "it did not happen")
    return found[-1]
