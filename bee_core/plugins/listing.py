"""The plugins that are installed, and what is wrong with them: for ``bee plugins``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ..config import PluginRef
from ..contracts.registry import RegistrySettings
from ..errors import BeeError, ConfigError, PluginError
from ..hookspecs import REGISTER_HOOKS, Kind
from .making import check_class

if TYPE_CHECKING:
    from .hub import PluginHub


@attrs.frozen
class Installed:
    """A line of ``bee plugins``.

    Attributes:
        kind: Its kind.
        name: Its name.
        distribution: Who brought it.
        version: The distribution's version.
        loadable: Whether it can be loaded and, where it was checked, keeps its contract.
        reason: Why it is not loadable; else the empty string.
        wrong: The plugin itself has to change. A package that is not installed, and a name that is
            blocked, are not its fault.
    """

    kind: Kind
    name: str
    distribution: str
    version: str
    loadable: bool
    reason: str = ""
    wrong: bool = False


def list_installed(hub: PluginHub, *, check: bool = False) -> list[Installed]:
    """List all plugins, by kind and name.

    They are loaded in another hub, so this one does not change.

    Args:
        hub: Knows the plugins.
        check: Also make an object of each and check it against its contract. Where options have no
            defaults, the class is checked.
    """
    scratch = hub.another()
    rows: list[Installed] = []
    for (kind, name), offers in scratch.offers.items():
        trouble = _trouble(scratch, kind, name, check)
        rows.extend(
            Installed(kind, name, offer.origin.distribution, offer.origin.version, *trouble)
            for offer in offers
        )
    # Loading has found those that a module adds besides the names of its entry points.
    for (kind, name), found in tuple(scratch.registered.items()):
        if (kind, name) not in scratch.offers:
            trouble = _trouble(scratch, kind, name, check)
            rows.append(Installed(kind, name, found.distribution, found.version, *trouble))
    order = list(REGISTER_HOOKS)
    return sorted(rows, key=lambda row: (order.index(row.kind), row.name, row.distribution))


def _trouble(hub: PluginHub, kind: Kind, name: str, check: bool) -> tuple[bool, str, bool]:
    """Whether a plugin can be used, why not, and whether it has to change."""
    if blocked := hub.blocked(kind, name):
        return False, blocked, False
    try:
        hub.load(kind, name)
        if check:
            _try(hub, kind, name)
    except BeeError as error:
        return False, str(error), not _lacks_a_package(error.__cause__, hub, kind, name)
    return True, "", False


def _lacks_a_package(cause: object, hub: PluginHub, kind: Kind, name: str) -> bool:
    """Whether a plugin only wants something that is not installed, and of its own all is there."""
    if not isinstance(cause, ModuleNotFoundError) or cause.name is None:
        return False
    own = [f"{offer.target}." for offer in hub.offers.get((kind, name), ())]
    of_bee = cause.name.split(".")[0] in {"bee_core", "bee_plugins"}
    return not of_bee and not any(target.startswith(f"{cause.name}.") for target in own)


def _try(hub: PluginHub, kind: Kind, name: str) -> None:
    """Make an object with the defaults of its options, or check the class."""
    context = (RegistrySettings(),) if kind == "registry" else ()
    try:
        hub.create(PluginRef(name), kind, *context)
    except ConfigError:  # it wants options, and nobody knows good ones
        problem = check_class(hub.registered[kind, name])
        if problem:
            raise PluginError(problem) from None
