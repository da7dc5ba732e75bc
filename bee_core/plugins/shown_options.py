"""The options of a plugin as a text, without secrets.

A field that its class keeps out of ``repr`` is a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from ..config import structure_options
from ..config.fields import OptionRef

if TYPE_CHECKING:
    from ..config import PluginRef
    from ..hookspecs import Kind
    from .hub import PluginHub


def shown_options(hub: PluginHub, ref: PluginRef, kind: Kind) -> str:
    """The options that a plugin of this kind gets, defaults too. The same text for equal options.

    Plugins that stand in its options are shown in the same way.

    Args:
        hub: A hub that has made the plugin, so the options are right.
        ref: What the configuration says of it.
        kind: Its kind.
    """
    registered = hub.load(kind, ref.name)
    return _shown(structure_options(registered.options_class, ref.options, ref.path), hub)


def _shown(value: Any, hub: PluginHub) -> str:
    if isinstance(value, OptionRef):
        return f"{value.name} {shown_options(hub, value, value.kind)}"
    if attrs.has(type(value)):
        fields = attrs.fields(type(value))
        told = (f"{one.name}={_shown(getattr(value, one.name), hub)}" for one in fields if one.repr)
        return f"({' '.join(told)})"
    if isinstance(value, Mapping):
        return f"{{{', '.join(sorted(f'{key!r}: {_shown(value[key], hub)}' for key in value))}}}"
    if isinstance(value, (set, frozenset)):
        return f"[{', '.join(sorted(_shown(one, hub) for one in value))}]"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_shown(one, hub) for one in value)}]"
    return repr(value)
