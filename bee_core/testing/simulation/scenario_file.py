"""Reads a scenario from a YAML file: the keys are the attributes of ``Scenario``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from ...config.converter import structure_options
from ...config.yaml_tree import decode, parse
from ...errors import ConfigError
from .scenario import Scenario


def read_scenario(path: str) -> Scenario:
    """The scenario of a file, checked. Without ``name`` it is named after the file.

    Raises:
        ConfigError: The file cannot be read, or something in it is wrong: ``problems`` has all of
            it, each with the path of its key.
    """
    try:
        text = decode(Path(path).read_bytes(), path)
    except OSError as error:
        raise ConfigError(
            f"the scenario cannot be read: {error.strerror or error}", source=path
        ) from None
    try:
        tree = parse(text, path)
    except ConfigError as error:
        if "the key 'bee'" in error.message:  # the reader of configurations gives this advice
            keys = ", ".join(field.name for field in attrs.fields(Scenario))
            raise ConfigError(
                f"a scenario is a mapping, such as 'nodes: 20'; its keys: {keys}",
                line=error.line,
                source=path,
            ) from None
        raise
    try:
        values: Any = tree  # its keys are texts with a line
        made = structure_options(Scenario, values, "", _Lines(path, tree))
    except ConfigError as error:
        for problem in error.problems or [error]:
            problem.source = problem.source or path
        error.source = error.source or path
        raise
    assert made is not None  # there is none only without a class
    return made if "name" in tree else attrs.evolve(made, name=Path(path).stem)


class _Lines:
    """Finds the line of a key, for messages."""

    def __init__(self, source: str, tree: Any) -> None:
        self.source = source
        self._lines: dict[str, int | None] = {}
        self._note("", tree)

    def origin(self, path: str) -> int | None:
        return self._lines.get(path)

    def _note(self, path: str, tree: Any) -> None:
        if isinstance(tree, dict):
            for key, value in tree.items():
                below = f"{path}.{key}" if path else str(key)
                self._lines[below] = getattr(key, "line", None)
                self._note(below, value)
        elif isinstance(tree, list):
            for index, value in enumerate(tree):
                self._note(f"{path}[{index}]", value)
