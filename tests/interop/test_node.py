"""The Node.js client of ``examples/interop/node`` against the test vectors and bee servers."""

from __future__ import annotations

import re

import pytest

from interop.client_suite import ForeignClientSuite
from interop.foreign import EXAMPLES
from support import processes
from support.wire_vectors import FOLDER

NODE = EXAMPLES / "node"


def run(*command):
    return processes.run(command, cwd=NODE, timeout=30)


def test_it_replays_the_vectors(node):
    done = run(node, "bee.mjs", "vectors", str(FOLDER))
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.fullmatch(r"(\d+) of (\d+) checks passed\n", done.stdout)
    assert passed is not None
    assert passed[1] == passed[2] != "0"


def test_the_commands_of_its_readme(node, server):
    address = server.address.removeprefix("tcp://")
    commands = re.findall(
        r"^node (bee\.mjs (?:call|ping) .*)$", (NODE / "README.md").read_text("utf-8"), re.MULTILINE
    )
    assert len(commands) >= 3
    for command in commands:
        done = run("bash", "-c", f"'{node}' {command.replace('127.0.0.1:9000', address)}")
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()


def test_a_call_that_fails_ends_with_1_and_says_whether_it_ran(node, server):
    done = run(
        node, "bee.mjs", "call", server.address.removeprefix("tcp://"), "calc", "fail", '["boom"]'
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "remote_error (KeyError): 'boom' [executed: yes]\n"


class TestNodeClient(ForeignClientSuite):
    @pytest.fixture
    def foreign(self, node_client):
        return node_client
