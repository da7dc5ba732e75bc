"""Finds, loads and makes plugins.

The configuration names plugins. The hub looks up each name among the entry points of its kind. Only
then it imports the plugin, registers it with pluggy under ``kind:name``, and calls its register
hook for factories. All of this happens while a client or server is built. A call never reaches the
hub.
"""

from __future__ import annotations

import difflib
import inspect
import os
from typing import TYPE_CHECKING, Any

import pluggy

from .. import hookspecs
from ..errors import BeeError, PluginError
from ..hookspecs import REGISTER_HOOKS, Kind
from .entry_points import Origin, missing_import, read_offers
from .registered import (
    Installed,
    Registered,
    Registrations,
    option_error,
    placed,
    register,
    unmarked,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from importlib.metadata import EntryPoint

    from ..config import Config, PluginRef
    from ..contracts.observers import Observer

DISABLE_VARIABLE = "BEE_DISABLE_PLUGINS"
"""The environment variable that blocks plugins: ``kind:name`` or ``name``, separated by commas."""

OBJECT = "(object)"
"""Stands for the distribution of a plugin that was handed over as an object."""


class PluginHub:
    """The plugins of one client or server. Not thread-safe: belongs to whoever builds.

    Args:
        plugins: Plugin objects without an entry point: modules, or instances with hook methods.
            They are registered at once.
        disabled: Names that must not be used, ``kind:name`` or ``name``. None reads
            ``BEE_DISABLE_PLUGINS``.
        entry_points: What to read instead of the environment's entry points.

    Raises:
        PluginError: A plugin object has no hook of bee, has a misspelt one, or adds a name that is
            taken.
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
        for name in self._disabled:
            of_kind, colon, _ = name.partition(":")
            if colon and of_kind not in REGISTER_HOOKS:
                raise PluginError(
                    f"{DISABLE_VARIABLE}: {of_kind!r} in {name!r} is not a kind of plugin; "
                    f"kinds: {', '.join(REGISTER_HOOKS)}"
                )
        self._offers = read_offers(entry_points)
        self._registered: dict[tuple[Kind, str], Registered] = {}
        self._origins: dict[tuple[Kind, str], Origin] = {}
        # The hooks that were called, by id of the plugin object, which the manager keeps alive.
        self._asked: dict[int, set[Kind]] = {}
        self._objects = tuple(plugins)
        for index, plugin in enumerate(self._objects):
            said = (
                f"module {plugin.__name__}"
                if inspect.ismodule(plugin)
                else type(plugin).__qualname__
            )
            origin = Origin(OBJECT, "", f"plugins[{index}] ({said})")
            register(self.manager, plugin, f"plugins[{index}]", origin)
            self._asked[id(plugin)] = set()
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
            PluginError: The name is unknown, blocked or offered twice, or the plugin cannot be
                loaded or breaks the rules.
        """
        try:
            return self._load(kind, name)
        except PluginError as error:
            if not path:
                raise
            raise PluginError(placed(str(error), path, origin)) from error.__cause__

    def create(
        self,
        ref: PluginRef,
        kind: Kind,
        *context: Any,
        origin: Config | Callable[[str], int | None] | None = None,
    ) -> Any:
        """Load a plugin and make an object of it.

        Args:
            ref: The name, the raw options, and the path of the key.
            kind: The kind that the key wants.
            context: What the kind's factories get before the options: ``RegistrySettings`` for a
                registry, nothing for the others.
            origin: The configuration, whose file and line then stand before the message; or its
                ``origin``, which only finds the line of a wrong option.

        Returns:
            What the factory made.

        Raises:
            PluginError: As :meth:`load`, or the factory failed.
            ConfigError: The options are wrong, or the factory refused them with a ValueError.
        """
        registered = self.load(kind, ref.name, path=ref.path, origin=origin)
        if registered.options_class is not None or ref.options:
            # Imported here: cattrs is slow to import, and a hub without options does not need it.
            from ..config import structure_options

            options = structure_options(
                registered.options_class,
                ref.options,
                f"{ref.path}.options" if ref.path else "options",
                origin,
            )
            context = (*context, options)
        try:
            return registered.factory(*context)
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
        """Ask every loaded plugin, in the order of loading, whether it observes a service.

        Raises:
            PluginError: A plugin's hook failed.
        """
        try:
            found: list[Observer] = self.manager.hook.bee_observer(service=service)
        except Exception as error:
            raise PluginError(
                f"the hook bee_observer failed for service {service!r}: "
                f"{type(error).__name__}: {error}"
            ) from error
        return tuple(reversed(found))  # pluggy calls the last one first

    def installed(self) -> list[Installed]:
        """List all plugins, by kind and name.

        They are loaded in a hub of their own. This hub does not change.
        """
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
        offer = offers[0]
        plugin = offer.load()
        # One module may serve several entry points; pluggy refuses to register an object twice.
        if id(plugin) not in self._asked:
            register(self.manager, plugin, f"{kind}:{name}", offer.origin)
            self._asked[id(plugin)] = set()
        self._collect(plugin, kind, offer.origin)
        if (kind, name) not in self._registered:
            hook = REGISTER_HOOKS[kind]
            advice = (
                f"its {hook} is not marked with @bee_core.hookimpl"
                if hook in unmarked(plugin)
                else f"its hook {hook} must add {name!r}"
            )
            raise PluginError(
                f"{offer.title} is promised by {offer.origin.label}, "
                f"which does not register it: {advice}"
            )
        return self._registered[kind, name]

    def _collect(self, plugin: object, kind: Kind, origin: Origin) -> None:
        """Call the plugin's register hook of a kind, once, and take all that it adds or nothing."""
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


def _blocked(kind: Kind, name: str) -> str:
    return f"{kind} {name!r} is blocked by {DISABLE_VARIABLE}; unblock it or name another {kind}"


def _duplicate(kind: Kind, name: str, origins: Iterable[Origin]) -> str:
    labels = " and ".join(sorted({origin.label for origin in origins}))
    return f"{kind} {name!r} is there more than once: {labels}; uninstall or rename one"
