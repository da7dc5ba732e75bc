"""The examples, run as their READMEs say."""

from __future__ import annotations

import os
import queue
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from support import processes
from support.patience import scaled

if TYPE_CHECKING:
    from collections.abc import Iterator

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
BEE = [sys.executable, "-m", "bee_core"]


def run(folder: Path, *command: str, **environment: str) -> str:
    done = processes.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def serving(folder: Path, variable: str, *targets: str) -> Iterator[dict[str, str]]:
    """``bee serve`` in an example's folder, on a free port: the environment in which its clients find it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        environment = {**os.environ, variable: f"127.0.0.1:{probe.getsockname()[1]}"}
    with processes.start(
        [*BEE, "serve", *targets],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            yield {variable: line[line.index("tcp://") :].split()[0]}
        finally:
            server.terminate()
            server.communicate(timeout=scaled(20.0))


def test_the_greeter_serves_its_clients() -> None:
    folder = EXAMPLES / "greeter"
    (expected,) = re.findall(
        r"^```text\n(.*?)^```$",
        (folder / "README.md").read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        environment = {**os.environ, "GREETER_ADDRESS": f"127.0.0.1:{probe.getsockname()[1]}"}
    program = "import logging, runpy; logging.basicConfig(level=logging.INFO); runpy.run_path('server.py')"  # so that it says when it listens
    command = [sys.executable, "-c", program]
    with processes.start(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            assert "listening on tcp://" in line, line
            assert (
                run(
                    folder,
                    sys.executable,
                    "client.py",
                    GREETER_ADDRESS=environment["GREETER_ADDRESS"],
                )
                == expected
            )
        finally:
            server.terminate()
            server.communicate(timeout=scaled(20.0))


def test_the_greeter_s_module_agrees_with_its_proto(tmp_path: Path) -> None:
    protoc = pytest.importorskip("grpc_tools.protoc")
    folder = EXAMPLES / "greeter"
    assert (
        protoc.main(
            ["protoc", f"-I{folder}", f"--descriptor_set_out={tmp_path / 'made'}", "greeter.proto"]
        )
        == 0
    )
    program = (
        "import sys, greeter_pb2; from google.protobuf import descriptor_pb2 as d; ours = d.FileDescriptorProto(); greeter_pb2.DESCRIPTOR.CopyToProto(ours); "
        "made, = d.FileDescriptorSet.FromString(open(sys.argv[1], 'rb').read()).file; "
        "[field.ClearField('json_name') for message in made.message_type for part in [message, *message.nested_type] for field in part.field]; print(made == ours)"
    )
    assert run(folder, sys.executable, "-c", program, str(tmp_path / "made")) == "True\n"


def test_the_calculator_serves_its_clients() -> None:
    folder = EXAMPLES / "calculator"
    with serving(
        folder, "CALC_ADDRESS", "calculator.py:Calculator", "Stats=calculator.py:Stats"
    ) as environment:
        said = run(folder, sys.executable, "client.py", **environment)
        assert "1 + 2 = 3" in said
        assert "summary: Summary(count=3, mean=2.0, largest=3.0)" in said
        assert "20 + 22 = 42 after 1 attempt" in said
        assert "the handler raised ZeroDivisionError - executed: yes" in said
        assert "refused before anything was sent: $.b: expected int, got str" in said
        assert (
            run(folder, sys.executable, "async_client.py", **environment)
            == "a hundred sums: 9900\n"
        )
        assert (
            run(folder, *BEE, "call", "calc", "Stats.mean", "[1, 2, 3]", **environment) == "2.0\n"
        )


def test_typed_records_are_told_apart_and_checked_as_the_readme_says() -> None:
    folder = EXAMPLES / "typed"
    commands = re.findall(
        r"^\$ (.*)\n((?:(?!```).*\n)*)",
        (folder / "README.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert len(commands) == 2
    with serving(folder, "ORDERS_ADDRESS", "orders.py:Orders") as environment:
        for codec in ("json", "msgpack"):
            for command, answer in commands:
                program = shlex.split(command)
                words = (
                    [sys.executable, *program[1:]]
                    if program[0] == "python"
                    else [*BEE, *program[1:]]
                )
                assert run(folder, *words, **environment, ORDERS_CODEC=codec) == answer


def test_the_example_plugin_passes_its_own_tests() -> None:
    folder = EXAMPLES / "plugin"
    said = run(
        folder,
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(folder),
        "-c",
        os.devnull,
    )
    assert "passed" in said


def test_the_shop_passes_its_own_tests() -> None:
    folder = EXAMPLES / "shop"
    said = run(
        folder,
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(folder),
        "-c",
        os.devnull,
    )
    assert "passed" in said


class Shell:
    """A shell that is given a README's commands one after the other, as a reader would type them."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # python and bee are those that run the tests
        self._shell = processes.start(
            ["bash"],
            cwd=folder,
            env={**os.environ, **environment, "PATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._shell.stdout is not None
        for line in self._shell.stdout:
            self._lines.put(line)

    def type(self, command: str) -> str:
        """Run a command: what is said until it has ended, or for a server in the background until it is registered."""
        assert self._shell.stdin is not None
        starts = command.endswith("&")
        self._shell.stdin.write(command + "\n" + ("" if starts else 'echo "ended with $?"\n'))
        self._shell.stdin.flush()
        said = ""
        deadline = time.monotonic() + scaled(30.0)
        while True:
            line = self._lines.get(timeout=max(0.01, deadline - time.monotonic()))
            said += line
            if "registered" in line if starts else line.startswith("ended with"):
                assert starts or line == "ended with 0\n", said
                return said

    def close(self) -> None:
        """End it and whatever it has started."""
        os.killpg(self._shell.pid, signal.SIGKILL)  # not waited for yet, so the id is still its own
        self._shell.wait(scaled(20.0))
        self._reader.join(scaled(20.0))
        for pipe in (self._shell.stdin, self._shell.stdout):
            if pipe is not None:
                pipe.close()


def test_the_shop_does_what_its_readme_says(tmp_path: Path) -> None:
    text = (EXAMPLES / "shop" / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    commands = [line for kind, block in blocks if kind == "sh" for line in block.splitlines()]
    _, whole, degraded = [block for kind, block in blocks if kind == "text"]
    commands = commands[: commands.index("python -m pytest")]
    environment = {
        "BEE_LOCAL_DIR": str(tmp_path / "registry"),
        "BEE_CACHE_DIR": str(tmp_path / "cache"),
    }
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    for name, probe in zip(("STOCK", "PRICES", "ORDERS"), probes, strict=True):
        environment[f"{name}_ADDRESS"] = f"127.0.0.1:{probe.getsockname()[1]}"
        probe.close()

    shell = Shell(EXAMPLES / "shop", environment)
    try:
        said = [(command, shell.type(command)) for command in commands[:-4]]
        orders = [answer for command, answer in said if command == "python client.py"]
        (nodes,) = [answer for command, answer in said if command.startswith("bee nodes")]
        assert len(orders) == 3
        assert [line for line in whole.splitlines() if line not in orders[0]] == []
        assert "2 of 2 nodes fit" in nodes
        assert "(10 % off)" in orders[1]
        assert "placed=4, estimated=0" in orders[1]
        assert [line for line in degraded.splitlines() if line not in orders[2]] == []

        assert commands[-4:] == [
            "bee serve prices.py:Prices --config prices.yml &",
            "python client.py",
            "kill $(jobs -p)",
            "wait",
        ]
        shell.type(commands[-4])
        deadline = time.monotonic() + scaled(20.0)
        while "(10 % off)" not in shell.type(
            commands[-3]
        ):  # orders learns of the new server within 200 ms
            assert time.monotonic() < deadline
        said = [(command, shell.type(command)) for command in commands[-2:]]
        assert "".join(answer for _, answer in said).count("gone") == 3
    finally:
        shell.close()


@pytest.mark.skipif(
    shutil.which("openssl") is None, reason="the example makes its certificates with openssl"
)
def test_the_vault_lets_in_whom_its_readme_says(tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    shutil.copytree(EXAMPLES / "tls", folder, ignore=shutil.ignore_patterns("certificates"))
    text = (folder / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    make, call, refused = [block.splitlines() for kind, block in blocks if kind == "sh"]
    welcome, unwelcome = [block for kind, block in blocks if kind == "text"]
    assert make[-1] == "bee serve vault.py:Vault --config server.yml"
    probe = socket.create_server(("127.0.0.1", 0))
    environment = {
        "VAULT_ADDRESS": f"tls://127.0.0.1:{probe.getsockname()[1]}",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    probe.close()
    tokens = folder / "certificates" / "tokens"

    def shell(*commands: str) -> str:
        done = processes.run(
            ["sh", "-c", "\n".join(commands)],
            cwd=folder,
            env={**os.environ, **environment},
        )
        return done.stdout + done.stderr

    shell(*make[:-1])
    assert (
        shell("bee check server.yml", 'BEE_TOKEN=x bee check "client.yml"')
        == "server.yml can be used\nclient.yml can be used\n"
    )
    serve = [*BEE, *make[-1].split()[1:]]
    with processes.start(
        serve,
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            assert "listening on tls://127.0.0.1:" in server.stdout.readline()
            assert shell(*call) == welcome
            said = [shell(call[0], command) for command in refused]
            assert "".join(said) == unwelcome
            old = tokens.read_text()
            tokens.write_text(old + "another token\n")
            assert (
                shell("export BEE_TOKEN=$(head -n 1 certificates/tokens)", call[1])
                == shell(*call)
                == welcome
            )
            tokens.write_text("another token\n")
            assert "Unauthenticated" in shell(f"BEE_TOKEN={old.strip()} {call[1]}")
            shell(make[0])
            assert shell(*call) == welcome
        finally:
            server.terminate()
            said_by_server = server.communicate(timeout=scaled(20.0))[0]
    assert old.strip() not in said_by_server
    assert "another token" not in said_by_server
    assert "the certificate files have changed: new connections use the new ones" in said_by_server
