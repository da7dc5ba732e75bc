"""The list of commands."""

from __future__ import annotations

import os
import sys

import click

from .. import __version__
from .call_command import call
from .check_command import check
from .command_group import CommandGroup
from .demo.demo_command import demo
from .explain_command import explain
from .nodes_command import nodes, services
from .plugins_command import plugins
from .serve_command import serve
from .shared_options import debug_option


@click.group(cls=CommandGroup, context_settings={"max_content_width": 120})
@click.version_option(__version__, prog_name="bee")
@debug_option
def bee() -> None:
    """Distributed RPC: one YAML file says how to call a service, and each word in it is the name of a plugin."""
    # A configuration may name functions of the application (the fallback ``function``). At the end: what lies here must not hide what is installed.
    if (folder := os.getcwd()) not in sys.path:  # noqa: PTH109  # a text is wanted
        sys.path.append(folder)


for command in (serve, call, services, nodes, explain, check, plugins, demo):
    bee.add_command(command)
