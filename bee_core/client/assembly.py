"""Makes the services of a client from a configuration and its plugins.

What is wrong with them is reported here, before the first call.
"""

from __future__ import annotations

from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs

from ..calls.retry_budget import RetryBudget
from ..calls.service import Service
from ..config import CallConfig, ClientConfig, Config, PluginRef, RegistryConfig
from ..config.fields import plugin_kinds
from ..contracts.flight_recorder import FlightRecorder
from ..contracts.observation import Interception, Observation
from ..contracts.plugin_faults import PluginFaults
from ..contracts.registry import Registry, RegistrySettings
from ..contracts.size_rule import SizeRule, Unpacking
from ..contracts.transport import ChannelSettings, Transport
from ..nodes.directory import Directory
from ..nodes.node_set import NodeSet
from ..nodes.trust import Trust, reach_of
from ..plugins.shown_options import shown_options
from ..terms.addresses import parse
from ..terms.node import Node, Snapshot
from ..terms.versions import Range
from ..wire.messages import ANY_SERVICE
from .interruptions import is_interruption
from .token_function import token_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from ..contracts.channels import AsyncChannel
    from ..contracts.policies import Balancer
    from ..plugins.hub import PluginHub

C = TypeVar("C")


class Assembly(Generic[C]):
    """What a client is made of.

    Args:
        config: The whole configuration.
        hub: The client's plugins.
        make_channel: Makes a channel of the client's style (blocking or asyncio).
        drop_channel: Takes a channel whose node has left.
        clock: Seconds, monotonic.
        rng: For balancing and jitter.
        random_bytes: The operating system's randomness.
        complain: Takes one line for the operator.

    Attributes:
        services: By name.
        registry: Who knows the nodes.
        registry_config: The registry's part of the configuration, or its defaults.
        recorder: Remembers the last calls of all services; None where it is off.

    Raises:
        ConfigError: A value or an option cannot be used.
        PluginError: A name is unknown or cannot be loaded.
    """

    def __init__(
        self,
        config: Config,
        hub: PluginHub,
        *,
        make_channel: Callable[[Transport, Node, ChannelSettings], C],
        drop_channel: Callable[[C], None],
        clock: Callable[[], float],
        rng: Random,
        random_bytes: Callable[[int], bytes],
        complain: Callable[[str], None],
    ) -> None:
        self._config = config
        self.hub = hub
        self._make_channel = make_channel
        self._drop_channel = drop_channel
        self.clock = clock
        self._rng = rng
        self._random_bytes = random_bytes
        self._complain = complain
        self._lock = Lock()
        self._transports: dict[tuple[str, str], Transport] = {}
        self._settings: dict[str, ChannelSettings] = {}
        self._trusts: dict[str, Trust] = {}
        self.registry_config = config.registry or RegistryConfig()
        self.registry = self.make_registry()
        self.recorder = FlightRecorder(clock) if config.application.recorder else None
        self.services: dict[str, Service[C]] = {
            name: self._service(client) for name, client in config.clients.items()
        }

    def _create(self, section: CallConfig, field: str) -> Any:
        """The plugin that a field of a service or method names; None where it names none."""
        ref: PluginRef | None = getattr(section, field)
        kind = plugin_kinds(type(section))[field]
        return None if ref is None else self.hub.create(ref, kind, origin=self._config)

    def _by_method(self, client: ClientConfig, field: str) -> dict[str, Any]:
        """The policies of methods that have their own; the empty name is for all others."""
        return {"": self._create(client, field)} | {
            name: self._create(method, field)
            for name, method in client.methods.items()
            if getattr(method, field) != getattr(client, field)
        }

    def _service(self, client: ClientConfig) -> Service[C]:
        faults = PluginFaults(self._complain, self.clock, self.hub.origin_of, is_interruption)
        compressor = self._create(client, "compress")
        rule = SizeRule(
            compressor,
            max_size=client.max_size,
            max_inflated=client.max_inflated,
            compress_above=client.compress_above,
            name="" if client.compress is None else client.compress.name,
        )
        balancer = self._create(client, "balancer")
        trust = self._trusts[client.name] = self._trust(client)
        self._settings[client.name] = ChannelSettings(
            # A url in place of a name asks for whichever service is there; see Hello.
            service=ANY_SERVICE if "://" in client.name else client.name,
            codec=client.codec.name,
            compressor=None if client.compress is None else client.compress.name,
            max_body=client.max_size,
            clock=self.clock,
            decompress=None if compressor is None else Unpacking(rule, faults),
            token=token_of(client, self._config.source),
            load_wanted=bool(getattr(balancer, "wants_load", False)),
            max_idle=client.max_idle,
            interrupts=is_interruption,
            attended=True,  # the blocking driver starts a request and waits for it
        )
        nodes: NodeSet[C] = NodeSet(
            client.name,
            Directory(
                None if client.version is None else Range.parse(client.version),
                client.tags,
                client.zone,
                trust,
            ),
            balancer,
            lambda node: self._make_channel(
                self.transport(client, node.url), node, self._settings_for(client, node)
            ),
            self._create(client, "breaker"),
            self._drop_channel,
            faults,
        )
        service = Service(
            client,
            codec=self._create(client, "codec"),
            rule=rule,
            balancer=balancer,
            nodes=nodes,
            budget=RetryBudget(),
            limiter=self._create(client, "limiter"),
            fault_tolerances=self._by_method(client, "fail"),
            fallbacks=self._by_method(client, "fallback"),
            faults=faults,
            clock=self.clock,
            rng=self._rng,
            random_bytes=self._random_bytes,
            complain=self._complain,
            observation=self._observation(client, faults),
            interception=Interception(
                [
                    self.hub.create(ref, "interceptor", origin=self._config)
                    for ref in client.interceptors
                ],
                faults,
            ),
            transport_of=lambda node: self.transport(client, node.url),
            renews_token=client.token is not None and client.token.function is not None,
            recorder=self.recorder,
        )
        for scheme in client.schemes or ():
            path = f"bee.rpc.client.{client.name}.schemes"
            self.hub.load("transport", scheme, path=path, origin=self._config)
        for url in (f"{client.transport.name}://", *(one.url for one in client.address)):
            self.transport(client, url)
        return service

    def _observation(self, client: ClientConfig, faults: PluginFaults) -> Observation:
        """The observers of a service: those of the application, then its own."""
        refs = (*self._config.application.observers, *client.observers)
        observers = self.hub.share(refs, "observer", self._config)
        return Observation(observers, faults)

    def exposition(self) -> Callable[[str], tuple[str, bytes] | None]:
        """A function that exposes what an observer does, and does not keep the client alive."""
        observations = [service.observation for service in self.services.values()]

        def expose(accept: str) -> tuple[str, bytes] | None:
            found = (observation.exposition(accept) for observation in observations)
            return next((one for one in found if one is not None), None)

        return expose

    def apply_known_nodes(self) -> None:
        """Hand each service the nodes that are known without any I/O.

        Makes channels. An asyncio client must call it on its running loop.
        """
        for service in self.services.values():
            # A registry that must be asked knows nothing yet. Its services are discovered at
            # their first calls.
            snapshot = self.known(service)
            if snapshot is not None:
                service.learn(snapshot)

    def known(self, service: Service[C]) -> Snapshot | None:
        """What the registry says of a service without any I/O, or None where it must be watched."""
        return self.registry.known(service.name, self.addresses(service))

    def addresses(self, service: Service[C]) -> tuple[Node, ...]:
        """The nodes that the configuration names."""
        return tuple(
            Node(entry.url, entry.url, entry.version, entry.weight, tags=entry.tags)
            for entry in service.config.address
        )

    def make_registry(self) -> Registry:
        """A new registry plugin.

        A forked child makes its own, because the connections of the old one belong to the parent.
        """
        section = self.registry_config
        settings = RegistrySettings(section.address, section.heartbeat_interval)
        registry: Registry = self.hub.create(
            section.plugin, "registry", settings, origin=self._config
        )
        return registry

    def registry_options(self) -> str:
        """The options of the registry as a text, without secrets."""
        return shown_options(self.hub, self.registry_config.plugin, "registry")

    def make_balancer(self, service: Service[C]) -> Balancer:
        """A balancer like the service's, with no nodes yet: for picks that no call hears of."""
        balancer: Balancer = self._create(service.config, "balancer")
        return balancer

    def after_fork(self) -> None:
        """In a forked child: another thread of the parent may have held the lock."""
        self._lock = Lock()
        for service in self.services.values():
            service.after_fork()

    def async_channel(self, service: Service[C], node: Node) -> AsyncChannel:
        """A new asyncio channel to a node of a service, on the running loop.

        The control plane uses it for both kinds of client.
        """
        transport = self.transport(service.config, node.url)
        return transport.async_channel(node, self._settings_for(service.config, node))

    def unfit(self, service: Service[C], url: str) -> str:
        """See :meth:`bee_core.nodes.trust.Trust.unfit`."""
        return self._trusts[service.name].unfit(url)

    def _trust(self, client: ClientConfig) -> Trust:
        schemes = client.schemes
        if schemes is None and getattr(
            self.transport(client, f"{client.transport.name}://"), "encrypted", False
        ):
            schemes = (client.transport.name,)
        return Trust(
            reach_of(self.registry),
            schemes,
            client.token is not None,
            frozenset(entry.url for entry in client.address),
            partial(self.transport, client),
        )

    def _settings_for(self, client: ClientConfig, node: Node) -> ChannelSettings:
        """The settings of a node's channel, without the token where it would go out in clear."""
        settings = self._settings[client.name]
        # Such a node is passed over for calls. This holds for pings too, and for whatever comes.
        if settings.token is not None and not self._trusts[client.name].may_show_token(node.url):
            return attrs.evolve(settings, token=None)
        return settings

    def transport(self, client: ClientConfig, url: str) -> Transport:
        """The transport for a url: the scheme is the plugin's name.

        It has the options of the service, if the service names this transport.

        Raises:
            ValueError: It is not a url.
            BeeError: There is no transport for it.
        """
        scheme = url.removesuffix("://") if url.endswith("://") else parse(url).scheme
        own = client.transport.name == scheme
        key = (client.name if own else "", scheme)
        with self._lock:
            transport = self._transports.get(key)
            if transport is None:
                ref = (
                    client.transport
                    if own
                    else PluginRef(scheme, {}, f"bee.rpc.client.{client.name}.address")
                )
                transport = self._transports[key] = self.hub.create(
                    ref, "transport", origin=self._config
                )
            return transport
