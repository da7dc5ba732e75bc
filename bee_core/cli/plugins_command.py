"""``bee plugins``: list what is installed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from .shared_options import debug_option, json_option

if TYPE_CHECKING:
    from ..registrations import Installed


_ENDLESS = 100_000  # columns


@click.command()
@json_option("Print a list of objects.")
@debug_option
def plugins(as_json: bool) -> None:
    """List the plugins that are installed, and whether each can be loaded."""
    from ..plugin_hub import PluginHub

    rows = PluginHub().installed()
    if as_json:
        click.echo(json.dumps([_as_object(row) for row in rows], indent=2, ensure_ascii=False))
        return
    _print_table(rows)


def _as_object(row: Installed) -> dict[str, object]:
    return {
        "kind": row.kind,
        "name": row.name,
        "distribution": row.distribution,
        "version": row.version,
        "loadable": row.loadable,
        "reason": row.reason,
    }


def _print_table(rows: list[Installed]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    # Into a file or a pipe goes one line a plugin, however long: grep must find the whole of it.
    if not console.is_terminal:
        console = Console(width=_ENDLESS)
    table = Table(box=SIMPLE_HEAD if console.is_terminal else None, pad_edge=False)
    for title in ("kind", "name", "distribution", "version", "loadable"):
        table.add_column(title, no_wrap=title != "loadable")
    for row in rows:
        loadable = "yes" if row.loadable else f"no: {row.reason}"
        table.add_row(*(Text(cell) for cell in (row.kind, row.name, row.distribution, row.version, loadable)))
    console.print(table)
