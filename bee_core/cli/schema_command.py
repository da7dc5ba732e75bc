"""``bee schema``: the JSON Schema of the YAML, for editors."""

from __future__ import annotations

from typing import Any

import click

from ..config import json_schema
from ..errors import PluginError
from ..plugins.hub import PluginHub
from .command_group import debug_option
from .output import print_json


@click.command()
@debug_option
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors.

    It has the keys with their descriptions and defaults, the names of the plugins that are
    installed, and their options. Write it to a file: bee schema > bee.schema.json
    """
    print_json(json_schema.schema(installed_options(PluginHub())))


def installed_options(hub: PluginHub) -> dict[str, dict[str, Any]]:
    """The class of the options of each plugin that may be used, by kind and name."""
    found: dict[str, dict[str, Any]] = {}
    for kind, name in sorted(hub.offers.keys() | hub.registered.keys()):
        if hub.blocked(kind, name):
            continue
        try:
            options: Any = hub.load(kind, name).options_class
        except PluginError:  # what it needs may be installed elsewhere
            options = json_schema.UNREADABLE
        found.setdefault(kind, {})[name] = options
    return found
