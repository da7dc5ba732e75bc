"""Tables on stdout: for people on a terminal, and one line a row for what reads a file or a pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

_ENDLESS = 100_000  # columns


def print_table(
    titles: tuple[str, ...], rows: Iterable[tuple[str, ...]], *, wrapped: Collection[str] = ()
) -> None:
    """Print rows under their titles. On a terminal that is too narrow the columns that are named in ``wrapped`` take several lines."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    # Into a file or a pipe goes one line each, however long: grep must find the whole of it.
    if not console.is_terminal:
        console = Console(width=_ENDLESS)
    table = Table(box=SIMPLE_HEAD if console.is_terminal else None, pad_edge=False)
    for title in titles:
        table.add_column(
            title, no_wrap=title not in wrapped, overflow="fold" if title in wrapped else "ellipsis"
        )
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
