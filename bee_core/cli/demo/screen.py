"""How the demo shows what happens: a live table on a terminal, plain lines otherwise, nothing with ``--json``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import attrs
import click

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from rich.table import Table
    from typing_extensions import Self


@attrs.frozen
class Row:
    """A node as the table shows it.

    Attributes:
        address: Its url.
        version: What it serves.
        fits: Whether it is what the client asks for: yes, no, or not listed.
        state: Of the process.
        calls: How many it answered.
        note: Why it gets no calls, or its last error.
    """

    address: str
    version: str
    fits: str
    state: str
    calls: int
    note: str


class Screen(Protocol):
    """What the demo tells."""

    def event(self, text: str) -> None:
        """Something happened."""
        ...

    def refresh(self, rows: Sequence[Row]) -> None:
        """The nodes as they are now; asked several times a second."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Silence:
    """Shows nothing."""

    def event(self, text: str) -> None:
        """See :class:`Screen`."""

    def refresh(self, rows: Sequence[Row]) -> None:
        """See :class:`Screen`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


class PlainLines:
    """One line an event, and the table once at the end."""

    def __init__(self) -> None:
        self._rows: Sequence[Row] = ()

    def event(self, text: str) -> None:
        """See :class:`Screen`."""
        click.echo(text)

    def refresh(self, rows: Sequence[Row]) -> None:
        """See :class:`Screen`."""
        self._rows = rows

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            for row in self._rows:
                click.echo(
                    f"  {row.address}  {row.version}  {row.state}  {row.calls} calls  {row.note}".rstrip()
                )


class LiveTable:
    """A table that is drawn anew in place, with the events above it."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(highlight=False)
        self._live = Live(console=self._console, auto_refresh=False)

    def event(self, text: str) -> None:
        """See :class:`Screen`."""
        self._console.print(text, markup=False)

    def refresh(self, rows: Sequence[Row]) -> None:
        """See :class:`Screen`."""
        self._live.update(_table(rows), refresh=True)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.__exit__(kind, error, trace)


_STYLES = {"serving": "green", "killed": "bold red", "starting": "yellow"}
# The columns whose texts change, so that the table keeps its shape.
_WIDTHS = {"fits": 10, "state": 8, "calls": 8}


def _table(rows: Sequence[Row]) -> Table:
    from rich.table import Table
    from rich.text import Text

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
            Text(row.note, style="dim"),
        )
    return table
