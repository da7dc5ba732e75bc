"""What a server's configuration makes: codecs, size rules, transports, limiter, registry."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING

import attrs

from ..config import Config, RegistryConfig
from ..config.differences import in_use
from ..config.server_contradictions import announces_nothing
from ..contracts.codec import MethodCodec
from ..contracts.conformance import part_misfits
from ..contracts.flight_recorder import FlightRecorder
from ..contracts.memory_bound import MemoryBound
from ..contracts.observation import Interception, Observation
from ..contracts.plugin_faults import PluginFaults
from ..contracts.registry import Registry, RegistrySettings
from ..contracts.size_rule import SizeRule
from ..contracts.transport import Listener
from ..errors import BeeError, ConfigError, PluginError
from ..plugins.hub import PluginHub
from ..terms.addresses import parse
from ..wire.messages import HelloAck
from .announcement import Announcer, announced_instance
from .deduplication import endpoint_type
from .endpoint import Parts, ServiceEndpoint
from .limiters import keeping, make_limiters
from .log_lines import say
from .threads import HandlerThreads
from .transports import listen_settings, make_transports

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence

    from ..config.server_model import ServerConfig
    from ..contracts.codec import Codec, Compressor
    from ..contracts.endpoint import ServedMethod
    from ..contracts.transport import AcceptTurns, Transport
    from ..methods.signatures import Signature
    from .announcement import Run
    from .handlers import BoundHandler


@attrs.frozen
class ServerDraft:
    """What another configuration makes of a server.

    Attributes:
        config: The configuration, with the values of before where they need a restart.
        settings: Its server section.
        parts: What it makes for requests.
    """

    config: Config
    settings: ServerConfig
    parts: Parts


def no_server(config: Config) -> ConfigError:
    """The error for a configuration that serves nothing."""
    return ConfigError(
        "this configuration has no server section; a server needs at least a name",
        path="bee.rpc.server",
        expected="name: <service>",
        source=config.source,
    )


class Assembly:
    """The parts of a server.

    All plugins are made at once. So an error in the configuration shows before anything runs.

    Args:
        config: Has a server section.
        plugins: Plugins handed over as objects.

    Attributes:
        settings: The server section.
        codecs: By name.
        config: The whole configuration.
        transports: By scheme.
        listen_settings: The bounds of connections.
        registry_section: The registry's part of the configuration, or its defaults.
        recorder: Remembers the last requests; None where it is off.

    Raises:
        ConfigError: There is no server section, or the options of a plugin are wrong.
        PluginError: A plugin is missing or cannot be loaded.
    """

    def __init__(self, config: Config, plugins: Sequence[object]) -> None:
        if config.server is None:
            raise no_server(config)
        self.config = config
        self.settings = settings = config.server
        self._hub = hub = PluginHub(plugins)
        self.codecs: dict[str, Codec] = {
            ref.name: hub.create(ref, "codec", origin=config) for ref in settings.codecs
        }
        self._compressors: dict[str, Compressor] = {
            ref.name: hub.create(ref, "compressor", origin=config) for ref in settings.compressors
        }
        self.transports = make_transports(config, settings, hub)
        complain = partial(say, "plugin_failed", level=logging.ERROR)
        self._faults = PluginFaults(complain, time.monotonic, hub.origin_of)
        self._parts = self._make_parts(config, settings, None)
        memory = MemoryBound(settings.max_buffered, settings.max_inflated)
        self.listen_settings = listen_settings(settings, memory)
        self.registry_section = config.registry or RegistryConfig()
        self.recorder = FlightRecorder(time.monotonic) if config.application.recorder else None
        self._registry = self.make_registry() if settings.register else None

    @property
    def observers(self) -> Observation:
        """The observers of the server."""
        return self._parts.observers

    # Another configuration.

    def draft(self, config: Config) -> ServerDraft:
        """Make and check what another configuration has. Nothing changes. From any thread.

        Raises:
            ConfigError, PluginError: It cannot be used.
        """
        new, old = config.server, self.settings
        if new is None:
            raise no_server(config)
        for field, kind in (("codecs", "codec"), ("compressors", "compressor")):
            if getattr(new, field) != getattr(old, field):
                for ref in getattr(new, field):  # for the next start; it is checked now
                    self._hub.create(ref, kind, origin=config)  # type: ignore[arg-type]
        if (new.address, new.transports) != (old.address, old.transports):
            make_transports(config, new, self._hub)
        running = in_use(self.config, config)
        assert running.server is not None  # noqa: S101  # narrows the type
        parts = self._make_parts(config, running.server, self._parts)
        return ServerDraft(running, running.server, parts)

    def adopt(self, draft: ServerDraft) -> None:
        """Have a draft be what the server is made of. On the serving loop, where there is one."""
        self.config, self.settings, self._parts = draft.config, draft.settings, draft.parts
        self._hub.unshare(draft.config, "observer")
        memory = self.listen_settings.memory
        memory.resize(draft.settings.max_buffered, draft.settings.max_inflated)
        self.listen_settings = listen_settings(draft.settings, memory)

    def _make_parts(self, config: Config, settings: ServerConfig, before: Parts | None) -> Parts:
        """What a configuration makes for requests. What stays the same is the same object."""
        old, refs = self.settings, (*config.application.observers, *settings.observers)
        observers = self._hub.share(refs, "observer", config)
        limiters = make_limiters(self._hub, config, settings, self._faults)
        if before is not None:
            limiters = keeping(limiters, settings, old, before.limiters)
        interception = (
            before.interceptors
            if before is not None and old.interceptors == settings.interceptors
            else Interception(
                [
                    self._hub.create(ref, "interceptor", origin=config)
                    for ref in settings.interceptors
                ],
                self._faults,
                BaseException,
            )
        )
        rules: dict[str | None, SizeRule] = {
            name or None: SizeRule(
                self._compressors.get(name),
                max_size=settings.max_size,
                max_inflated=settings.max_inflated,
                name=name,
            )
            for name in ("", *self._compressors)
        }
        observation = Observation(observers, self._faults, BaseException)
        return Parts(rules, limiters, interception, observation)

    def make_registry(self) -> Registry:
        """A new registry plugin."""
        section = self.registry_section
        registry: Registry = self._hub.create(
            section.plugin,
            "registry",
            RegistrySettings(section.address, section.heartbeat_interval),
            origin=self.config,
        )
        return registry

    def bind(self, codec: str, signature: Signature) -> MethodCodec:
        """A codec of this server bound to a method.

        Raises:
            TypeError: It cannot carry a type of the signature.
            PluginError: It failed, or what it made does not keep its contract.
        """
        plugin = self.codecs[codec]
        try:
            bound = plugin.bind(signature)
        except (TypeError, BeeError, KeyboardInterrupt):
            raise
        except BaseException as error:  # whatever a codec does with a signature
            raise PluginError(self._hub.origin_of(plugin).said("bind", error)) from error
        problem = part_misfits(bound, MethodCodec)
        if problem:
            label = self._hub.origin_of(plugin).label
            raise PluginError(f"{label}: what bind() returned does not do: {problem}")
        return bound

    async def listen(
        self,
        url: str,
        endpoint: ServiceEndpoint,
        sock: socket.socket | None,
        turns: AcceptTurns | None,
    ) -> Listener:
        """Listen on a url.

        Args:
            url: As the configuration has it.
            endpoint: Takes peers and requests.
            sock: A socket that is bound already, or None.
            turns: Which process accepts, where several share the socket.

        Raises:
            OSError: The address cannot be listened on.
            PluginError: What the transport made does not keep its contract.
        """
        transport = self.transports[parse(url).scheme]
        bounds = attrs.evolve(self.listen_settings, sock=sock, turns=turns)
        listener = await transport.listen(url, endpoint, bounds)
        problem = part_misfits(listener, Listener)
        if problem:
            label = self._hub.origin_of(transport).label
            raise PluginError(f"{label}: what listen() returned does not do: {problem}")
        return listener

    def endpoint(
        self,
        epoch: bytes,
        tables: Mapping[str, Mapping[str, BoundHandler]],
        methods: Sequence[ServedMethod],
        streams: Mapping[str, str],
        workers: int = 1,
    ) -> ServiceEndpoint:
        """A new endpoint, on the running loop, with threads and a limiter of its own.

        Hung threads of the run before never give their permits back.

        Args:
            epoch: Names the run of this process.
            tables: For each codec's name, the bound handlers by method name.
            methods: What the methods are to people and tools.
            streams: By name, why a method cannot be called: it would stream.
            workers: How many processes serve behind the address.
        """
        settings = self.settings
        # What hung threads of the run before hold is never given back.
        memory = MemoryBound(settings.max_buffered, settings.max_inflated)
        self.listen_settings = attrs.evolve(self.listen_settings, memory=memory)
        limiters = make_limiters(self._hub, self.config, settings, self._faults)
        self._parts = parts = attrs.evolve(self._parts, limiters=limiters)
        return endpoint_type(settings.deduplicate)(
            HelloAck(settings.name, settings.version, epoch, settings.max_size, workers),
            tables,
            parts.rules,
            HandlerThreads(settings.name, settings.max_pool_size),
            settings=settings,
            limiters=parts.limiters,
            clock=time.monotonic,
            methods=methods,
            streams=streams,
            codecs=self.codecs,
            interceptors=parts.interceptors,
            observers=parts.observers,
            blame=self._hub.origin_of,
            recorder=self.recorder,
        )

    def transport_of(self, scheme: str) -> Transport:
        """The transport of a scheme: the one that is listened with, or a new one.

        Raises:
            BeeError: There is none.
        """
        found = self.transports.get(scheme)
        if found is None:
            ref = self.settings.transport(scheme)
            found = self._hub.create(ref, "transport", origin=self.config)
        return found

    def announce(
        self,
        urls: Sequence[str],
        workers: int,
        ticks: Callable[[], int],
        run: Run,
        heard: Callable[[str, str], object],
    ) -> Announcer | None:
        """What announces the server from now on, or None where it is not to be announced.

        Args:
            urls: Those that it listens on, with the real ports.
            workers: How many processes serve behind them.
            ticks: A number that grows while the serving loop runs.
            run: Calls what writes to the log.
            heard: Is told what becomes of the registration, and why.
        """
        settings, section = self.settings, self.registry_section
        if not settings.register:
            return None
        registry = self._registry or self.make_registry()
        if registry.known(settings.name, ()) is not None:
            # It says what it knows without asking anybody, so there is nobody who could be told.
            say(
                "announces_nothing",
                announces_nothing(section.protocol),
                level=logging.WARNING,
                registry=section.protocol,
            )
            return None
        self._registry = None  # the announcer closes it
        return Announcer(
            registry,
            section.protocol,
            announced_instance(settings, section, urls, workers),
            section.heartbeat_interval,
            ticks,
            run,
            self.observers,
            heard,
        )
