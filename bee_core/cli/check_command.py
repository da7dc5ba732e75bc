"""``bee check``: say what is wrong with a configuration, all of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs
import click

from .command_group import FAILED
from .shared_options import CONFIG_VARIABLE, DEFAULT_CONFIG, debug_option, json_option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..config import Config
    from ..config.contradictions import Contradiction
    from ..config.settings import PluginRef
    from ..errors import ConfigError
    from ..hookspecs import Kind


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
        place = f"{file}:{self.line}" if self.line else file
        return ": ".join(part for part in (place, self.path, self.message) if part)


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
    """Load and make every plugin that the configuration names, which checks its options. Making one does no I/O."""
    from ..errors import ConfigError, PluginError
    from ..plugins.hub import PluginHub

    try:
        hub = PluginHub()
    except PluginError as error:  # BEE_DISABLE_PLUGINS itself is wrong
        yield Finding("", None, str(error))
        return
    for ref, kind, key, context in _named_plugins(config):
        line = config.origin(key) or config.origin(ref.path)
        try:
            hub.create(ref, kind, *context, origin=config.origin)
        except PluginError as error:
            yield Finding(key, line, str(error).removeprefix(f"{ref.path}: "))
        except ConfigError as error:
            for problem in error.problems:
                yield Finding(problem.path or key, problem.line or line, problem.message)


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


def _named_plugins(config: Config) -> Iterator[tuple[PluginRef, Kind, str, tuple[Any, ...]]]:
    """Each reference to a plugin once, with its kind, the key that stands for it, and what its factory gets before the options."""
    from ..config import RegistryConfig
    from ..contracts.registry import RegistrySettings

    registry = config.registry or RegistryConfig()
    yield (
        registry.plugin,
        "registry",
        "bee.rpc.registry.protocol",
        (RegistrySettings(registry.address, registry.heartbeat_interval),),
    )
    seen: set[tuple[str, str]] = set()
    for ref, kind, place in (*_of_server(config), *_of_clients(config)):
        key = (
            ref.path or place
        )  # a reference without a path is a default, or stands in the scheme of an address
        if (kind, key) not in seen:
            seen.add((kind, key))
            yield ref, kind, key, ()


def _of_server(config: Config) -> Iterator[tuple[PluginRef, Kind, str]]:
    from ..terms.addresses import parse

    server, base = config.server, "bee.rpc.server"
    if server is None:
        return
    for ref in server.codecs:
        yield ref, "codec", f"{base}.macher"
    for ref in server.compressors:
        yield ref, "compressor", f"{base}.compress"
    for ref in server.transports:
        yield ref, "transport", f"{base}.transport"
    for scheme in dict.fromkeys(parse(url).scheme for url in server.address):
        yield server.transport(scheme), "transport", f"{base}.address"


def _of_clients(config: Config) -> Iterator[tuple[PluginRef, Kind, str]]:
    from ..config import PluginRef
    from ..terms.addresses import parse

    # What 'default' states is checked also where no service takes it over.
    for name, client in (*config.clients.items(), ("default", config.default)):
        base = f"bee.rpc.client.{name}"
        single: tuple[tuple[PluginRef | None, Kind, str], ...] = (
            (client.transport, "transport", "transport"),
            (client.codec, "codec", "codec"),
            (client.compress, "compressor", "compress"),
            (client.balancer, "balancer", "balancer"),
            (client.fail, "fault_tolerance", "fail"),
            (client.breaker, "breaker", "breaker"),
            (client.limiter, "limiter", "limiter"),
            (client.fallback, "fallback", "fallback"),
        )
        for ref, kind, key in single:
            if ref is not None and (ref.path or name != "default"):
                yield ref, kind, f"{base}.{key}"
        for scheme in dict.fromkeys(parse(address.url).scheme for address in client.address):
            if scheme != client.transport.name:
                yield PluginRef(scheme), "transport", f"{base}.address"
        for method, call in client.methods.items():
            if call.fail != client.fail:
                yield call.fail, "fault_tolerance", f"{base}.methods.{method}.fail"
            if call.fallback is not None and call.fallback != client.fallback:
                yield call.fallback, "fallback", f"{base}.methods.{method}.fallback"


def _summary(file: str, problems: int, warnings: int) -> str:
    counts = ", ".join(
        f"{count} {word}{'s' if count > 1 else ''}"
        for count, word in ((problems, "problem"), (warnings, "warning"))
        if count
    )
    verdict = "cannot be used" if problems else "can be used"
    return f"{file} {verdict}: {counts}" if counts else f"{file} {verdict}"
