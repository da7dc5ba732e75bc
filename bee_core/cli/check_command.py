"""``bee check``: say what is wrong with a configuration, all of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import attrs
import click

from .command_group import FAILED
from .shared_options import CONFIG_VARIABLE, DEFAULT_CONFIG, debug_option, json_option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..config import Config
    from ..config.contradictions import Contradiction
    from ..errors import ConfigError


@attrs.frozen
class Finding:
    """Something to say about a key.

    Attributes:
        path: The key, dotted from the root; empty for the file as a whole.
        line: From 1, or None.
        message: What is wrong and what to do.
    """

    path: str
    line: int | None
    message: str

    def in_file(self, file: str) -> str:
        """As one line, in the form of compilers and linters."""
        from ..errors import ConfigError

        return str(ConfigError(self.message, path=self.path, line=self.line, source=file))


@click.command()
@click.argument("file", default=DEFAULT_CONFIG, envvar=CONFIG_VARIABLE)
@json_option("Print an object.")
@debug_option
@click.pass_context
def check(ctx: click.Context, file: str, as_json: bool) -> None:
    """Check a configuration: its keys and values, the plugins that it names and their options, and what does not go together.

    FILE is $BEE_CONFIG by default, then bee.yml. The exit code is 0 when the file can be used, also with warnings.
    """
    problems, warnings = findings(file)
    if as_json:
        found = {
            "problems": [attrs.asdict(one) for one in problems],
            "warnings": [attrs.asdict(one) for one in warnings],
        }
        click.echo(
            json.dumps(
                {"file": file, "usable": not problems, **found}, indent=2, ensure_ascii=False
            )
        )
    else:
        for one in problems:
            click.echo(one.in_file(file))
        for one in warnings:
            click.echo(f"warning: {one.in_file(file)}")
        click.echo(_summary(file, len(problems), len(warnings)))
    if problems:
        ctx.exit(FAILED)


def findings(file: str) -> tuple[list[Finding], list[Finding]]:
    """The problems and the warnings of a configuration file. Plugins are looked at only when the file itself can be read."""
    from ..config import load_config, warnings
    from ..errors import ConfigError

    try:
        config = load_config(file)
    except ConfigError as error:
        return [_of_problem(problem) for problem in error.problems], []
    problems = list(_of_plugins(config))
    return problems or list(_of_doors(config)), [
        _of_contradiction(warning) for warning in warnings(config)
    ]


def _of_problem(problem: ConfigError) -> Finding:
    return Finding(problem.path, problem.line, problem.message)


def _of_contradiction(warning: Contradiction) -> Finding:
    return Finding(warning.path, warning.line, warning.message)


def _of_plugins(config: Config) -> Iterator[Finding]:
    """Load and make every plugin that the configuration names, which checks its options.

    Making one does no I/O.
    """
    from ..config import RegistryConfig, named_plugins
    from ..errors import ConfigError, PluginError
    from ..interfaces import RegistrySettings
    from ..plugins.hub import PluginHub

    try:
        hub = PluginHub()
    except PluginError as error:  # BEE_DISABLE_PLUGINS itself is wrong
        yield Finding("", None, str(error))
        return
    registry = config.registry or RegistryConfig()
    for named in named_plugins(config):
        context = (
            (RegistrySettings(registry.address, registry.heartbeat_interval),)
            if named.kind == "registry"
            else ()
        )
        line = config.origin(named.path) or config.origin(named.ref.path)
        try:
            hub.create(named.ref, named.kind, *context, origin=config.origin)
        except PluginError as error:
            yield Finding(named.path, line, str(error).removeprefix(f"{named.ref.path}: "))
        except ConfigError as error:
            for problem in error.problems:
                yield Finding(problem.path or named.path, problem.line or line, problem.message)


def _of_doors(config: Config) -> Iterator[Finding]:
    """What else the transports want of a server that is to listen. Called once each of them can be made."""
    from ..errors import ConfigError
    from ..plugins.hub import PluginHub
    from ..server.doors import make_transports

    if config.server is not None:
        try:
            make_transports(config, config.server, PluginHub())
        except ConfigError as error:
            yield from (
                Finding(problem.path, problem.line, problem.message) for problem in error.problems
            )


def _summary(file: str, problems: int, warnings: int) -> str:
    counts = ", ".join(
        f"{count} {word}{'s' if count > 1 else ''}"
        for count, word in ((problems, "problem"), (warnings, "warning"))
        if count
    )
    verdict = "cannot be used" if problems else "can be used"
    return f"{file} {verdict}: {counts}" if counts else f"{file} {verdict}"
