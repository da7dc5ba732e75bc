"""docs/troubleshooting.md quotes messages that bee really has."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import bee_core
import bee_plugins

ROOT = Path(__file__).parent.parent
SOURCES = [Path(package.__path__[0]) for package in (bee_core, bee_plugins)]
ROW = re.compile(r"^\| `(.+?)` \| .+ \| .+ \|$", re.MULTILINE)
MESSAGES = [
    message
    for message in ROW.findall((ROOT / "docs" / "troubleshooting.md").read_text("utf-8"))
    if message != "message"
]


@cache
def texts() -> str:
    """All texts of the sources, one a line; what an f-string fills in is an ellipsis."""
    found = []
    for folder in SOURCES:
        for path in sorted(folder.rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    found.append(
                        "".join(
                            str(part.value) if isinstance(part, ast.Constant) else "…"
                            for part in node.values
                        )
                    )
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    return "\n".join(text.replace("\n", " ") for text in found)


def test_the_page_has_messages() -> None:
    assert len(MESSAGES) > 20
    assert len(set(MESSAGES)) == len(MESSAGES)


@pytest.mark.parametrize("message", MESSAGES)
def test_each_message_is_one_of_bees(message: str) -> None:
    pattern = ".*".join(map(re.escape, message.split("…")))
    assert re.search(pattern, texts()), message
