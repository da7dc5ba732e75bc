"""Options that several commands have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from .command_group import DEBUG_KEY, UnusableCommandError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from ..config import Config

    F = TypeVar("F", bound=Callable[..., Any])

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


def debug_option(function: F) -> F:
    """Add ``--debug``, which arrives nowhere: the group of commands looks it up."""
    return click.option(
        "--debug",
        is_flag=True,
        expose_value=False,
        callback=_note_debug,
        help="Show the traceback of an error.",
    )(function)


def json_option(help_text: str) -> Callable[[F], F]:
    """Add ``--json``, which arrives as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help=help_text)


def load_configuration(ctx: click.Context, path: str) -> Config:
    """Read the file that ``--config`` names.

    Raises:
        ConfigError: It cannot be used.
        UnusableCommandError: No file was named, and there is none by the default name.
    """
    from ..config import load_config
    from ..errors import ConfigError

    try:
        return load_config(path)
    except ConfigError as error:
        if ctx.get_parameter_source("config_path") is ParameterSource.DEFAULT and isinstance(
            error.__context__, FileNotFoundError
        ):
            raise UnusableCommandError(
                f"there is no {path} in this folder; name the configuration with --config FILE or ${CONFIG_VARIABLE}"
            ) from error
        raise


def _note_debug(ctx: click.Context, _: click.Parameter, given: bool) -> None:
    if given:
        ctx.meta[DEBUG_KEY] = True
