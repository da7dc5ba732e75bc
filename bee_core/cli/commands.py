"""The list of commands. A command's module is imported when the command is asked for.

This keeps ``bee --help`` quick: a client, a server and a table each take longer to import than the
help takes to print. So each command imports all that it needs at its head, and the list of
commands names their modules and says in one line what each does.
"""

from __future__ import annotations

import os
import sys

import click

from .. import __version__
from .command_group import CommandGroup, debug_option

COMMANDS = {
    "call": ("call_command", "Call a method and print the result as JSON."),
    "check": ("check_command", "Say what is wrong with a configuration, all of it."),
    "demo": ("demo.demo_command", "Kill one of three servers while calls go on."),
    "explain": ("explain_command", "Say what would happen to a call, and why."),
    "nodes": ("nodes_command", "List the nodes of a service, and which of them fit."),
    "plugins": ("plugins_command", "List the plugins that are installed."),
    "serve": ("serve_command", "Serve objects and functions until SIGTERM or SIGINT."),
    "services": ("nodes_command", "List the services that a client can call."),
}
"""By name: the module of the command in this package, and what the command does."""


@click.group(
    cls=CommandGroup,
    listed=COMMANDS,
    package=__package__,
    context_settings={"max_content_width": 100},
)
@click.version_option(__version__, prog_name="bee")
@debug_option
def bee() -> None:
    """Call and run services. One YAML file says how; each word in it is the name of a plugin."""
    # A configuration may name functions of the application (the fallback ``function``). The folder
    # stands at the end of the path: what lies in it must not hide what is installed.
    if (folder := os.getcwd()) not in sys.path:  # noqa: PTH109  # a text is wanted
        sys.path.append(folder)
