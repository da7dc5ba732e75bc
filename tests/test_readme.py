"""What both READMEs show, run as it stands. Only the port differs, since 9000 may be taken."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.ports import fixed_address
from support.readme_shell import blocks, files

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
README, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
BEE = [sys.executable, "-m", "bee_core"]
COMMANDS = [
    "python3 -m venv .venv && .venv/bin/pip install '.[all]' && .venv/bin/bee demo\n",
    "python3 -m venv .venv && .venv/bin/pip install nox && .venv/bin/nox -s tests\n",
]

both = pytest.mark.parametrize("page", [README, CHINESE], ids=lambda page: page.name)


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def write_files(page: Path, folder: Path) -> None:
    address = fixed_address()
    for name, text in files(read(page)).items():
        (folder / name).write_text(text.replace("127.0.0.1:9000", address), encoding="utf-8")


@contextmanager
def serving(page: Path, folder: Path) -> Iterator[None]:
    """The server, started by the command that the page names."""
    found = re.search(r"`bee (serve [^`]+)`", read(page))
    assert found is not None
    with subprocess.Popen(
        [*BEE, *found[1].split()],
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


@both
def test_the_first_server_and_client_print_what_the_readme_says(page: Path, tmp_path: Path) -> None:
    write_files(page, tmp_path)
    (session,) = blocks(read(page), "console")
    client, call = re.findall(r"\$ (.+)\n((?:[^$].*\n)*)", session)
    with serving(page, tmp_path):
        assert client[0] == "python client.py"
        assert run(tmp_path, [sys.executable, "client.py"]) == client[1]
        assert call[0].startswith("bee call")
        assert run(tmp_path, [*BEE, *call[0].split()[1:]]) == call[1]


def test_the_first_server_and_client_have_ten_lines_beside_names_and_blanks() -> None:
    lines = [
        line
        for text in files(read(README)).values()
        for line in text.splitlines()[1:]
        if line.strip() and line not in {"bee:", "  rpc:"}
    ]
    assert len(lines) <= 10


@both
def test_the_two_commands_stand_as_they_are_promised(page: Path) -> None:
    assert blocks(read(page), "sh") == COMMANDS


@both
def test_the_table_names_every_plugin_that_is_installed(page: Path) -> None:
    rows = json.loads(run(ROOT, [*BEE, "plugins", "--json"]))
    ours = [row for row in rows if row["distribution"] == "bee-rpc"]
    assert len(ours) >= 20
    for row in ours:
        assert f"`{row['name']}`" in read(page), f"{row['kind']} {row['name']} is missing"


def test_the_chinese_readme_has_the_same_snippets_and_links() -> None:
    for language in ("python", "yaml", "console", "sh"):
        assert blocks(read(CHINESE), language) == blocks(read(README), language)
    link = re.compile(r"\]\(([^)]+)\)")
    assert set(link.findall(read(CHINESE))) - {"README.md"} == set(link.findall(read(README))) - {
        "README.zh-CN.md"
    }


def test_both_readmes_compare_the_same_things() -> None:
    def shape(page: Path) -> list[int]:
        return [line.count("|") for line in read(page).splitlines() if line.startswith("|")]

    assert shape(README) == shape(CHINESE)
