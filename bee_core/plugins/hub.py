"""Finds, loads and makes plugins.

The configuration names plugins; each name is looked up among the entry points of its kind, only then imported, registered with pluggy under ``kind:name``, and
asked by its register hook for factories. All of this happens while a client or server is built. A call never reaches the hub.
"""

from __future__ import annotations

import difflib
import inspect
import os
from typing import TYPE_CHECKING, Any, Protocol

import pluggy

from .. import hookspecs
from ..errors import BeeError, PluginError
from ..hookspecs import REGISTER_HOOKS
from .entry_points import Offer, Origin, missing_import, read_offers
from .registered import Installed, Registered, Registrations, option_error, placed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from importlib.metadata import EntryPoint

    from ..config import Config
    from ..contracts.observers import Observer
    from ..hookspecs import Kind

DISABLE_VARIABLE = "BEE_DISABLE_PLUGINS"
"""The environment variable that blocks plugins: ``kind:name`` or ``name``, separated by commas."""

OBJECT = "(object)"
"""Stands for the distribution of a plugin that was handed over as an object."""


class Reference(Protocol):
    """A plugin as the configuration names it."""

    @property
    def name(self) -> str:
        """The plugin's name."""
        ...

    @property
    def options(self) -> Mapping[str, Any]:
        """The options as they stand in the YAML."""
        ...

    @property
    def path(self) -> str:
        """The dotted key that names the plugin."""
        ...


