"""Plugins that are registered, and what takes them from a register hook."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import attrs

from ..errors import ConfigError, PluginError
from ..hookspecs import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ..hookspecs import Kind
    from .entry_points import Origin


@attrs.frozen
class Registered:
    """A plugin that is loaded.

    Attributes:
        kind: Its kind.
        name: Its name.
        factory: Makes the object.
        options_class: The attrs class of its options, or None when it takes none.
        distribution: Who brought it; ``(object)`` when it was handed over as an object.
        version: The distribution's version, or the empty string.
    """

    kind: Kind
    name: str
    factory: Callable[..., Any]
    options_class: type[Any] | None
    distribution: str
    version: str


@attrs.frozen
class Installed:
    """A line of ``bee plugins``. ``reason`` says why a plugin is not loadable."""

    kind: Kind
    name: str
    distribution: str
    version: str
    loadable: bool
    reason: str = ""


class Registrations:
    """The :class:`bee_core.hookspecs.Registrar` that one call of a register hook fills."""

    def __init__(self, kind: Kind, origin: Origin) -> None:
        self.added: dict[str, Registered] = {}
        self._kind = kind
        self._origin = origin

    def add(
        self, name: object, factory: Callable[..., Any], options: type[Any] | None = None
    ) -> None:
        """See :meth:`bee_core.hookspecs.Registrar.add`."""
        if not isinstance(name, str) or not name:
            raise PluginError(f"{self._origin.label}: a {self._kind} needs a name, not {name!r}")
        if not callable(factory):
            raise PluginError(
                f"{self._origin.label}: the factory of {self._kind} {name!r} cannot be called: {factory!r}"
            )
        if options is not None and not (inspect.isclass(options) and attrs.has(options)):
            raise PluginError(
                f"{self._origin.label}: the options of {self._kind} {name!r} must be an attrs class or None, not {options!r}"
            )
        if name in self.added:
            raise PluginError(f"{self._origin.label} adds the {self._kind} {name!r} twice")
        self.added[name] = Registered(
            self._kind, name, factory, options, self._origin.distribution, self._origin.version
        )


def option_error(
    message: str,
    error: ValueError,
    path: str,
    options: Collection[str],
    origin: Callable[[str], int | None] | Any = None,
) -> ConfigError:
    """What a user sees when a plugin refuses its options. The options' values are not in it: they may hold secrets.

    Args:
        message: The whole sentence.
        error: What the plugin raised; an :class:`~bee_core.hookspecs.OptionError` names the option.
        path: The key that names the plugin.
        options: Names of the options that are stated.
        origin: Finds the line of a path; or a configuration, which also knows the file; or None.
    """
    where = f"{path}.options.{error.option}" if isinstance(error, OptionError) and path else path
    # The line of the option, or of the section that it is missing from.
    return ConfigError(
        message,
        path=where,
        value=sorted(options),
        line=_line(where, origin),
        source=getattr(origin, "source", None),
    )


def place_of(path: str, origin: Callable[[str], int | None] | Any = None) -> str:
    """What stands before a message about a key: ``bee.yml:12: bee.rpc.client.calc.balancer: ``.

    Args:
        path: The key; empty for a default, which stands nowhere.
        origin: A configuration, whose file and line are told; or anything else, and they are not.
    """
    if not path:
        return ""
    source = getattr(origin, "source", None)
    line = None if source is None else _line(path, origin)
    place = ":".join(str(part) for part in (source, line) if part)
    return f"{place}: {path}: " if place else f"{path}: "


def _line(path: str, origin: Callable[[str], int | None] | Any) -> int | None:
    find = getattr(origin, "origin", origin)
    line = None
    while find is not None and path and line is None:
        line = find(path)
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return line
