"""What differs between two configurations, and what a running client or server does about it.

Secrets are never shown: what a file or a variable gave is shown as it is written, and options that
a plugin keeps secret, tokens, metadata and baggage not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import attrs

from .client_model import CALL_FIELDS, ClientConfig
from .fields import NOT_WRITTEN, PluginRef, plugin_kinds, remarks, written_at
from .model import APPLICATION, CLIENT, SERVER, ApplicationConfig, Config
from .registry_model import RegistryConfig
from .server_model import ServerConfig
from .shown_values import as_text

Effect = Literal["live", "restart", ""]
"""What a program that runs does: takes it over, needs a restart, or has nothing to do with it."""

Hides = Callable[[str, str, str], bool]
"""Whether an option must not be shown: the kind of a plugin, its name, the option."""

Fixed = Callable[[str, str, str], bool]
"""Whether no program that runs can take over a change: the kind of a plugin, its name, the option.
The empty option stands for a plugin that is added to a server with ``workers``."""

_REGISTRY = "bee.rpc.registry"
_NOT_SHOWN = frozenset({"token", "tokens", "metadata", "baggage"})
_LOOSE = ("name", "include", "watch")
"""Fields of the application that no service depends on."""


@attrs.frozen
class Difference:
    """One key that differs.

    Attributes:
        path: The key. One of ``bee.rpc.client.default`` stands for the services that take it over.
        old: Its value before, as a text; None where there was none.
        new: Its value after, likewise.
        client: What a client does about it.
        server: What a server does about it.
        services: The services that it holds for, where the key is one of ``default``.
    """

    path: str
    old: str | None
    new: str | None
    client: Effect
    server: Effect
    services: tuple[str, ...] = ()


def same_surroundings(old: Config, new: Config) -> bool:
    """Whether all that a service has from outside of its own section is the same."""
    loose = {name: getattr(ApplicationConfig(), name) for name in _LOOSE}
    before, after = (attrs.evolve(one.application, **loose) for one in (old, new))
    return before == after and (old.registry or RegistryConfig()) == (
        new.registry or RegistryConfig()
    )


def only_calls_differ(old: ClientConfig, new: ClientConfig) -> bool:
    """Whether two sections differ in nothing but settings of calls, or not at all.

    A limiter counts the calls that run, so it cannot be replaced under them.
    """
    same = {field: getattr(old, field) for field in (*CALL_FIELDS, "methods") if field != "limiter"}
    return attrs.evolve(new, **same) == old and _limiters(old) == _limiters(new)


def _limiters(client: ClientConfig) -> dict[str, Any]:
    """The limiters of the methods that have their own."""
    methods = client.methods.items()
    return {name: own.limiter for name, own in methods if own.limiter != client.limiter}


def in_use(running: Config, new: Config) -> Config:
    """What holds in a server that runs once it has reloaded: what needs a restart stays as it is.

    Args:
        running: What holds there now; it has a server section.
        new: What the files say, likewise.
    """
    assert running.server is not None and new.server is not None  # noqa: S101, PT018
    return attrs.evolve(
        _kept(running, new),
        registry=running.registry,
        server=attrs.evolve(new.server, **_until_restart(running.server)),
    )


def in_use_by_client(running: Config, new: Config) -> tuple[Config, tuple[str, ...]]:
    """What holds in a client that runs once it has reloaded: what needs a restart stays as it is.

    Args:
        running: What holds there now.
        new: What the files say.

    Returns:
        What holds, and the keys that wait for a restart.
    """
    found = _kept(running, new)
    return found, tuple(one.path for one in differences(found, new) if one.client == "restart")


def _kept(running: Config, new: Config) -> Config:
    kept = _until_restart(running.application)
    return attrs.evolve(new, application=attrs.evolve(new.application, **kept))


def _until_restart(section: ApplicationConfig | ServerConfig) -> dict[str, Any]:
    return {
        attribute.name: getattr(section, attribute.name)
        for attribute in attrs.fields(type(section))
        if not remarks(attribute).live and attribute.name != "include"
    }


def differences(
    old: Config, new: Config, hides: Hides = lambda *_: True, fixed: Fixed = lambda *_: False
) -> list[Difference]:
    """Everything that differs, in the order of the sections.

    Args:
        old: The configuration before.
        new: The configuration after.
        hides: Which options of plugins are secret; by default all of them.
        fixed: What of plugins needs a restart; by default nothing.
    """
    return list(_Comparison(old, new, hides, fixed).all())


def told(old: Config, new: Config) -> str:
    """What changed, in one line for the log, without values."""
    found = differences(old, new)
    if not found:
        return "the configuration was reloaded: nothing differs"
    shown = ", ".join(one.path for one in found[:_TOLD])
    more = len(found) - _TOLD
    return f"the configuration was reloaded: {shown}" + (f" and {more} more" if more > 0 else "")


_TOLD = 5  # keys of one line


@attrs.frozen
class _Value:
    """A value of a key: to compare, and to show.

    Attributes:
        compared: The value.
        shown: As a text; None where there is none.
        fixed: Whether a change of it needs a restart, whatever its key says.
    """

    compared: Any
    shown: str | None
    fixed: bool = False


_NOTHING = _Value(None, None)
_Flat = dict[str, _Value]


class _Comparison:
    def __init__(self, old: Config, new: Config, hides: Hides, fixed: Fixed) -> None:
        self._configs = old, new
        self._hides = hides
        self._fixed = fixed

    def all(self) -> Iterator[Difference]:
        old, new = self._configs
        applied = {
            key: remarks(field).live for key, field in attrs.fields_dict(ApplicationConfig).items()
        }
        for path, key, before, after in self._of(old.application, new.application, APPLICATION):
            effect: Effect = "live" if applied[key] else "restart"
            if key != "include":
                for_server = _waiting(effect, before, after, self._begins(key, before, after))
                for_client = _waiting(effect, before, after)
                yield self._difference(path, before, after, for_client, for_server)
        registries = old.registry or RegistryConfig(), new.registry or RegistryConfig()
        for path, _, before, after in self._of(*registries, section=_REGISTRY):
            yield self._difference(path, before, after, "live", "restart")
        yield from self._of_server(old.server, new.server)
        yield from self._of_services()

    def _difference(
        self, path: str, before: _Value, after: _Value, client: Effect, server: Effect
    ) -> Difference:
        old, new = self._configs
        return Difference(
            path,
            before.shown,
            after.shown,
            client if old.clients or new.clients else "",
            server if old.server or new.server else "",
        )

    def _of_server(
        self, old: ServerConfig | None, new: ServerConfig | None
    ) -> Iterator[Difference]:
        if old is None or new is None:
            if old is not new:
                shown = [None if one is None else one.name for one in (old, new)]
                yield Difference(SERVER, shown[0], shown[1], "", "restart")
            return
        fields = attrs.fields_dict(ServerConfig)
        for path, key, before, after in self._of(old, new, SERVER):
            effect: Effect = "live" if remarks(fields[key]).live else "restart"
            effect = _waiting(effect, before, after, self._begins(key, before, after))
            yield Difference(path, before.shown, after.shown, "", effect)

    def _of_services(self) -> Iterator[Difference]:
        old, new = self._configs
        shared: dict[str, Difference] = {}
        for name in dict.fromkeys((*old.clients, *new.clients)):
            before, after = old.clients.get(name), new.clients.get(name)
            if before is None or after is None:
                shown = [None if one is None else name for one in (before, after)]
                yield Difference(f"{CLIENT}.{name}", shown[0], shown[1], "live", "")
                continue
            for one in self._of_service(name, before, after):
                if not one.path.startswith(f"{CLIENT}.default."):
                    yield one
                    continue
                found = shared.get(one.path, one)
                shared[one.path] = attrs.evolve(found, services=(*found.services, name))
        yield from shared.values()

    def _of_service(
        self, name: str, before: ClientConfig, after: ClientConfig
    ) -> Iterator[Difference]:
        section = f"{CLIENT}.{name}"
        seen: set[str] = set()
        for path, _, was, is_ in self._of(before, after, section, name):
            seen.add(path)
            yield Difference(path, was.shown, is_.shown, _waiting("live", was, is_), "")
        for method in dict.fromkeys((*before.methods, *after.methods)):
            calls = before.method(method), after.method(method)
            for path, _, was, is_ in self._of(*calls, f"{section}.methods.{method}", name, method):
                if path not in seen:  # it is the service's, and was told
                    yield Difference(path, was.shown, is_.shown, "live", "")

    def _begins(self, field: str, before: _Value, after: _Value) -> bool:
        """Whether an observer is added that all processes of a server must begin with."""
        server = self._configs[0].server
        if field != "observers" or server is None or server.workers < 2:
            return False
        lists = (one.compared if isinstance(one.compared, list) else [] for one in (after, before))
        added = set(next(lists)) - set(next(lists))
        return any(self._fixed("observer", name, "") for name in added)

    # Values.

    def _of(
        self, before: Any, after: Any, section: str, service: str = "", method: str | None = None
    ) -> Iterator[tuple[str, str, _Value, _Value]]:
        """What differs between two objects of one class: path, field, and both values."""
        if before == after:
            return
        old, new = self._configs
        for attribute in attrs.fields(type(before)):
            field = attribute.name
            values = getattr(before, field), getattr(after, field)
            key = written_at(attribute)
            if values[0] == values[1] or key == NOT_WRITTEN or field == "methods":
                continue
            path = f"{section}.{key}"
            if service:
                path = (
                    new.stated(service, field, method) or old.stated(service, field, method) or path
                )
            kind = plugin_kinds(type(before)).get(field, "")
            if section == _REGISTRY and field == "options":
                kind = "registry"
                values = PluginRef(before.protocol, values[0]), PluginRef(after.protocol, values[1])
            first, second = (
                dict(self._flat(config, path, value, field, kind))
                for config, value in zip(self._configs, values, strict=True)
            )
            for place in dict.fromkeys((*first, *second)):
                one, other = first.get(place, _NOTHING), second.get(place, _NOTHING)
                if one.compared != other.compared:
                    yield place, field, one, other

    def _flat(
        self, config: Config, path: str, value: Any, field: str, kind: str
    ) -> Iterator[tuple[str, _Value]]:
        """A value as one or several keys that can be shown."""
        if isinstance(value, PluginRef):
            if not path.endswith(".options"):
                yield path, _Value(value.name, as_text(config, path, value.name))
            base = path if path.endswith(".options") else f"{path}.options"
            for option, given in value.options.items():
                below = f"{base}.{option}"
                hidden = self._hides(kind, value.name, option)
                written = as_text(config, below, given, hidden=hidden)
                yield below, _Value(given, written, self._fixed(kind, value.name, option))
        elif isinstance(value, tuple) and any(isinstance(one, PluginRef) for one in value):
            yield path, _Value([one.name for one in value], ", ".join(one.name for one in value))
            for index, one in enumerate(value):
                for below, inner in self._flat(config, f"{path}[{index}]", one, field, kind):
                    if below != f"{path}[{index}]":
                        yield below, inner
        elif isinstance(value, Mapping):
            for key, given in value.items():
                below = f"{path}.{key}"
                yield below, _Value(given, as_text(config, below, given, hidden=True))
        elif value is not None:
            hidden = field in _NOT_SHOWN
            yield path, _Value(value, as_text(config, path, value, hidden=hidden))


def _waiting(effect: Effect, before: _Value, after: _Value, begins: bool = False) -> Effect:
    return "restart" if begins or before.fixed or after.fixed else effect
