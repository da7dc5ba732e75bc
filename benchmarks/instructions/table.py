"""The committed table of instructions, and its comparison with what was counted.

``instructions.json`` beside this file::

    {"tolerance": 0.02,
     "figures": {"3.13": {"blocking client": {"ratio": 4.24, "instructions": 161721}, ...}},
     "history": [{"date": "2026-11-29", "python": "3.13", "reason": "..."}]}

The ratio to the bare protocol is what is compared: another compiler or another patch of Python
moves both of its sides. The instructions themselves are there for people. Without the native
exchange a Python has figures of its own, under ``3.13 pure``.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

PATH = Path(__file__).with_name("instructions.json")


def read(path: Path = PATH) -> dict[str, Any]:
    """The table; an empty one where there is no file yet."""
    if not path.exists():
        return {"tolerance": 0.02, "figures": {}, "history": []}
    table: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return table


def this_python(*, native: bool) -> str:
    """The name of this Python's figures."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return version if native else f"{version} pure"


def complaints(
    table: dict[str, Any], python: str, counted: Mapping[str, tuple[int, int]]
) -> list[str]:
    """What differs by more than the table allows, a line each.

    A figure that fell is a complaint too: the table would hide the next rise by as much.

    Args:
        table: What ``read`` gave.
        python: Whose figures.
        counted: Instructions a call of each figure, and of the bare protocol.
    """
    known = table["figures"].get(python)
    if known is None:
        return [f"the table has no figures of Python {python}"]
    tolerance = table["tolerance"]
    found = []
    for name, (own, bare) in counted.items():
        if name not in known:
            found.append(f"{name}: the table does not have it; counted: {own / bare:.3f}")
            continue
        before, now = known[name]["ratio"], own / bare
        change = now / before - 1
        if abs(change) > tolerance:
            word = "dearer" if change > 0 else "cheaper"
            found.append(
                f"{name}: {abs(change):.1%} {word}: {now:.3f} × the bare protocol, where the table"
                f" has {before:.3f}; {own:,} instructions a call, where it has"
                f" {known[name]['instructions']:,}"
            )
    found += [
        f"{name}: the table has it, and it was not counted" for name in known.keys() - counted
    ]
    return found


def updated(
    table: dict[str, Any], python: str, counted: Mapping[str, tuple[int, int]], reason: str
) -> dict[str, Any]:
    """A new table with these figures, and the reason in its history.

    Raises:
        ValueError: There is no reason.
    """
    if not reason.strip():
        raise ValueError("say why the figures moved: --update --reason 'one line'")
    figures = {
        name: {"ratio": round(own / bare, 4), "instructions": own, "bare": bare}
        for name, (own, bare) in counted.items()
    }
    today = datetime.now(timezone.utc).date().isoformat()
    entry = {"date": today, "python": python, "reason": reason.strip()}
    return {
        "tolerance": table["tolerance"],
        "figures": dict(sorted({**table["figures"], python: figures}.items(), key=_version)),
        "history": [*table["history"], entry],
    }


def _version(item: tuple[str, Any]) -> tuple[tuple[int, ...], str]:
    number, _, rest = item[0].partition(" ")
    return tuple(map(int, number.split("."))), rest


def write(table: dict[str, Any], path: Path = PATH) -> None:
    """Save it."""
    path.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", "utf-8")


def as_markdown(table: dict[str, Any]) -> str:
    """The ratios by Python, and the instructions of the last."""
    pythons = list(table["figures"])
    if not pythons:
        return "Nothing was counted yet."
    names = list(table["figures"][pythons[-1]])
    lines = ["| × the bare protocol | " + " | ".join(pythons) + " |"]
    lines.append("| --- |" + " ---: |" * len(pythons))
    for name in names:
        cells = []
        for python in pythons:
            one = table["figures"][python].get(name)
            cells.append(
                "–" if one is None else f"{one['ratio']:.2f} ({round(one['instructions'], -3):,})"
            )
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
