"""The configuration: one YAML file, or the same as a mapping, becomes frozen classes.

The way from the text of a file to a :class:`Config`, with the module of each step::

    text of the files
      │  yaml_tree        YAML to a tree of text with files and line numbers
      │  files, merging   the trees of included files and of the environment's own, in one
      │  expansion        ${NAME} and ${file:…} replaced in that tree, and the place of each key
      ▼
    tree
      │  whole_file       the sections, and what they inherit from each other
      │  converter        each section to its class, each field by its type
      │  values           single values: text to numbers, times, sizes, urls; secret: tokens
      │  config_errors    all problems at once, each with path, line and advice
      ▼
    Config                model; its parts stand in client_model and server_model

``fields`` has what the fields of the classes say about themselves. ``contradictions`` finds values
that do not go together, for ``bee check``. ``differences`` compares two configurations.
``reference`` writes ``docs/configuration.md``, ``json_schema`` the schema for editors.

What belongs here: keys, their defaults and reasons, and how they are read. What does not: the
objects that a client or server is made of, and the plugins behind the names.

Importing this package loads PyYAML and cattrs. So ``bee_core`` itself imports it only when a client
or server is built.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Union

from ..errors import ConfigError
from .client_model import AddressConfig, CallConfig, ClientConfig, MethodConfig
from .contradictions import Contradiction, warnings
from .converter import structure_options
from .expansion import Expansion
from .fields import PluginRef
from .files import Files, digest, no_bee
from .model import Config, NamedPlugin, named_plugins
from .registry_model import RegistryConfig
from .server_model import ServerConfig, ServerMethodConfig
from .whole_file import stated_plugins, structure_config

ConfigSource = Union[str, "os.PathLike[str]", Mapping[str, Any], Config]
"""What can be loaded: a path, a mapping, or a configuration."""

__all__ = [
    "AddressConfig",
    "CallConfig",
    "ClientConfig",
    "Config",
    "ConfigSource",
    "Contradiction",
    "MethodConfig",
    "NamedPlugin",
    "PluginRef",
    "RegistryConfig",
    "ServerConfig",
    "ServerMethodConfig",
    "load_config",
    "named_plugins",
    "readable_plugins",
    "source_of",
    "structure_options",
    "warnings",
]


def load_config(
    source: str | os.PathLike[str] | Mapping[str, Any] | Config,
    *,
    environ: Mapping[str, str] | None = None,
) -> Config:
    """Read a configuration, with the files that it includes and those of its environment.

    Args:
        source: The path of a YAML file (``bee.yml``), or a mapping of the same shape, whose values
            may be numbers and bools. A ``Config`` is returned as it is.
        environ: What ``${NAME}`` refers to, and where ``BEE_ENV`` is looked up; the process's
            environment by default.

    Raises:
        ConfigError: A file cannot be read, or something in it is wrong. ``problems`` has
            everything that is wrong, in the order of the lines.
    """
    if isinstance(source, Config):
        return source
    reading = _Reading(source, os.environ if environ is None else environ)
    try:
        return structure_config(reading.expansion(), reading.files())
    except ConfigError as error:
        error.files = reading.files()
        raise


def source_of(config: Config, source: ConfigSource | None) -> ConfigSource:
    """What to load when a configuration is reloaded.

    Args:
        config: The one in use.
        source: What is to take its place, or None for its own file.

    Raises:
        ConfigError: It has no file.
    """
    if source is not None:
        return source
    if config.source is None:
        raise ConfigError("this configuration is no file, so there is nothing to read again")
    first = next(iter(config.files))
    return config.source if _absolute(config.source) == first else first


def readable_plugins(
    source: str | os.PathLike[str] | Mapping[str, Any],
) -> tuple[list[NamedPlugin], Expansion | None]:
    """The plugins that a configuration names which cannot be used as a whole.

    So ``bee check`` reports what is wrong with them together with everything else.

    Returns:
        The places that can be read, and what knows the file and the line of each path.
    """
    try:
        expansion = _Reading(source, os.environ).expansion()
    except ConfigError:
        return [], None
    return stated_plugins(expansion), expansion


def _absolute(name: str) -> str:
    return str(Path(name).absolute())


class _Reading:
    """One reading of a configuration, and of the files that it comes from."""

    def __init__(self, source: object, environ: Mapping[str, str]) -> None:
        self._source = source
        self._environ = environ
        self._files = Files(environ)
        self._secrets: Mapping[str, bytes] = {}

    def files(self) -> Mapping[str, bytes]:
        """A digest of each file, by its absolute path."""
        found = self._files.digests | {name: digest(one) for name, one in self._secrets.items()}
        return {_absolute(name): one for name, one in found.items()}

    def expansion(self) -> Expansion:
        """The whole tree, with all references replaced."""
        source = self._source
        name: str | None = None
        if isinstance(source, Mapping):
            root = self._files.with_includes(source, None)
        elif isinstance(source, (str, os.PathLike)):
            name = os.fspath(source)
            root = _tree(self._files, name)
        else:
            raise ConfigError(
                f"a configuration is a path, a mapping or a Config, not {type(source).__name__}",
                value=source,
                expected="a path or a mapping",
            )
        expansion = Expansion(root, self._environ, name)
        self._secrets = expansion.files
        if "bee" not in expansion.tree:
            raise ConfigError(
                no_bee(expansion.tree),
                path="bee",
                source=name,
                line=1 if name else None,
                expected="the key 'bee'",
            )
        return expansion


def _tree(files: Files, name: str) -> Mapping[Any, Any]:
    if "\n" in name or name.startswith("bee:"):
        raise ConfigError(
            "this is the text of a configuration, and its path is wanted; "
            "write it to a file, or hand it over as a dict"
        )
    try:
        return files.tree(name)
    except FileNotFoundError:
        path = Path(name)
        tried = "" if path.is_absolute() else f" (looked for {path.absolute()})"
        raise ConfigError(
            f"there is no such file{tried}", source=name, expected="the path of a YAML file"
        ) from None
