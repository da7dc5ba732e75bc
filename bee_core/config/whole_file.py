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
from .converter import each, read_class, read_field, read_fields, register, structure
from .deduplication_model import Deduplicate, DeduplicationConfig
from .fields import PluginRef, about, names_not_empty, plugin_kinds, spellings, written_at
from .model import (
    APPLICATION,
    CLIENT,
    SERVER,
    ApplicationConfig,
    Config,
    NamedPlugin,
    of_registry,
    of_schemes,
)
from .registry_model import RegistryConfig
from .server_model import ServerConfig, ServerMethodConfig
from .values import misfit, read_section

if TYPE_CHECKING:
    from .expansion import Expansion

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


def structure_config(expansion: Expansion, files: Mapping[str, bytes]) -> Config:
    """Make a configuration from a tree whose references to the environment are replaced.

    Args:
        expansion: The tree.
        files: All files that it comes from.

    Raises:
        ConfigError: ``problems`` has everything that is wrong, in the order of the lines.
    """
    found = expansion.problems
    root: Any = None
    try:
        root = structure(expansion.tree, _Root)
    except Exception as error:
        # A value whose variable is missing reads as nothing. That nothing does not fit is no news.
        known = {problem.path for problem in found}
        found += [one for one in problems(error, "", expansion) if one.path not in known]
    raise_all(found)
    return _assemble(root, expansion, files)


def stated_plugins(expansion: Expansion) -> list[NamedPlugin]:
    """Every plugin that a tree names, as far as it can be read; whatever else may be wrong."""
    bee = _mapping(_mapping(expansion.tree).get("bee"))
    rpc = _mapping(bee.get("rpc"))
    services = _mapping(rpc.get("client"))
    sections: list[tuple[str, type, Any]] = [
        (APPLICATION, ApplicationConfig, bee.get("application")),
        (SERVER, ServerConfig, rpc.get("server")),
    ]
    methods = _mapping(_mapping(rpc.get("server")).get("methods"))
    sections += [
        (f"{SERVER}.methods.{method}", ServerMethodConfig, own) for method, own in methods.items()
    ]
    for name, service in services.items():
        sections.append((f"{CLIENT}.{name}", ClientConfig, service))
        methods = _mapping(_mapping(service).get("methods"))
        sections += [
            (f"{CLIENT}.{name}.methods.{method}", MethodConfig, own)
            for method, own in methods.items()
        ]
    found = []
    unused = Gathering()  # what is wrong with the sections was said
    registry = _mapping(rpc.get("registry"))
    if registry:
        read = read_fields(RegistryConfig, registry, unused)
        stated = {name: read[name] for name in ("protocol", "options") if read.get(name)}
        found.append(of_registry(RegistryConfig(**stated)))
    for path, cls, raw in sections:
        values = _read_section(cls, _mapping(raw), unused)
        for field, kind in plugin_kinds(cls).items():
            refs = placed(path, values.get(field))
            found += [
                NamedPlugin(ref.path, kind, ref)
                for ref in (refs if isinstance(refs, tuple) else (refs,))
                if isinstance(ref, PluginRef)
            ]
        urls = [getattr(one, "url", one) for one in values.get("address") or ()]
        found += of_schemes(urls, f"{path}.address")
    return found


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


# ── sections ─────────────────────────────────────────────────────────────────────────────────────


def _read_root(value: Any, cls: type) -> Any:
    # As in Compose files: a key x-… at the root is a place for anchors.
    return read_class(
        {key: item for key, item in read_section(value).items() if not key.startswith("x-")}, cls
    )


def _read_services(value: Any, _: Any) -> _Services:
    raw = dict(read_section(value))
    with Gathering() as gathering:
        default = gathering.part("default", _read_service, raw.pop("default", None), _no_methods)
        services = gathering.part("", each, raw, _read_service, _read_methods)
    return _Services(default, services)


def _read_service(value: Any, read_methods: Callable[[Any], Stated]) -> Stated:
    raw = dict(read_section(value))
    written = raw.pop("methods", None)
    with Gathering() as gathering:
        methods = {} if written is None else gathering.part("methods", read_methods, written)
        stated = _read_section(ClientConfig, raw, gathering)
    return {**stated, "methods": methods}


def _read_methods(value: Any) -> Stated:
    found = each(value, _read_method)
    names_not_empty(None, attrs.fields(ClientConfig).methods, found)
    return found


def _read_method(value: Any) -> Stated:
    with Gathering() as gathering:
        return read_fields(MethodConfig, read_section(value), gathering)


