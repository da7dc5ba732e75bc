"""The JSON Schema of the YAML, for editors: keys, types, descriptions, names of plugins, options.

It follows draft 2020-12. It accepts every file that bee accepts, in the types that YAML 1.1 and
1.2 give to scalars: ``1.10`` may arrive as a number, ``on`` as a bool. It is less strict than bee:
every value may be a text with ``${`` in it, a number that is a text (``"5"``, ``500ms``) may have
any size, and a key that another file may state is not required. ``bee check`` has the last word.
"""

from __future__ import annotations

import collections.abc
import enum
import inspect
from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import attrs

from ..options import (
    COMMAS,
    SEVERAL,
    Kind,
    Plugin,
    bounds_of,
)
from ..terms.metadata import Value
from .client_model import AddressConfig, ClientConfig, MethodConfig
from .docstrings import documented, first_paragraph
from .fault_model import FaultConfig, ServerFaultConfig
from .fields import PluginRef, remarks, spellings, written_at
from .model import ApplicationConfig
from .registry_model import RegistryConfig
from .retry_budget_model import RetryBudgetConfig
from .schema_scalars import REFERENCE, SCALARS, TEXT, Schema, bounded
from .secret import Secret
from .server_model import ServerConfig, ServerMethodConfig

DRAFT = "https://json-schema.org/draft/2020-12/schema"
UNREADABLE = object()
"""Stands for the options of a plugin that cannot be loaded: they may be anything."""

Installed = Mapping[str, Mapping[str, Any]]
"""For each kind the plugins by name: the class of their options, None, or :data:`UNREADABLE`."""

_SEQUENCES = {list, tuple, set, frozenset, collections.abc.Sequence}


def schema(installed: Installed) -> Schema:
    """The schema of a file.

    Args:
        installed: The plugins whose names and options it is to know.
    """
    return _Writer(installed).whole()


