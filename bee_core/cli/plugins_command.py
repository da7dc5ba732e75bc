"""``bee plugins``: list what is installed."""

from __future__ import annotations

import attrs
import click

from ..plugins.hub import PluginHub
from .output import print_json, print_table
from .shared_options import printing_options


@click.command()
@printing_options("Print a list of objects.")
def plugins(as_json: bool) -> None:
    """List the plugins that are installed, and whether each can be loaded."""
    rows = PluginHub().installed()
    if as_json:
        print_json([attrs.asdict(row) for row in rows])
        return
    print_table(
        ("kind", "name", "distribution", "version", "loadable"),
        (
            (
                row.kind,
                row.name,
                row.distribution,
                row.version,
                "yes" if row.loadable else f"no: {row.reason}",
            )
            for row in rows
        ),
        wrapped=("loadable",),
    )
