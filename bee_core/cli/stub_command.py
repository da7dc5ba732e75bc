"""``bee stub``: the asyncio or blocking twin of an interface, as source of Python."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from ..methods.proto_interfaces import interface_of
from .application_code import load_attribute
from .command_group import UnusableCommandError, debug_option
from .output import echo
from .stub_source import Wanted, stale_parts, stub_source


@click.command()
@click.argument("targets", metavar="MODULE:INTERFACE...", nargs=-1, required=True)
@click.option(
    "--asyncio/--blocking",
    "is_async",
    default=None,
    help="Which form to write; by default the one that the interface does not have, and of a .proto"
    " the blocking one.",
)
@click.option("--name", help="The name of the class; for one interface.")
@click.option("--output", "-o", metavar="FILE", help="Write there, and not to standard output.")
@click.option("--check", metavar="FILE", help="Say whether FILE is out of date; write nothing.")
@debug_option
@click.pass_context
def stub(
    ctx: click.Context,
    targets: tuple[str, ...],
    is_async: bool | None,
    name: str | None,
    output: str | None,
    check: str | None,
) -> None:
    """Write the twin of an interface: for asyncio if it has def methods, blocking if async def.

    An interface is module:Class or file.py:Class. Of a service in a .proto, what protoc wrote is
    named: greeter_pb2:Greeter.

    \b
        bee stub app:Calculator -o app_async.py
        bee stub app:Calculator --check app_async.py    # exit code 1 when it is out of date
    """  # noqa: D301  # \b is click's mark for a paragraph that keeps its lines
    if name is not None and len(targets) > 1:
        raise UnusableCommandError("--name is for one interface")
    wanted = [Wanted(_load(text), text, name, is_async) for text in targets]
    flags = [] if is_async is None else ["--asyncio" if is_async else "--blocking"]
    named = [] if name is None else ["--name", name]
    command = shlex.join(["bee", "stub", *targets, *flags, *named])
    try:
        source = stub_source(wanted, command)
    except (TypeError, ValueError) as error:
        raise UnusableCommandError(str(error)) from error
    if check is not None:
        stale = _stale(check, source)
        if stale:
            raise click.ClickException(
                f"{check} is out of date ({', '.join(stale[:5])}{', …' if len(stale) > 5 else ''});"
                f" write it again: {command} -o {check}"
            )
        echo(f"{check} is up to date")
    elif output is not None:
        Path(output).write_text(source, encoding="utf-8")
    else:
        click.echo(source, nl=False)
    ctx.exit(0)


def _stale(path: str, source: str) -> list[str]:
    try:
        return stale_parts(Path(path).read_text(encoding="utf-8"), source)
    except (SyntaxError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{path} is no source of Python: {error}") from error


def _load(text: str) -> Any:
    """The interface that a text names; of what protoc wrote, that of a service."""
    module, _, name = text.rpartition(":")
    if module.removesuffix(".py").endswith("_pb2"):
        services = load_attribute(f"{module}:DESCRIPTOR", "an interface").services_by_name
        if name in services:
            return _of_proto(services[name])
        there = ", ".join(services) or "none"
        raise UnusableCommandError(f"{module} has no service {name!r}; there are: {there}")
    value = load_attribute(text, "an interface")
    return _of_proto(value) if hasattr(value, "methods_by_name") else value


def _of_proto(service: Any) -> Any:
    try:
        return interface_of(service)
    except TypeError as error:
        raise UnusableCommandError(str(error)) from error
