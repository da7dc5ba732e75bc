"""``bee check``: say what is wrong with a configuration, all of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from ..config import (
    Config,
    Contradiction,
    NamedPlugin,
    RegistryConfig,
    load_config,
    named_plugins,
    readable_plugins,
    warnings,
)
from ..errors import ConfigError, PluginError
from ..interfaces import RegistrySettings
from ..options import place_of
from ..plugins.hub import PluginHub
from .command_group import FAILED
from .output import echo, fields, print_json
from .shared_options import CONFIG_VARIABLE, DEFAULT_CONFIG, printing_options

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


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
                "problems": [_as_object(one, file) for one in problems],
                "warnings": [_as_object(one, file) for one in warned],
            }
        )
    else:
        for problem in problems:
            echo(_in_file(problem, file))
        for warning in warned:
            echo(f"warning: {_in_file(warning, file)}")
        echo(_summary(file, len(problems), len(warned)))
    if problems:
        ctx.exit(FAILED)


def findings(file: str) -> tuple[Sequence[ConfigError], Sequence[Contradiction]]:
    """The problems and the warnings of a file, those of plugins included."""
    try:
        config = load_config(file)
    except ConfigError as error:
        named, origin = readable_plugins(file)
        problems = list(error.problems)
        broken = [problem.path or "" for problem in problems]
        problems += [
            one
            for one in _of_plugins(named, origin, RegistryConfig())
            if not _follows(one.path or "", broken)
        ]
        return sorted(problems, key=lambda problem: problem.line or 0), ()
    registry = config.registry or RegistryConfig()
    found = list(_of_plugins(named_plugins(config), config, registry))
    said = {problem.path for problem in found}
    found += [
        one for one in (*_of_transports(config), *_of_slow_starts(config)) if one.path not in said
    ]
    return found, warnings(config)


def _follows(path: str, broken: Iterable[str]) -> bool:
    """Whether a plugin complains only of what was said: of an option that could not be read.

    Such an option reads as nothing. So the plugin may miss it beside another one.
    """
    options = f"{path.removesuffix('.options')}.options."
    return any(one == path or one.startswith(options) for one in broken)


def _inside(message: str, path: str) -> tuple[str, str]:
    """What follows the path of a plugin where one in its options is meant, and the message."""
    found = re.match(rf"{re.escape(path)}(\.options\.\S+)?: ", message)
    return ("", message) if found is None else (found[1] or "", message[found.end() :])


def _of_plugins(
    named: Iterable[NamedPlugin], origin: Any, registry: RegistryConfig
) -> Iterator[ConfigError]:
    """Load and make every plugin that is named, which checks its options. Making does no I/O.

    ``origin`` knows the file and the line of each path.
    """
    try:
        hub = PluginHub()
    except PluginError as error:  # BEE_DISABLE_PLUGINS itself is wrong
        yield ConfigError(str(error))
        return
    settings = RegistrySettings(registry.address, registry.heartbeat_interval)
    for one in named:
        context = (settings,) if one.kind == "registry" else ()
        stated = one.path if origin.origin(one.path) else one.ref.path
        source, line = place_of(stated, origin)
        try:
            # Only the lines: a message of the hub must not begin with file and line.
            hub.create(one.ref, one.kind, *context, origin=origin.origin)
        except PluginError as error:
            inside, message = _inside(str(error), one.ref.path or "")
            if inside:
                source, line = place_of(f"{stated}{inside}", origin)
            yield ConfigError(message, path=f"{one.path}{inside}", line=line, source=source)
        except ConfigError as error:
            for problem in error.problems:
                problem.path = problem.path or one.path
                problem.line = problem.line or line
                problem.source = place_of(problem.path, origin)[0]
                yield problem


def _of_transports(config: Config) -> Sequence[ConfigError]:
    """What else the transports of a server that listens want."""
    try:
        if config.server is not None:
            from ..server.transports import make_transports  # with asyncio: as dear as all

            make_transports(config, config.server, PluginHub())
    except ConfigError as error:
        return error.problems
    except PluginError:
        return ()  # it is named somewhere, and was said there
    return ()


def _of_slow_starts(config: Config) -> Iterator[ConfigError]:
    """The services whose balancer has no slow start, and that state one."""
    for client in config.clients.values():
        if client.slow_start:
            from ..client.slow_start import start_slowly  # with asyncio: as dear as all

            try:
                balancer = PluginHub().create(client.balancer, "balancer", origin=config)
                start_slowly(balancer, client, config)
            except PluginError:
                continue  # it was said
            except ConfigError as error:
                yield from error.problems


def _in_file(found: ConfigError | Contradiction, file: str) -> str:
    """As one line, in the form of compilers and linters."""
    source = found.source or file
    return str(ConfigError(found.message, path=found.path, line=found.line, source=source))


def _as_object(found: ConfigError | Contradiction, file: str) -> dict[str, Any]:
    return {
        **fields(found, "path", "line", "message"),
        "file": found.source or file,
    }


def _summary(file: str, problems: int, warnings: int) -> str:
    counts = ", ".join(
        f"{count} {word}{'s' if count > 1 else ''}"
        for count, word in ((problems, "problem"), (warnings, "warning"))
        if count
    )
    verdict = "cannot be used" if problems else "can be used"
    return f"{file} {verdict}: {counts}" if counts else f"{file} {verdict}"
