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

from .. import hookspecs
from ..contracts.plugin_origin import defined_at, in_brackets
from ..errors import PluginError
from ..hookspecs import REGISTER_HOOKS, Kind
from ..terms.printable import brief
from ..terms.tracebacks import raised_at
from .entry_points import FREEZING, Origin, is_frozen, read_offers
from .making import make
from .provenance import Provenance
from .registered import (
    OBJECT,
    Manager,
    Registered,
    Registrations,
    placed,
    register,
    unmarked,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from importlib.metadata import EntryPoint

    from ..config import Config, PluginRef
    from ..config.fields import OptionRef

DISABLE_VARIABLE = "BEE_DISABLE_PLUGINS"
"""The environment variable that blocks plugins: ``kind:name`` or ``name``, separated by commas."""

MOST_INSIDE = 8
"""Plugins in one another's options: more than anybody means, and few enough for the stack."""


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
        self.manager = Manager(hookspecs.PROJECT)
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
        self.offers = read_offers(entry_points)
        """What the entry points offer, by kind and name."""
        self.registered: dict[tuple[Kind, str], Registered] = {}
        """What is loaded, by kind and name."""
        self._shared: dict[Kind, list[tuple[PluginRef, Any]]] = {}
        self._origins: dict[tuple[Kind, str], Origin] = {}
        # The hooks that were called, by id of the plugin object, which the manager keeps alive.
        self._asked: dict[int, set[Kind]] = {}
        self.origin_of = Provenance()
        """Says where a plugin object comes from that this hub has made. From any thread."""
        self._depth = 0  # of plugins that are made for the options of others
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
            What the factory made. It keeps the contract of its kind.

        Raises:
            PluginError: As :meth:`load`; or the factory failed, or made what breaks the contract.
            ConfigError: The options are wrong, or the factory refused them with a ValueError.
        """
        registered = self.load(kind, ref.name, path=ref.path, origin=origin)

        def make_inner(inner: OptionRef) -> Any:
            # A registry around a registry needs the settings as well; others get nothing.
            given = context if inner.kind == kind else ()
            return self.create(inner, inner.kind, *given, origin=origin)

        if self._depth >= MOST_INSIDE:
            raise PluginError(
                f"{kind} {ref.name!r}: more than {MOST_INSIDE} plugins stand in one another's "
                "options; the default of an option may name the plugin itself"
            )
        self._depth += 1
        try:
            made = make(registered, self._origins[kind, ref.name], ref, context, origin, make_inner)
        finally:
            self._depth -= 1
        self.origin_of.keep(made, registered)
        return made

    def share(self, refs: Iterable[PluginRef], kind: Kind, origin: Config) -> list[Any]:
        """One object for each plugin that is named with the same options, however often.

        Args:
            refs: What the configuration says, where a plugin may stand twice.
            kind: The kind of all of them.
            origin: The configuration, for file and line.

        Returns:
            The objects in the order of ``refs``, each of them once.
        """
        found: list[Any] = []
        for ref in refs:
            shared = self._shared.setdefault(kind, [])
            one = next((made for known, made in shared if known == ref), None)
            if one is None:
                one = self.create(ref, kind, origin=origin)
                shared.append((ref, one))
            if not any(one is other for other in found):
                found.append(one)
        return found

    def unshare(self, config: Config, kind: Kind) -> None:
        """Forget the shared objects of a kind that a configuration does not name."""
        from ..config.model import named_plugins  # who reloads has loaded it

        kept = [one.ref for one in named_plugins(config) if one.kind == kind]
        self._shared[kind] = [(ref, one) for ref, one in self._shared.get(kind, []) if ref in kept]

    def another(self) -> PluginHub:
        """A hub that knows the same plugins and has loaded none of them."""
        offers = [offer.entry_point for same in self.offers.values() for offer in same]
        return PluginHub(self._objects, disabled=self._disabled, entry_points=offers)

    def _load(self, kind: Kind, name: str) -> Registered:
        if blocked := self.blocked(kind, name):
            raise PluginError(blocked)
        if (kind, name) in self.registered:
            return self.registered[kind, name]
        offers = self.offers.get((kind, name))
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
        if (kind, name) not in self.registered:
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
        return self.registered[kind, name]

    def _collect(self, plugin: object, kind: Kind, origin: Origin) -> None:
        """Call the plugin's register hook of a kind, once, and take all that it adds or nothing."""
        if kind in self._asked[id(plugin)]:
            return
        hook = REGISTER_HOOKS[kind]
        implementations = getattr(self.manager.hook, hook).get_hookimpls()
        own = [one for one in implementations if one.plugin is plugin]
        others = [one.plugin for one in implementations if one.plugin is not plugin]
        collected = Registrations(kind, origin)
        try:
            if own:
                call = self.manager.subset_hook_caller(hook, remove_plugins=others)
                for coroutine in filter(inspect.iscoroutine, call(registry=collected)):
                    coroutine.close()  # else Python warns that nobody awaited it
                    raise TypeError("it is async; write def")
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a hook does, as sys.exit()
            where = in_brackets(raised_at(error, defined_at(own[0].function)[0]))
            if isinstance(error, PluginError):  # the registrar refused what the hook added
                raise PluginError(f"{error}{where}") from error
            raise PluginError(
                f"{origin.label}: its hook {hook} failed: {brief(error)}{where}"
            ) from error
        for name in collected.added:
            rivals = [
                offer.origin
                for offer in self.offers.get((kind, name), ())
                if offer.origin.distribution != origin.distribution
            ]
            if (kind, name) in self._origins:
                rivals.append(self._origins[kind, name])
            if rivals:
                raise PluginError(_duplicate(kind, name, [origin, *rivals]))
        self._asked[id(plugin)].add(kind)
        for name, registered in collected.added.items():
            self.registered[kind, name] = registered
            self._origins[kind, name] = origin

    def blocked(self, kind: Kind, name: str) -> str:
        """Why a name must not be used; the empty string where it may."""
        if self._disabled.isdisjoint({name, f"{kind}:{name}"}):
            return ""
        return (
            f"{kind} {name!r} is blocked by {DISABLE_VARIABLE}; unblock it or name another {kind}"
        )

    def _unknown(self, kind: Kind, name: str) -> str:
        names = sorted(
            {
                known
                for of_kind, known in self.offers.keys() | self.registered.keys()
                if of_kind == kind and not self.blocked(kind, known)
            }
        )
        if not names:
            advice = f"; {FREEZING}" if is_frozen() else ""
            return f"unknown {kind} {name!r}: no {kind} is installed{advice}"
        near = difflib.get_close_matches(name, names, n=1)
        advice = f"; did you mean {near[0]!r}?" if near else ""
        if (kind, name) == ("registry", "memory"):
            advice = (
                "; in tests make one bee_core.testing.MemoryRegistry, and hand it to each client "
                "and server: plugins=[registry]"
            )
        return f"unknown {kind} {name!r}; installed: {', '.join(names)}{advice}"


def parse_disabled(text: str) -> frozenset[str]:
    """Split the value of ``BEE_DISABLE_PLUGINS``."""
    return frozenset(part.strip() for part in text.split(",") if part.strip())


def _duplicate(kind: Kind, name: str, origins: Iterable[Origin]) -> str:
    labels = " and ".join(sorted({origin.label for origin in origins}))
    return f"{kind} {name!r} is there more than once: {labels}; uninstall or rename one"
