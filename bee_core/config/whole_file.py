"""A whole file to a :class:`Config`: its sections, and what they inherit from each other.

:mod:`.converter` reads each class. This module adds what no single class has: a service takes what
it does not state from ``default``, a method takes it from its service, and the bounds of bodies
stand among the options of a codec but belong to the core.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from ..options import MisfitError
from .client_model import ClientConfig, MethodConfig
from .config_errors import Gathering, placed, problems, raise_all
from .converter import (
    Hook,
    ReadFields,
    class_hook,
    each,
    field_reader,
    fields_reader,
    make_converter,
)
from .fields import PluginRef, about, names_not_empty, spellings, written_at
from .model import CLIENT, SERVER, ApplicationConfig, Config
from .server_model import RegistryConfig, ServerConfig
from .values import read_section

if TYPE_CHECKING:
    from cattrs import Converter

    from .environment import Expansion

_JOINED = ("metadata", "baggage")

Stated = Mapping[str, Any]
"""The values that a section states itself, by field, checked."""


@attrs.frozen
class _Services:
    """``bee.rpc.client``."""

    default: Stated = attrs.field(factory=dict)
    services: Mapping[str, Stated] = attrs.field(factory=dict)


@attrs.frozen
class _Rpc:
    registry: RegistryConfig | None = None
    server: ServerConfig | None = None
    client: _Services = attrs.field(factory=_Services)


@attrs.frozen
class _Bee:
    application: ApplicationConfig = attrs.field(factory=ApplicationConfig)
    rpc: _Rpc = attrs.field(factory=_Rpc)


@attrs.frozen
class _Root:
    bee: _Bee = attrs.field(metadata=about("Everything of bee."))


def structure_config(expansion: Expansion) -> Config:
    """Make a configuration from a tree whose references to the environment are replaced.

    Raises:
        ConfigError: ``problems`` has everything that is wrong, in the order of the lines.
    """
    found = expansion.problems
    root: Any = None
    try:
        root = _FILE.structure(expansion.tree, _Root)
    except Exception as error:
        # A value whose variable is missing reads as nothing. That nothing does not fit is no news.
        known = {problem.path for problem in found}
        found += [one for one in problems(error, "", expansion) if one.path not in known]
    raise_all(found)
    return _assemble(root, expansion)


# ── sections ─────────────────────────────────────────────────────────────────────────────────────


def _root_hook(cls: type, made: Converter) -> Hook:
    whole = class_hook(cls, made)
    # As in Compose files: a key x-… at the root is a place for anchors.
    return lambda value, type_: whole(
        {key: item for key, item in read_section(value).items() if not key.startswith("x-")}, type_
    )


def _services_hook(_: type, made: Converter) -> Hook:
    read_fields = _section_reader(ClientConfig, made)
    read_call_fields = fields_reader(MethodConfig, made)

    def method(value: Any) -> Stated:
        gathering = Gathering()
        stated = read_call_fields(read_section(value), gathering)
        gathering.finish()
        return stated

    def methods(value: Any) -> Mapping[str, Stated]:
        found = each(value, method)
        names_not_empty(None, attrs.fields(ClientConfig).methods, found)
        return found

    def no_methods(_: Any) -> None:
        raise MisfitError(
            "'default' holds for all services, and methods belong to one; "
            "write them as bee.rpc.client.<service>.methods",
            value=None,
            expected="methods below a service",
        )

    def service(value: Any, read_methods: Callable[[Any], Any] = methods) -> Stated:
        raw = dict(read_section(value))
        gathering = Gathering()
        written = raw.pop("methods", None)
        own = {} if written is None else gathering.part("methods", read_methods, written)
        stated = read_fields(raw, gathering)
        gathering.finish()
        return {**stated, "methods": own}

    def read(value: Any, _: Any) -> _Services:
        raw = dict(read_section(value))
        gathering = Gathering()
        default = gathering.part("default", service, raw.pop("default", None), no_methods)
        services = gathering.part("", each, raw, service)
        gathering.finish()
        return _Services(default, services)

    return read


def _server_hook(_: type, made: Converter) -> Hook:
    read_fields = _section_reader(ServerConfig, made)

    def read(value: Any, _: Any) -> ServerConfig:
        if isinstance(value, ServerConfig):
            return value
        raw = read_section(value)
        gathering = Gathering()
        stated = read_fields(raw, gathering)
        if stated.get("tokens") == ():
            gathering.add(
                "tokens" if "tokens" in raw else "token",
                MisfitError(
                    "this list is empty, and an empty list lets nobody in; "
                    "state a token, or remove the key to let everybody in",
                    value=None,
                    expected="a token",
                ),
            )
        gathering.finish()
        return ServerConfig(**{field: placed(SERVER, value) for field, value in stated.items()})

    return read


def _section_reader(cls: type, made: Converter) -> ReadFields:
    """As :func:`fields_reader`, with the bounds of bodies taken out of the options of codecs.

    The core enforces the bounds, for the section as a whole. So two codecs cannot state different
    ones.
    """
    read_fields = fields_reader(cls, made)
    fields = attrs.fields_dict(cls)
    bounds = {
        name: field_reader(field, made)
        for name, field in fields.items()
        if "." in written_at(field)
    }
    codec = next(field for name, field in fields.items() if name in {"codec", "codecs"})

    def taken(item: Any, place: str, found: dict[str, Any], gathering: Gathering) -> Any:
        if isinstance(item, PluginRef):
            item = {"name": item.name, "options": item.options}
        options = item.get("options") if isinstance(item, Mapping) else None
        if not isinstance(options, Mapping):
            return item
        for name in [name for name in bounds if name in options]:
            path = f"{place}.options.{name}"
            value = gathering.part(path, bounds[name], options[name])
            if value is not None and found.setdefault(name, value) != value:
                gathering.add(
                    path,
                    MisfitError(
                        f"{name} holds for the whole server, and another codec states another "
                        "one; state it once",
                        value=value,
                        expected=f"one {name}",
                    ),
                )
        rest = {key: value for key, value in options.items() if key not in bounds}
        return {**item, "options": rest}

    def read(raw: Mapping[str, Any], gathering: Gathering) -> dict[str, Any]:
        found: dict[str, Any] = {}
        rest = dict(raw)
        for key in [key for key in spellings(codec) if key in raw]:
            item = raw[key]
            rest[key] = (
                [taken(one, f"{key}[{at}]", found, gathering) for at, one in enumerate(item)]
                if isinstance(item, list)
                else taken(item, key, found, gathering)
            )
        return {**read_fields(rest, gathering), **found}

    return read


_FILE = make_converter({_Root: _root_hook, _Services: _services_hook, ServerConfig: _server_hook})


# ── inheritance ──────────────────────────────────────────────────────────────────────────────────


def _assemble(root: _Root, expansion: Expansion) -> Config:
    rpc = root.bee.rpc
    default = _overlay(ClientConfig(), rpc.client.default, f"{CLIENT}.default")
    return Config(
        application=root.bee.application.name,
        registry=rpc.registry,
        server=rpc.server,
        clients={
            name: _service(name, stated, default) for name, stated in rpc.client.services.items()
        },
        default=default,
        source=expansion.source,
        lines=expansion.lines,
    )


def _service(name: str, stated: Stated, default: ClientConfig) -> ClientConfig:
    path = f"{CLIENT}.{name}"
    service: ClientConfig = _overlay(default, {**stated, "name": name, "methods": {}}, path)
    methods = {
        method: _overlay(service.method(method), own, f"{path}.methods.{method}")
        for method, own in stated["methods"].items()
    }
    return attrs.evolve(service, methods=methods)


def _overlay(below: Any, stated: Stated, path: str) -> Any:
    """The values of ``below`` with the stated ones over them; texts for the handler are joined."""
    changes = {
        field: {**getattr(below, field), **value} if field in _JOINED else placed(path, value)
        for field, value in stated.items()
    }
    return attrs.evolve(below, **changes)
