"""One tree of a configuration over another: sections are merged key by key, all else is replaced.

The trees are those of :mod:`.yaml_tree`, before anything in them is replaced. A value knows its
file and its line, so errors name the right ones afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from .fields import spellings
from .model import SERVER
from .server_model import ServerConfig

_REGISTRY = "bee.rpc.registry"
_OF_PROTOCOL = ("address", "options")
"""Keys of the registry that mean something for one ``protocol`` only."""
_PLUGIN = {"name", "options"}


def merge(below: Any, above: Any, path: str = "") -> Any:
    """Lay one value over another.

    - Two mappings are merged, key by key. Everything else is replaced: a list as a whole, too.
    - A plugin of another name takes no options over, and another registry no address.
    - A key of the server takes the place of its other spelling.

    Args:
        below: What holds where ``above`` says nothing.
        above: What holds.
        path: The dotted path of both.

    Returns:
        A new tree; neither of the two changes.
    """
    if not (isinstance(below, Mapping) and isinstance(above, Mapping)):
        return above
    if _other_plugin(below, above):
        return above
    gone = _replaced(below, above, path)
    # The keys of the upper tree: they know their lines.
    own = {str(key): key for key in above}
    merged: dict[Any, Any] = {}
    for key, value in below.items():
        if key in own:
            merged[own[key]] = merge(value, above[key], f"{path}.{key}" if path else str(key))
        elif key not in gone:
            merged[key] = value
    return merged | {key: value for key, value in above.items() if key not in below}


def _other_plugin(below: Mapping[Any, Any], above: Mapping[Any, Any]) -> bool:
    return (
        "name" in below
        and "name" in above
        and below["name"] != above["name"]
        and below.keys() | above.keys() <= _PLUGIN
    )


def _replaced(below: Mapping[Any, Any], above: Mapping[Any, Any], path: str) -> set[str]:
    """The keys of ``below`` that mean nothing any more."""
    if path == _REGISTRY and "protocol" in above and above["protocol"] != below.get("protocol"):
        return set(_OF_PROTOCOL)
    if path == SERVER:
        same = [spellings(attribute) for attribute in attrs.fields(ServerConfig)]
        return {key for keys in same if above.keys() & set(keys) for key in keys}
    return set()
