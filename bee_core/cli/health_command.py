"""``bee health``: whether a service or an address serves. For probes, so it loads what it needs.

An address that a file or the command names is pinged by its transport alone; only a registry needs
a client.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import attrs
import click
from click.core import ParameterSource

from ..config import Config, PluginRef, load_config
from ..contracts.transport import ChannelSettings
from ..errors import ConfigError
from ..plugins.hub import PluginHub
from ..terms.addresses import parse
from ..terms.node import Node
from ..terms.printable import brief
from ..wire.messages import ANY_SERVICE
from .command_group import FAILED, UNUSABLE, UnusableCommandError
from .output import echo, print_json
from .shared_options import config_option, load_configuration, printing_options

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..config import ServerConfig
    from ..terms.failures import Failure

_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  compared, not bound
_BAD_BODY = 1 << 20  # bytes of a reply; a pong has a few


@attrs.frozen
class _Place:
    """Where and how to ask.

    Attributes:
        url: Of the node.
        service: For the hello.
        codec: For the hello.
        transport: The plugin with its options.
        token: Gives the secret of the moment, or None.
    """

    url: str
    service: str
    codec: str
    transport: PluginRef
    token: Callable[[], str] | None = attrs.field(default=None, repr=False)


@attrs.frozen
class _Answer:
    """What became of one question.

    Attributes:
        url: Of the node.
        health: ``serving``, ``draining``, ``refused`` (it answered, and one side does not take the
            other) or ``unreachable`` (no connection, or no answer in time).
        reason: Why, for people; empty for the first two.
        seconds: How long it took.
    """

    url: str
    health: str
    reason: str
    seconds: float


@click.command()
@click.argument("asked", metavar="SERVICE|URL")
@config_option
@click.option(
    "--timeout",
    type=click.FloatRange(0.0, min_open=True),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a node may take to answer.",
)
@click.option(
    "--codec",
    metavar="NAME",
    help="A codec that the server offers, for a URL that the configuration does not name.",
)
@printing_options("Print an object.")
@click.pass_context
def health(
    ctx: click.Context,
    asked: str,
    config_path: str,
    timeout: float,
    codec: str | None,
    as_json: bool,
) -> None:
    """Say whether a service or an address serves; for probes.

    SERVICE is a key under bee.rpc.client, or the name under bee.rpc.server: then the server is
    asked at its own address, on this machine. A URL needs no configuration; if one names it, its
    transport and token are used.

    The exit code is 0 when a node serves. It is 1 when nodes answer and none serves: each of them
    is about to stop (draining), or refuses this client. It is 2 when none answers, or there is
    nothing to ask.
    """
    config = _configuration(ctx, config_path, asked)
    places = _places(config, asked, codec)
    if places:
        answers = _ask_all(PluginHub(), config, places, timeout)
    else:
        answers = _ask_registered(config, asked, timeout)
    found = {answer.health for answer in answers}
    code = 0 if "serving" in found else FAILED if found - {"unreachable"} else UNUSABLE
    if as_json:
        verdict = ("serving", "not serving", "unreachable")[code]
        nodes = [attrs.asdict(answer) for answer in answers]
        print_json({"asked": asked, "health": verdict, "nodes": nodes})
    else:
        for answer in answers:
            why = f": {answer.reason}" if answer.reason else ""
            echo(f"{answer.url}: {answer.health}{why}")
    if code == UNUSABLE:
        click.echo(f"error: no node of {asked} answers", err=True)
    ctx.exit(code)


def _configuration(ctx: click.Context, path: str, asked: str) -> Config:
    """The configuration; an empty one where a URL needs none."""
    if ctx.get_parameter_source("config_path") is ParameterSource.DEFAULT and _is_url(asked):
        try:
            return load_config(path)
        except ConfigError as error:
            if isinstance(error.__context__, FileNotFoundError):
                return Config()
            raise
    return load_configuration(path)


def _is_url(asked: str) -> bool:
    return ":" in asked


def _places(config: Config, asked: str, codec: str | None) -> list[_Place]:
    """Whom to ask; nobody where a registry must be asked first.

    Raises:
        ConfigError: No such service.
        UnusableCommandError: A URL that is none, or an own address that cannot be known.
    """
    server = config.server
    if asked in config.clients:
        registry = config.registry
        if registry is not None and registry.protocol != "direct":
            return []
        return _of_client(config, asked)
    if server is not None and asked == server.name:
        return [_of_server(config, url) for url in _own(server)]
    if not _is_url(asked):
        config.client(asked)  # raises
    try:
        url = parse(asked).url
    except ValueError as error:
        raise UnusableCommandError(str(error)) from None
    for name in config.clients:
        for place in _of_client(config, name):
            if place.url == url:
                return [place]
    if server is not None and url in server.address:
        return [_of_server(config, url)]
    transport = PluginRef(parse(url).scheme)
    return [_Place(url, ANY_SERVICE, codec or config.default.codec.name, transport)]


def _of_client(config: Config, name: str) -> list[_Place]:
    client = config.client(name)
    token = None if client.token is None else client.token.first
    own = client.transport
    return [
        _Place(
            entry.url,
            name,
            client.codec.name,
            own if own.name == parse(entry.url).scheme else PluginRef(parse(entry.url).scheme),
            token,  # the file itself names this address
        )
        for entry in client.address
    ]


def _own(server: ServerConfig) -> list[str]:
    """The addresses at which this machine can ask its own server.

    Raises:
        UnusableCommandError: There is none.
    """
    # A certificate is for the name that clients use, so an address with TLS is a client's matter.
    open_here = [url for url in server.address if not url.startswith("tls://")]
    known = [url for url in open_here if parse(url).port != 0]
    if known:
        return known[:1]
    what = "listens on any free port" if open_here else "listens with TLS only"
    raise UnusableCommandError(
        f"the server {server.name} {what}; name its URL, or state bee.rpc.client.{server.name}"
        " with its address"
    )


def _of_server(config: Config, url: str) -> _Place:
    server = config.server
    assert server is not None  # noqa: S101  # for the type checker
    address = parse(url)
    address = attrs.evolve(address, host=_LOOPBACK.get(address.host, address.host))
    token = server.tokens[0].first if server.tokens else None
    return _Place(
        address.url, server.name, server.codecs[0].name, server.transport(address.scheme), token
    )


def _ask_all(
    hub: PluginHub, config: Config, places: Sequence[_Place], timeout: float
) -> list[_Answer]:
    # Made before anybody is asked: the hub belongs to one thread.
    channels = [
        hub.create(place.transport, "transport", origin=config).channel(
            Node(place.url, place.url),
            ChannelSettings(
                place.service, place.codec, None, _BAD_BODY, time.monotonic, token=place.token
            ),
        )
        for place in places
    ]
    if len(places) == 1:
        return [_ask(places[0].url, channels[0], timeout)]
    from concurrent.futures import ThreadPoolExecutor  # a probe asks one node

    with ThreadPoolExecutor(len(places)) as threads:
        urls = [place.url for place in places]
        return list(threads.map(_ask, urls, channels, [timeout] * len(places)))


def _ask(url: str, channel: Any, timeout: float) -> _Answer:
    began = time.monotonic()
    try:
        said: str | Failure | Exception = channel.ping(timeout)
    except Exception as error:  # a transport's
        said = error
    return _answer(url, said, time.monotonic() - began)


def _answer(url: str, said: str | Failure | Exception, seconds: float) -> _Answer:
    if isinstance(said, str):
        return _Answer(url, said, "", seconds)
    if isinstance(said, Exception):
        return _Answer(url, "unreachable", brief(said), seconds)
    reached = said.reached and said.kind != "deadline_exceeded"
    return _Answer(url, "refused" if reached else "unreachable", said.message, seconds)


def _ask_registered(config: Config, service: str, timeout: float) -> list[_Answer]:
    """Ask the nodes that the registry has, as a client with this configuration sees them."""
    from ..client.health import ping_all  # with the client, which only this needs
    from .shared_options import open_client

    with open_client(config, told=False) as client:
        client.nodes(service)
        began = time.monotonic()
        said = ping_all(client.assembly.services[service].nodes, timeout)
        seconds = time.monotonic() - began
    return [_answer(url, answer, seconds) for url, answer in said]
