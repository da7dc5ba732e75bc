"""The text of a file to a tree of ``dict``, ``list`` and :class:`~bee_core.config.values.Text`.

First :func:`parse` reads YAML; every scalar stays as it was written. The tree is made from the
parser's events and not by PyYAML's constructors, so no tag can make an object. Everything that a
hostile or broken file can make large is bounded while it is read. Aliases share what they refer to;
the bound counts them as if they were written out.

:mod:`~bee_core.config.files` puts the trees of several files together, and
:mod:`~bee_core.config.expansion` puts the environment into what comes out.
"""

from __future__ import annotations

import re
from base64 import b64decode
from typing import Any

import attrs
import yaml

from ..errors import ConfigError
from .values import Text

MAX_BYTES = 1 << 20
"""Size of a file. A configuration of a thousand services has a tenth of it."""
MAX_DEPTH = 64
"""Nesting of mappings and lists."""
MAX_NODES = 100_000
"""Mappings, lists and scalars, with aliases written out: aliases of aliases grow fast."""

# libyaml's parser is ten times faster. Every binary wheel of PyYAML has it.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CORE = "tag:yaml.org,2002:"
_AS_TEXT = frozenset({"!", f"{_CORE}str"})
_BY_FIELD = frozenset(f"{_CORE}{name}" for name in ("int", "float", "bool", "null"))
_BINARY = f"{_CORE}binary"
_QUOTED = re.compile(r"\"(?:\\.|[^\"\\])*\"|'[^']*'|(?<!\S)#.*")
_COLLECTIONS = frozenset({"!", f"{_CORE}map", f"{_CORE}seq"})


def decode(data: bytes, name: str | None) -> str:
    """The text of a file: UTF-8, with or without a byte order mark.

    Raises:
        ConfigError: It is too large, or not UTF-8; ``line`` says where.
    """
    if len(data) > MAX_BYTES:
        raise ConfigError(
            f"the file is larger than {MAX_BYTES >> 20} MiB; this is not a configuration",
            source=name,
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8",
            line=line,
            source=name,
        ) from None


def parse(text: str, name: str | None = None) -> dict[Text, Any]:
    """Read one YAML document whose root is a mapping.

    Args:
        text: The document.
        name: The file's name, for messages.

    Returns:
        The root mapping; keys and scalars are :class:`Text`.

    Raises:
        ConfigError: It is not YAML, is empty, has several documents, duplicate keys, foreign
            tags, or is too large; ``line`` says where.
    """
    tree = _Tree(name)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            tree.feed(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = ", ".join(part for part in (error.context, error.problem) if part)
        what += _quote_it(text, error)
        raise ConfigError(
            f"this is not YAML: {what}", line=mark.line + 1 if mark else None, source=name
        ) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1 if isinstance(error.position, int) else None
        raise ConfigError(
            "this is not YAML: a character that YAML does not allow", line=line, source=name
        ) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"this is not YAML: {error}", source=name) from None
    root = tree.root
    if root is None or (isinstance(root, Text) and root.plain and not root):
        raise ConfigError(
            "the file is empty; a configuration begins with the key 'bee'", line=1, source=name
        )
    if not isinstance(root, dict):
        what = "a list" if isinstance(root, list) else "text"
        raise ConfigError(
            f"the root is {what}; a configuration begins with the key 'bee'",
            line=tree.root_line,
            source=name,
            expected="a mapping",
        )
    return root


def _quote_it(text: str, error: yaml.MarkedYAMLError) -> str:
    """What an error adds where ``${`` stands bare between brackets: there YAML takes its ``{``."""
    begin, end = error.context_mark, error.problem_mark
    if begin is None or end is None or "flow" not in (error.context or ""):
        return ""
    written = "\n".join(text.splitlines()[begin.line : end.line + 1])
    if "${" not in _QUOTED.sub("", written):
        return ""
    return '; write quotes around a value with ${ inside of [ ] or { }: "${NAME}"'


@attrs.define
class _Open:
    """A mapping or list whose end has not come yet."""

    value: dict[Text, Any] | list[Any]
    line: int
    anchor: str | None
    key: Text | None = None
    merge: Any = None
    size: int = 1


_UNFINISHED = object()


