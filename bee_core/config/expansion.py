"""The environment put into a tree, and the line of each key noted.

References are replaced in scalars that are already parsed, so what a variable holds can never
become structure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError
from .values import Text
from .yaml_tree import MAX_DEPTH, MAX_NODES

MAX_PATH = 1024
"""Characters of a key's path. The path of each key is kept, so long keys multiply."""
_REFERENCE = re.compile(r"\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(?:\}|:-))?")
"""Without the end of a default: a search for it from each place would take quadratic time."""


class Expansion:
    """A tree with the environment in it.

    Attributes:
        tree: ``dict``, ``list``, :class:`Text`, and whatever else a mapping from Python held.
        lines: The line of every dotted path; None for what came from Python. Its keys are all
            paths that the configuration states.
        origin: Gives the line of a path.
        source: The file's name, or None.
        problems: What could not be replaced.
    """

    def __init__(
        self, root: Mapping[Any, Any], environ: Mapping[str, str], source: str | None
    ) -> None:
        self.lines: dict[str, int | None] = {}
        self.origin = self.lines.get
        self.source = source
        self.problems: list[ConfigError] = []
        self._environ = environ
        self._left = MAX_NODES
        self.tree: Any = self._walk(root, "", None, 0)

    def _walk(self, value: Any, path: str, line: int | None, depth: int) -> Any:
        self._left -= 1
        if depth > MAX_DEPTH or self._left < 0:
            raise ConfigError(
                "the configuration is nested too deeply or contains itself",
                path=path[:200],
                source=self.source,
            )
        if isinstance(value, str):
            return self._replace(value, path, line)
        if isinstance(value, Mapping):
            return dict(self._items(value, path, depth))
        if isinstance(value, (set, frozenset)):
            value = sorted(value, key=str)
        if isinstance(value, (list, tuple)):
            return [
                self._item(item, f"{path}[{index}]", line, depth)
                for index, item in enumerate(value)
            ]
        return value

    def _items(self, value: Mapping[Any, Any], path: str, depth: int) -> Any:
        for key, item in value.items():
            if not isinstance(key, str) or not key:
                self._problem(f"the key {key!r} is not text", path, None, str(key))
                continue
            below = f"{path}.{key}" if path else str(key)
            if len(below) > MAX_PATH:
                raise ConfigError(
                    f"the path of this key has more than {MAX_PATH:,} characters; this is not a"
                    " configuration",
                    path=below[:200],
                    line=getattr(key, "line", None),
                    source=self.source,
                )
            yield str(key), self._item(item, below, getattr(key, "line", None), depth)

    def _item(self, item: Any, path: str, line: int | None, depth: int) -> Any:
        own = getattr(item, "line", None) if path.endswith("]") else None
        line = own or line
        self.lines.setdefault(path, line)
        return self._walk(item, path, line, depth + 1)

    def _replace(self, value: str, path: str, line: int | None) -> Text:
        plain = isinstance(value, Text) and value.plain
        line = value.line if isinstance(value, Text) and value.line else line
        if "${" not in value:
            return value if isinstance(value, Text) else Text(value, line, plain)
        written, last = str(value), value.rfind("}")
        parts: list[str] = []
        missing: set[str] = set()
        at = 0
        while (match := _REFERENCE.search(written, at)) is not None:
            parts.append(written[at : match.start()])
            at, name = match.end(), match[1]
            if match[0] == "$${":
                parts.append("${")
                continue
            default = None
            if name is not None and match[0].endswith(":-"):
                end = written.find("}", at) if at <= last else -1
                default, at = (written[at:end], end + 1) if end >= 0 else (None, -1)
            if name is None or at < 0:
                self._problem(
                    "'${' does not begin ${NAME} or ${NAME:-default}; "
                    "write $${ for the two characters themselves",
                    path,
                    line,
                    written,
                )
                break
            found = self._environ.get(name)
            if default is None and found is None and name not in missing:
                missing.add(name)  # said once, however often it stands there
                self._problem(
                    f"the environment has no variable {name}; set it, or write"
                    f" ${{{name}:-default}}",
                    path,
                    line,
                    written,
                )
            # As in a shell: ':-' also stands in for a variable that is set to nothing.
            parts.append(found or default or "")
        else:
            parts.append(written[at:])
        return Text("".join(parts), line, plain, written=written)

    def _problem(self, message: str, path: str, line: int | None, value: object) -> None:
        self.problems.append(
            ConfigError(message, path=path, line=line, value=value, source=self.source)
        )
