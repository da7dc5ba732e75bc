"""``bee check``: say what is wrong with a configuration, all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..config import Config, Contradiction, RegistryConfig, load_config, named_plugins, warnings
from ..errors import ConfigError, PluginError
from ..interfaces import RegistrySettings
from ..plugins.hub import PluginHub
from ..server.assembly import make_transports
from .command_group import FAILED
from .output import fields, print_json
from .shared_options import CONFIG_VARIABLE, DEFAULT_CONFIG, printing_options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@click.command()
@click.argument("file", default=DEFAULT_CONFIG, envvar=CONFIG_VARIABLE)
@printing_options("Print an object.")
@click.pass_context
def check(ctx: click.Context, file: str, as_json: bool) -> None:
    """Check a configuration: its keys and values, its plugins and their options.

    A warning names settings that contradict each other. FILE is $BEE_CONFIG by default, then
    bee.yml. The exit code is 0 when the file can be used, also with warnings.
    """
    problems, warned = findings(file)
    if as_json:
        print_json(
            {
                "file": file,
                "usable": not problems,
                "problems": [fields(one, "path", "line", "message") for one in problems],
                "warnings": [fields(one, "path", "line", "message") for one in warned],
            }
        )
    else:
        for problem in problems:
            click.echo(_in_file(problem, file))
        for warning in warned:
            click.echo(f"warning: {_in_file(warning, file)}")
        click.echo(_summary(file, len(problems), len(warned)))
    if problems:
        ctx.exit(FAILED)


def findings(file: str) -> tuple[Sequence[ConfigError], Sequence[Contradiction]]:
    """The problems and the warnings of a file. Plugins count only when the file can be read."""
    try:
        config = load_config(file)
    except ConfigError as error:
        return error.problems, ()
    return list(_of_plugins(config)) or _of_transports(config), warnings(config)


def _of_plugins(config: Config) -> Iterator[ConfigError]:
    """Load and make every plugin that is named, which checks its options. Making does no I/O."""
    try:
        hub = PluginHub()
    except PluginError as error:  # BEE_DISABLE_PLUGINS itself is wrong
        yield ConfigError(str(error))
        return
    registry = config.registry or RegistryConfig()
    settings = RegistrySettings(registry.address, registry.heartbeat_interval)
    for named in named_plugins(config):
        context = (settings,) if named.kind == "registry" else ()
        line = config.origin(named.path) or config.origin(named.ref.path)
        try:
            hub.create(named.ref, named.kind, *context, origin=config.origin)
        except PluginError as error:
            message = str(error).removeprefix(f"{named.ref.path}: ")
            yield ConfigError(message, path=named.path, line=line)
        except ConfigError as error:
            for problem in error.problems:
                problem.path, problem.line = problem.path or named.path, problem.line or line
                yield problem


def _of_transports(config: Config) -> Sequence[ConfigError]:
    """What else the transports of a server that listens want. Each of them can be made by now."""
    try:
        if config.server is not None:
            make_transports(config, config.server, PluginHub())
    except ConfigError as error:
        return error.problems
    return ()


def _in_file(found: ConfigError | Contradiction, file: str) -> str:
    """As one line, in the form of compilers and linters."""
    return str(ConfigError(found.message, path=found.path, line=found.line, source=file))


def _summary(file: str, problems: int, warnings: int) -> str:
    counts = ", ".join(
        f"{count} {word}{'s' if count > 1 else ''}"
        for count, word in ((problems, "problem"), (warnings, "warning"))
        if count
    )
    verdict = "cannot be used" if problems else "can be used"
    return f"{file} {verdict}: {counts}" if counts else f"{file} {verdict}"
