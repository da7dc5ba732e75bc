"""How the demo shows what happens: a live picture, plain lines, or with ``--json`` nothing."""

from __future__ import annotations

import time
from collections import deque
from contextlib import AbstractContextManager
from textwrap import fill
from typing import TYPE_CHECKING

import attrs
import click
from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType
    from typing_extensions import Self

WIDEST = 100
"""Columns of text: longer lines are hard to read. A file or a pipe gets them as well."""
_NARROW = 72
"""Columns below which addresses go without their scheme, so that a bar has room."""
_INDENT = " " * 9
"""Of further lines of an event: the width of its time."""


@attrs.frozen
class Row:
    """A node as it is now.

    Attributes:
        address: Its url.
        version: What it serves.
        state: Of the process: ``serving``, ``killed``, ``starting``, ``recovered``.
        calls: How many it answered.
        reason: Why it gets no calls; empty where it may.
        news: What happened to it last.
    """

    address: str
    version: str
    state: str
    calls: int
    reason: str
    news: str

    @property
    def note(self) -> str:
        """What there is to say of it; empty where all is well."""
        return self.news or (f"gets no calls: {self.reason}" if self.reason else "")


def wrapped(text: str, width: int, indent: str = "") -> str:
    """A text in lines of at most so many columns. No word is broken, however long.

    Args:
        text: One or several lines; each is wrapped for itself.
        width: Columns.
        indent: Before the further lines of each.
    """
    return "\n".join(
        fill(
            line,
            width,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in text.split("\n")
    )


class Screen(AbstractContextManager["Screen"]):
    """Shows nothing. Its time begins when it is made."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def event(self, text: str) -> None:
        """Something happened."""
        self.line(f"{time.monotonic() - self._began:5.1f} s  {text}", _INDENT)

    def waiting(self, text: str) -> None:
        """Something takes its time before there are nodes to show."""
        self.event(text)

    def line(self, text: str, indent: str = "") -> None:
        """Show a line; ``indent`` stands before what has to go below it."""

    def refresh(self, rows: Sequence[Row]) -> None:
        """Show the nodes as they are now; asked several times a second."""

    def __exit__(self, *error: object) -> None:
        """End; nothing is left to do."""


class PlainLines(Screen):
    """One line an event, and the nodes once at the end."""

    _rows: Sequence[Row] = ()

    def line(self, text: str, indent: str = "") -> None:
        """See :class:`Screen`."""
        click.echo(text)

    def refresh(self, rows: Sequence[Row]) -> None:
        """See :class:`Screen`."""
        self._rows = rows

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            for row in self._rows:
                said = f"{row.state:9}  {row.calls} calls  {row.note}"
                click.echo(f"  {row.address}  {row.version}  {said}".rstrip())


class Rates:
    """Answers a second of each node, over the last second.

    Attributes:
        most: The most of all nodes together so far.
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[float, Mapping[str, int]]] = deque()
        self.most = 1.0

    def after(self, rows: Sequence[Row], now: float) -> Mapping[str, float]:
        """The rates by address, once the rows of this moment are known."""
        calls = {row.address: row.calls for row in rows}
        self._seen.append((now, calls))
        while len(self._seen) > 2 and self._seen[1][0] <= now - 1.0:
            self._seen.popleft()
        since, before = self._seen[0]
        span = max(now - since, 0.5)  # the first calls are no rate yet
        rates = {url: (count - before.get(url, 0)) / span for url, count in calls.items()}
        self.most = max(self.most, sum(rates.values()))
        return rates


class LivePicture(Screen):
    """A picture that is drawn anew in place, with the events above it."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__()
        self._console = console or Console(highlight=False)
        self._rates = Rates()
        self._live = Live(console=self._console, refresh_per_second=10)

    def waiting(self, text: str) -> None:
        """See :class:`Screen`. A spinner turns meanwhile."""
        kind = "line" if self._console.options.ascii_only else "dots"
        self._live.update(Spinner(kind, Text(f" {text} …")), refresh=True)

    def line(self, text: str, indent: str = "") -> None:
        """See :class:`Screen`."""
        shown = wrapped(text, min(self._console.width, WIDEST), indent)
        # Wrapped already: a word that is longer than a line goes on in the next one, uncut.
        self._console.print(Text(shown), soft_wrap=True)

    def refresh(self, rows: Sequence[Row]) -> None:
        """See :class:`Screen`."""
        rates = self._rates.after(rows, time.monotonic())
        ascii_only = self._console.options.ascii_only
        width = min(self._console.width, WIDEST)
        self._live.update(picture(rows, rates, self._rates.most, width, ascii_only=ascii_only))

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()


_STYLES = {
    "serving": "green",
    "recovered": "bold green",
    "killed": "bold red",
    "starting": "yellow",
}
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_RATE = 7
"""Columns of a rate: `` 100/s``."""


def picture(
    rows: Sequence[Row],
    rates: Mapping[str, float],
    most: float,
    width: int,
    *,
    ascii_only: bool = False,
) -> RenderableType:
    """The nodes: a line with a bar for each, and below them what there is to say.

    Args:
        rows: The nodes.
        rates: Answers a second, by address.
        most: The rate of a whole bar.
        width: Columns of all.
        ascii_only: The terminal has no other signs.
    """
    names = {row.address: _name(row.address, width) for row in rows}
    table = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    for justify in ("left", "left", "left", "right", "left"):
        table.add_column(justify=justify, no_wrap=True)
    # Of the other columns and the blanks between them. Their texts change, their widths do not.
    taken = max(map(len, names.values())) + len("version") + len("recovered") + 6 + 4 * 2
    room = max(width - taken - _RATE, 4)
    titles = ("node", "version", "state    ", " calls", "answers/s")
    table.add_row(*(Text(title, style="bold") for title in titles))
    for row in rows:
        rate = rates[row.address]
        style = _STYLES.get(row.state, "")
        bar = bar_of(rate / most, room, ascii_only=ascii_only)
        table.add_row(
            names[row.address],
            row.version,
            Text(row.state, style=style),
            str(row.calls),
            Text.assemble((bar, style), f" {rate:.0f}/s" if row.calls else ""),
        )
    notes = [
        Text(wrapped(f"{names[row.address]} {row.note}", width, "  "), style="dim")
        for row in rows
        if row.note
    ]
    return Group(Text(""), table, *notes)


def bar_of(share: float, room: int, *, ascii_only: bool = False) -> str:
    """A bar that fills this share of the room, with blanks behind it."""
    eighths = round(min(max(share, 0.0), 1.0) * room * 8)
    if ascii_only:
        return ("#" * round(eighths / 8)).ljust(room)
    rest = _EIGHTHS[eighths % 8].strip()
    return ("█" * (eighths // 8) + rest).ljust(room)


def _name(address: str, width: int) -> str:
    return address if width >= _NARROW else address.rpartition("://")[2]
