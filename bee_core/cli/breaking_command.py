"""``bee breaking``: which changes of a service break its callers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import click

from ..contracts.breaking import breaking_changes
from ..terms.printable import printable
from .application_code import load_attribute
from .command_group import FAILED, UnusableCommandError
from .completion import complete_service
from .described import ask, is_file, is_url, of_file, of_interface, open_service
from .output import echo, print_json
from .shared_options import config_option, printing_options

if TYPE_CHECKING:
    from ..contracts.description import ServiceDescription

_LONGEST_LINE = 10_000


@click.command()
@click.argument("old", shell_complete=complete_service)
@click.argument("new", shell_complete=complete_service)
@config_option
@printing_options("Print a list of objects.")
@click.pass_context
def breaking(ctx: click.Context, old: str, new: str, config_path: str, as_json: bool) -> None:
    """Compare NEW with OLD, and name every change that breaks those who call OLD.

    Each of them is an interface (module:Class or file.py:Class), a file that bee describe --json
    wrote, a service of the configuration, or the url of a node:

    \b
        bee describe shop --json > shop.json        # kept with the sources
        bee breaking shop.json shop:Shop            # in a check before a merge

    The exit code is 1 when there is such a change.
    """  # noqa: D301  # \b is click's mark for a paragraph that keeps its lines
    before, after = (_load(text, config_path) for text in (old, new))
    try:
        found = breaking_changes(before, after)
    except ValueError as error:
        raise UnusableCommandError(f"{old} and {new} cannot be compared: {error}") from error
    if as_json:
        print_json([attrs.asdict(change) for change in found])
    else:
        for change in found:
            echo(printable(change, _LONGEST_LINE))
        if not found:
            echo(f"nothing breaks callers ({len(before.methods)} methods compared)")
    if found:
        ctx.exit(FAILED)


def _load(text: str, config_path: str) -> ServiceDescription:
    if is_url(text):
        with open_service(config_path, text) as client:
            return ask(client, text)
    if text.endswith(".json") or (":" not in text and is_file(text)):
        return of_file(text)
    if ":" in text:
        return of_interface(load_attribute(text, "an interface"))
    with open_service(config_path, text) as client:
        return ask(client, text)