class PluginHub:
    """The plugins of one client or server. Not thread-safe: belongs to whoever builds.

    Args:
        plugins: Plugin objects without an entry point: modules, or instances with hook methods. Registered at once.
        disabled: Names that must not be used, ``kind:name`` or ``name``; None reads ``BEE_DISABLE_PLUGINS``.
        entry_points: What to read instead of the environment's entry points.

    Raises:
        PluginError: A plugin object has no hook of bee, has a misspelt one, or adds a name that is taken.
    """

    def __init__(
        self,
        plugins: Sequence[object] = (),
        *,
        disabled: Collection[str] | None = None,
        entry_points: Iterable[EntryPoint] | None = None,
    ) -> None:
        self.manager = pluggy.PluginManager(hookspecs.PROJECT)
        """pluggy's manager, for tests and debuggers that listen in."""
        self.manager.add_hookspecs(hookspecs)
        self._disabled = frozenset(
            parse_disabled(os.environ.get(DISABLE_VARIABLE, "")) if disabled is None else disabled
        )
        _check_disabled(self._disabled)
        self._offers = read_offers(entry_points)
        self._registered: dict[tuple[Kind, str], Registered] = {}
        self._origins: dict[tuple[Kind, str], Origin] = {}
        self._asked: dict[
            int, set[Kind]
        ] = {}  # by id of the plugin object, which the manager keeps alive: the hooks that were called
        self._objects = tuple(plugins)
        for index, plugin in enumerate(self._objects):
            origin = Origin(OBJECT, "", f"plugins[{index}] ({_describe(plugin)})")
            self._register(plugin, f"plugins[{index}]", origin)
            for kind in REGISTER_HOOKS:
                self._collect(plugin, kind, origin)

    def load(
        self,
        kind: Kind,
        name: str,
        *,
        path: str = "",
        origin: Config | Callable[[str], int | None] | None = None,
    ) -> Registered:
        """Load one plugin, or find it loaded.

        Args:
            kind: Its kind.
            name: Its name.
            path: The key of the configuration that names it, for the message.
            origin: The configuration, for its file and the line.

        Raises:
            PluginError: The name is unknown, blocked or offered twice, or the plugin cannot be loaded or breaks the rules.
        """
        try:
            return self._load(kind, name)
        except PluginError as error:
            if not path:
                raise
            raise PluginError(placed(str(error), path, origin)) from error.__cause__

    def create(
        self,
        ref: Reference,
        kind: Kind,
        *context: Any,
        origin: Config | Callable[[str], int | None] | None = None,
    ) -> Any:
        """Load a plugin and make an object of it.

        Args:
            ref: The name, the raw options, and the path of the key.
            kind: The kind that the key wants.
            context: What the kind's factories get before the options: ``RegistrySettings`` for a registry, nothing for the others.
            origin: The configuration, whose file and line then stand before the message; or its ``origin``, which only finds the line of a wrong option.

        Returns:
            What the factory made.

        Raises:
            PluginError: As :meth:`load`, or the factory failed.
            ConfigError: The options are wrong, or the factory refused them with a ValueError.
        """
        registered = self.load(kind, ref.name, path=ref.path, origin=origin)
        arguments = context
        if registered.options_class is not None or ref.options:
            # Imported here, since cattrs is slow to import and a hub without a configuration has no use for it.
            from ..config import structure_options

            options = structure_options(
                registered.options_class,
                ref.options,
                f"{ref.path}.options" if ref.path else "options",
                origin,
            )
            arguments = (*context, options)
        try:
            return registered.factory(*arguments)
        except BeeError:
            raise
        except ImportError as error:
            problem = missing_import(error, self._origins[kind, ref.name])
            raise PluginError(
                placed(f"{kind} {ref.name!r} cannot be used: {problem}", ref.path, origin)
            ) from error
        except ValueError as error:
            raise option_error(
                f"{kind} {ref.name!r}: {error}", error, ref.path, tuple(ref.options), origin
            ) from error
        except Exception as error:
            label = self._origins[kind, ref.name].label
            raise PluginError(
                placed(
                    f"{kind} {ref.name!r} ({label}) could not be made: "
                    f"{type(error).__name__}: {error}",
                    ref.path,
                    origin,
                )
            ) from error

    def observers(self, service: str) -> tuple[Observer, ...]:
        """Ask every loaded plugin whether it observes a service. In the order in which the plugins were loaded.

        Raises:
            PluginError: A plugin's hook failed.
        """
        try:
            found: list[Observer] = self.manager.hook.bee_observer(service=service)
        except Exception as error:
            raise PluginError(
                f"the hook bee_observer failed for service {service!r}: {type(error).__name__}: {error}"
            ) from error
        return tuple(reversed(found))  # pluggy calls the last one first

    def installed(self) -> list[Installed]:
        """List all plugins, by kind and name, by loading every one in a hub of its own. This hub is left as it is."""
        scratch = PluginHub(
            self._objects,
            disabled=self._disabled,
            entry_points=[
                offer.entry_point for offers in self._offers.values() for offer in offers
            ],
        )
        rows: list[Installed] = []
        for (kind, name), offers in self._offers.items():
            try:
                scratch.load(kind, name)
                reason = ""
            except PluginError as error:
                reason = str(error)
            rows.extend(
                Installed(
                    kind, name, offer.origin.distribution, offer.origin.version, not reason, reason
                )
                for offer in offers
            )
        for kind, name in scratch._registered.keys() - self._offers.keys():
            found = scratch._registered[kind, name]
            reason = _blocked(kind, name) if self._is_disabled(kind, name) else ""
            rows.append(
                Installed(kind, name, found.distribution, found.version, not reason, reason)
            )
        order = list(REGISTER_HOOKS)
        return sorted(rows, key=lambda row: (order.index(row.kind), row.name, row.distribution))

    def _load(self, kind: Kind, name: str) -> Registered:
        if self._is_disabled(kind, name):
            raise PluginError(_blocked(kind, name))
        if (kind, name) in self._registered:
            return self._registered[kind, name]
        offers = self._offers.get((kind, name))
        if not offers:
            raise PluginError(self._unknown(kind, name))
        if len(offers) > 1:
            raise PluginError(_duplicate(kind, name, [offer.origin for offer in offers]))
        self._adopt(offers[0])
        return self._registered[kind, name]

    def _adopt(self, offer: Offer) -> None:
        """Load the plugin behind an entry point and take what it adds of the entry point's kind."""
        plugin = offer.load()
        # One module may serve several entry points; pluggy refuses to register an object twice.
        if id(plugin) not in self._asked:
            self._register(plugin, f"{offer.kind}:{offer.name}", offer.origin)
        self._collect(plugin, offer.kind, offer.origin)
        if (offer.kind, offer.name) not in self._registered:
            hook = REGISTER_HOOKS[offer.kind]
            forgotten = hook in _unmarked(plugin)
            advice = (
                f"its {hook} is not marked with @bee_core.hookimpl"
                if forgotten
                else f"its hook {hook} must add {offer.name!r}"
            )
            raise PluginError(
                f"{offer.title} is promised by {offer.origin.label}, which does not register it: {advice}"
            )

    def _register(self, plugin: object, name: str, origin: Origin) -> None:
        if plugin is None:
            raise PluginError(f"{origin.label} is None; a plugin is a module or an instance")
        if inspect.isclass(plugin):
            raise PluginError(
                f"{origin.label} is a class; a plugin is a module or an instance, so make one: {plugin.__name__}()"
            )
        try:
            hash(plugin)  # pluggy puts plugins into sets
            self.manager.register(plugin, name)
        except (pluggy.PluginValidationError, ValueError, TypeError) as error:
            # A hook with an argument that the specification has not, or the same object twice.
            raise PluginError(
                f"{origin.label} cannot be registered: {' '.join(str(error).split())}"
            ) from error
        try:
            self.manager.check_pending()
        except pluggy.PluginValidationError as error:
            misspelt = [
                caller.name
                for caller in self.manager.get_hookcallers(plugin) or ()
                if not caller.has_spec()
            ]
            self.manager.unregister(plugin)
            raise PluginError(
                f"{origin.label}: {'; '.join(_no_such_hook(name) for name in misspelt)}"
            ) from error
        if not self.manager.get_hookcallers(plugin):
            self.manager.unregister(plugin)
            unmarked = _unmarked(plugin)
            advice = (
                f"mark {', '.join(unmarked)} with @bee_core.hookimpl"
                if unmarked
                else f"it must implement one of: {', '.join(_hooks())}"
            )
            raise PluginError(f"{origin.label} has no hook of bee; {advice}")
        self._asked[id(plugin)] = set()

    def _collect(self, plugin: object, kind: Kind, origin: Origin) -> None:
        """Call the plugin's register hook of a kind, once, and take what it adds, all or nothing."""
        if kind in self._asked[id(plugin)]:
            return
        hook = REGISTER_HOOKS[kind]
        implementations = getattr(self.manager.hook, hook).get_hookimpls()
        others = [
            implementation.plugin
            for implementation in implementations
            if implementation.plugin is not plugin
        ]
        collected = Registrations(kind, origin)
        try:
            if len(others) < len(implementations):
                self.manager.subset_hook_caller(hook, remove_plugins=others)(registry=collected)
        except BeeError:
            raise
        except Exception as error:
            raise PluginError(
                f"{origin.label}: its hook {hook} failed: {type(error).__name__}: {error}"
            ) from error
        for name in collected.added:
            rivals = [
                offer.origin
                for offer in self._offers.get((kind, name), ())
                if offer.origin.distribution != origin.distribution
            ]
            if (kind, name) in self._origins:
                rivals.append(self._origins[kind, name])
            if rivals:
                raise PluginError(_duplicate(kind, name, [origin, *rivals]))
        self._asked[id(plugin)].add(kind)
        for name, registered in collected.added.items():
            self._registered[kind, name] = registered
            self._origins[kind, name] = origin

    def _is_disabled(self, kind: Kind, name: str) -> bool:
        return name in self._disabled or f"{kind}:{name}" in self._disabled

    def _unknown(self, kind: Kind, name: str) -> str:
        names = sorted(
            {
                known
                for of_kind, known in self._offers.keys() | self._registered.keys()
                if of_kind == kind and not self._is_disabled(kind, known)
            }
        )
        if not names:
            return f"unknown {kind} {name!r}: no {kind} is installed"
        near = difflib.get_close_matches(name, names, n=1)
        return f"unknown {kind} {name!r}; installed: {', '.join(names)}" + (
            f"; did you mean {near[0]!r}?" if near else ""
        )


