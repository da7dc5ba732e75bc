"""What a server's configuration makes: codecs, size rules, transports, limiter, registry."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ..config import Config, RegistryConfig
from ..contracts.registry import Instance, Registry, RegistrySettings
from ..contracts.size_rule import SizeRule
from ..contracts.transport import ListenSettings, Transport
from ..errors import ConfigError
from ..plugins.hub import PluginHub
from ..plugins.registered import option_error
from ..terms.addresses import parse
from ..terms.node import Node
from ..wire.messages import HelloAck
from .announcement import Announcer, announced_url, instance_id
from .endpoint import ServiceEndpoint
from .log_lines import log
from .threads import HandlerThreads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..config.server_model import ServerConfig
    from ..contracts.codec import Codec, Compressor
    from ..contracts.policies import Limiter
    from .announcement import Run
    from .handlers import BoundHandler


class Assembly:
    """The parts of a server.

    All plugins are made at once. So an error in the configuration shows before anything runs.

    Args:
        config: Has a server section.
        plugins: Plugins handed over as objects.

    Attributes:
        settings: The server section.
        codecs: By name.
        transports: By scheme.
        listen_settings: The bounds of connections.
        registry_section: The registry's part of the configuration, or its defaults.

    Raises:
        ConfigError: There is no server section, or the options of a plugin are wrong.
        PluginError: A plugin is missing or cannot be loaded.
    """

    def __init__(self, config: Config, plugins: Sequence[object]) -> None:
        if config.server is None:
            raise ConfigError(
                "this configuration has no server section; a server needs at least a name",
                path="bee.rpc.server",
                expected="name: <service>",
                source=config.source,
            )
        self._config = config
        self.settings = settings = config.server
        self._hub = hub = PluginHub(plugins)
        self.codecs: dict[str, Codec] = {
            ref.name: hub.create(ref, "codec", origin=config) for ref in settings.codecs
        }
        compressors: dict[str, Compressor] = {
            ref.name: hub.create(ref, "compressor", origin=config) for ref in settings.compressors
        }
        self._rules: dict[str | None, SizeRule] = {
            name or None: SizeRule(
                compressors.get(name),
                max_size=settings.max_size,
                max_inflated=settings.max_inflated,
                name=name,
            )
            for name in ("", *compressors)
        }
        self.transports = make_transports(config, settings, hub)
        self._make_limiter()
        self.listen_settings = ListenSettings(
            settings.backlog,
            settings.max_conn_size,
            settings.read_timeout,
            settings.write_timeout,
            settings.max_size,
        )
        self.registry_section = config.registry or RegistryConfig()
        self._registry = self._make_registry() if settings.register else None

    def _make_limiter(self) -> Limiter | None:
        ref = self.settings.limiter
        return None if ref is None else self._hub.create(ref, "limiter", origin=self._config)

    def _make_registry(self) -> Registry:
        section = self.registry_section
        registry: Registry = self._hub.create(
            section.plugin,
            "registry",
            RegistrySettings(section.address, section.heartbeat_interval),
            origin=self._config,
        )
        return registry

    def endpoint(
        self, epoch: bytes, tables: Mapping[str, Mapping[str, BoundHandler]]
    ) -> ServiceEndpoint:
        """A new endpoint, on the running loop, with threads and a limiter of its own.

        Hung threads of the run before never give their permits back.

        Args:
            epoch: Names the run of this process.
            tables: For each codec's name, the bound handlers by method name.
        """
        settings = self.settings
        return ServiceEndpoint(
            HelloAck(settings.name, settings.version, epoch, settings.max_size),
            tables,
            self._rules,
            HandlerThreads(settings.name, settings.max_pool_size),
            max_in_flight=settings.max_in_flight,
            limiter=self._make_limiter(),
            send_tracebacks=settings.send_tracebacks,
            clock=time.monotonic,
            tokens=[token.values for token in settings.tokens],
        )

    def announce(
        self, urls: Sequence[str], workers: int, ticks: Callable[[], int], run: Run
    ) -> Announcer | None:
        """What announces the server from now on, or None where it is not to be announced.

        Args:
            urls: Those that it listens on, with the real ports.
            workers: How many processes serve behind them.
            ticks: A number that grows while the serving loop runs.
            run: Calls what writes to the log.
        """
        settings, section = self.settings, self.registry_section
        if not settings.register:
            return None
        registry = self._registry or self._make_registry()
        if registry.known(settings.name, ()) is not None:
            # It says what it knows without asking anybody, so there is nobody who could be told.
            log.debug(
                "the registry %s keeps no list: "
                "clients have the address in their own configuration",
                section.protocol,
            )
            return None
        self._registry = None  # the announcer closes it
        node = Node(
            instance_id(settings.name),
            announced_url(settings.advertise, urls),
            settings.version,
            settings.weight,
            settings.zone,
            settings.tags,
            workers,
        )
        return Announcer(
            registry,
            section.protocol,
            Instance(settings.name, node),
            section.heartbeat_interval,
            ticks,
            run,
        )


def make_transports(config: Config, settings: ServerConfig, hub: PluginHub) -> dict[str, Transport]:
    """The transport of each scheme that the server listens on.

    Raises:
        PluginError: There is none for a scheme.
        ConfigError: Its options are wrong, or do not do for a server.
    """
    made: dict[str, Transport] = {}
    for url in settings.address:
        scheme = parse(url).scheme
        ref = settings.transport(scheme)
        if scheme not in made:
            made[scheme] = hub.create(ref, "transport", origin=config)
        check: Any = getattr(made[scheme], "check_listening", None)
        if check is None:
            continue
        try:
            check(url)
        except ValueError as error:
            raise option_error(
                f"{url}: {error}",
                error,
                ref.path or "bee.rpc.server.transport",
                tuple(ref.options),
                config,
            ) from error
    return made
