"""Draws runs: latency and load over time, as an SVG for light and for dark pages."""

from __future__ import annotations

from math import ceil, floor, log10
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

WIDTH = 760
LEFT = 64
RIGHT = 16
HEIGHT = 130
"""Of a panel's plot."""
HEAD = 34
FOOT = 26
GAP = 12

STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #1f2328; }
  .title { font-size: 13px; font-weight: 600; }
  .note, .tick { fill: #59636e; }
  .grid { stroke: #d1d9e0; stroke-width: 1; }
  .trouble { fill: #9a6700; opacity: 0.12; }
  polyline { fill: none; stroke-width: 1.6; stroke-linejoin: round; }
  .a { stroke: #0969da; } text.a { stroke: none; fill: #0969da; }
  .b { stroke: #bc4c00; } text.b { stroke: none; fill: #bc4c00; }
  .c { stroke: #1a7f37; stroke-dasharray: 5 3; } text.c { stroke: none; fill: #1a7f37; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .note, .tick { fill: #9198a1; }
    .grid { stroke: #3d444d; }
    .trouble { fill: #e3b341; }
    .a { stroke: #4493f8; } text.a { fill: #4493f8; }
    .b { stroke: #f0883e; } text.b { fill: #f0883e; }
    .c { stroke: #3fb950; } text.c { fill: #3fb950; }
  }
""".strip("\n")


@attrs.frozen
class Line:
    """One line of a panel.

    Attributes:
        label: Its name.
        kind: Its colour: ``a``, ``b`` or ``c``.
        key: The figure of a window that it shows.
    """

    label: str
    kind: str
    key: str


LATENCY = (Line("p50", "a", "p50"), Line("p99", "b", "p99"))
LOAD = (
    Line("calls", "a", "calls"),
    Line("attempts", "b", "attempts"),
    Line("answered", "c", "answered"),
)


@attrs.frozen
class Scale:
    """Turns a value into a height, and names the lines of the grid.

    Attributes:
        height: From a value to pixels above the foot of the plot.
        ticks: The values that have a line, with their names.
    """

    height: Callable[[float], float]
    ticks: Sequence[tuple[float, str]]


def draw(results: Sequence[Mapping[str, Any]]) -> str:
    """The text of an SVG with one run below another, all to the same scales.

    Args:
        results: What :func:`.run.simulate` returned, of one scenario.
    """
    latencies = [point for one in results for point in _values(one, LATENCY)]
    loads = [point for one in results for point in _values(one, LOAD)]
    scales = (_seconds(latencies), _calls(loads))
    parts: list[str] = []
    top = GAP
    for one in results:
        name = f"{one['scenario']} · {one['file'] or one['service']}"
        shaded = "" if one["fault"] is None else "; shaded: the trouble"
        note = f"latency of answered calls{shaded}"
        parts.append(_panel(one, name, note, LATENCY, scales[0], top))
        top += HEAD + HEIGHT + FOOT
        parts.append(_panel(one, "", "a second", LOAD, scales[1], top))
        top += HEAD + HEIGHT + FOOT + GAP
    shown = escape(" and ".join(str(one["file"] or one["service"]) for one in results))
    about = escape(str(results[0]["about"] or results[0]["scenario"]))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" role="img">',
            f"<title>Simulation of {shown}: {about}</title>",
            f"<style>\n{STYLE}\n</style>",
            *parts,
            "</svg>",
            "",
        ]
    )


def _values(result: Mapping[str, Any], lines: Sequence[Line]) -> list[float]:
    return [
        window[line.key]
        for window in result["windows"]
        for line in lines
        if window.get(line.key) is not None
    ]


def _seconds(values: Sequence[float]) -> Scale:
    """A logarithmic scale: what matters about latencies is the factor."""
    low = floor(log10(min(values, default=1e-3)))
    high = max(low + 1, ceil(log10(max(values, default=1.0))))
    ticks = [(10.0**power, _time(10.0**power)) for power in range(low, high + 1)]

    def height(value: float) -> float:
        return (log10(value) - low) / (high - low) * HEIGHT

    return Scale(height, ticks)


def _calls(values: Sequence[float]) -> Scale:
    most = max(values, default=1.0) or 1.0
    unit = 10.0 ** floor(log10(most))
    step = next(unit * part for part in (0.25, 0.5, 1.0, 2.5) if unit * part * 5 >= most)
    top = ceil(most / step - 1e-9) * step
    count = round(top / step)
    ticks = [(index * step, f"{index * step:,.6g}") for index in range(count + 1)]
    return Scale(lambda value: value / top * HEIGHT, ticks)


def _time(seconds: float) -> str:
    for unit, size in (("µs", 1e-6), ("ms", 1e-3)):
        if seconds < 999 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}"{more}>{escape(text)}</text>'


def _panel(
    result: Mapping[str, Any],
    name: str,
    note: str,
    lines: Sequence[Line],
    scale: Scale,
    top: float,
) -> str:
    foot = top + HEAD + HEIGHT
    seconds = result["seconds"]
    width = WIDTH - LEFT - RIGHT

    def across(at: float) -> float:
        return float(LEFT + at / seconds * width)

    parts = [_text(8, top + 14, name, ' class="title"')] if name else []
    legend = float(WIDTH - RIGHT)
    for line in reversed(lines):
        parts.append(_text(legend, top + 28, line.label, f' class="{line.kind}" text-anchor="end"'))
        legend -= 8 * len(line.label) + 14
    parts.append(_text(LEFT, top + 28, note, ' class="note"'))
    fault = result["fault"]
    if fault is not None:
        x, end = across(fault[0]), across(fault[1])
        parts.append(
            f'<rect class="trouble" x="{x:.1f}" y="{top + HEAD}" width="{end - x:.1f}"'
            f' height="{HEIGHT}"/>'
        )
    for value, label in scale.ticks:
        y = foot - scale.height(value)
        parts += [
            f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>',
            _text(LEFT - 6, y + 4, label, ' class="tick" text-anchor="end"'),
        ]
    for part in range(7):
        at = seconds * part / 6
        label = f"{at:.3g} s" if at < 99 else f"{at:,.0f} s"
        parts.append(_text(across(at), foot + 16, label, ' class="tick" text-anchor="middle"'))
    parts += [_polyline(result, line, scale, foot, across) for line in lines]
    return "\n".join(parts)


def _polyline(
    result: Mapping[str, Any],
    line: Line,
    scale: Scale,
    foot: float,
    across: Callable[[float], float],
) -> str:
    windows = result["windows"]
    middle = result["seconds"] / len(windows) / 2
    points = " ".join(
        f"{across(one['at'] + middle):.1f},{foot - scale.height(one[line.key]):.1f}"
        for one in windows
        if one.get(line.key) is not None
    )
    return f'<polyline class="{line.kind}" points="{points}"/>'