def parse_disabled(text: str) -> frozenset[str]:
    """Split the value of ``BEE_DISABLE_PLUGINS``."""
    return frozenset(part.strip() for part in text.split(",") if part.strip())


def _check_disabled(names: Iterable[str]) -> None:
    for name in names:
        kind, colon, _ = name.partition(":")
        if colon and kind not in REGISTER_HOOKS:
            raise PluginError(
                f"{DISABLE_VARIABLE}: {kind!r} in {name!r} is not a kind of plugin; kinds: {', '.join(REGISTER_HOOKS)}"
            )


def _blocked(kind: Kind, name: str) -> str:
    return f"{kind} {name!r} is blocked by {DISABLE_VARIABLE}; unblock it or name another {kind}"


def _duplicate(kind: Kind, name: str, origins: Iterable[Origin]) -> str:
    labels = " and ".join(sorted({origin.label for origin in origins}))
    return f"{kind} {name!r} is there more than once: {labels}; uninstall or rename one"


def _hooks() -> list[str]:
    return [*REGISTER_HOOKS.values(), "bee_observer"]


def _no_such_hook(name: str) -> str:
    near = difflib.get_close_matches(name, _hooks(), n=1, cutoff=0.5)
    return f"there is no hook {name!r}" + (
        f"; did you mean {near[0]!r}?" if near else f"; hooks: {', '.join(_hooks())}"
    )


def _unmarked(plugin: object) -> list[str]:
    """Functions with the name of a hook and without its mark: the usual slip."""
    return [
        name
        for name in _hooks()
        if hasattr(plugin, name) and not hasattr(getattr(plugin, name), f"{hookspecs.PROJECT}_impl")
    ]


def _describe(plugin: object) -> str:
    return f"module {plugin.__name__}" if inspect.ismodule(plugin) else type(plugin).__qualname__
