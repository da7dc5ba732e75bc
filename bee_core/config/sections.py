"""The shape of the file around the classes of the model: what is inherited from ``default``, what is taken out of a codec's options, spellings of the server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from .field_rules import about, keys_of, remarks
from .hooks import class_hook, field_hook
from .model import CALL_FIELDS, ClientConfig, Config, MethodConfig, RegistryConfig
from .problems import Gathering
from .readers import section
from .scalars import MisfitError
from .server_model import ServerConfig
from .settings import PluginRef

if TYPE_CHECKING:
    from collections.abc import Callable

    from cattrs import Converter

_SIZES = ("max_size", "max_inflated")
_SERVER = "bee.rpc.server"
_CLIENT = "bee.rpc.client"
_JOINED = ("metadata", "baggage")


@attrs.frozen
class Stated:
    """A section's values, and which of them it states itself."""

    values: Any
    given: frozenset[str]
    methods: Mapping[str, Stated] = attrs.field(factory=dict)


@attrs.frozen
class Services:
    """``bee.rpc.client``."""

    default: Stated
    services: Mapping[str, Stated]


@attrs.frozen
class _Application:
    name: str = ""


@attrs.frozen
class _Rpc:
    registry: RegistryConfig | None = None
    server: ServerConfig | None = None
    client: Services | None = None


@attrs.frozen
class _Bee:
    application: _Application = attrs.field(factory=_Application)
    rpc: _Rpc = attrs.field(factory=_Rpc)


@attrs.frozen
class Root:
    """The whole file."""

    bee: _Bee = attrs.field(metadata=about("Everything of bee."))


def register(made: Converter) -> None:
    """Teach a converter the shape of the file."""
    made.register_structure_hook_factory(
        lambda type_: type_ is Root, lambda type_: _root_hook(type_, made)
    )
    made.register_structure_hook_factory(
        lambda type_: type_ is Services, lambda _: _services_hook(made)
    )
    made.register_structure_hook_factory(
        lambda type_: type_ is ServerConfig, lambda type_: _server_hook(type_, made)
    )


def _root_hook(cls: type, made: Converter) -> Any:
    whole = class_hook(cls, made)
    # As in Compose files: a key x-… at the root is a place for anchors.
    return lambda value, type_: whole(
        {key: item for key, item in section(value).items() if not key.startswith("x-")}, type_
    )


def _services_hook(made: Converter) -> Any:
    read_client = _client_hook(made)

    def read(value: Any, _: Any) -> Services:
        gathering = Gathering(dict)
        services: dict[str, Stated] = {}
        default = Stated(ClientConfig(), frozenset())
        for name, item in section(value).items():
            stated = gathering.part(name, read_client, item, name == "default")
            if name == "default" and stated is not None:
                default = stated
            elif stated is not None:
                services[name] = stated
        gathering.finish()
        return Services(default, services)

    return read


def _client_hook(made: Converter) -> Any:
    read_rest = class_hook(ClientConfig, made)
    read_method = class_hook(MethodConfig, made)
    sizes = {name: field_hook(getattr(attrs.fields(ClientConfig), name), made) for name in _SIZES}

    def method(item: Any) -> Stated:
        raw = section(item)
        return Stated(read_method(raw, MethodConfig), frozenset(raw) & frozenset(CALL_FIELDS))

    def read(value: Any, is_default: bool) -> Stated:
        raw = dict(section(value))
        gathering = Gathering(ClientConfig)
        methods: dict[str, Any] = {}
        written = raw.pop("methods", None)
        if is_default and written is not None:
            gathering.part("methods", _no_default_methods)
        elif written is not None:
            methods = gathering.part("methods", _each, written, method) or {}
        found: dict[str, Any] = {}
        if "codec" in raw:
            raw["codec"], stated = _take_sizes(raw["codec"])
            for name, size in stated.items():
                found[name] = gathering.part(f"codec.options.{name}", sizes[name], size, None)
        values = gathering.whole(read_rest, raw, ClientConfig)
        gathering.finish()
        given = frozenset(raw) & frozenset(keys_of(ClientConfig)) | frozenset(found)
        return Stated(attrs.evolve(values, **found), given, methods)

    return read


def _no_default_methods() -> None:
    raise MisfitError(
        "'default' holds for all services, and methods belong to one; write them as bee.rpc.client.<service>.methods",
        value=None,
        expected="methods below a service",
    )


def _each(value: Any, read: Callable[[Any], Any]) -> dict[str, Any]:
    gathering = Gathering(dict)
    result = {name: gathering.part(name, read, item) for name, item in section(value).items()}
    gathering.finish()
    return result


def _take_sizes(codec: Any) -> tuple[Any, dict[str, Any]]:
    """Separate the bounds, which the core enforces, from the options that are the codec's own."""
    if isinstance(codec, PluginRef):
        codec = {"name": codec.name, "options": codec.options}
    options = codec.get("options") if isinstance(codec, Mapping) else None
    if not isinstance(options, Mapping):
        return codec, {}
    rest = {key: value for key, value in options.items() if key not in _SIZES}
    return {**codec, "options": rest}, {key: options[key] for key in _SIZES if key in options}


