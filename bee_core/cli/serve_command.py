"""``bee serve``: run a server. Finds what it is to serve, and says how its log is written."""

from __future__ import annotations

import inspect
import re
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import click
from click.core import ParameterSource

from .. import build_server
from ..server.log_output import LEVELS, log_to_stderr
from ..server.server import Server
from .application_code import load_attribute, load_failed
from .command_group import UnusableCommandError, debug_option
from .shared_options import config_option, load_configuration

if TYPE_CHECKING:
    from ..config import Config

_NAMED = re.compile(r"([A-Za-z_][\w.]*)=(.+)", re.DOTALL)


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
    json_logs: bool,
    log_level: str | None,
) -> None:
    """Serve objects and functions until SIGTERM or SIGINT.

    TARGET is module:attribute or file.py:attribute. The attribute is an instance, a class that is
    made without arguments, a function, or a bee_core.Server. name=module:attribute gives an object
    a name, so that its methods are called name.method.

    The first signal drains: no new calls, those in flight may end. A second one leaves at once.
    """
    found = [load_target(text) for text in targets]
    server = _ready_made(ctx, found, address) or _build(found, config_path, address)
    log_to_stderr(json_lines=json_logs, level=log_level)
    server.run()


def _ready_made(ctx: click.Context, targets: list[Target], address: str | None) -> Server | None:
    ready = next((target for target in targets if isinstance(target.value, Server)), None)
    if ready is None:
        return None
    if len(targets) > 1:
        raise UnusableCommandError(
            f"{ready.text} is a server of its own, so it must be the only TARGET;"
            " add the other objects to it in the module"
        )
    config_given = ctx.get_parameter_source("config_path") is ParameterSource.COMMANDLINE
    if address is not None or config_given:
        raise UnusableCommandError(
            f"{ready.text} is a server with a configuration of its own;"
            f" leave {'--config' if address is None else '--address'} away"
        )
    server: Server = ready.value
    return server


def _build(targets: list[Target], config_path: str, address: str | None) -> Server:
    listening_there = partial(_with_address, address)
    server = build_server(listening_there(load_configuration(config_path)))
    server.amend = listening_there  # also what is read again later
    for target in targets:
        _add(server, target)
    return server


def _with_address(address: str | None, config: Config) -> Config:
    """A configuration with the address of the command line."""
    if address is None or config.server is None:
        return config
    try:
        return attrs.evolve(config, server=attrs.evolve(config.server, address=(address,)))
    except ValueError as error:
        raise UnusableCommandError(f"--address: {error}") from error


def _add(server: Server, target: Target) -> None:
    try:
        server.add(target.value, target.name)
    except ValueError as error:
        raise UnusableCommandError(
            f"{target.text}: {error} (on the command line: name=module:attribute)"
        ) from error
    except TypeError as error:
        raise UnusableCommandError(f"{target.text}: {error}") from error


@attrs.frozen
class Target:
    """What a TARGET means.

    Attributes:
        text: As it was written.
        name: What stands before ``=``, or None.
        value: An instance, a function, or a :class:`bee_core.Server`. A class was instantiated.
    """

    text: str
    name: str | None
    value: Any


def load_target(text: str) -> Target:
    """Import a TARGET. The current folder, or that of the file, comes first on ``sys.path``.

    Raises:
        UnusableCommandError: No such module, file or attribute, or a class that needs arguments.
        ClickException: The module or the class raised.
    """
    named = _NAMED.fullmatch(text)
    name, rest = (named[1], named[2]) if named else (None, text)
    value = load_attribute(rest, "a TARGET")
    return Target(text, name, _instantiate(value, rest) if inspect.isclass(value) else value)


def _instantiate(cls: type, text: str) -> Any:
    try:
        inspect.signature(cls).bind()
    except TypeError as error:
        raise UnusableCommandError(
            f"{text} cannot be made without arguments ({error});"
            " make an instance in the module and name that"
        ) from error
    except ValueError:  # a class in C has no signature; trying it tells
        pass
    try:
        return cls()
    except Exception as error:
        raise load_failed(f"{text}()", error) from error
