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
from typing import Any

from ..errors import ConfigError
from .client_model import AddressConfig, CallConfig, ClientConfig, MethodConfig
from .contradictions import Contradiction, warnings
from .converter import structure_options
from .expansion import Expansion
from .fields import PluginRef
from .files import Files, no_bee
from .model import Config, NamedPlugin, named_plugins
from .server_model import RegistryConfig, ServerConfig
from .whole_file import stated_plugins, structure_config

__all__ = [
    "AddressConfig",
    "CallConfig",
    "ClientConfig",
    "Config",
    "Contradiction",
    "MethodConfig",
    "NamedPlugin",
    "PluginRef",
    "RegistryConfig",
    "ServerConfig",
    "load_config",
    "named_plugins",
    "readable_plugins",
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
    expansion, files = _expand(source, os.environ if environ is None else environ)
    return structure_config(expansion, files)


def readable_plugins(
    source: str | os.PathLike[str] | Mapping[str, Any],
) -> tuple[list[NamedPlugin], Expansion | None]:
    """The plugins that a configuration names which cannot be used as a whole.

    So ``bee check`` reports what is wrong with them together with everything else.

    Returns:
        The places that can be read, and what knows the file and the line of each path.
    """
    try:
        expansion, _ = _expand(source, os.environ)
    except ConfigError:
        return [], None
    return stated_plugins(expansion), expansion


def _expand(
    source: str | os.PathLike[str] | Mapping[str, Any], environ: Mapping[str, str]
) -> tuple[Expansion, tuple[str, ...]]:
    """The whole tree, and all files that it comes from, as absolute paths."""
    name: str | None = None
    files = Files(environ)
    if isinstance(source, Mapping):
        root = files.with_includes(source, None)
    elif isinstance(source, (str, os.PathLike)):
        name = os.fspath(source)
        root = _tree(files, name)
    else:
        raise ConfigError(
            f"a configuration is a path, a mapping or a Config, not {type(source).__name__}",
            value=source,
            expected="a path or a mapping",
        )
    expansion = Expansion(root, environ, name)
    if "bee" not in expansion.tree:
        raise ConfigError(
            no_bee(expansion.tree),
            path="bee",
            source=name,
            line=1 if name else None,
            expected="the key 'bee'",
        )
    read = (*files.names, *expansion.files)
    return expansion, tuple(dict.fromkeys(map(os.path.abspath, read)))


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
