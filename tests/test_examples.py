"""The examples, run as their READMEs say."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"
BEE = [sys.executable, "-m", "bee_core"]


def run(folder: Path, *command: str, **environment: str) -> str:
    done = subprocess.run(command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_calculator_serves_its_clients() -> None:
    folder = EXAMPLES / "calculator"
    command = [*BEE, "serve", "calculator.py:Calculator", "Stats=calculator.py:Stats"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        environment = {**os.environ, "CALC_ADDRESS": f"127.0.0.1:{probe.getsockname()[1]}"}
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            address = line[line.index("tcp://") :].split()[0]
            said = run(folder, sys.executable, "client.py", CALC_ADDRESS=address)
            assert "1 + 2 = 3" in said
            assert "summary: Summary(count=3, mean=2.0, largest=3.0)" in said
            assert "20 + 22 = 42 after 1 attempt" in said
            assert "the handler raised ZeroDivisionError - executed: yes" in said
            assert "refused before anything was sent: $.b: expected int, got str" in said
            assert run(folder, sys.executable, "async_client.py", CALC_ADDRESS=address) == "a hundred sums: 9900\n"
            assert run(folder, *BEE, "call", "calc", "Stats.mean", "[1, 2, 3]", CALC_ADDRESS=address) == "2.0\n"
        finally:
            server.terminate()
            server.communicate(timeout=20)


def test_the_example_plugin_passes_its_own_tests() -> None:
    folder = EXAMPLES / "plugin"
    said = run(folder, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), "-c", os.devnull)
    assert "passed" in said
