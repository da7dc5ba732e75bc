"""The file that bee was asked to accept, byte for byte, with an etcd at its address."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from support.registry_processes import Etcd, require
from support.seed import SEED

APP = """
class Test:
    def echo(self, text: str) -> str:
        return text
"""


@pytest.fixture
def own_network():
    """The beginning of a command that has all ports to itself; nothing if they are free anyway."""
    name = f"bee-seed-{os.getpid()}"
    ip = shutil.which("ip")
    if (
        ip is not None
        and subprocess.run([ip, "netns", "add", name], check=False, capture_output=True).returncode
        == 0
    ):
        subprocess.run([ip, "-n", name, "link", "set", "lo", "up"], check=True)
        yield [ip, "netns", "exec", name]
        subprocess.run([ip, "netns", "del", name], check=True)
        return
    for port in (2379, 9000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                pytest.skip(
                    f"port {port}, which the file names, is taken, "
                    "and network namespaces cannot be made here"
                )
    yield []


def test_the_seed_starts_a_server_and_a_client_which_says_that_only_another_version_is_there(
    own_network, tmp_path
):
    require(Etcd)
    (tmp_path / "bee.yml").write_bytes(SEED.encode())
    (tmp_path / "newer.yml").write_text(
        SEED.replace('version: ">=1.0, <2"', 'version: ">=2.0, <3"')
    )
    (tmp_path / "app.py").write_text(APP)
    program = Path(__file__).with_name("seed_program.py")
    done = subprocess.run(
        [*own_network, sys.executable, str(program), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["call"]["code"] != 0
    assert (
        "no node of test fits version >=1.0, <2: 1 node is known; "
        "versions there are: 2.0.0 (1 node)" in said["call"]["err"]
    )
    nodes = json.loads(said["nodes"]["out"])
    assert '"source": "registry"' in json.dumps(nodes)
    assert "version 2.0 is not in >=1.0, <2" in said["nodes"]["out"]
    assert (said["newer"]["code"], said["newer"]["out"].strip()) == (0, '"hello"')
    log = "".join(said["log"])
    assert "registered tcp://127.0.0.1:9000 in etcd3" in log
    assert "the lease lasts 90 s" in log
    assert said["code"] == 0
