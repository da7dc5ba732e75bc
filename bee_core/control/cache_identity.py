"""What tells the list of one registry on disk from that of another.

A client of ``/prod`` must never start from the list of ``/staging``, so the identity has all that
decides what a registry lists: its plugin, its addresses, and its namespace. It has no secrets: it
stands in the files.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_PASSWORD = re.compile(r"(//[^/@:]*):[^/@]*@")


def cache_identity(
    plugin: str, addresses: Iterable[str], registry: object, options: Callable[[], str]
) -> str:
    """The identity of a registry's lists. Equal for two clients that are told the same.

    Args:
        plugin: The registry's name in the configuration.
        addresses: Its addresses as they are configured. Their order does not count; a password in
            one is left out.
        registry: The registry. Its ``namespace`` counts where it states one, and its ``addresses``
            instead of the configured ones: there is one way only to write each of them.
        options: Its options as a text, without secrets. Asked where it states no namespace.
    """
    read, namespace = _stated(registry, "addresses"), _stated(registry, "namespace")
    if isinstance(read, tuple) and all(isinstance(one, str) for one in read):
        addresses = read
    every = {one.strip() for several in addresses for one in several.split(",")}
    where = sorted(_PASSWORD.sub(r"\1@", one) for one in every if one)
    told = f"in {namespace}" if isinstance(namespace, str) else f"with {options()}"
    return f"{plugin} at {','.join(where)} {told}"


def _stated(registry: object, name: str) -> object:
    try:
        return getattr(registry, name, None)
    except Exception:  # a plugin's property; the configuration tells its lists apart as well
        return None
