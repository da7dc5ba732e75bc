"""Options that several commands have, and the client that they ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from .. import build_client
from ..config import Config, load_config
from ..errors import ConfigError
from .command_group import F, UnusableCommandError, debug_option

if TYPE_CHECKING:
    from collections.abc import Callable

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


def printing_options(json_help: str) -> Callable[[F], F]:
    """Add ``--json``, which arrives as ``as_json``, and ``--debug``."""
    as_json = click.option("--json", "as_json", is_flag=True, help=json_help)
    return lambda function: as_json(debug_option(function))


def open_client(path: str) -> Client:
    """A client of the file that ``--config`` names. Raises as :func:`load_configuration`."""
    return build_client(load_configuration(path))


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
