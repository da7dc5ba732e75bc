"""Tables in Markdown, made of results."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ..contenders import CONTENDERS
from ..loads import LOADS
from ..suites import SUITES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..results import Results
    from ..spreads import Spread

BEE = "bee"


@attrs.frozen
class Family:
    """Loads that share a table.

    Attributes:
        title: The line above it.
        prefixes: Names of loads begin so.
        key: The figure of a round that it shows.
    """

    title: str
    prefixes: tuple[str, ...]
    key: str

    def loads(self, results: Results, suite: str) -> list[str]:
        """Those that were measured, in the order of ``LOADS``."""
        measured = results.suites.get(suite, {})
        return [name for name in LOADS if name in measured and name.startswith(self.prefixes)]


FAMILIES = (
    Family("One caller, and a new client for each call: median µs", ("one", "connect"), "p50"),
    Family("Threads: calls a second", ("threads-",), "per_second"),
    Family("asyncio: calls a second", ("asyncio-",), "per_second"),
)


def number(value: float) -> str:
    """Three digits that matter, with commas."""
    if value >= 1000:
        digits = len(str(int(value)))
        return f"{round(value, 3 - digits):,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def ratio(found: Spread | None) -> str:
    """A median with its range."""
    if found is None:
        return "–"
    return f"{found.median:.2f} ({found.least:.2f} to {found.most:.2f})"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column is text."""
    lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines)


def short(load: str) -> str:
    """The head of a column: what differs within a family."""
    title = LOADS[load].title
    return title.removeprefix("asyncio, ").removeprefix("one caller, ").replace(" in flight", "")


def family(results: Results, suite: str, which: Family) -> str:
    """The medians of a family, or nothing if none was measured."""
    loads = which.loads(results, suite)
    rows = []
    for name in SUITES[suite].contenders:
        found = [results.spread(suite, load, name, which.key) for load in loads]
        if any(found):
            cells = ["–" if one is None else number(one.median) for one in found]
            rows.append([CONTENDERS[name].title, *cells])
    if not rows:
        return ""
    return f"{which.title}:\n\n{markdown(['', *map(short, loads)], rows)}\n"


def headlines(results: Results, suite: str) -> str:
    """Figures with ratios and their range, for the loads that the targets are about."""
    parts = []
    for load, key, unit in (
        ("one", "p50", "median µs"),
        ("threads-16", "per_second", "calls a second"),
        ("asyncio-64", "per_second", "calls a second"),
    ):
        rows = []
        for name in SUITES[suite].contenders:
            found = results.spread(suite, load, name, key)
            if found is not None:
                spread = f"{number(found.least)} to {number(found.most)}"
                to_bee = ratio(results.ratio(suite, load, name, BEE, key))
                used = [
                    processor(results, suite, load, name, side) for side in ("client", "server")
                ]
                rows.append([CONTENDERS[name].title, number(found.median), spread, to_bee, *used])
        if rows:
            head = [LOADS[load].title, unit, "least to most", "× bee", "client µs", "server µs"]
            parts.append(markdown(head, rows) + "\n")
    return "\n".join(parts)


def processor(results: Results, suite: str, load: str, name: str, side: str) -> str:
    """Processor time of a call in microseconds."""
    found = results.spread(suite, load, name, f"{side}_us")
    return "–" if found is None or not found.median else number(found.median)


def open_loop(results: Results, suite: str) -> str:
    """Percentiles in milliseconds at each share of each one's own capacity."""
    parts = []
    for load in results.suites.get(suite, {}):
        if LOADS[load].shape != "open":
            continue
        rows = []
        for name in SUITES[suite].contenders:
            rate = results.spread(suite, load, name, "rate")
            if rate is None:
                continue
            cells = [number(rate.median)]
            for key in ("p50", "p99", "p99_9"):
                found = results.spread(suite, load, name, key)
                cells.append("–" if found is None else number(found.median / 1000))
            last = results.spread(suite, load, name, "p99_9")
            range_ = "" if last is None else (
                f"{number(last.least / 1000)} to {number(last.most / 1000)}"
            )  # fmt: skip
            rows.append([CONTENDERS[name].title, *cells, range_])
        if rows:
            head = [LOADS[load].title, "calls a second", "p50 ms", "p99", "p99.9", "its range"]
            parts.append(markdown(head, rows) + "\n")
    return "\n".join(parts)


def suite(results: Results, name: str) -> str:
    """Everything that a suite found."""
    parts = [headlines(results, name)]
    wide = [family(results, name, one) for one in FAMILIES]
    headline = {"one", "threads-16", "asyncio-64"}
    if set(results.suites.get(name, {})) - headline:
        parts += wide
    parts.append(open_loop(results, name))
    return "\n".join(part for part in parts if part)


def setups(results: Results) -> str:
    """How each one is configured."""
    used = {
        name
        for loads in results.suites.values()
        for contenders in loads.values()
        for name in contenders
    }
    rows = [[one.title, one.setup] for name, one in CONTENDERS.items() if name in used]
    return markdown(["", "how it runs"], rows).replace(" ---: |", " --- |")
