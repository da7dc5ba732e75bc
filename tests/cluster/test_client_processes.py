"""Clients in processes of their own: they fork while busy and leave while calls are in flight."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cluster.client_program import CHILDREN, HANGING
from cluster.servers import client_config, local
from support import processes
from support.patience import PATIENCE, scaled

_PROGRAM = Path(__file__).with_name("client_program.py")


def run(folder, act, **settings):
    config = json.dumps(client_config(local(folder), **settings))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return processes.start(
        [sys.executable, "-W", "ignore::DeprecationWarning", str(_PROGRAM), config, act],
        text=True,
        **pipes,
    )


def test_children_forked_from_a_busy_client_call_on_their_own_and_disturb_no_call_of_the_parent(
    start, folder, record
):
    start(2)
    process = run(folder, "fork_while_busy", idempotent=False)
    try:
        assert process.stdout.readline() == "watching\n"
        start(1)
        out, err = process.communicate(timeout=scaled(30.0))
    finally:
        process.kill()
    assert (process.returncode, err) == (0, ""), out
    report = json.loads(out)
    assert (report["failed"], report["codes"]) == ([], [0] * (CHILDREN + 1))
    record(
        "fork in a busy client",
        calls=report["calls"],
        failed=0,
        recover=report["slowest"],
        note=f"{CHILDREN} children; recover: the slowest child with its 20 calls",
    )


@pytest.mark.parametrize("act", ["leave_with_blocking_calls", "leave_with_async_calls"])
def test_a_program_ends_at_once_and_in_silence_while_its_calls_are_in_flight(
    start, folder, record, act
):
    (server,) = start(1)
    process = run(folder, act, timeout=10 * PATIENCE, read_timeout=10 * PATIENCE)
    try:
        for _ in range(HANGING):
            server.expect("holding")
        process.stdin.write("leave\n")
        process.stdin.flush()
        assert process.stdout.readline() == "leaving\n"
        said = time.monotonic()
        out, err = process.communicate(timeout=PATIENCE)
        took = time.monotonic() - said
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, out, err) == (0, "", "")
    assert took < scaled(3)
    record(
        f"exit with {HANGING} calls in flight ({act.split('_')[2]})",
        calls=HANGING,
        failed=HANGING,
        recover=took,
        note="recover: until the process has ended, code 0, no traceback",
    )
