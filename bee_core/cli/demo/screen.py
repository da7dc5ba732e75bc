"""How the demo shows what happens: a live table, plain lines, or with ``--json`` nothing."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import attrs
import click
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Self


@attrs.frozen
class Row:
    """A node as it is now.

    Attributes:
        address: Its url.
        version: What it serves.
        fits: Whether it is what the client asks for: yes, no, or not listed.
        state: Of the process.
        calls: How many it answered.
        reason: Why it gets no calls; empty where it may.
        error: Its last one.
    """

    address: str
    version: str
    fits: str
    state: str
    calls: int
    reason: str
    error: str


class Screen(AbstractContextManager["Screen"]):
    """Shows nothing. Its time begins when it is made."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def event(self, text: str) -> None:
        """Something happened."""
        self.line(f"{time.monotonic() - self._began:5.1f} s  {text}")

    def line(self, text: str) -> None:
        """Show a line."""

    def refresh(self, rows: Sequence[Row]) -> None:
        """Show the nodes as they are now; asked several times a second."""

    def __exit__(self, *error: object) -> None:
        """End; nothing is left to do."""


class PlainLines(Screen):
    """One line an event, and the nodes once at the end."""

    _rows: Sequence[Row] = ()

    def line(self, text: str) -> None:
        """See :class:`Screen`."""
        click.echo(text)

    def refresh(self, rows: Sequence[Row]) -> None:
        """See :class:`Screen`."""
        self._rows = rows

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            for row in self._rows:
                said = f"{row.state}  {row.calls} calls  {row.reason or row.error}"
                click.echo(f"  {row.address}  {row.version}  {said}".rstrip())


class LiveTable(Screen):
    """A table that is drawn anew in place, with the events above it."""

    def __init__(self) -> None:
        super().__init__()
        self._live = Live(console=Console(highlight=False), auto_refresh=False)

    def line(self, text: str) -> None:
        """See :class:`Screen`."""
        self._live.console.print(text, markup=False)

    def refresh(self, rows: Sequence[Row]) -> None:
        """See :class:`Screen`."""
        self._live.update(_table(rows), refresh=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()


_STYLES = {"serving": "green", "killed": "bold red", "starting": "yellow"}
# The columns whose texts change, so that the table keeps its shape.
_WIDTHS = {"fits": 10, "state": 8, "calls": 8}


def _table(rows: Sequence[Row]) -> Table:
    table = Table()
    for title in ("node", "version", "fits", "state", "calls", "note"):
        table.add_column(
            title,
            justify="right" if title == "calls" else "left",
            no_wrap=title != "note",
            min_width=_WIDTHS.get(title),
        )
    for row in rows:
        table.add_row(
            row.address,
            row.version,
            row.fits,
            Text(row.state, style=_STYLES.get(row.state, "")),
            str(row.calls),
            Text(row.reason or row.error, style="dim"),
        )
    return table