class _Tree:
    """Builds the tree from events. Not recursive, so that depth is a number."""

    def __init__(self, name: str | None) -> None:
        self.root: Any = None
        self.root_line = 1
        self._name = name
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int]] = {}

    def feed(self, event: Any) -> None:
        """Take the next event."""
        line = event.start_mark.line + 1
        if isinstance(event, yaml.DocumentStartEvent):
            if self.root is not None:
                raise self._error(
                    "a second document begins here; a configuration is one document, "
                    "so remove the '---'",
                    line,
                )
        elif isinstance(event, yaml.ScalarEvent):
            self._add(self._scalar(event, line), 1, line, event.anchor)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            self._begin(event, line)
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            done = self._open.pop()
            self._merge(done)
            self._add(done.value, done.size, done.line, done.anchor)
        elif isinstance(event, yaml.AliasEvent):
            value, size = self._anchors.get(event.anchor or "", (None, 0))
            if not size:
                raise self._error(
                    f"the alias *{event.anchor} refers to an anchor that is not there", line
                )
            if value is _UNFINISHED:
                raise self._error(
                    f"the alias *{event.anchor} stands inside of what it refers to", line
                )
            self._add(value, size, line, None)

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> Text | bytes:
        if event.tag == _BINARY:
            try:
                return b64decode("".join(event.value.split()), validate=True)
            except ValueError as error:
                raise self._error(f"what follows !!binary is not base64: {error}", line) from None
        self._check_tag(event.tag, _AS_TEXT | _BY_FIELD, line)
        plain = event.implicit[0] or event.tag in _BY_FIELD
        return Text(event.value, line, plain=plain, source=self._name)

    def _begin(self, event: yaml.CollectionStartEvent, line: int) -> None:
        self._check_tag(event.tag, _COLLECTIONS, line)
        if len(self._open) >= MAX_DEPTH:
            raise self._error(f"mappings and lists are nested deeper than {MAX_DEPTH}", line)
        if event.anchor:
            self._anchors[event.anchor] = (_UNFINISHED, 1)
        self._open.append(
            _Open({} if isinstance(event, yaml.MappingStartEvent) else [], line, event.anchor)
        )

    def _check_tag(self, tag: str | None, allowed: frozenset[str], line: int) -> None:
        if tag is not None and tag not in allowed:
            raise self._error(
                f"the tag {tag!r} is not allowed; the type of a value follows from its key", line
            )

    def _add(self, value: Any, size: int, line: int, anchor: str | None) -> None:
        if anchor:
            self._anchors[anchor] = (value, size)
        if not self._open:
            self.root, self.root_line = value, line
            return
        parent = self._open[-1]
        parent.size += size
        if parent.size > MAX_NODES:
            raise self._error(
                f"with its aliases written out this has more than {MAX_NODES:,} values", line
            )
        if isinstance(parent.value, list):
            parent.value.append(value)
        elif parent.key is None:
            parent.key = self._key(parent, value, line)
        else:
            if parent.key == "<<" and parent.key.plain:
                parent.merge = (value, parent.key.line)
            parent.value[parent.key] = value
            parent.key = None

    def _key(self, parent: _Open, value: Any, line: int) -> Text:
        if not isinstance(value, Text) or not value:
            raise self._error("a key must be text", line)
        key = Text(value, line, plain=value.plain, source=self._name)
        for other in parent.value if value in parent.value else ():
            if other == key:
                raise ConfigError(
                    f"the key {str(key)!r} stands here again; "
                    f"it stands in line {other.line} already",
                    path=self._path(str(key)),
                    line=line,
                    source=self._name,
                )
        return key

    def _merge(self, done: _Open) -> None:
        """Carry ``<<`` out: the mapping's own key wins, then the earlier of several mappings."""
        if done.merge is None or not isinstance(done.value, dict):
            return
        merged, line = done.merge
        del done.value[Text("<<")]
        for mapping in merged if isinstance(merged, list) else [merged]:
            if not isinstance(mapping, dict):
                raise self._error("'<<' wants an alias of a mapping, or a list of them", line)
            for key, value in mapping.items():
                done.value.setdefault(key, value)

    def _path(self, last: str) -> str:
        parts = [
            f"[{len(level.value)}]" if isinstance(level.value, list) else f".{level.key}"
            for level in self._open
            if level.key is not None or isinstance(level.value, list)
        ]
        return f"{''.join(parts)}.{last}".lstrip(".")

    def _error(self, message: str, line: int | None) -> ConfigError:
        return ConfigError(message, line=line, source=self._name)
