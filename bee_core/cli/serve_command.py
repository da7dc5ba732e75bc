"""``bee serve``: run a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .command_group import UnusableCommandError
from .shared_options import config_option, debug_option, load_configuration

if TYPE_CHECKING:
    from ..server.server import Server
    from .targets import Target


@click.command()
@click.argument("targets", metavar="TARGET...", nargs=-1, required=True)
@config_option
@click.option(
    "--address",
    metavar="URL",
    help="Listen here instead of at the configuration's address, for example 127.0.0.1:0 for any free port.",
)
@click.option(
    "--json-logs",
    is_flag=True,
    help="Log one JSON object a line, with time, level, event and the event's fields.",
)
@debug_option
@click.pass_context
def serve(
    ctx: click.Context,
    targets: tuple[str, ...],
    config_path: str,
    address: str | None,
    json_logs: bool,
) -> None:
    """Serve objects and functions until SIGTERM or SIGINT.

    TARGET is module:attribute or file.py:attribute, where the attribute is an instance, a class that is made without arguments, a function, or a bee_core.Server.
    name=module:attribute gives an object a name, so that its methods are called name.method.

    The first signal drains: no new calls, those in flight may end. A second one leaves at once.
    """
    from .server_logging import log_to_stderr
    from .targets import load_target

    found = [load_target(text) for text in targets]
    server = _ready_made(ctx, found, address) or _build(ctx, found, config_path, address)
    log_to_stderr(json_lines=json_logs)
    server.run()


def _ready_made(ctx: click.Context, targets: list[Target], address: str | None) -> Server | None:
    from ..server.server import Server

    servers = [target for target in targets if isinstance(target.value, Server)]
    if not servers:
        return None
    text = servers[0].text
    if len(targets) > 1:
        raise UnusableCommandError(
            f"{text} is a server of its own, so it must be the only TARGET; add the other objects to it in the module"
        )
    given = [
        name
        for name, is_given in (
            ("--address", address is not None),
            ("--config", _on_command_line(ctx, "config_path")),
        )
        if is_given
    ]
    if given:
        raise UnusableCommandError(
            f"{text} is a server with a configuration of its own; leave {given[0]} away"
        )
    return servers[0].value  # type: ignore[no-any-return]


def _on_command_line(ctx: click.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _build(
    ctx: click.Context, targets: list[Target], config_path: str, address: str | None
) -> Server:
    import attrs

    from .. import build_server

    config = load_configuration(ctx, config_path)
    if address is not None and config.server is not None:
        try:
            config = attrs.evolve(config, server=attrs.evolve(config.server, address=(address,)))
        except ValueError as error:
            raise UnusableCommandError(f"--address: {error}") from error
    server = build_server(config)
    for target in targets:
        _add(server, target)
    return server


def _add(server: Server, target: Target) -> None:
    try:
        server.add(target.value, target.name)
    except ValueError as error:
        raise UnusableCommandError(
            f"{target.text}: {error} (on the command line: name=module:attribute)"
        ) from error
    except TypeError as error:
        raise UnusableCommandError(f"{target.text}: {error}") from error
