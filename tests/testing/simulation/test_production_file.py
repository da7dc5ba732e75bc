"""``examples/production.yml``, which docs/governance.md recommends, and what it does in trouble."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path

import attrs
import pytest

from bee_core.cli import main
from bee_core.config import load_config, warnings
from bee_core.testing.simulation import SCENARIOS, simulate
from support.readme_shell import blocks

ROOT = Path(__file__).parents[3]
FILE = ROOT / "examples" / "production.yml"
PAGE = ROOT / "docs" / "governance.md"
SMALL_CAPACITY = 2 * 4 / 0.0209  # calls a second of two nodes with four workers each


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """The file without any policy, as the page has it."""
    found = [text for text in blocks(PAGE.read_text(encoding="utf-8"), "yaml") if "p2c" not in text]
    path = tmp_path / "plain.yml"
    path.write_text(found[0], encoding="utf-8")
    return path


def test_the_page_shows_the_file():
    shown = blocks(PAGE.read_text(encoding="utf-8"), "yaml")
    lines = FILE.read_text(encoding="utf-8").splitlines()
    without_comments = "\n".join(line for line in lines if not line.startswith("#"))
    assert without_comments.strip() in [text.strip() for text in shown]


def test_the_file_has_no_contradiction(capsys: pytest.CaptureFixture[str]):
    assert main(["check", os.fspath(FILE)]) == 0
    assert warnings(load_config(FILE)) == []
    assert "warning" not in "".join(capsys.readouterr()).lower()


def test_a_slow_node_hardly_shows(plain: Path):
    scenario = attrs.evolve(SCENARIOS["slow-node"], rate=500.0, seconds=30)
    good, poor = simulate(FILE, scenario), simulate(plain, scenario)
    before, during = (good["phases"][name]["latency"] for name in ("before", "during"))
    assert during["p99"] <= 1.5 * before["p99"]
    assert during["p99.9"] <= 1.5 * before["p99.9"]
    assert good["extra_attempts"] <= 0.05
    assert good["kinds"][0]["success"] >= 0.9999
    assert poor["phases"]["during"]["latency"]["p99"] > 5 * before["p99"]


def test_the_page_has_the_picture_of_its_command(plain: Path, monkeypatch: pytest.MonkeyPatch):
    shutil.copy(FILE, plain.parent)
    monkeypatch.chdir(plain.parent)
    command = blocks(PAGE.read_text(encoding="utf-8"), "sh")[0].replace("\\\n", " ")
    assert main(shlex.split(command)[1:]) == 0
    name = "governance-slow-node.svg"
    drawn, shown = (
        re.sub(r"[-\d.,]+", "", (folder / name).read_text(encoding="utf-8"))
        for folder in (plain.parent, PAGE.parent)
    )
    assert drawn == shown


def test_an_overload_leaves_nine_tenths_of_the_capacity(plain: Path):
    scenario = attrs.evolve(SCENARIOS["overload"], nodes=2, workers=4, seconds=30)
    good, poor = simulate(FILE, scenario), simulate(plain, scenario)
    assert good["phases"]["during"]["goodput"] >= 0.9 * SMALL_CAPACITY
    assert good["degraded"] < 0.01 * good["calls"]
    assert good["phases"]["during"]["extra_attempts"] <= 0.3
    assert poor["phases"]["during"]["goodput"] < 0.5 * SMALL_CAPACITY
    assert good["ran_twice"] == good["untrue"] == 0