def _server_hook(cls: Any, made: Converter) -> Any:
    read_rest = class_hook(cls, made)
    fields = attrs.fields_dict(cls)
    sizes = {name: field_hook(fields[name], made) for name in _SIZES}
    spelled = {
        name: (field, field_hook(field, made))
        for name, field in fields.items()
        if remarks(field).aliases
    }

    def read(value: Any, _: Any) -> Any:
        if isinstance(value, cls):
            return value
        raw = dict(section(value))
        gathering = Gathering(cls)
        found: dict[str, Any] = {}
        for name, (field, read_field) in spelled.items():
            names = dict.fromkeys((remarks(field).key or name, name, *remarks(field).aliases))
            keys = [key for key in names if key in raw]
            if len(keys) > 1:
                gathering.part(keys[1], _twice, keys)
            for key in keys:
                item = raw.pop(key)
                if name == "codecs":
                    item = _take_all_sizes(item, key, gathering, sizes, found)
                refs = gathering.part(key, read_field, item, None)
                if name == "tokens" and refs == ():
                    gathering.part(key, _no_token)
                elif refs is not None:
                    found[name] = _placed(refs, f"{_SERVER}.{key}", item)
        server = gathering.whole(read_rest, raw, cls)
        gathering.finish()
        if server.limiter is not None:
            found["limiter"] = attrs.evolve(server.limiter, path=f"{_SERVER}.limiter")
        return attrs.evolve(server, **found)

    return read


def _no_token() -> None:
    raise MisfitError(
        "this list is empty, and an empty list lets nobody in; state a token, or remove the key to let everybody in",
        value=None,
        expected="a token",
    )


def _twice(keys: list[str]) -> None:
    raise MisfitError(
        f"{' and '.join(map(repr, keys))} are spellings of one key; keep one of them",
        value=keys[1],
        expected="one spelling",
    )


def _take_all_sizes(
    item: Any, key: str, gathering: Gathering, sizes: Mapping[str, Any], found: dict[str, Any]
) -> Any:
    """As :func:`_take_sizes`, for one codec or a list. The bounds hold for the server as a whole, so two codecs cannot state different ones."""
    rest = []
    for index, codec in enumerate(item if isinstance(item, list) else [item]):
        one, stated = _take_sizes(codec)
        rest.append(one)
        place = f"{key}[{index}]" if isinstance(item, list) else key
        for name, size in stated.items():
            value = gathering.part(f"{place}.options.{name}", sizes[name], size, None)
            if value is not None and found.setdefault(name, value) != value:
                gathering.part(f"{place}.options.{name}", _different, name, value)
    return rest if isinstance(item, list) else rest[0]


def _different(name: str, value: Any) -> None:
    raise MisfitError(
        f"{name} holds for the whole server, and another codec states another one; state it once",
        value=value,
        expected=f"one {name}",
    )


def _placed(entries: tuple[Any, ...], path: str, item: Any) -> tuple[Any, ...]:
    listed = isinstance(item, list)
    return tuple(
        attrs.evolve(entry, path=f"{path}[{index}]" if listed else path)
        if isinstance(entry, PluginRef)
        else entry
        for index, entry in enumerate(entries)
    )


# ── inheritance ──────────────────────────────────────────────────────────────────────────────────────────────────────


def assemble(root: Root, lines: Mapping[str, int | None], source: str | None) -> Config:
    """Make the configuration: services take what they do not state from ``default``, and methods from their service."""
    rpc = root.bee.rpc
    client = rpc.client or Services(Stated(ClientConfig(), frozenset()), {})
    default = _overlay(ClientConfig(), client.default, f"{_CLIENT}.default")
    return Config(
        application=root.bee.application.name,
        registry=rpc.registry,
        server=rpc.server,
        clients={name: _service(name, stated, default) for name, stated in client.services.items()},
        default=default,
        source=source,
        lines=lines,
    )


def _service(name: str, stated: Stated, default: ClientConfig) -> ClientConfig:
    path = f"{_CLIENT}.{name}"
    service: ClientConfig = attrs.evolve(_overlay(default, stated, path), name=name)
    methods = {
        method: _overlay(service.method(method), own, f"{path}.methods.{method}")
        for method, own in stated.methods.items()
    }
    return attrs.evolve(service, methods=methods) if methods else service


def _overlay(below: Any, stated: Stated, path: str) -> Any:
    """The values of ``below`` with the stated ones over them; texts for the handler are joined by key."""
    changes: dict[str, Any] = {}
    for field in stated.given:
        value = getattr(stated.values, field)
        if field in _JOINED:
            value = {**getattr(below, field), **value}
        changes[field] = (
            attrs.evolve(value, path=f"{path}.{field}") if isinstance(value, PluginRef) else value
        )
    return attrs.evolve(below, **changes)
