"""``bee.rpc.registry`` as a frozen class: keys, defaults and reasons."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  cattrs reads the annotations
from typing import Annotated, Any

import attrs

from ..options import COMMAS, OPTIONS, Seconds, positive, some_text
from .fields import PluginRef, about, setting


def _on_this_machine(address: str) -> bool:
    host = address.rpartition("://")[2].partition("/")[0]
    return host.startswith(("127.", "localhost", "[::1]", "::1")) or host == ""


@attrs.frozen(kw_only=True)
class RegistryConfig:
    """``bee.rpc.registry``: who knows which nodes a service has."""

    protocol: str = setting(
        "direct",
        "The registry plugin.",
        "`direct` needs nothing else running: the addresses in this file are the nodes.",
        check=some_text,
        plugin="registry",
    )
    address: Annotated[tuple[str, ...], COMMAS] = setting(
        (),
        "The registry's own addresses: one, a list, or several separated by commas.",
        "The plugin knows its usual port.",
    )
    heartbeat_interval: Seconds = setting(
        10.0,
        "How often a server renews its registration. A lease lasts three of these.",
        "A dead server leaves after 30 s, where Eureka takes 90 s, and a beat is cheap.",
        check=positive,
        unit="seconds",
    )
    options: Annotated[Mapping[str, Any], OPTIONS] = attrs.field(
        factory=dict,
        repr=False,
        metadata=about(
            "Options of the plugin, which checks them itself.", "A plugin has defaults of its own."
        ),
    )

    @property
    def is_elsewhere(self) -> bool:
        """Whether it is stated to be on another machine, so that it is for several machines."""
        if self.protocol in {"direct", "local"}:
            return False
        return any(not _on_this_machine(address) for address in self.address)

    @property
    def plugin(self) -> PluginRef:
        """The registry as a reference to a plugin.

        Its path is that of the section, so that its options are found under it.
        """
        return PluginRef(self.protocol, self.options, "bee.rpc.registry")
