"""Options that several commands have, and the client that they ask for."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import attrs
import click
from click.core import ParameterSource

from .. import build_client
from ..config import Config, load_config
from ..errors import ConfigError
from ..interfaces import logger
from .application_code import load_attribute
from .command_group import F, UnusableCommandError, debug_option
from .output import echo

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterator

    from ..client.blocking import Client

CONFIG_VARIABLE = "BEE_CONFIG"
DEFAULT_CONFIG = "bee.yml"


def config_option(function: F) -> F:
    """Add ``--config``, which arrives as ``config_path``."""
    return click.option(
        "--config",
        "config_path",
        metavar="FILE",
        default=DEFAULT_CONFIG,
        envvar=CONFIG_VARIABLE,
        show_default=True,
        show_envvar=True,
        help="The configuration.",
    )(function)


def refuse_options(command: str, *words: str) -> None:
    """Refuse what looks like an option where a name belongs.

    For commands that let unknown options through, because negative numbers look like them.

    Raises:
        UnusableCommandError: One of the words begins with two dashes.
    """
    for word in words:
        if word.startswith("--"):
            option = word.partition("=")[0]
            raise UnusableCommandError(f"there is no option {option} (see bee {command} --help)")


def printing_options(json_help: str) -> Callable[[F], F]:
    """Add ``--json``, which arrives as ``as_json``, and ``--debug``."""
    as_json = click.option("--json", "as_json", is_flag=True, help=json_help)
    return lambda function: as_json(debug_option(function))


def interface_option(function: F) -> F:
    """Add ``--interface``, which arrives as ``interface``: None, or a class."""
    return click.option(
        "--interface",
        metavar="MODULE:CLASS",
        callback=lambda _context, _option, text: (
            None if text is None else load_attribute(text, "an interface")
        ),
        help="The interface with the types and marks of the methods, as module:Class or"
        " file.py:Class.",
    )(function)


@contextmanager
def open_client(config: str | Config, *, told: bool = True) -> Iterator[Client]:
    """A client for a command. While it is open, the log does not say what the command says.

    Args:
        config: The file that ``--config`` names, or what was read from it.
        told: Whether the command itself says how the registry is. Otherwise that is printed on
            stderr in the end, unless the command fails: its error has it then.

    Raises:
        ConfigError, UnusableCommandError: See :func:`load_configuration`.
    """
    loaded = load_configuration(config) if isinstance(config, str) else config
    held: list[str] = []

    def hold(record: logging.LogRecord) -> bool:
        if getattr(record, "bee_event", None) != "registry_out_of_reach":
            return True
        held.append(record.getMessage())
        return False

    log = logger("bee.client")
    log.addFilter(hold)
    try:
        with build_client(without_listener(loaded)) as client:
            yield client
    finally:
        log.removeFilter(hold)
    for line in () if told else held:
        echo(line, err=True)


def without_listener(config: Config) -> Config:
    """A configuration without ``metrics_address``: it is that of the program, not of a command."""
    return attrs.evolve(config, application=attrs.evolve(config.application, metrics_address=None))


def load_configuration(path: str) -> Config:
    """Read the file that ``--config`` names.

    Raises:
        ConfigError: It cannot be used.
        UnusableCommandError: No file was named, and there is none by the default name.
    """
    try:
        return load_config(path)
    except ConfigError as error:
        source = click.get_current_context().get_parameter_source("config_path")
        missing = isinstance(error.__context__, FileNotFoundError)
        if missing and source is ParameterSource.DEFAULT:
            raise UnusableCommandError(
                f"there is no {path} in this folder; name the configuration with --config FILE"
                f" or ${CONFIG_VARIABLE}"
            ) from error
        raise


def at_address(config: Config, address: str | None) -> Config:
    """The configuration, with the address of ``--address`` if there is one.

    Raises:
        UnusableCommandError: It is no address.
    """
    if address is None or config.server is None:
        return config
    try:
        return attrs.evolve(config, server=attrs.evolve(config.server, address=(address,)))
    except ValueError as error:
        raise UnusableCommandError(f"--address: {error}") from error
