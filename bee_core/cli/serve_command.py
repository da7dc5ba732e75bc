"""``bee serve``: run a server. Says where it listens, and how its log is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import click
from click.core import ParameterSource

from .. import build_server
from ..server.log_output import LEVELS, log_to_stderr
from ..server.server import Server
from .application_code import load_attribute
from .command_group import UnusableCommandError, debug_given, debug_option
from .handed_over import take_over
from .shared_options import at_address, config_option, load_configuration
from .targets import Target, load_target

if TYPE_CHECKING:
    from ..config import Config


@click.command()
@click.argument("targets", metavar="TARGET...", nargs=-1, required=True)
@config_option
@click.option(
    "--address",
    metavar="URL",
    help="Listen here instead of at the configuration's address,"
    " for example 127.0.0.1:0 for any free port.",
)
@click.option(
    "--interface",
    metavar="MODULE:CLASS",
    help="Expose only the methods of this interface, with its types. For one TARGET.",
)
@click.option(
    "--reload",
    "reloads",
    is_flag=True,
    help="For development: start again when a .py, .yml or .yaml file changes. Needs watchfiles.",
)
@click.option(
    "--json-logs",
    is_flag=True,
    help="Log one JSON object a line, with time, level, event and the event's fields.",
)
@click.option(
    "--log-level",
    type=click.Choice(LEVELS, case_sensitive=False),
    help="The least level that is logged; info by default.",
)
@debug_option
@click.pass_context
def serve(
    ctx: click.Context,
    targets: tuple[str, ...],
    config_path: str,
    address: str | None,
    interface: str | None,
    reloads: bool,
    json_logs: bool,
    log_level: str | None,
) -> None:
    """Serve objects and functions until SIGTERM or SIGINT.

    TARGET is module:attribute or file.py:attribute. The attribute is an instance, a class that is
    made without arguments, a function, or a bee_core.Server. name=module:attribute gives an object
    a name, so that its methods are called name.method.

    The attribute may also be a factory: a function without arguments that returns one of these.
    'module:attribute()' always calls it. Without the parentheses it is called if it says that it
    returns a bee_core.Server, or if its name begins with make_, create_ or build_ and it does not
    say that it returns a plain value.

    The first signal drains: no new calls, those in flight may end. A second one leaves at once.
    """
    if interface is not None and len(targets) > 1:
        raise UnusableCommandError(
            "--interface is for one TARGET; give each object its interface in a program, with"
            " server.add(object, interface=…)"
        )
    given = ctx.get_parameter_source("config_path") is ParameterSource.COMMANDLINE
    if reloads:
        ctx.exit(_serve_and_reload(ctx, config_path, given=given))
    handed_over = take_over()
    found = [load_target(text) for text in targets]
    server = _ready_made(found, address, config_given=given, interface=interface)
    if server is None:
        server = _build(found, config_path, address, interface, alone=handed_over is not None)
    log_to_stderr(json_lines=json_logs, level=log_level)
    if handed_over is not None:
        _check_alone(server, found[0])
        server.listen_on(handed_over.sockets)
    server.run()


def _serve_and_reload(ctx: click.Context, config_path: str, *, given: bool) -> int:
    """Run this command without ``--reload`` in a process that is replaced on each change."""
    from .reloading import Reloading  # loads watchfiles

    own = ctx.params
    words = ["serve", *own["targets"]]
    options = {
        "--config": config_path if given else None,
        "--address": own["address"],
        "--interface": own["interface"],
        "--log-level": own["log_level"],
    }
    for option, value in options.items():
        words += [] if value is None else [option, value]
    words += ["--json-logs"] * own["json_logs"] + ["--debug"] * debug_given(ctx)
    log_to_stderr(json_lines=own["json_logs"], level=own["log_level"])
    return Reloading(words, own["targets"], config_path, own["address"]).run()


def _check_alone(server: Server, target: Target) -> None:
    settings = server.config.server
    if settings is not None and settings.workers > 1:
        raise UnusableCommandError(
            f"--reload serves in one process, and {target.text} has workers: {settings.workers};"
            " set workers: 1 for development"
        )


def _ready_made(
    targets: list[Target], address: str | None, *, config_given: bool, interface: str | None
) -> Server | None:
    ready = next((target for target in targets if isinstance(target.value, Server)), None)
    if ready is None:
        return None
    if len(targets) > 1:
        raise UnusableCommandError(
            f"{ready.text} is a server of its own, so it must be the only TARGET;"
            " add the other objects to it in the module"
        )
    unfit = {"--address": address is not None, "--interface": interface is not None}
    unfit["--config"] = config_given
    for option, stated in unfit.items():
        if stated:
            raise UnusableCommandError(
                f"{ready.text} is a server with a configuration of its own; leave {option} away"
            )
    server: Server = ready.value
    return server


def _build(
    targets: list[Target],
    config_path: str,
    address: str | None,
    interface: str | None,
    *,
    alone: bool,
) -> Server:
    def amended(config: Config) -> Config:
        config = at_address(config, address)
        if alone and config.server is not None:
            config = attrs.evolve(config, server=attrs.evolve(config.server, workers=1))
        return config

    server = build_server(amended(load_configuration(config_path)))
    server.amend = amended  # also what is read again later
    declared = None if interface is None else load_attribute(interface, "an interface")
    for target in targets:
        _add(server, target, declared)
    return server


def _add(server: Server, target: Target, interface: Any) -> None:
    try:
        server.add(target.value, target.name, interface)
    except ValueError as error:
        raise UnusableCommandError(
            f"{target.text}: {error} (on the command line: name=module:attribute)"
        ) from error
    except TypeError as error:
        raise UnusableCommandError(f"{target.text}: {error}") from error
