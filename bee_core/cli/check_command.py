"""``bee check``: say what is wrong with a configuration, all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import click

from ..config import RegistryConfig, load_config, named_plugins, warnings
from ..errors import ConfigError, PluginError
from ..interfaces import RegistrySettings
from ..plugins.hub import PluginHub
from ..server.transports import make_transports
from .command_group import FAILED
from .output import print_json
from .shared_options import CONFIG_VARIABLE, DEFAULT_CONFIG, printing_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..config import Config
    from ..config.contradictions import Contradiction


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

    @classmethod
    def of(cls, found: ConfigError | Contradiction) -> Finding:
        """What a problem or a warning of the configuration says."""
        return cls(found.path, found.line, found.message)

    def in_file(self, file: str) -> str:
        """As one line, in the form of compilers and linters."""
        return str(ConfigError(self.message, path=self.path, line=self.line, source=file))


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
                "problems": [attrs.asdict(one) for one in problems],
                "warnings": [attrs.asdict(one) for one in warned],
            }
        )
    else:
        for one in problems:
            click.echo(one.in_file(file))
        for one in warned:
            click.echo(f"warning: {one.in_file(file)}")
        click.echo(_summary(file, len(problems), len(warned)))
    if problems:
        ctx.exit(FAILED)


def findings(file: str) -> tuple[list[Finding], list[Finding]]:
    """The problems and the warnings of a file. Plugins count only when the file can be read."""
    try:
        config = load_config(file)
    except ConfigError as error:
        return [Finding.of(problem) for problem in error.problems], []
    problems = list(_of_plugins(config)) or list(_of_doors(config))
    return problems, [Finding.of(warning) for warning in warnings(config)]


def _of_plugins(config: Config) -> Iterator[Finding]:
    """Load and make every plugin that is named, which checks its options. Making does no I/O."""
    try:
        hub = PluginHub()
    except PluginError as error:  # BEE_DISABLE_PLUGINS itself is wrong
        yield Finding("", None, str(error))
        return
    registry = config.registry or RegistryConfig()
    settings = RegistrySettings(registry.address, registry.heartbeat_interval)
    for named in named_plugins(config):
        context = (settings,) if named.kind == "registry" else ()
        line = config.origin(named.path) or config.origin(named.ref.path)
        try:
            hub.create(named.ref, named.kind, *context, origin=config.origin)
        except PluginError as error:
            yield Finding(named.path, line, str(error).removeprefix(f"{named.ref.path}: "))
        except ConfigError as error:
            for problem in error.problems:
                yield Finding(problem.path or named.path, problem.line or line, problem.message)


def _of_doors(config: Config) -> Iterator[Finding]:
    """What else the transports of a server that listens want. Each of them can be made by now."""
    if config.server is not None:
        try:
            make_transports(config, config.server, PluginHub())
        except ConfigError as error:
            yield from map(Finding.of, error.problems)


def _summary(file: str, problems: int, warnings: int) -> str:
    counts = ", ".join(
        f"{count} {word}{'s' if count > 1 else ''}"
        for count, word in ((problems, "problem"), (warnings, "warning"))
        if count
    )
    verdict = "cannot be used" if problems else "can be used"
    return f"{file} {verdict}: {counts}" if counts else f"{file} {verdict}"
