"""Plugin objects for ``plugins=[…]``: one that offers what a test has made."""

from __future__ import annotations

from bee_core.hookspecs import REGISTER_HOOKS, hookimpl


def offering(kind, name, factory, options=None):
    """A plugin object that offers a plugin of a kind under a name."""

    class Plugin:
        pass

    def implementation(self, registry):
        registry.add(name, factory, options=options)

    implementation.__name__ = REGISTER_HOOKS[kind]
    setattr(Plugin, implementation.__name__, hookimpl(implementation))
    return Plugin()
