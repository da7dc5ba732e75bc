"""Plugins that are registered: with pluggy, and by their register hooks."""

from __future__ import annotations

import difflib
import inspect
from typing import TYPE_CHECKING, Any

import attrs
import pluggy

from .. import hookspecs
from ..contracts.plugin_origin import in_brackets
from ..errors import ConfigError, PluginError
from ..options import OptionError, place_of
from ..terms.printable import brief
from ..terms.tracebacks import raised_at

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ..hookspecs import Kind
    from .entry_points import Origin

_HOOKS = tuple(hookspecs.REGISTER_HOOKS.values())

OBJECT = "(object)"
"""Stands for the distribution of a plugin that was handed over as an object."""


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
                f"{self._origin.label}: the factory of {self._kind} {name!r} cannot be called: "
                f"{factory!r}"
            )
        if options is not None and not (inspect.isclass(options) and attrs.has(options)):
            raise PluginError(
                f"{self._origin.label}: the options of {self._kind} {name!r} "
                f"must be an attrs class or None, not {options!r}"
            )
        if name in self.added:
            raise PluginError(f"{self._origin.label} adds the {self._kind} {name!r} twice")
        self.added[name] = Registered(
            self._kind, name, factory, options, self._origin.distribution, self._origin.version
        )


class Manager(pluggy.PluginManager):
    """pluggy's manager, which looks at the functions of a module only.

    What else a module holds is no hook, and pluggy takes its time with each name.
    """

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> Any:
        """See :meth:`pluggy.PluginManager.parse_hookimpl_opts`."""
        if inspect.ismodule(plugin) and not inspect.isroutine(vars(plugin).get(name)):
            return None
        return super().parse_hookimpl_opts(plugin, name)


def register(manager: pluggy.PluginManager, plugin: object, name: str, origin: Origin) -> None:
    """Register a plugin object with pluggy, if it is a plugin of bee.

    Args:
        manager: pluggy's manager. It keeps nothing of a plugin that is refused.
        plugin: A module or an instance.
        name: For pluggy: ``kind:name``.
        origin: Where the plugin comes from.

    Raises:
        PluginError: It is None or a class, has no hook of bee, or has a misspelt one.
    """
    if plugin is None:
        raise PluginError(f"{origin.label} is None; a plugin is a module or an instance")
    if inspect.isclass(plugin):
        raise PluginError(
            f"{origin.label} is a class; a plugin is a module or an instance, "
            f"so make one: {plugin.__name__}()"
        )
    try:
        hash(plugin)  # pluggy puts plugins into sets
        manager.register(plugin, name)
    except (pluggy.PluginValidationError, ValueError, TypeError) as error:
        # A hook with an argument that the specification has not, or the same object twice.
        raise PluginError(
            f"{origin.label} cannot be registered: {' '.join(str(error).split())}"
        ) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever an attribute of an object does when it is asked for
        raise PluginError(
            f"{origin.label} cannot be registered: {brief(error)}{in_brackets(raised_at(error))}"
        ) from error
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        misspelt = [
            caller.name for caller in manager.get_hookcallers(plugin) or () if not caller.has_spec()
        ]
        manager.unregister(plugin)
        raise PluginError(
            f"{origin.label}: {'; '.join(_no_such_hook(name) for name in misspelt)}"
        ) from error
    if not manager.get_hookcallers(plugin):
        manager.unregister(plugin)
        forgotten = unmarked(plugin)
        advice = (
            f"mark {', '.join(forgotten)} with @bee_core.hookimpl"
            if forgotten
            else f"it must implement one of: {', '.join(_HOOKS)}"
        )
        raise PluginError(f"{origin.label} has no hook of bee; {advice}")


def _no_such_hook(name: str) -> str:
    near = difflib.get_close_matches(name, _HOOKS, n=1, cutoff=0.5)
    return f"there is no hook {name!r}" + (
        f"; did you mean {near[0]!r}?" if near else f"; hooks: {', '.join(_HOOKS)}"
    )


def unmarked(plugin: object) -> list[str]:
    """Functions with the name of a hook and without its mark: the usual slip."""
    found = ((name, inspect.getattr_static(plugin, name, None)) for name in _HOOKS)
    return [
        name
        for name, function in found
        if function is not None and not hasattr(function, f"{hookspecs.PROJECT}_impl")
    ]


def placed(message: str, path: str, origin: Any) -> str:
    """A message with the place of its key: ``bee.yml:12: bee.rpc.client.calc.fail: …``.

    Args:
        message: The message.
        path: The key; empty for a default, which stands nowhere.
        origin: A configuration, whose file and line are told; or anything else, and they are not.
    """
    if not path:
        return message
    source, line = place_of(path, origin)
    return str(ConfigError(message, path=path, source=source, line=line if source else None))


def option_error(
    message: str, error: ValueError, path: str, options: Collection[str], origin: Any = None
) -> ConfigError:
    """What a user sees when a plugin refuses its options.

    The options' values are not in it: they may hold secrets.

    Args:
        message: The whole sentence.
        error: What the plugin raised; an :class:`~bee_core.options.OptionError` names the option.
        path: The key that names the plugin.
        options: Names of the options that are stated.
        origin: Finds file and line, see :func:`bee_core.options.place_of`.
    """
    where = f"{path}.options.{error.option}" if isinstance(error, OptionError) and path else path
    source, line = place_of(where, origin)
    return ConfigError(message, path=where, value=sorted(options), line=line, source=source)
