"""Where each object that a hub has made comes from."""

from __future__ import annotations

import weakref
from typing import Any

from ..contracts.plugin_origin import PluginOrigin, defined_at, of_unknown
from .registered import OBJECT, Registered


class Provenance:
    """Knows the origin of plugin objects, without a mark on them.

    It does not keep an object alive, except one that cannot be referred to weakly.
    """

    def __init__(self) -> None:
        # By id: a plugin may compare as equal to another one, or have no hash.
        self._origins: dict[int, tuple[Any, PluginOrigin]] = {}

    def keep(self, made: object, registered: Registered) -> None:
        """Note where an object comes from. Of two notes on one object the later one holds."""
        key = id(made)
        try:
            holder: Any = weakref.ref(made, lambda _: self._origins.pop(key, None))
        except TypeError:
            holder = made
        self._origins[key] = holder, origin_of(registered, made)

    def __call__(self, made: object) -> PluginOrigin:
        """The origin of an object; of one that is unknown here, its class. From any thread."""
        found = self._origins.get(id(made))
        return of_unknown(made) if found is None else found[1]


def origin_of(registered: Registered, made: object = None) -> PluginOrigin:
    """The origin of a plugin.

    Args:
        registered: The plugin.
        made: An object of it, whose class then says file and line; None for the factory's.
    """
    file, line = ("", None) if made is None else defined_at(made)
    if not file:
        file, line = defined_at(registered.factory)
    distribution = "" if registered.distribution == OBJECT else registered.distribution
    return PluginOrigin(
        registered.kind, registered.name, distribution, registered.version, file, line
    )
