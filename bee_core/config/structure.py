"""Structures attrs classes from trees of text, strictly; what is wrong becomes one :class:`~bee_core.errors.ConfigError` with all problems in it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import ConfigError
from .hooks import make_converter
from .model import Config
from .problems import problems, raise_all
from .sections import Root, assemble, register

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cattrs import Converter

    from .environment import Expansion
    from .problems import Origin

T = TypeVar("T")


@cache
def converter() -> Converter:
    """The converter of all configuration classes. Made at first use, unchanged after that."""
    made = make_converter()
    register(made)
    return made


def structure_config(expansion: Expansion, source: str | None) -> Config:
    """Make a configuration from a tree whose references to the environment are replaced.

    Args:
        expansion: The tree, the lines of its paths, and what was wrong so far.
        source: The file's name.

    Raises:
        ConfigError: ``problems`` has everything that is wrong, in the order of the lines.
    """
    found = list(expansion.problems)
    seen = {problem.path for problem in found}
    try:
        root: Root = converter().structure(expansion.tree, Root)
    except Exception as error:
        # A value whose variable is missing reads as nothing; that it then does not fit its field is no news.
        found += [
            problem
            for problem in problems(error, "", expansion.lines.get, source)
            if problem.path not in seen
        ]
        raise_all(found)
        raise
    raise_all(found)
    return assemble(root, expansion.lines, source)


def structure_options(
    cls: type[T] | None,
    raw_options: Mapping[str, Any],
    path: str,
    origin: Config | Origin | None = None,
    *,
    source: str | None = None,
) -> T | None:
    """Make a plugin's options from what the configuration says.

    Args:
        cls: The plugin's attrs class, whose fields may have the types of :mod:`bee_core.config.scalars`; None for a plugin without options.
        raw_options: The options as a :class:`~bee_core.config.settings.PluginRef` holds them.
        path: The dotted path of the options, for messages.
        origin: The configuration, or its ``origin``: finds the line of a path.
        source: The file's name; a configuration as ``origin`` knows it.

    Returns:
        An instance of the class, or None without a class.

    Raises:
        ConfigError: Unknown keys, wrong types, impossible values, or options for a plugin that takes none. ``problems`` has all of them.
    """
    if isinstance(origin, Config):
        source = source or origin.source
        origin = origin.origin
    if cls is None:
        found = [
            ConfigError(
                "this plugin takes no options; remove them",
                path=f"{path}.{key}",
                value=key,
                expected="no options",
            )
            for key in raw_options
        ]
        for problem in found:
            problem.line, problem.source = (origin(problem.path) if origin else None), source
        raise_all(found)
        return None
    try:
        return converter().structure(raw_options, cls)
    except Exception as error:
        raise_all(problems(error, path, origin, source))
        raise
