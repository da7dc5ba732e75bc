"""Makes the services of a client from a configuration and its plugins.

What is wrong with them is reported here, before the first call. A further configuration makes a
:class:`Draft`: what is new in it is made and checked, and nothing has changed yet.
"""

from __future__ import annotations

import weakref
from threading import RLock
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from ..calls.retry_throttle import make_budget
from ..calls.service import Service
from ..config import CallConfig, ClientConfig, Config, PluginRef, RegistryConfig
from ..config.differences import in_use_by_client, only_calls_differ, same_surroundings
from ..config.fields import plugin_kinds
from ..contracts.balancer_parts import wants_load
from ..contracts.flight_recorder import FlightRecorder
from ..contracts.observation import Interception, Observation
from ..contracts.plugin_faults import PluginFaults
from ..contracts.registry import Registry, RegistrySettings
from ..contracts.size_rule import SizeRule, Unpacking
from ..contracts.transport import ChannelSettings, Transport
from ..nodes.directory import Directory
from ..nodes.node_set import NodeSet
from ..plugins.shown_options import shown_options
from ..terms.node import Node, Snapshot
from ..terms.versions import Range
from ..wire.messages import ANY_SERVICE
from .draft import Draft
from .interruptions import is_interruption
from .limiters import make_limiters
from .policies import make_policies
from .slow_start import start_slowly
from .token_function import token_of
from .ways import Ways

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from ..calls.service import Policies
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
        services: By name. Replaced whole.
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
        self._lock = RLock()  # of the hub
        self._transports: dict[str, Transport] = {}
        self._ways: WeakKeyDictionary[Service[C], Ways] = WeakKeyDictionary()
        self.registry_config = config.registry or RegistryConfig()
        self.registry = self.make_registry()
        self.recorder = FlightRecorder(clock) if config.application.recorder else None
        self.services: dict[str, Service[C]] = {
            name: self._service(client, config, self.registry)
            for name, client in config.clients.items()
        }

    # Another configuration.

    def draft(self, config: Config) -> Draft[C]:
        """Make what a configuration has that the one in use has not. No I/O.

        Raises:
            ConfigError, PluginError: It cannot be used. Nothing has changed.
        """
        before = self._config
        config, waiting = in_use_by_client(before, config)
        registry, kept = self.registry, same_surroundings(before, config)
        if (config.registry or RegistryConfig()) != self.registry_config:
            registry = self.make_registry(config)
        services: dict[str, Service[C]] = {}
        fresh: list[Service[C]] = []
        revised: dict[Service[C], Policies] = {}
        for name, client in config.clients.items():
            old = self.services.get(name) if kept else None
            if old is not None and only_calls_differ(old.config, client):
                services[name] = old
                if old.config != client:
                    revised[old] = self._policies(client, config, old)
            else:
                services[name] = self._service(client, config, registry)
                fresh.append(services[name])
        staying = set(services.values())
        gone = tuple(one for one in self.services.values() if one not in staying)
        return Draft(config, registry, services, tuple(fresh), revised, gone, tuple(waiting))

    def adopt(self, draft: Draft[C]) -> None:
        """Have a draft be what the client is made of."""
        self._config = draft.config
        self.registry, self.registry_config = draft.registry, draft.registry_config
        for service, policies in draft.revised.items():
            service.revise(draft.config.clients[service.name], *policies)
        self.services = draft.services
        with self._lock:
            self.hub.unshare(draft.config, "observer")

    # One service.

    def _create(self, section: CallConfig, field: str, config: Config) -> Any:
        """The plugin that a field of a service or method names; None where it names none."""
        ref: PluginRef | None = getattr(section, field)
        kind = plugin_kinds(type(section))[field]
        return None if ref is None else self._make(ref, kind, config)

    def _make(self, ref: PluginRef, kind: Any, config: Config, *context: Any) -> Any:
        with self._lock:
            return self.hub.create(ref, kind, *context, origin=config)

    def _policies(
        self, client: ClientConfig, config: Config, before: Service[C] | None = None
    ) -> Policies:
        return make_policies(
            client, lambda section, field: self._create(section, field, config), before
        )

    def _service(self, client: ClientConfig, config: Config, registry: Registry) -> Service[C]:
        faults = PluginFaults(self._complain, self.clock, self.hub.origin_of, is_interruption)
        compressor = self._create(client, "compress", config)
        rule = SizeRule(
            compressor,
            max_size=client.max_size,
            max_inflated=client.max_inflated,
            compress_above=client.compress_above,
            name="" if client.compress is None else client.compress.name,
        )
        balancer = start_slowly(self._create(client, "balancer", config), client, config)
        ways = Ways(
            client,
            lambda ref: self._make(ref, "transport", config),
            self._transports,
            registry,
        )
        ways.settings = ChannelSettings(
            # A url in place of a name asks for whichever service is there; see Hello.
            service=ANY_SERVICE if "://" in client.name else client.name,
            codec=client.codec.name,
            compressor=None if client.compress is None else client.compress.name,
            max_body=client.max_size,
            clock=self.clock,
            decompress=None if compressor is None else Unpacking(rule, faults),
            token=token_of(client, self._config.source),
            load_wanted=wants_load(balancer),
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
                ways.trust,
            ),
            balancer,
            lambda node: self._make_channel(
                ways.transport(node.url), node, ways.settings_for(node)
            ),
            self._create(client, "breaker", config),
            self._drop_channel,
            faults,
        )
        fault_tolerances, fallbacks = self._policies(client, config)
        limiters = make_limiters(
            client, lambda ref: self._make(ref, "limiter", config), self.clock, faults
        )
        service = Service(
            client,
            codec=self._create(client, "codec", config),
            rule=rule,
            balancer=balancer,
            nodes=nodes,
            budget=make_budget(*client.retry_budget.numbers),
            limiter=limiters.pop(""),
            limiters=limiters,
            fault_tolerances=fault_tolerances,
            fallbacks=fallbacks,
            faults=faults,
            clock=self.clock,
            rng=self._rng,
            random_bytes=self._random_bytes,
            complain=self._complain,
            observation=self._observation(client, config, faults),
            interception=Interception(
                [self._make(ref, "interceptor", config) for ref in client.interceptors], faults
            ),
            transport_of=lambda node: ways.transport(node.url),
            renews_token=client.token is not None and client.token.function is not None,
            recorder=self.recorder,
        )
        if client.faults:
            told = "; ".join(map(str, client.faults))
            self._complain(f"{client.name}: FAULTS ARE INJECTED into its calls: {told}")
        for scheme in client.schemes or ():
            path = f"bee.rpc.client.{client.name}.schemes"
            with self._lock:
                self.hub.load("transport", scheme, path=path, origin=config)
        self._ways[service] = ways
        return service

    def _observation(self, client: ClientConfig, config: Config, told: PluginFaults) -> Observation:
        """The observers of a service: those of the application, then its own."""
        refs = (*config.application.observers, *client.observers)
        with self._lock:
            return Observation(self.hub.share(refs, "observer", config), told)

    def exposition(self) -> Callable[[str], tuple[str, bytes] | None]:
        """A function that exposes what an observer does, and does not keep the client alive."""
        alive = weakref.ref(self)

        def expose(accept: str) -> tuple[str, bytes] | None:
            assembly = alive()
            services = () if assembly is None else assembly.services.values()
            found = (service.observation.exposition(accept) for service in services)
            return next((one for one in found if one is not None), None)

        return expose

    def apply_known_nodes(self) -> None:
        """Hand each service the nodes that are known without any I/O.

        This makes channels. An asyncio client must call it on its running loop.
        """
        for service in self.services.values():
            # A registry that must be asked knows nothing yet. Its services are discovered at
            # their first calls.
            snapshot = self.known(service)
            if snapshot is not None:
                service.learn(snapshot)

    def known(self, service: Service[C], registry: Registry | None = None) -> Snapshot | None:
        """What the registry says of a service without any I/O, or None where it must be watched."""
        return (registry or self.registry).known(service.name, self.addresses(service))

    def addresses(self, service: Service[C]) -> tuple[Node, ...]:
        """The nodes that the configuration names."""
        return tuple(
            Node(entry.url, entry.url, entry.version, entry.weight, tags=entry.tags)
            for entry in service.config.address
        )

    def make_registry(self, config: Config | None = None) -> Registry:
        """A new registry plugin.

        A forked child makes its own, because the connections of the old one belong to the parent.
        """
        config = config or self._config
        section = config.registry or RegistryConfig()
        settings = RegistrySettings(section.address, section.heartbeat_interval)
        registry: Registry = self._make(section.plugin, "registry", config, settings)
        return registry

    def registry_options(self, section: RegistryConfig) -> str:
        """The options of a registry as a text, without secrets."""
        with self._lock:
            return shown_options(self.hub, section.plugin, "registry")

    def make_balancer(self, service: Service[C]) -> Balancer:
        """A balancer like the service's, with no nodes yet: for picks that no call hears of."""
        client, config = service.config, self._config
        return start_slowly(self._create(client, "balancer", config), client, config)

    def after_fork(self) -> None:
        """In a forked child: another thread of the parent may have held the lock."""
        self._lock = RLock()
        for service in self.services.values():
            service.after_fork()

    def async_channel(self, service: Service[C], node: Node) -> AsyncChannel:
        """A new asyncio channel to a node of a service, on the running loop.

        The control plane uses it for both kinds of client.
        """
        return self._ways[service].async_channel(node)

    def choose(self, service: Service[C], node: Node) -> Node:
        """See :meth:`bee_core.nodes.trust.Trust.choose`."""
        return self._ways[service].trust.choose(node)

    def unfit(self, service: Service[C], url: str) -> str:
        """See :meth:`bee_core.nodes.trust.Trust.unfit`."""
        return self._ways[service].trust.unfit(url)
