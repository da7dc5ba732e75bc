"""The environment and the files of secrets put into a tree, and the place of each key noted.

References are replaced in scalars that are already parsed, so what a variable or a file holds can
never become structure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import ConfigError
from .secret_files import SecretFiles
from .values import Text
from .yaml_tree import MAX_DEPTH, MAX_NODES

MAX_PATH = 1024
"""Characters of a key's path. The path of each key is kept, so long keys multiply."""
_REFERENCE = re.compile(r"\$\$\{|\$\{(?:(file:)|([A-Za-z_][A-Za-z0-9_]*)(?:\}|:-))?")
"""Without the end of a default: a search for it from each place would take quadratic time."""
_UNKNOWN = (
    "'${' does not begin ${NAME}, ${NAME:-default} or ${file:/path}; "
    "write $${ for the two characters themselves"
)


Place = tuple[int | None, str | None]
"""A line and a file."""


class Expansion:
    """A tree with the environment in it.

    Attributes:
        tree: ``dict``, ``list``, :class:`Text`, and whatever else a mapping from Python held.
        lines: The line of every dotted path; None for what came from Python. Its keys are all
            paths that the configuration states.
        origin: Gives the line of a path.
        source: The file's name, or None.
        sources: The file of each path that stands in another file than ``source``.
        written: How each value stood there in which something was replaced, by path.
        files: The files of secrets that it refers to, with what they hold.
        problems: What could not be replaced.
    """

    def __init__(
        self, root: Mapping[Any, Any], environ: Mapping[str, str], source: str | None
    ) -> None:
        self.lines: dict[str, int | None] = {}
        self.origin = self.lines.get
        self.source = source
        self.sources: dict[str, str] = {}
        self.written: dict[str, str] = {}
        self.problems: list[ConfigError] = []
        self._environ = environ
        self._secrets = SecretFiles()
        self._left = MAX_NODES
        self.tree: Any = self._walk(root, "", (None, source), 0)
        self.files = self._secrets.contents

    def _walk(self, value: Any, path: str, place: Place, depth: int) -> Any:
        self._left -= 1
        if depth > MAX_DEPTH or self._left < 0:
            raise ConfigError(
                "the configuration is nested too deeply or contains itself",
                path=path[:200],
                source=self.source,
            )
        if isinstance(value, str):
            return self._replace(value, path, place)
        if isinstance(value, Mapping):
            return dict(self._items(value, path, place, depth))
        if isinstance(value, (set, frozenset)):
            value = sorted(value, key=str)
        if isinstance(value, (list, tuple)):
            return [
                self._item(item, f"{path}[{index}]", item, place, depth)
                for index, item in enumerate(value)
            ]
        return value

    def _items(self, value: Mapping[Any, Any], path: str, place: Place, depth: int) -> Any:
        for key, item in value.items():
            if not isinstance(key, str) or not key:
                self._problem(f"the key {key!r} is not text", path, (None, place[1]), str(key))
                continue
            below = f"{path}.{key}" if path else str(key)
            if len(below) > MAX_PATH:
                raise ConfigError(
                    f"the path of this key has more than {MAX_PATH:,} characters; this is not a"
                    " configuration",
                    path=below[:200],
                    line=getattr(key, "line", None),
                    source=getattr(key, "source", None) or self.source,
                )
            yield str(key), self._item(item, below, key, (None, place[1]), depth)

    def _item(self, item: Any, path: str, stated: Any, above: Place, depth: int) -> Any:
        """Take the value of a key, or an entry of a list; ``stated`` knows where that stands."""
        place = _place(stated, above)
        self.lines.setdefault(path, place[0])
        if place[1] is not None and place[1] != self.source:
            self.sources.setdefault(path, place[1])
        return self._walk(item, path, place, depth + 1)

    def _replace(self, value: str, path: str, above: Place) -> Text:
        plain = isinstance(value, Text) and value.plain
        place = line, source = _place(value, above)
        if "${" not in value:
            return value if isinstance(value, Text) else Text(value, line, plain)
        written = self.written[path] = str(value)
        text = "".join(self._parts(written, path, place))
        return Text(text, line, plain, written=written, source=source)

    def _parts(self, written: str, path: str, place: Place) -> Iterator[str]:
        """A text with its references replaced, in parts."""
        missing: set[str] = set()
        last, at = written.rfind("}"), 0
        while (match := _REFERENCE.search(written, at)) is not None:
            yield written[at : match.start()]
            at = match.end()
            if match[0] == "$${":
                yield "${"
                continue
            name, default = match[2] or "", None
            if match[1] or match[0].endswith(":-"):
                end = written.find("}", at) if at <= last else -1
                rest, at = (written[at:end], end + 1) if end >= 0 else ("", -1)
                name, default = _of_file(rest) if match[1] else (name, rest)
            if not name or at < 0:
                self._problem(_UNKNOWN, path, place, written)
                return
            found, problem = self._look_up(name, default, place[1], of_file=bool(match[1]))
            if problem and name not in missing:
                missing.add(name)  # said once, however often it stands there
                self._problem(problem, path, place, written)
            # As in a shell: ':-' also stands in for a variable that is set to nothing.
            yield found or default or ""
        yield written[at:]

    def _look_up(
        self, name: str, default: str | None, source: str | None, *, of_file: bool
    ) -> tuple[str | None, str]:
        """What a reference stands for, or None; and what is wrong with it, or the empty text."""
        if of_file:
            return self._secrets.look_up(name, source, needed=default is None)
        found = self._environ.get(name)
        if found is not None or default is not None:
            return found, ""
        return None, (
            f"the environment has no variable {name}; set it, or write ${{{name}:-default}}"
        )

    def _problem(self, message: str, path: str, place: Place, value: object) -> None:
        line, source = place
        self.problems.append(ConfigError(message, path=path, line=line, value=value, source=source))


def _of_file(rest: str) -> tuple[str, str | None]:
    """The path and the default in what follows ``${file:``."""
    path, colon, default = rest.partition(":-")
    return path.strip(), default if colon else None


def _place(stated: Any, above: Place) -> Place:
    """The line and the file of a key or a value, or those of what it stands in."""
    if not isinstance(stated, Text):
        return above
    return stated.line or above[0], stated.source or above[1]