class _Writer:
    """Writes one schema. Types that stand in several places are definitions."""

    def __init__(self, installed: Installed) -> None:
        self._installed = installed
        self._definitions: dict[str, Schema] = {}

    def whole(self) -> Schema:
        client = self._section(ClientConfig)
        services = {
            "type": ["object", "null"],
            "properties": {
                "default": self._define("defaults", lambda: _without(client, "methods"))
            },
            "additionalProperties": self._define("service", lambda: client),
            "description": "How services are called, by their names. `default` holds for all.",
        }
        registry = self._section(RegistryConfig) | self._options_by("protocol", "registry")
        server = self._section(ServerConfig)
        rpc = _closed(
            {"registry": registry, "server": server, "client": services},
            "Registry, server and clients.",
        )
        bee = {"application": self._section(ApplicationConfig), "rpc": rpc}
        return {
            "$schema": DRAFT,
            "title": "bee.yml",
            "description": "The configuration of a program that uses bee.",
            "type": "object",
            "properties": {"bee": _closed(bee, "Everything of bee.")},
            "patternProperties": {"^x-": True},
            "additionalProperties": False,
            "required": ["bee"],
            "$defs": dict(sorted(self._definitions.items())),
        }

    # Sections.

    def _section(self, cls: type) -> Schema:
        """A section of the configuration. The bounds of bodies stand in the options of codecs."""
        properties: dict[str, Schema] = {}
        for attribute in attrs.fields(attrs.resolve_types(cls)):
            if attribute.name == "methods":
                continue
            described = self._described(attribute)
            for key in spellings(attribute):
                properties[key] = described
        if cls in _OF_METHODS:
            name, inner = _OF_METHODS[cls]
            properties["methods"] = {
                "type": ["object", "null"],
                "additionalProperties": self._define(name, lambda: self._section(inner)),
                "description": remarks(attrs.fields_dict(cls)["methods"]).doc,
            }
        return _closed(properties, first_paragraph(cls))

    def _described(self, attribute: attrs.Attribute[Any]) -> Schema:
        about = remarks(attribute)
        if about.plugin == "registry":
            found: Schema = dict(self._names("registry"))
        elif about.plugin:
            found = dict(self._plugins(about.plugin, attribute.type))
        else:
            found = bounded(self.of(attribute.type), bounds_of(attribute.validator))
        default = _plain_default(attribute)
        told = [about.doc]
        if about.why:
            shown = "" if default is None else f" {_shown(default)}"
            told.append(f"Default{shown}: {about.why}")
        found["description"] = "\n\n".join(told)
        if default is not None:
            found["default"] = default
        return found

    def _plugins(self, kind: str, type_: Any) -> Schema:
        """A field that names plugins of a kind: one, one or none, or several."""
        one = self._plugin(kind)
        several = get_origin(type_) is Annotated and SEVERAL in get_args(type_)
        if several:
            return {"anyOf": [one, {"type": "array", "items": one}, _NO_PLUGIN]}
        if type(None) in get_args(type_):
            return {"anyOf": [one, _NO_PLUGIN]}
        return one

    def _plugin(self, kind: str) -> Schema:
        return self._define(f"plugin.{kind}", lambda: self._new_plugin(kind))

    def _new_plugin(self, kind: str) -> Schema:
        names = self._names(kind)
        written = {
            "type": "object",
            "properties": {"name": names, "options": {"type": ["object", "null"]}},
            "required": ["name"],
            "additionalProperties": False,
            **self._options_by("name", kind),
        }
        return {"anyOf": [names, written]}

    def _names(self, kind: str) -> Schema:
        names = sorted(self._installed.get(kind, {}))
        return {"anyOf": [{"enum": names}, REFERENCE]} if names else {"type": "string"}

    def _options(self, kind: str, name: str, options: Any) -> Schema:
        if options is UNREADABLE:
            return {"type": ["object", "null"]}
        return self._define(f"options.{kind}.{name}", lambda: self._new_options(kind, options))

    def _new_options(self, kind: str, options: type | None) -> Schema:
        made = _closed({}, "No options.") if options is None else self._class(options)
        if kind == "codec":
            for attribute in attrs.fields(attrs.resolve_types(ClientConfig)):
                key = written_at(attribute)
                if "." in key:  # the core's, among the options of each codec
                    made["properties"][key.rpartition(".")[2]] = self._described(attribute)
        return made

    def _options_by(self, key: str, kind: str) -> Schema:
        """That the options are those of the plugin that a key names."""
        cases = [
            {
                "if": {"properties": {key: {"const": name}}, "required": [key]},
                "then": {"properties": {"options": self._options(kind, name, options)}},
            }
            for name, options in sorted(self._installed.get(kind, {}).items())
        ]
        return {"allOf": cases} if cases else {}

    def _class(self, cls: type) -> Schema:
        """The options of a plugin, or a class in them: any attrs class."""
        words = documented(cls)
        properties: dict[str, Schema] = {}
        required = []
        for attribute in attrs.fields(attrs.resolve_types(cls)):
            if not attribute.init:
                continue
            key = attribute.alias
            properties[key] = bounded(self.of(attribute.type), bounds_of(attribute.validator))
            default = _plain_default(attribute)
            told = words.get(attribute.name, "")
            if told:
                properties[key]["description"] = told
            if default is not None and attribute.repr:
                properties[key]["default"] = default
            if attribute.default is attrs.NOTHING:
                required.append(key)
        found = _closed(properties, first_paragraph(cls))
        return {**found, "required": required} if required else found

    # Types.

    def of(self, type_: Any) -> Schema:
        """The schema of a type that a field may have."""
        if type_ in SCALARS:
            return SCALARS[type_]
        if get_origin(type_) is Annotated:
            return self._annotated(*get_args(type_))
        if get_origin(type_) in {Union, UnionType}:
            return self._union(get_args(type_))
        if get_origin(type_) is Literal or (
            inspect.isclass(type_) and issubclass(type_, enum.Enum)
        ):
            choices = get_args(type_) or tuple(type_)
            values = [getattr(choice, "value", choice) for choice in choices]
            return {"anyOf": [{"enum": values}, REFERENCE]}
        origin = get_origin(type_) or type_
        arguments = [one for one in get_args(type_) if one is not Ellipsis]
        if origin in _SEQUENCES:
            return {"type": "array", "items": self.of(arguments[0]) if arguments else True}
        if origin in {dict, collections.abc.Mapping}:
            held = self.of(arguments[1]) if arguments else True
            return {"type": ["object", "null"], "additionalProperties": held}
        return self._of_class(type_)

    def _of_class(self, type_: Any) -> Schema:
        if type_ is Secret:
            file = _closed({"file": {"type": "string"}}, "A file with one token a line.")
            return {"anyOf": [TEXT, {**file, "required": ["file"]}]}
        if type_ is AddressConfig:
            listed = {**self._section(AddressConfig), "required": ["url"]}
            return {"anyOf": [{"type": "string"}, self._define("address", lambda: listed)]}
        if type_ is RetryBudgetConfig:
            return self._define("retry_budget", lambda: self._section(RetryBudgetConfig))
        if type_ in {FaultConfig, ServerFaultConfig}:
            fault = {**self._section(type_), "required": ["kind", "rate"]}
            return self._define("fault" if type_ is FaultConfig else "server_fault", lambda: fault)
        if inspect.isclass(type_) and attrs.has(type_):
            return self._define(f"class.{type_.__name__}", lambda: self._class(type_))
        base = next((one for one in getattr(type_, "__mro__", ()) if one in SCALARS), None)
        return SCALARS[base] if base is not None else {}

    def _annotated(self, inner: Any, *marks: Any) -> Schema:
        plugin = next((mark for mark in marks if isinstance(mark, Plugin)), None)
        if plugin is not None:
            return self._plugin(plugin.kind)
        kind = next((mark for mark in marks if isinstance(mark, Kind)), None)
        if kind in SCALARS:
            return SCALARS[kind]
        if kind is SEVERAL or kind is COMMAS:
            listed = self.of(inner)
            return {"anyOf": [listed["items"], listed]}
        return self.of(inner)

    def _union(self, members: tuple[Any, ...]) -> Schema:
        if set(members) == set(get_args(Value)):
            return TEXT  # bytes are !!binary, which no editor knows
        choices = [self.of(member) for member in members if member is not type(None)]
        if type(None) in members:
            choices.append(_NO_PLUGIN if any(map(_is_plugin, members)) else {"type": "null"})
        return {"anyOf": choices}

    def _define(self, name: str, make: Any) -> Schema:
        if name not in self._definitions:
            self._definitions[name] = {}  # an option may hold a plugin of its own kind
            self._definitions[name] = make()
        return {"$ref": f"#/$defs/{name}"}


_OF_METHODS: Mapping[type, tuple[str, type]] = {
    ClientConfig: ("method", MethodConfig),
    ServerConfig: ("server_method", ServerMethodConfig),
}
_NO_PLUGIN: Schema = {"enum": [None, "none", "None", "NONE"]}


def _is_plugin(type_: Any) -> bool:
    return any(isinstance(mark, Plugin) for mark in getattr(type_, "__metadata__", ()))


def _closed(properties: dict[str, Schema], description: str) -> Schema:
    return {
        "type": ["object", "null"],
        "properties": properties,
        "additionalProperties": False,
        "description": description,
    }


def _without(section: Schema, key: str) -> Schema:
    left = {name: one for name, one in section["properties"].items() if name != key}
    return {**section, "properties": left}


def _plain_default(attribute: attrs.Attribute[Any]) -> Any:
    """The default as YAML has it; None where there is none to tell."""
    value = attribute.default
    if isinstance(value, PluginRef):
        return value.name
    return value if isinstance(value, (bool, int, float, str)) and value != "" else None


def _shown(default: Any) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)