def _no_methods(_: Any) -> Stated:
    raise MisfitError(
        "'default' holds for all services, and methods belong to one; "
        "write them as bee.rpc.client.<service>.methods",
        value=None,
        expected="methods below a service",
    )


def _read_application(value: Any, cls: type) -> Any:
    if isinstance(value, cls):
        return value
    with Gathering() as gathering:
        stated = read_fields(cls, read_section(value), gathering)
    return cls(**{field: placed(APPLICATION, value) for field, value in stated.items()})


def _read_server(value: Any, cls: type) -> Any:
    if isinstance(value, cls):
        return value
    raw = read_section(value)
    with Gathering() as gathering:
        stated = _read_section(cls, raw, gathering)
        if stated.get("tokens") == ():
            gathering.misfit(
                "tokens" if "tokens" in raw else "token",
                "this list is empty, and an empty list lets nobody in; "
                "state a token, or remove the key to let everybody in",
                "a token",
            )
    if "methods" in stated:
        stated["methods"] = _placed_methods(stated["methods"])
    return cls(**{field: placed(SERVER, value) for field, value in stated.items()})


def _placed_methods(methods: Mapping[str, ServerMethodConfig]) -> dict[str, ServerMethodConfig]:
    return {
        name: attrs.evolve(own, limiter=placed(f"{SERVER}.methods.{name}", own.limiter))
        for name, own in methods.items()
    }


def _read_section(cls: type, raw: Mapping[str, Any], gathering: Gathering) -> dict[str, Any]:
    """As :func:`read_fields`, with the bounds of bodies taken out of the options of codecs."""
    fields = attrs.fields_dict(attrs.resolve_types(cls))
    bounds = {name: field for name, field in fields.items() if "." in written_at(field)}
    found: dict[str, Any] = {}
    rest = dict(raw)
    codecs = fields.get("codec") or fields.get("codecs")
    for key in spellings(codecs) if codecs is not None else ():
        item = raw.get(key)
        if isinstance(item, list) and "codecs" in fields:
            rest[key] = [
                _without_bounds(one, f"{key}[{index}]", bounds, found, gathering)
                for index, one in enumerate(item)
            ]
        elif key in raw:
            rest[key] = _without_bounds(item, key, bounds, found, gathering)
    return {**read_fields(cls, rest, gathering), **found}


def _without_bounds(
    item: Any, place: str, bounds: Mapping[str, Any], found: dict[str, Any], gathering: Gathering
) -> Any:
    """A codec with the options that are its own; the bounds among them are added to ``found``.

    The core enforces the bounds, for the section as a whole. So two codecs cannot state different
    ones.
    """
    if isinstance(item, PluginRef):
        item = {"name": item.name, "options": item.options}
    options = item.get("options") if isinstance(item, Mapping) else None
    if not isinstance(options, Mapping):
        return item
    for name in [name for name in bounds if name in options]:
        path = f"{place}.options.{name}"
        value = gathering.part(path, read_field, options[name], bounds[name])
        if value is not None and found.setdefault(name, value) != value:
            gathering.misfit(
                path,
                f"{name} holds for the whole server, and another codec states another one; "
                "state it once",
                f"one {name}",
                value,
            )
    rest = {key: value for key, value in options.items() if key not in bounds}
    return {**item, "options": rest}


def _read_deduplicate(value: Any, _: Any) -> DeduplicationConfig | bool:
    """``false``, or a section."""
    if isinstance(value, (Mapping, DeduplicationConfig)):
        made: DeduplicationConfig = read_class(value, DeduplicationConfig)
        return made
    try:
        wanted = structure(value, bool)
    except MisfitError:
        wanted = True
    if wanted:
        expected = "false, or {window: …, count: …, bytes: …} with {} for the defaults"
        raise misfit(value, f"is not {expected}", expected)
    return False


register(_Root, _read_root)
register(Deduplicate, _read_deduplicate)
register(_Services, _read_services)
register(ApplicationConfig, _read_application)
register(ServerConfig, _read_server)


# ── inheritance ──────────────────────────────────────────────────────────────────────────────────


def _assemble(root: _Root, expansion: Expansion, files: Mapping[str, bytes]) -> Config:
    rpc = root.bee.rpc
    default = _overlay(ClientConfig(), rpc.client.default, f"{CLIENT}.default")
    return Config(
        application=root.bee.application,
        registry=rpc.registry,
        server=rpc.server,
        clients={
            name: _service(name, stated, default) for name, stated in rpc.client.services.items()
        },
        default=default,
        source=expansion.source,
        lines=expansion.lines,
        sources=expansion.sources,
        written=expansion.written,
        files=files,
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
