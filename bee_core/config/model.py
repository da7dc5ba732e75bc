"""A whole configuration as a frozen class, and the plugins that it names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping  # noqa: TC003  cattrs reads the annotations
from difflib import get_close_matches
from typing import Annotated, Any

import attrs

from ..errors import ConfigError
from ..options import SEVERAL
from ..terms.addresses import parse
from .client_model import CALL_FIELDS, ClientConfig
from .fields import (
    PluginRef,
    about,
    http_address,
    observers,
    plugin_kinds,
    setting,
    written_at,
)
from .registry_model import RegistryConfig
from .server_model import ServerConfig  # noqa: TC001  cattrs reads the annotations

APPLICATION = "bee.application"
CLIENT = "bee.rpc.client"
SERVER = "bee.rpc.server"


@attrs.frozen
class ApplicationConfig:
    """``bee.application``: the program as a whole."""

    name: str = attrs.field(
        default="",
        metadata=about(
            "The program's name. Its threads are named after it.",
            "Nothing but names of threads depends on it; without it they say `client`.",
        ),
    )
    observers: Annotated[tuple[PluginRef, ...], SEVERAL] = observers(
        "Who is told of every call of every service, and of every request of the server"
    )
    metrics_address: str | None = setting(
        None,
        "Where this process answers HTTP: `/metrics` for Prometheus (name the observer "
        "`prometheus` too), `/healthz` and `/readyz` for probes; `host:port`. Port 0 takes any "
        "free port. With `workers` the parent answers for all of them.",
        "No door is opened that nobody asked for.",
        check=http_address,
    )
    recorder: bool = setting(
        True,
        "Whether the last calls and requests of this process are remembered, for `bee recent` and "
        "for the file that is written when it crashes.",
        "Yes: it costs 1 to 2 % of a call and at most 3 MB, and what it has is missed at night.",
    )
    include: Annotated[tuple[str, ...], SEVERAL] = setting(
        (),
        "Files that are merged under this one, a later one over an earlier one: a path, relative "
        "to this file, or a list.",
        "This file says all.",
    )
    watch: bool = setting(
        False,
        "Whether clients and servers reload this configuration when its files change.",
        "A file that is being written must not change a program that nobody is looking at.",
        live=True,
    )


@attrs.frozen(kw_only=True)
class Config:
    """A whole configuration.

    Attributes:
        application: ``bee.application``, or its defaults.
        registry: ``bee.rpc.registry``, or None.
        server: ``bee.rpc.server``, or None for a program that serves nothing.
        clients: The services under ``bee.rpc.client``, without ``default``.
        default: ``bee.rpc.client.default``, which ``clients`` have taken in already.
        source: The file, or None for a configuration from Python.
        lines: The line of every path that is stated; None for what came from Python.
        sources: The file of each path that is stated in another file than ``source``: one that is
            included, or one of the environment.
        written: How each value is written in which ``${…}`` was replaced, by path.
        files: All files that it comes from and those that were looked for, by their absolute
            paths, with a digest of each.
    """

    application: ApplicationConfig = attrs.field(factory=ApplicationConfig)
    registry: RegistryConfig | None = None
    server: ServerConfig | None = None
    clients: Mapping[str, ClientConfig] = attrs.field(factory=dict)
    default: ClientConfig = attrs.field(factory=ClientConfig)
    source: str | None = None
    lines: Mapping[str, int | None] = attrs.field(factory=dict, repr=False, eq=False)
    sources: Mapping[str, str] = attrs.field(factory=dict, repr=False, eq=False)
    written: Mapping[str, str] = attrs.field(factory=dict, repr=False, eq=False)
    files: Mapping[str, bytes] = attrs.field(factory=dict, repr=False, eq=False)

    def client(self, service: str) -> ClientConfig:
        """How to call a service.

        Raises:
            ConfigError: The configuration has no such service.
        """
        found = self.clients.get(service)
        if found is not None:
            return found
        names = ", ".join(self.clients) or "none"
        near = get_close_matches(service, self.clients, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(
            f"no service {service!r} is configured; {hint}configured: {names}",
            path=f"{CLIENT}.{service}",
            value=service,
            expected=f"one of: {names}",
            source=self.source,
        )

    def origin(self, path: str) -> int | None:
        """The line where a dotted path is stated, such as ``bee.rpc.client.calc.timeout``.

        None for a default, and for what came from Python.
        """
        return self.lines.get(path)

    def file(self, path: str) -> str | None:
        """The file that states a dotted path; None for a configuration from Python."""
        return self.sources.get(path, self.source)

    def stated(self, service: str, field: str, method: str | None = None) -> str | None:
        """Where the value of a field comes from.

        Args:
            service: A service of ``clients``.
            field: A field of :class:`ClientConfig`: ``timeout``.
            method: A method, for the fields that it can have.

        Returns:
            The dotted path that states it (``bee.rpc.client.default.timeout``), or None when it is
            the built-in default.
        """
        key = written_at(getattr(attrs.fields(ClientConfig), field))
        sections = [f"{CLIENT}.{service}", f"{CLIENT}.default"]
        if method is not None and field in CALL_FIELDS:
            sections.insert(0, f"{CLIENT}.{service}.methods.{method}")
        return next(
            (path for section in sections if (path := f"{section}.{key}") in self.lines), None
        )


@attrs.frozen
class NamedPlugin:
    """A place of a configuration that names a plugin.

    Attributes:
        path: The key that states it; for a default, the key that would.
        kind: The kind of plugin that the key wants, one of ``bee_core.hookspecs.Kind``.
        ref: The plugin's name and its options.
    """

    path: str
    kind: Any  # config may not import hookspecs
    ref: PluginRef


def named_plugins(config: Config) -> list[NamedPlugin]:
    """Every plugin that a configuration names, each place once.

    The application comes first, then the registry, the server, the services with their methods, and
    what ``default`` states, also where no service takes it over. Schemes of addresses name
    transports.
    """
    found = [*_of_section(config.application, APPLICATION)]
    found.append(of_registry(config.registry or RegistryConfig()))
    if config.server is not None:
        found += _of_section(config.server, SERVER)
        for method, limits in config.server.methods.items():
            found += _of_section(limits, f"{SERVER}.methods.{method}")
        found += [
            NamedPlugin(ref.path or f"{SERVER}.address", "transport", ref)
            for ref in map(config.server.transport, _schemes(config.server.address))
        ]
    for name, client in (*config.clients.items(), ("default", config.default)):
        path = f"{CLIENT}.{name}"
        found += [one for one in _of_section(client, path) if one.ref.path or name != "default"]
        urls = [address.url for address in client.address]
        found += of_schemes(urls, f"{path}.address", client.transport.name)
        for method, own in client.methods.items():
            found += _of_section(own, f"{path}.methods.{method}", above=client)
    kept: dict[tuple[str, str], NamedPlugin] = {}
    for one in found:
        kept.setdefault((one.path, one.ref.name), one)
    return list(kept.values())


def of_registry(section: RegistryConfig) -> NamedPlugin:
    """The registry's plugin, which stands in keys of its own."""
    return NamedPlugin(f"{section.plugin.path}.protocol", "registry", section.plugin)


def of_schemes(urls: Iterable[str], path: str, known: str = "") -> list[NamedPlugin]:
    """The transports that the schemes of urls name, without one that is named elsewhere."""
    schemes = [scheme for scheme in _schemes(urls) if scheme != known]
    return [NamedPlugin(path, "transport", PluginRef(scheme)) for scheme in schemes]


def _of_section(section: Any, path: str, above: Any = None) -> Iterator[NamedPlugin]:
    for field, kind in plugin_kinds(type(section)).items():
        value = getattr(section, field)
        if above is None or value != getattr(above, field):
            for ref in value if isinstance(value, tuple) else (value,):
                if ref is not None:
                    yield NamedPlugin(ref.path or f"{path}.{field}", kind, ref)


def _schemes(urls: Iterable[str]) -> Iterable[str]:
    return dict.fromkeys(parse(url).scheme for url in urls)
