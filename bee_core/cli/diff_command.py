"""``bee diff``: what differs between two configurations, and what running programs do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import click

from ..config import load_config
from ..config.differences import differences
from ..errors import PluginError
from ..plugins.hub import PluginHub
from .command_group import FAILED
from .output import echo, fields, print_json, print_table
from .shared_options import printing_options

if TYPE_CHECKING:
    from ..config.differences import Difference


@click.command()
@click.argument("old")
@click.argument("new")
@printing_options("Print a list of objects.")
@click.pass_context
def diff(ctx: click.Context, old: str, new: str, as_json: bool) -> None:
    """Say what differs between the configurations OLD and NEW.

    For each key it says whether a client or a server that runs takes the change over when it
    reloads (live), or needs a restart. Secrets are not shown. The exit code is 0 when nothing
    differs, 1 when something does, and 2 when a file cannot be used.
    """
    before, after = load_config(old), load_config(new)
    found = differences(before, after, _Secrets())
    if as_json:
        print_json([_as_object(one) for one in found])
    elif found:
        print_table(
            ("key", "old", "new", "client", "server"),
            (_row(one) for one in found),
            wrapped=("key", "old", "new"),
        )
    else:
        echo("nothing differs")
    if found:
        ctx.exit(FAILED)


class _Secrets:
    """Which options of plugins are secret: those that their class keeps out of ``repr``."""

    def __init__(self) -> None:
        self._hub = PluginHub()

    def __call__(self, kind: Any, name: str, option: str) -> bool:
        try:
            cls = self._hub.load(kind, name).options_class
        except PluginError:  # nobody can tell
            return True
        known = {} if cls is None else {field.alias: field for field in attrs.fields(cls)}
        return option not in known or not known[option].repr


def _as_object(one: Difference) -> dict[str, Any]:
    return {
        **fields(one, "path", "old", "new"),
        "client": one.client or None,
        "server": one.server or None,
        "services": list(one.services),
    }


def _row(one: Difference) -> tuple[str, ...]:
    path = f"{one.path} (for {', '.join(one.services)})" if one.services else one.path
    shown = ("-" if value is None else value for value in (one.old, one.new))
    return (path, *shown, one.client or "-", one.server or "-")
