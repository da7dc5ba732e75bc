"""Everything that is wrong with a configuration at once, each with path, line and advice.

The readers of values raise :class:`~bee_core.options.MisfitError`. :class:`Gathering` collects
these with their paths, and :func:`problems` makes a ``ConfigError`` of each.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import attrs
from cattrs import StructureHandlerNotFoundError

from ..errors import ConfigError
from ..options import MisfitError, place_of
from .client_model import CALL_FIELDS, ClientConfig, MethodConfig
from .fields import PluginRef, keys_of, written_at
from .server_model import ServerConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self


@attrs.define
class SeveralError(Exception):
    """What is wrong within a section: errors with their paths from there."""

    found: list[tuple[str, Exception]]


@attrs.define
class UnknownKeyError(Exception):
    """A key that a section, read into ``cls``, cannot have."""

    cls: type
    key: str


def joined(path: str, key: str) -> str:
    """The path of a key, or of an entry such as ``[0]``, below a path; either may be empty."""
    return f"{path}.{key}" if path and key and not key.startswith("[") else path + key


def placed(path: str, value: Any) -> Any:
    """A plugin, or a tuple of plugins, with ``path`` before its own path; else the value itself."""
    if isinstance(value, PluginRef):
        return attrs.evolve(value, path=joined(path, value.path))
    if isinstance(value, tuple):
        return tuple(placed(path, entry) for entry in value)
    return value


class Gathering:
    """Tries several parts and keeps what is wrong with each, so that all is reported at once.

    The end of its ``with`` block raises what was kept, if anything, as a :class:`SeveralError`.
    """

    def __init__(self) -> None:
        self._found: list[tuple[str, Exception]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None and self._found:
            raise SeveralError(self._found)

    def part(self, key: str, read: Callable[..., Any], *arguments: Any) -> Any:
        """Read a part; None when it is wrong.

        Args:
            key: Where it stands, from the section at hand.
            read: Reads it; an exception that it raises is kept.
            arguments: What it reads.
        """
        try:
            return placed(key, read(*arguments))
        except SeveralError as error:
            self._found += [(joined(key, path), inner) for path, inner in error.found]
        except Exception as error:
            self.add(key, error)
        return None

    def add(self, key: str, error: Exception) -> None:
        """Keep an error."""
        self._found.append((key, error))

    def misfit(self, key: str, message: str, expected: str, value: object = None) -> None:
        """Keep what is wrong with the value of a key."""
        self.add(key, MisfitError(message, value=value, expected=expected))


def problems(error: Exception, path: str, origin: Any) -> list[ConfigError]:
    """Turn what a reader raised into configuration errors.

    Args:
        error: The exception.
        path: The dotted path of what was read.
        origin: Finds file and line, see :func:`bee_core.options.place_of`.
    """
    inner = error.found if isinstance(error, SeveralError) else [("", error)]
    found = [_problem(one, joined(path, below)) for below, one in inner]
    for problem in found:
        problem.source, problem.line = place_of(problem.path, origin)
    return found


def raise_all(found: list[ConfigError]) -> None:
    """Raise one error that holds all problems, by file and line; none for none.

    The traceback shows it alone, without the errors of the readers.
    """
    if not found:
        return
    found.sort(key=lambda problem: (problem.source or "", problem.line or 0))
    first = found[0]
    if len(found) == 1:
        raise first from None
    raise ConfigError(
        first.message,
        path=first.path,
        value=first.value,
        expected=first.expected,
        line=first.line,
        source=first.source,
        problems=found,
    ) from None


def _problem(error: Exception, path: str) -> ConfigError:
    if isinstance(error, UnknownKeyError):
        return _unknown_key(error.cls, error.key, path)
    if isinstance(error, MisfitError):
        return ConfigError(error.message, path=path, value=error.value, expected=error.expected)
    if isinstance(error, StructureHandlerNotFoundError):
        return ConfigError(
            f"the field has a type that cannot be written in a file: {error.type_!r}", path=path
        )
    # Validators of attrs put more than their sentence into args.
    return ConfigError(str(error.args[0]) if error.args else type(error).__name__, path=path)


def _unknown_key(cls: type, key: str, path: str) -> ConfigError:
    known = keys_of(cls)
    where = joined(path, key)
    if advice := _elsewhere(cls, key, path):
        return ConfigError(advice, path=where, expected="the key at its place")
    plain = key.lower().replace("-", "").replace("_", "")
    near = get_close_matches(key, known, n=1) or [
        name for name in known if name.replace("_", "") == plain
    ]
    hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known) or 'nothing'}"
    return ConfigError(
        f"unknown key {key!r}; {hint}",
        path=where,
        value=key,
        expected=f"one of: {', '.join(known)}",
    )


def _elsewhere(cls: type, key: str, path: str) -> str:
    """What to say of a key that exists, but not here."""
    if cls is MethodConfig and key in keys_of(ClientConfig) and key not in CALL_FIELDS:
        section = path.partition(".methods.")[0]
        return f"{key!r} concerns the service and not one method; write it as {section}.{key}"
    attribute = attrs.fields_dict(cls).get(key)
    if attribute is not None and "." in written_at(attribute):
        return f"{key!r} belongs to the codec's options; write it as {path}.{written_at(attribute)}"
    if attribute is None:
        if cls in {ClientConfig, MethodConfig} and key in keys_of(ServerConfig):
            return f"{key!r} is a key of servers; write it as bee.rpc.server.{key}"
        if cls is ServerConfig and key in keys_of(ClientConfig):
            return f"{key!r} is a key of clients; write it under a service in bee.rpc.client"
    return ""
