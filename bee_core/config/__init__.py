"""The configuration: one YAML file, or the same as a mapping, becomes frozen classes.

The way from the text of a file to a :class:`Config`, with the module of each step::

    text of the file
      │  yaml_tree        YAML to a tree of text with line numbers
      │  expansion        ${NAME} replaced in that tree, and the line of each key
      ▼
    tree
      │  whole_file       the sections, and what they inherit from each other
      │  converter        each section to its class, each field by its type
      │  values           single values: text to numbers, times, sizes, urls; secret: tokens
      │  config_errors    all problems at once, each with path, line and advice
      ▼
    Config                model; its parts stand in client_model and server_model

``fields`` has what the fields of the classes say about themselves. ``contradictions`` finds values
that do not go together, for ``bee check``. ``reference`` writes ``docs/configuration.md``.

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
from .model import Config, NamedPlugin, named_plugins
from .server_model import RegistryConfig, ServerConfig
from .whole_file import stated_plugins, structure_config
from .yaml_tree import MAX_BYTES, decode, parse

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
    """Read a configuration.

    Args:
        source: The path of a YAML file (``bee.yml``), or a mapping of the same shape, whose values
            may be numbers and bools. A ``Config`` is returned as it is.
        environ: What ``${NAME}`` refers to; the process's environment by default.

    Raises:
        ConfigError: The file cannot be read, or something in it is wrong. ``problems`` has
            everything that is wrong, in the order of the lines.
    """
    if isinstance(source, Config):
        return source
    return structure_config(_expand(source, os.environ if environ is None else environ))


def readable_plugins(
    source: str | os.PathLike[str] | Mapping[str, Any],
) -> tuple[list[NamedPlugin], Mapping[str, int | None]]:
    """The plugins that a configuration names which cannot be used as a whole.

    So ``bee check`` reports what is wrong with them together with everything else.

    Returns:
        The places that can be read, with the lines of all paths.
    """
    try:
        expansion = _expand(source, os.environ)
    except ConfigError:
        return [], {}
    return stated_plugins(expansion), expansion.lines


def _expand(
    source: str | os.PathLike[str] | Mapping[str, Any], environ: Mapping[str, str]
) -> Expansion:
    name: str | None = None
    if isinstance(source, Mapping):
        root: Mapping[Any, Any] = source
    elif isinstance(source, (str, os.PathLike)):
        name = os.fspath(source)
        root = parse(decode(_read(name), name), name)
    else:
        raise ConfigError(
            f"a configuration is a path, a mapping or a Config, not {type(source).__name__}",
            value=source,
            expected="a path or a mapping",
        )
    expansion = Expansion(root, environ, name)
    if "bee" not in expansion.tree:
        raise ConfigError(
            _no_bee(expansion.tree),
            path="bee",
            source=name,
            line=1 if name else None,
            expected="the key 'bee'",
        )
    return expansion


def _read(name: str) -> bytes:
    if "\n" in name or name.startswith("bee:"):
        raise ConfigError(
            "this is the text of a configuration, and its path is wanted; "
            "write it to a file, or hand it over as a dict"
        )
    path = Path(name)
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        tried = "" if path.is_absolute() else f" (looked for {path.absolute()})"
        raise ConfigError(
            f"there is no such file{tried}", source=name, expected="the path of a YAML file"
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"the file cannot be read: {getattr(error, 'strerror', None) or error}", source=name
        ) from None


def _no_bee(tree: Mapping[str, Any]) -> str:
    if not tree:
        return "the configuration is empty; it begins with the key 'bee'"
    return f"the root has no key 'bee', under which everything stands; it has: {', '.join(tree)}"
