"""``bee diff``: what differs between two configurations, and what running programs do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import click

from ..config import load_config
from ..config.differences import differences
from ..errors import PluginError
from ..options import UNTIL_RESTART
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
    installed = _Installed()
    found = differences(before, after, installed.hides, installed.fixed)
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


class _Installed:
    """What the classes of the installed plugins say about their options."""

    def __init__(self) -> None:
        self._hub = PluginHub()

    def hides(self, kind: Any, name: str, option: str) -> bool:
        """Whether an option is secret: its class keeps it out of ``repr``, or is not known."""
        field = self._field(kind, name, option)
        return field is None or not field.repr

    def fixed(self, kind: Any, name: str, option: str) -> bool:
        """See :data:`bee_core.config.differences.Fixed`."""
        if option:
            field = self._field(kind, name, option)
            return field is not None and UNTIL_RESTART.items() <= field.metadata.items()
        try:
            return hasattr(self._hub.load(kind, name).factory, "workers_begin")
        except PluginError:  # nobody can tell
            return False

    def _field(self, kind: Any, name: str, option: str) -> attrs.Attribute[Any] | None:
        try:
            cls = self._hub.load(kind, name).options_class
        except PluginError:
            return None
        fields = () if cls is None else attrs.fields(cls)
        return next((field for field in fields if field.alias == option), None)


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
