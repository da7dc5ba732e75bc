"""What a process leaves when it crashes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest

from bee_core.control.recent_folder import dumps
from support import processes
from support.patience import scaled

PROGRAM = """
import sys
import bee_core

client = bee_core.build_client(
    {"bee": {"application": {"name": "shop", "recorder": RECORDER},
             "rpc": {"client": {"calc": {"address": "127.0.0.1:1", "retries": 0}}}}}
)
for _ in range(CALLS):
    try:
        client.service("calc").add(1, 2)
    except bee_core.errors.Unavailable:
        pass
END
"""


def run(tmp_path, end, calls=1, recorder="True"):
    text = PROGRAM.replace("RECORDER", recorder).replace("CALLS", str(calls)).replace("END", end)
    folder = tmp_path / "r"
    done = processes.run(
        [sys.executable, "-c", textwrap.dedent(text)],
        env={**os.environ, "BEE_RECENT_DIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=scaled(30.0),
    )
    return done, dumps(folder)


def test_an_exception_that_nobody_caught_leaves_the_last_calls_in_a_file(tmp_path):
    done, files = run(tmp_path, "raise ValueError('out of luck')")
    assert done.returncode == 1
    (path,) = files
    traceback, _, line = done.stderr.strip().rpartition("\n")
    assert traceback.endswith("ValueError: out of luck")
    assert line == (
        f"ValueError: out of luck: the last calls are in {path}; see them with: bee recent {path}"
    )
    content = json.loads(path.read_text())
    assert content["reason"] == "ValueError: out of luck"
    (client,) = content["processes"]
    assert (client["side"], client["name"]) == ("client", "shop")
    (call,) = client["failed"]
    assert (call["method"], call["error"]["kind"]) == ("add", "unavailable")
    assert call["steps"][0]["node"] == "tcp://127.0.0.1:1"


@pytest.mark.parametrize(
    ("end", "more"),
    [
        ("sys.exit(3)", {}),
        ("raise ValueError('nothing was called')", {"calls": 0}),
        ("raise ValueError('it is off')", {"recorder": "False"}),
    ],
)
def test_what_is_no_crash_and_where_nothing_is_known_leave_no_file(tmp_path, end, more):
    done, files = run(tmp_path, end, **more)
    assert files == []
    assert "last calls" not in done.stderr


def test_the_programs_own_hook_is_called_first(tmp_path):
    done, files = run(
        tmp_path,
        "sys.excepthook = (lambda before: lambda *e: (print('own'), before(*e)))(sys.excepthook)\n"
        "raise ValueError('x')",
    )
    assert done.stdout == "own\n"
    assert len(files) == 1
