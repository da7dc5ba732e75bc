"""The README's snippets, run as they stand. Only the port is another, since 9000 may be taken."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import bee_core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

README = Path(__file__).parent.parent / "README.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BEE = [sys.executable, "-m", "bee_core"]


def blocks(language: str) -> list[str]:
    return [
        text for kind, text in BLOCK.findall(README.read_text(encoding="utf-8")) if kind == language
    ]


def files() -> dict[str, str]:
    """The blocks that begin with the name of their file."""
    named = {}
    for language in ("python", "yaml"):
        for text in blocks(language):
            first = text.split("\n", 1)[0]
            assert re.fullmatch(r"# [\w.]+", first), f"a snippet does not say its file: {first}"
            named[first[2:]] = text
    return named


@pytest.fixture
def port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture
def folder(tmp_path: Path, port: int) -> Path:
    for name, text in files().items():
        (tmp_path / name).write_text(
            text.replace("127.0.0.1:9000", f"127.0.0.1:{port}"), encoding="utf-8"
        )
    return tmp_path


@pytest.fixture
def served(folder: Path) -> Iterator[None]:
    with subprocess.Popen(
        [*BEE, "serve", "calculator.py:Calculator"],
        cwd=folder,
        stderr=subprocess.STDOUT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert "listening on tcp://127.0.0.1:" in line, line
            yield
        finally:
            process.terminate()
            process.communicate(timeout=20)


def run(folder: Path, command: list[str]) -> str:
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=True, timeout=30
    ).stdout


@pytest.mark.usefixtures("served")
def test_the_first_server_and_client_print_what_the_readme_says(folder: Path) -> None:
    session = blocks("console")[0]
    client, call = re.findall(r"\$ (.+)\n((?:[^$].*\n|\$\..*\n)*)", session)
    assert client[0] == "python client.py"
    assert run(folder, [sys.executable, "client.py"]) == client[1]
    assert call[0].startswith("bee call")
    assert run(folder, [*BEE, *call[0].split()[1:]]) == call[1]


def test_the_first_server_and_client_have_less_than_thirty_lines() -> None:
    named = files()
    assert (
        sum(len(named[name].splitlines()) for name in ("calculator.py", "bee.yml", "client.py"))
        < 30
    )


def test_the_tour_prints_what_the_readme_says(folder: Path) -> None:
    assert run(folder, [sys.executable, "tour.py"]) == blocks("console")[1]


def test_the_explained_yaml_can_be_used(folder: Path) -> None:
    bee_core.build_server(folder / "shop.yml")
    with bee_core.build_client(folder / "shop.yml") as client:
        config = client.config.client("stock")
    assert config.method("level").idempotent is True
    assert config.method("reserve").fail.name == "failfast"
    assert config.timeout == 5
    assert config.balancer.name == "round-robin"


def saying(answer: str) -> Callable[[], str]:
    return lambda: answer


def test_the_plugin_has_twenty_lines_and_picks_the_first_node(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = files()["first_node.py"]
    assert len(text.splitlines()) <= 23, "twenty lines, the name of the file and blank ends aside"
    monkeypatch.syspath_prepend(str(folder))
    import first_node

    servers = []
    for name in ("one", "two"):
        server = bee_core.build_server(
            {"bee": {"rpc": {"server": {"name": "which", "address": f"memory://readme-{name}"}}}}
        )
        server.add(saying(name), name="name")
        servers.append(server)
    config = {
        "bee": {
            "rpc": {
                "client": {
                    "which": {
                        "balancer": "first-node",
                        "address": ["memory://readme-one", "memory://readme-two"],
                    }
                }
            }
        }
    }
    with (
        servers[0].in_thread(),
        servers[1].in_thread(),
        bee_core.build_client(config, plugins=[first_node]) as client,
    ):
        assert {client.service("which").name() for _ in range(10)} == {"one"}


def test_the_table_names_every_plugin_that_is_installed() -> None:
    from bee_core.plugins.hub import PluginHub

    text = README.read_text(encoding="utf-8")
    table = text[text.index("## What is built in") :]
    for row in PluginHub(disabled=()).installed():
        if row.distribution == "bee-rpc":
            assert f"`{row.name}`" in table, f"{row.kind} {row.name} is missing"
