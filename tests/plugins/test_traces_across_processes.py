"""One trace through three services in two processes: a calls b, which calls c."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path

import bee_core
from faults.users import client_config
from support import processes
from support.patience import PATIENCE
from support.ports import fixed_port

PROGRAM = Path(__file__).with_name("traced_program.py")


def started(services):
    return processes.start(
        [sys.executable, str(PROGRAM), json.dumps(services)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_three_services_in_two_processes_make_one_trace():
    a, b, c = (f"127.0.0.1:{fixed_port()}" for _ in range(3))
    one = started([["a", "async", a, ["b", b]], ["c", "last", c, None]])
    two = started([["b", "def", b, ["c", c]]])
    try:
        for process in (one, two):
            assert process.stdout.readline() == "ready\n"
        with bee_core.build_client(client_config(a, service="a")) as client:
            assert client.service("a").go(1) == 3
        here, there = (
            [json.loads(line) for line in process.communicate(timeout=PATIENCE)[0].splitlines()]
            for process in (one, two)
        )
    finally:
        processes.end(one)
        processes.end(two)
    spans = {(span["kind"], span["name"]): span for span in (*here, *there)}
    assert len({span["trace"] for span in spans.values()}) == 1
    path = [("SERVER", "a/go"), ("CLIENT", "b/go"), ("SERVER", "b/go"), ("CLIENT", "c/go")]
    path.append(("SERVER", "c/go"))
    for above, below in itertools.pairwise(path):
        assert spans[below]["parent"] == spans[above]["id"], f"{below} is no child of {above}"
    assert spans["SERVER", "a/go"]["parent"] is None
    for name in ("b/go", "c/go"):
        assert spans["INTERNAL", f"{name} attempt"]["parent"] == spans["CLIENT", name]["id"]
    assert len(spans) == len(here) + len(there) == 7
    assert [span["name"] for span in there if span["kind"] == "SERVER"] == ["b/go"]
