"""The files of a configuration: the one that is named, what it includes, and the environment's own.

``bee.application.include`` names files that are merged under the one that names them. With
``BEE_ENV=production`` the file ``bee.production.yml`` beside ``bee.yml`` is merged over it.
"""

from __future__ import annotations

import os
import re
import select
import stat
import time
from collections.abc import Mapping
from difflib import get_close_matches
from hashlib import blake2b
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from .expansion import Expansion
from .merging import merge
from .values import is_null
from .yaml_tree import MAX_BYTES, decode, parse

ENVIRONMENT = "BEE_ENV"
"""The variable that names the environment, such as ``production``."""
MAX_INCLUDES = 8
"""How deep files may include one another. One for all, one a team, one a service are three."""
MAX_FILES = 64
"""Files of one configuration."""
PIPE_SECONDS = 5.0
"""How long a pipe is read. A command that writes a configuration needs less."""
_MAX_TOTAL = 4 * MAX_BYTES
_NAME = re.compile(r"[A-Za-z0-9_-]+")
INCLUDE = "bee.application.include"


class Files:
    """Reads the files of one configuration.

    Args:
        environ: The environment's variables.

    Attributes:
        digests: A digest of each file that was read, in that order; empty for one that was looked
            for and is not there.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._chain: list[str] = []  # the files that include one another, by their real paths
        self._read = 0
        self._total = 0
        self.digests: dict[str, bytes] = {}

    def tree(self, name: str) -> Mapping[Any, Any]:
        """The tree of a file with all that belongs to it.

        Raises:
            ConfigError: A file cannot be read, or includes itself.
        """
        tree = self.with_includes(self._load(name), name)
        overlay = overlay_of(name, self._environ)
        if overlay is None:
            return tree
        try:
            above = self._load(overlay)
        except FileNotFoundError:
            _check_spelling(name, overlay, self._environ[ENVIRONMENT].strip())
            return tree
        if "bee" not in above:
            raise ConfigError(no_bee(above), path="bee", source=overlay, line=1)
        merged: Mapping[Any, Any] = merge(tree, self.with_includes(above, overlay))
        return merged

    def with_includes(self, tree: Mapping[Any, Any], name: str | None) -> Mapping[Any, Any]:
        """A tree over what it includes.

        Args:
            tree: As it was written.
            name: Its file; None for a mapping from Python, whose includes are relative to the
                current folder.
        """
        stated = _stated(tree)
        if stated is None:
            return tree
        self._chain.append(os.path.realpath(name) if name is not None else "")
        below: Mapping[Any, Any] = {}
        for entry in self._included(stated, name):
            below = merge(below, self._include(entry, name))
        self._chain.pop()
        merged: Mapping[Any, Any] = merge(below, tree)
        return merged

    def _include(self, entry: Any, name: str | None) -> Mapping[Any, Any]:
        path = os.path.normpath(Path(name or "").parent / str(entry))
        line = getattr(entry, "line", None)

        def wrong(message: str) -> ConfigError:
            return ConfigError(message, path=INCLUDE, value=str(entry), line=line, source=name)

        real = os.path.realpath(path)
        if real in self._chain:
            chain = [Path(one).name for one in self._chain[self._chain.index(real) :]]
            raise wrong(f"the file includes itself: {' -> '.join([*chain, Path(path).name])}")
        if len(self._chain) > MAX_INCLUDES:
            raise wrong(f"files include one another deeper than {MAX_INCLUDES}")
        if self._read >= MAX_FILES:
            raise wrong(f"more than {MAX_FILES} files are included")
        try:
            tree = self._load(path)
        except FileNotFoundError:
            raise wrong(f"there is no such file: {path}") from None
        if "bee" not in tree:
            raise ConfigError(no_bee(tree), path="bee", source=path, line=1)
        return without_include(self.with_includes(tree, path))

    def _included(self, stated: Any, name: str | None) -> list[Any]:
        """The names of files under ``include``, with their variables replaced."""
        expansion = Expansion({"bee": {"application": {"include": stated}}}, self._environ, name)
        if expansion.problems:
            raise expansion.problems[0]
        found = expansion.tree["bee"]["application"]["include"]
        entries = found if isinstance(found, list) else [found]
        for entry in entries:
            if not isinstance(entry, str) or not entry.strip():
                raise ConfigError(
                    "what is included is the path of a file, or a list of them",
                    path=INCLUDE,
                    value=None,
                    expected="the path of a file",
                    line=getattr(entry, "line", None) or getattr(stated, "line", None),
                    source=name,
                )
        return entries

    def _load(self, name: str) -> Mapping[Any, Any]:
        """Read one file.

        Raises:
            FileNotFoundError: It is not there.
            ConfigError: It cannot be read, or is no YAML.
        """
        self.digests[name] = b""
        self._read += 1
        data = _read(name)
        self.digests[name] = digest(data)
        self._total += len(data)
        if self._total > _MAX_TOTAL:
            raise ConfigError(
                f"the files of this configuration are larger than {_MAX_TOTAL >> 20} MiB together",
                source=name,
            )
        return parse(decode(data, name), name)


def digest(data: bytes) -> bytes:
    """Tells one content of a file from another; empty for no content."""
    return blake2b(data, digest_size=16).digest() if data else b""


def overlay_of(name: str, environ: Mapping[str, str]) -> str | None:
    """The file that the environment lays over another one; None without ``BEE_ENV``.

    Raises:
        ConfigError: The variable holds no name.
    """
    chosen = environ.get(ENVIRONMENT, "").strip()
    if not chosen:
        return None
    if not _NAME.fullmatch(chosen):
        raise ConfigError(
            f"{ENVIRONMENT} is the name of an environment, such as production: letters, digits, "
            f"'-' and '_', not {chosen[:40]!r}",
            value=chosen[:40],
            expected="a name",
            source=name,
        )
    path = Path(name)
    return os.path.normpath(path.with_name(f"{path.stem}.{chosen}{path.suffix}"))


def _check_spelling(name: str, overlay: str, chosen: str) -> None:
    """Refuse an environment without a file whose name looks like a slip of one that has a file.

    An environment without a file is fine otherwise: one variable holds for all configurations of
    a process.
    """
    path = Path(name)
    pattern = re.compile(rf"{re.escape(path.stem)}\.({_NAME.pattern}){re.escape(path.suffix)}")
    try:
        found = [pattern.fullmatch(other.name) for other in path.parent.iterdir()]
    except OSError:
        return
    known = [match[1] for match in found if match is not None]
    near = get_close_matches(chosen, known, n=1, cutoff=0.75) or [
        one for one in known if one.startswith(chosen) or chosen.startswith(one)
    ]
    if near:
        raise ConfigError(
            f"{ENVIRONMENT} is {chosen!r}, and there is no {Path(overlay).name}; "
            f"did you mean {near[0]!r}?",
            value=chosen,
            expected=f"one of: {', '.join(sorted(known))}",
            source=name,
        )


def _stated(tree: Mapping[Any, Any]) -> Any:
    """What a tree says under ``include``; None where it says nothing."""
    section: Any = tree
    for key in INCLUDE.split("."):
        section = section.get(key) if isinstance(section, Mapping) else None
    return None if is_null(section) else section


def without_include(tree: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """A tree without what it included, which is in it."""
    bee = tree.get("bee")
    application = bee.get("application") if isinstance(bee, Mapping) else None
    if not isinstance(application, Mapping) or not isinstance(bee, Mapping):
        return tree
    rest = {key: value for key, value in application.items() if key != "include"}
    return _with(tree, "bee", _with(bee, "application", rest))


def _with(mapping: Mapping[Any, Any], name: str, value: Any) -> dict[Any, Any]:
    """A mapping with another value under a key. Its keys stay: they know their lines."""
    return {key: value if key == name else old for key, old in mapping.items()}


def no_bee(tree: Mapping[Any, Any]) -> str:
    """What to say of a file without the key ``bee``."""
    if not tree:
        return "the configuration is empty; it begins with the key 'bee'"
    return f"the root has no key 'bee', under which everything stands; it has: {', '.join(tree)}"


def _read(name: str) -> bytes:
    try:
        # Not Path.open: a pipe that nobody writes to must not hold the program up.
        descriptor = os.open(name, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123  # it is open already
            if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                return _of_pipe(descriptor)
            return _whole(file)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"the file cannot be read: {getattr(error, 'strerror', None) or error}", source=name
        ) from None


def _whole(file: Any) -> bytes:
    """What a file holds, and one byte more than is allowed where it holds more."""
    data = b""
    while len(data) <= MAX_BYTES and (part := file.read(MAX_BYTES + 1 - len(data))):
        data += part
    return data


def _of_pipe(descriptor: int) -> bytes:
    """What is written to a pipe, such as a shell's ``<(command)``.

    Raises:
        TimeoutError: Whoever has opened it writes nothing, and does not close it.
    """
    data, until = b"", time.monotonic() + PIPE_SECONDS
    readable = select.poll()
    readable.register(descriptor, select.POLLIN)
    while len(data) <= MAX_BYTES:
        left = until - time.monotonic()
        if left <= 0 or not readable.poll(left * 1000):
            raise TimeoutError(f"it is a pipe, and had no end within {PIPE_SECONDS:g} s")
        part = os.read(descriptor, 1 << 16)
        if not part:
            break
        data += part
    return data
