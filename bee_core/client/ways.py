"""How the nodes of one service are reached: its transports, and what their channels are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ..config import PluginRef
from ..nodes.trust import Trust, reach_of
from ..terms.addresses import parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..config import ClientConfig
    from ..contracts.channels import AsyncChannel
    from ..contracts.registry import Registry
    from ..contracts.transport import ChannelSettings, Transport
    from ..terms.node import Node

    Create = Callable[[PluginRef], Transport]


class Ways:
    """The ways to the nodes of a service. Thread-safe once it has its settings.

    Args:
        client: The service's part of the configuration.
        create: Makes a transport.
        shared: The transports without options that all services of the client share, by scheme. It
            is added to.
        registry: Names the nodes.

    Attributes:
        settings: Of channels, for whom nothing is held back.

    Raises:
        BeeError: There is no transport for a url.
    """

    settings: ChannelSettings

    def __init__(
        self,
        client: ClientConfig,
        create: Create,
        shared: dict[str, Transport],
        registry: Registry,
    ) -> None:
        self._path = f"bee.rpc.client.{client.name}.address"
        self._own_scheme = client.transport.name
        self._own = create(client.transport)
        self._create = create
        self._shared = shared
        for entry in client.address:
            self.transport(entry.url)
        schemes = client.schemes
        if schemes is None and getattr(self._own, "encrypted", False):
            schemes = (self._own_scheme,)
        self.trust = Trust(
            reach_of(registry),
            schemes,
            client.token is not None,
            frozenset(entry.url for entry in client.address),
            self.transport,
        )

    def transport(self, url: str) -> Transport:
        """The transport for a url: the scheme is the plugin's name.

        It has the options of the service, if the service names this transport.

        Raises:
            ValueError: It is not a url.
            BeeError: There is no transport for it.
        """
        scheme = parse(url).scheme
        if scheme == self._own_scheme:
            return self._own
        found = self._shared.get(scheme)
        if found is None:
            # Of two threads the first one's is kept.
            made = self._create(PluginRef(scheme, {}, self._path))
            found = self._shared.setdefault(scheme, made)
        return found

    def settings_for(self, node: Node) -> ChannelSettings:
        """The settings of a node's channel, without the token where it would go out in clear."""
        settings = self.settings
        # Such a node is passed over for calls. This holds for pings too, and for whatever comes.
        if settings.token is not None and not self.trust.may_show_token(node.url):
            return attrs.evolve(settings, token=None)
        return settings

    def async_channel(self, node: Node) -> AsyncChannel:
        """A new asyncio channel to a node, on the running loop."""
        return self.transport(node.url).async_channel(node, self.settings_for(node))
