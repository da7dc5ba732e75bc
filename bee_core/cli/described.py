"""What commands ask a service, or an interface, about its methods."""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click
import msgspec

from ..client.health import ask_health
from ..config import Config
from ..config.client_model import AddressConfig, ClientConfig
from ..config.fields import PluginRef
from ..contracts.describing import describe_interface
from ..contracts.description import read_description
from ..errors import CallError, MethodNotFound, RemoteError
from ..plugins.hub import PluginHub
from ..plugins.listing import list_installed
from ..terms.request import DESCRIBE
from .command_group import UnusableCommandError
from .shared_options import load_configuration, open_client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..client.blocking import Client
    from ..contracts.description import MethodDescription, ServiceDescription

PATIENCE = 5.0
"""Seconds for a description. A first call may have to find the nodes first."""
_OFFERED = re.compile(r"the codec '[^']*' is not offered here; offered: ([^()]+) \(")


class NotDescribedError(click.ClickException):
    """A service that does not describe itself."""


def is_url(service: str) -> bool:
    """Whether a SERVICE is a node's url in place of a name."""
    return "://" in service


@contextmanager
def open_service(config_path: str, service: str, *, told: bool = True) -> Iterator[Client]:
    """A client that can call a service: one of the configuration, or that at a url.

    For a url, the section of the configuration that has it as its address holds, with its token.
    For any other url that is ``bee.rpc.client.default``. No registry is asked.

    Args:
        config_path: What ``--config`` names.
        service: The key under ``bee.rpc.client``, or a url.
        told: See :func:`.shared_options.open_client`.

    Raises:
        ConfigError, UnusableCommandError: The configuration or the url cannot be used.
    """
    if is_url(service):
        with open_client(_suited(_of_url(config_path, service), service), told=told) as client:
            yield client
        return
    with open_client(config_path, told=told) as client:
        client.config.client(service)
        yield client


def _of_url(config_path: str, url: str) -> Config:
    try:
        config = load_configuration(config_path)
    except UnusableCommandError:  # the default file, and it is not there
        config = Config()
    try:
        address = AddressConfig(url)
    except ValueError as error:
        raise UnusableCommandError(f"{url}: {error}") from error
    section = attrs.evolve(
        _section_of(config, address.url),
        name=url,
        address=(address,),
        version=None,
        tags=frozenset(),
        zone=None,
        schemes=None,
    )
    return attrs.evolve(config, registry=None, server=None, clients={url: section})


def _section_of(config: Config, url: str) -> ClientConfig:
    """How the configuration calls the server at a url."""
    for section in config.clients.values():
        if any(one.url == url for one in section.address):
            return section
    server = config.server
    if server is not None and url in server.address and server.tokens:
        return attrs.evolve(config.default, token=server.tokens[0])
    return config.default


def _suited(config: Config, url: str) -> Config:
    """The configuration with a codec that the server at the url offers."""
    with open_client(config) as client:
        said = " ".join(ask_health(client.assembly.services[url].nodes).values())
    offered = _OFFERED.search(said)
    if offered is None:
        return config
    installed = {row.name for row in list_installed(PluginHub()) if row.kind == "codec"}
    names = [name for name in offered[1].split(", ") if name in installed]
    if not names:
        return config
    section = attrs.evolve(config.clients[url], codec=PluginRef(names[0]))
    return attrs.evolve(config, clients={url: section})


def ask(
    client: Client,
    service: str,
    method: str | None = None,
    *,
    brief: bool = False,
    patience: float = PATIENCE,
) -> ServiceDescription:
    """What a service says of its methods, or of one.

    Args:
        client: Knows the service.
        service: The key under ``bee.rpc.client``.
        method: One method's full name, or None.
        brief: See :attr:`.ServiceDescription.brief`.
        patience: Seconds.

    Raises:
        NotDescribedError: It does not describe itself, or what it says cannot be read.
        UnusableCommandError: It has no such method.
        CallError: It cannot be asked.
    """
    given: dict[str, Any] = {} if method is None else {"method": method}
    if brief:
        given["brief"] = True
    call = client.service(service).with_options(timeout=patience, idempotent=True).call
    try:
        return read_description(call(DESCRIBE, **given))
    except MethodNotFound as error:
        raise NotDescribedError(
            f"{service} does not say what it can do: {error.message}"
        ) from error
    except RemoteError as error:
        if error.type == "MethodNotFound":
            raise UnusableCommandError(error.message) from error
        raise
    except (ValueError, msgspec.ValidationError) as error:
        raise NotDescribedError(f"what {service} says of itself cannot be read: {error}") from error


def of_interface(interface: Any) -> ServiceDescription:
    """The description of an interface, with the schemas of the codec that is the default.

    Raises:
        UnusableCommandError: It cannot be used as an interface.
    """
    codec = PluginHub().create(Config().default.codec, "codec")
    try:
        return describe_interface(interface, codec)
    except TypeError as error:
        raise UnusableCommandError(str(error)) from error


class Teller:
    """What is known of a method. It is asked for once, and only when it is needed.

    Args:
        client: Knows the service.
        service: The key under ``bee.rpc.client``.
        method: The method's full name.
        interface: What ``--interface`` names, or None.
    """

    def __init__(self, client: Client, service: str, method: str, interface: Any) -> None:
        self._client = client
        self._service = service
        self._method = method
        self._interface = interface
        self._asked = False
        self._known: ServiceDescription | None = None

    @property
    def known(self) -> ServiceDescription | None:
        """The description, or None where there is none."""
        if not self._asked:
            self._asked = True
            try:
                if self._interface is not None:
                    self._known = of_interface(self._interface)
                else:
                    self._known = ask(self._client, self._service, self._method)
            except (click.ClickException, CallError):
                self._known = None
        return self._known

    @property
    def method(self) -> MethodDescription | None:
        """The method, or None where nothing is known of it."""
        return None if self.known is None else self.known.method(self._method)


def split_target(config_path: str, target: str) -> tuple[str, str | None]:
    """SERVICE or SERVICE.METHOD: the service and the method, or None.

    The longest name that is configured counts.
    """
    if is_url(target):
        return target, None
    configured = load_configuration(config_path).clients
    parts = target.split(".")
    for count in range(len(parts), 0, -1):
        service = ".".join(parts[:count])
        if service in configured:
            return service, ".".join(parts[count:]) or None
    return target, None


def is_file(text: str) -> bool:
    """Whether a word names a file with a description."""
    return text.endswith(".json") or Path(text).is_file()


def of_file(path: str) -> ServiceDescription:
    """The description in a JSON file.

    Raises:
        UnusableCommandError: It is none.
        OSError: It cannot be read.
    """
    try:
        return read_description(msgspec.json.decode(Path(path).read_bytes()))
    except (ValueError, msgspec.DecodeError) as error:
        raise UnusableCommandError(
            f"{path} is no description: {error}; bee describe SERVICE --json writes one"
        ) from error
