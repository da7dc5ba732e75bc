"""``bee plugins``: list what is installed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from .shared_options import debug_option, json_option
from .tables import print_table

if TYPE_CHECKING:
    from ..plugins.registered import Installed


@click.command()
@json_option("Print a list of objects.")
@debug_option
def plugins(as_json: bool) -> None:
    """List the plugins that are installed, and whether each can be loaded."""
    from ..plugins.hub import PluginHub

    rows = PluginHub().installed()
    if as_json:
        click.echo(json.dumps([_as_object(row) for row in rows], indent=2, ensure_ascii=False))
        return
    print_table(
        ("kind", "name", "distribution", "version", "loadable"),
        (_row(row) for row in rows),
        wrapped=("loadable",),
    )


def _as_object(row: Installed) -> dict[str, object]:
    return {
        "kind": row.kind,
        "name": row.name,
        "distribution": row.distribution,
        "version": row.version,
        "loadable": row.loadable,
        "reason": row.reason,
    }


def _row(row: Installed) -> tuple[str, ...]:
    return (
        row.kind,
        row.name,
        row.distribution,
        row.version,
        "yes" if row.loadable else f"no: {row.reason}",
    )
