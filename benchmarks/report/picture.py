"""The picture: bars with their range, as an SVG that is readable on light and on dark pages."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import attrs

from ..contenders import BEE, CONTENDERS, FLOORS, PEERS
from .tables import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..results import Results
    from ..spreads import Spread

WIDTH = 760
LABELS = 190
FIGURES = 90
BAR = 14
ROW = 22
HEAD = 44
GAP = 18

STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328; }
  .title { font-weight: 600; }
  .note { fill: #59636e; font-size: 12px; }
  .bee { fill: #bf8700; }
  .peer { fill: #6e7781; }
  .floor { fill: none; stroke: #6e7781; stroke-dasharray: 3 2; }
  .range { stroke: #1f2328; stroke-width: 1.5; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .note { fill: #9198a1; }
    .bee { fill: #e3b341; }
    .peer { fill: #8b949e; }
    .floor { stroke: #8b949e; }
    .range { stroke: #e6edf3; }
  }
""".strip("\n")


@attrs.frozen
class Bar:
    """One row.

    Attributes:
        label: On its left.
        value: Its length, and the range over it.
        kind: ``bee``, ``peer`` or ``floor``.
    """

    label: str
    value: Spread
    kind: str


@attrs.frozen
class Panel:
    """Bars that share a scale.

    Attributes:
        title: Above them.
        note: Beside the title: which way is better.
        bars: From the top.
    """

    title: str
    note: str
    bars: Sequence[Bar]


def draw(panels: Sequence[Panel], description: str) -> str:
    """The text of the SVG."""
    parts: list[str] = []
    top = GAP
    for panel in panels:
        parts.append(_panel(panel, top))
        top += HEAD + ROW * len(panel.bars) + GAP
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" role="img">',
            f"<title>{escape(description)}</title>",
            f"<style>\n{STYLE}\n</style>",
            *parts,
            "</svg>",
            "",
        ]
    )


def _text(x: float, y: float, text: str, attributes: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}"{attributes}>{escape(text)}</text>'


def _panel(panel: Panel, top: float) -> str:
    most = max((bar.value.most for bar in panel.bars), default=1.0) or 1.0
    scale = (WIDTH - LABELS - FIGURES) / most
    lines = [
        _text(8, top + 16, panel.title, ' class="title"'),
        _text(WIDTH - 8, top + 16, panel.note, ' class="note" text-anchor="end"'),
    ]
    for index, bar in enumerate(panel.bars):
        y = top + HEAD - 12 + index * ROW
        middle = y + BAR / 2
        length = bar.value.median * scale
        least, end = (LABELS + bar.value.least * scale, LABELS + bar.value.most * scale)
        lines += [
            _text(LABELS - 8, y + 11, bar.label, ' text-anchor="end"'),
            f'<rect class="{bar.kind}" x="{LABELS}" y="{y}" width="{length:.1f}" height="{BAR}"/>',
            f'<line class="range" x1="{least:.1f}" y1="{middle}" x2="{end:.1f}" y2="{middle}"/>',
            _text(max(end, LABELS + length) + 6, y + 11, number(bar.value.median)),
        ]
    return "\n".join(lines)


PANELS = (
    ("one caller: median µs", "shorter is better", "one", "p50"),
    ("16 threads: calls a second", "longer is better", "threads-16", "per_second"),
    ("asyncio, 64 in flight: calls a second", "longer is better", "asyncio-64", "per_second"),
    (
        "asyncio at 80 % of each one's capacity: p99.9, µs",
        "shorter is better", "open-asyncio-64-80", "p99_9",
    ),
    (
        "16 threads at 80 % of each one's capacity: p99.9, µs",
        "shorter is better", "open-threads-16-80", "p99_9",
    ),
)  # fmt: skip


def panels(results: Results) -> list[Panel]:
    """The headlines of a run: bee above, peers from the best on, floors below."""
    found = []
    for title, note, load, key in PANELS:
        rows: list[Bar] = []
        for group, kind in ((BEE, "bee"), (PEERS, "peer"), (FLOORS, "floor")):
            bars = []
            for name in group:
                value = results.spread("peers", load, name, key)
                if value is not None:
                    bars.append(Bar(CONTENDERS[name].title.replace("`", ""), value, kind))
            if kind == "peer":
                bars.sort(key=lambda bar: bar.value.median, reverse=key == "per_second")
            rows += bars
        if rows:
            found.append(Panel(title, note, rows))
    return found
