"""Puts what was measured into a page, between marks, and leaves the words of people alone.

A generated part stands between two lines, and is replaced as a whole::

    <!-- measured: targets -->
    …
    <!-- end -->
"""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING

from ..instructions import table as instructions
from ..suites import SUITES
from . import picture, tables, targets

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ..results import Results

PART = re.compile(r"<!-- measured: ([\w-]+) -->\n.*?<!-- end -->", re.DOTALL)


def replace(text: str, parts: Mapping[str, str]) -> str:
    """The text with its generated parts made anew.

    Raises:
        ValueError: A mark names a part that there is not.
    """

    def new(found: re.Match[str]) -> str:
        name = found[1]
        if name not in parts:
            raise ValueError(f"no part is called {name!r}; there are {', '.join(sorted(parts))}")
        return f"<!-- measured: {name} -->\n\n{parts[name].strip()}\n\n<!-- end -->"

    return PART.sub(new, text)


def parts(results: Results) -> dict[str, str]:
    """Every part that a page may have."""
    found = {name: tables.suite(results, name) or "Not measured." for name in SUITES}
    return found | {
        "targets": targets.table(results),
        "machine": machine(results),
        "setups": tables.setups(results),
        "instructions": instructions.as_markdown(instructions.read()),
    }


def machine(results: Results) -> str:
    """Where and when, and who was left out."""
    it, options = results.machine, results.options
    versions = ", ".join(f"{name} {version}" for name, version in it["versions"].items())
    lines = [
        f"{it['date']}, {it['implementation']} {it['python']}, {it['cores']} cores,",
        f"{it['processor'] or 'an unknown processor'}. {options['rounds']} rounds of",
        f"{options['seconds']} s, open loops of {options['open_seconds']} s.",
        f"The load average before it was {it['load_before']}.",
        f"bee's blocking client ran its {'native exchange' if it['native'] else 'pure path'}.",
        "",
        *textwrap.wrap(f"{versions}.", 99),
    ]
    if results.left_out:
        lines += ["", "Left out:", ""]
        lines += [
            textwrap.fill(f"- **{name}**: {why.strip().splitlines()[-1]}", 99)
            for name, why in results.left_out.items()
        ]
    return "\n".join(lines)


def as_text(results: Results) -> str:
    """All tables, for a terminal."""
    found = parts(results)
    text = [f"# {SUITES[name].title}\n\n{found[name]}" for name in results.suites]
    return "\n".join([*text, "# Targets\n", found["targets"], found["machine"], ""])


def picture_of(page: Path) -> Path:
    """Where the picture of a page lies."""
    return page.with_suffix(".svg")


def fill(page: Path, results: Results) -> None:
    """Replace the generated parts of a page, and its picture."""
    page.write_text(replace(page.read_text("utf-8"), parts(results)), "utf-8")
    text = picture.draw(
        picture.panels(results),
        "Calls of bee, of its peers and of floors: throughput, median and far percentile",
    )
    picture_of(page).write_text(text, "utf-8")
